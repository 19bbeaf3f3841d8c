//! Drawing: a line of what is what, the table of segments, and the selected one below.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{
    Block, Borders, Cell, Paragraph, Row as Cells, Sparkline, Table, TableState,
};
use shmkv::process::Liveness as Life;

use super::model::{Live, Model, Sort};
use crate::process;
use crate::text::{self, one_line};

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let [head, table, detail, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(match frame.area().height {
            0..14 => 0,
            14..24 => 8,
            _ => 12,
        }),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(headline(model)), head);
    draw_table(frame, model, table);
    if detail.height > 0 {
        draw_detail(frame, model, detail);
    }
    let help = "q quit  s sort  r reverse  up/down select  +/- interval  p pause";
    frame.render_widget(Paragraph::new(help).style(dim()), foot);
}

fn headline(model: &Model) -> String {
    let every = match model.interval() {
        whole if whole.subsec_nanos() == 0 => format!("{} s", whole.as_secs()),
        other => format!("{} ms", other.as_millis()),
    };
    let paused = if model.is_paused() { ", paused" } else { "" };
    let order = if model.is_reversed { ", reversed" } else { "" };
    format!(
        "shmkv top: {} segments, every {every}{paused}, by {}{order}",
        model.rows.len(),
        model.sort.heading()
    )
}

fn draw_table(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let headings = [
        Sort::Name.heading(),
        Sort::Entries.heading(),
        "CAPACITY",
        Sort::Load.heading(),
        Sort::Writes.heading(),
        Sort::Hits.heading(),
        Sort::Evictions.heading(),
        Sort::Writers.heading(),
        "SLOW",
    ];
    let heading = |text: &&'static str| match *text == model.sort.heading() {
        true => Cell::new(*text).style(Style::new().add_modifier(Modifier::UNDERLINED)),
        false => Cell::new(*text),
    };
    let header = Cells::new(headings.iter().map(heading)).style(bold());
    let rows = model.rows.iter().map(|row| {
        let name = one_line(&row.segment.to_string()).into_owned();
        match &row.state {
            Ok(live) => Cells::new([
                name,
                text::thousands(live.activity.entries),
                text::thousands(live.map.header().capacity()),
                text::percent(live.load()),
                text::count(live.writes_per_second()),
                live.hit_ratio().map_or("-".to_owned(), text::percent),
                match live.hit_ratio() {
                    Some(_) => text::count(live.evictions),
                    None => "-".to_owned(),
                },
                writers(live),
                live.slow_locks.len().to_string(),
            ]),
            Err(error) => Cells::new([name, one_line(error).into_owned()]).style(alarm()),
        }
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(11),
        Constraint::Length(11),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(4),
    ];
    let table = Table::new(rows, widths)
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(model.selected());
    frame.render_stateful_widget(table, area, &mut state);
}

/// How many live, and how many are dead.
fn writers(live: &Live) -> String {
    let is_dead = |life: Life| life == Life::Dead;
    let all = live.participants.len();
    let dead = live
        .participants
        .iter()
        .filter(|it| is_dead(it.owner.liveness()))
        .count();
    match dead {
        0 => all.to_string(),
        dead => format!("{}+{dead} dead", all - dead),
    }
}

fn draw_detail(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let Some(row) = model.rows.get(model.selected().unwrap_or(0)) else {
        return;
    };
    let name = one_line(&row.segment.to_string()).into_owned();
    let block = Block::new().borders(Borders::TOP).title(name);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let live = match &row.state {
        Ok(live) => live,
        Err(error) => {
            frame.render_widget(Paragraph::new(one_line(error).into_owned()), inner);
            return;
        }
    };
    let [about, chart, lists] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Min(1),
    ])
    .areas(inner);
    frame.render_widget(Paragraph::new(summary(live)), about);
    draw_charts(frame, live, chart);
    let lists: [Rect; 2] = Layout::horizontal([Constraint::Fill(1); 2]).areas(lists);
    frame.render_widget(list("writers", writer_lines(live)), lists[0]);
    frame.render_widget(list("slow locks", lock_lines(live)), lists[1]);
}

fn summary(live: &Live) -> String {
    let layout = live.map.header();
    format!(
        "{} of {} to {}, {}, {} displaced",
        live.map.kind(),
        one_line(&live.map.key_type().to_string()),
        one_line(&live.map.value_type().to_string()),
        text::bytes(layout.total_len()),
        text::thousands(live.activity.displaced),
    )
}

/// What was written, and for a cache the hit ratio, over time.
fn draw_charts(frame: &mut Frame<'_>, live: &Live, area: Rect) {
    let most = live.writes.iter().copied().fold(0.0, f64::max);
    let writes = Chart {
        label: "writes/s",
        history: &live.writes,
        most,
        show: text::count,
    };
    if live.hit_ratios.is_empty() {
        return writes.draw(frame, area);
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    writes.draw(frame, left);
    let hits = Chart {
        label: "hit ratio",
        history: &live.hit_ratios,
        most: 1.0,
        show: text::percent,
    };
    hits.draw(frame, right);
}

struct Chart<'a> {
    label: &'static str,
    history: &'a VecDeque<f64>,
    /// What the highest bar stands for.
    most: f64,
    show: fn(f64) -> String,
}

impl Chart<'_> {
    fn draw(&self, frame: &mut Frame<'_>, area: Rect) {
        /// Steps of a bar.
        const STEPS: f64 = 1000.0;
        let [label, chart] =
            Layout::horizontal([Constraint::Length(14), Constraint::Min(10)]).areas(area);
        let now = self.history.back().copied().unwrap_or(0.0);
        let lines = vec![
            Line::from(self.label),
            Line::from(format!("now {}", (self.show)(now))),
            Line::from(format!("max {}", (self.show)(self.most))),
        ];
        frame.render_widget(Paragraph::new(lines), label);
        let skipped = self.history.len().saturating_sub(usize::from(chart.width));
        let scale = STEPS / self.most.max(f64::MIN_POSITIVE);
        let bars: Vec<u64> = self
            .history
            .iter()
            .skip(skipped)
            .map(|value| (value * scale) as u64)
            .collect();
        let sparkline = Sparkline::default().data(&bars).max(STEPS as u64);
        frame.render_widget(sparkline.style(accent()), chart);
    }
}

fn writer_lines(live: &Live) -> Vec<String> {
    let line = |owner: &shmkv::process::OwnerInfo| {
        let pid = owner.pid().map_or("-".to_owned(), |pid| pid.to_string());
        let command = owner.pid().and_then(process::command);
        let state = match owner.liveness() {
            Life::Alive => "",
            Life::Dead => " dead",
            Life::Unknown => " ?",
        };
        format!("{pid:>7} {}{state}", command.unwrap_or_default())
    };
    live.participants.iter().map(|it| line(&it.owner)).collect()
}

fn lock_lines(live: &Live) -> Vec<String> {
    let line = |lock: &shmkv::dynamic::HeldLock| {
        let pid = lock
            .owner
            .pid()
            .map_or("-".to_owned(), |pid| pid.to_string());
        let awaited = if lock.is_awaited { ", awaited" } else { "" };
        format!("bucket {} by {pid}{awaited}", lock.bucket)
    };
    live.slow_locks.iter().map(line).collect()
}

/// A heading and lines below it, "none" if there are none.
fn list(heading: &str, lines: Vec<String>) -> Paragraph<'static> {
    let mut text = vec![Line::from(heading.to_owned()).style(bold())];
    match lines.is_empty() {
        true => text.push(Line::from("   none").style(dim())),
        false => text.extend(lines.into_iter().map(Line::from)),
    }
    Paragraph::new(text)
}

/// Colours only where they are wanted: <https://no-color.org>.
fn coloured(color: Color) -> Style {
    match std::env::var_os("NO_COLOR") {
        Some(value) if !value.is_empty() => Style::new(),
        _ => Style::new().fg(color),
    }
}

fn alarm() -> Style {
    coloured(Color::Red)
}

fn accent() -> Style {
    coloured(Color::Cyan)
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}
