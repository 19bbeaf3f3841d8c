//! Drawing: a line of what is what, the table of segments, and the selected one below.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{
    Block, Borders, Cell, Clear, Paragraph, Row as Cells, Sparkline, Table, TableState,
};
use shmkv::process::Liveness as Life;

use super::keys::HELP;
use super::model::{Live, Model};
use crate::process;
use crate::table::{self, Column};
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
    let room = usize::from(frame.area().width);
    let hint = HINTS.iter().find(|hint| hint.len() <= room);
    frame.render_widget(Paragraph::new(*hint.unwrap_or(&"")).style(dim()), foot);
    if model.shows_help {
        draw_help(frame);
    }
}

/// What the most important keys do: the first that fits.
const HINTS: [&str; 4] = [
    "q quit  s sort  r reverse  up/down select  +/- interval  p pause  ? help",
    "q quit  s sort  up/down select  p pause  ? help",
    "q quit  s sort  p pause  ? help",
    "q quit  ? help",
];

fn headline(model: &Model) -> String {
    let every = match model.interval() {
        whole if whole.subsec_nanos() == 0 => format!("{} s", whole.as_secs()),
        other => format!("{} ms", other.as_millis()),
    };
    let paused = if model.is_paused() { ", paused" } else { "" };
    let order = if model.is_reversed { ", reversed" } else { "" };
    let segments = match model.rows.len() {
        1 => "1 segment".to_owned(),
        number => format!("{number} segments"),
    };
    format!(
        "shmkv top: {segments}, every {every}{paused}, by {}{order}",
        model.sort.heading()
    )
}

/// In the order in which they are shown. What the table is sorted by is never left out.
const COLUMNS: [Column; 9] = [
    Column::left("NAME", 0),
    Column::right("ENTRIES", 1),
    Column::right("CAPACITY", 8),
    Column::right("LOAD", 3),
    Column::right("WRITES/S", 2),
    Column::right("HITS", 6),
    Column::right("EVICT/S", 7),
    Column::right("WRITERS", 4),
    Column::right("SLOW", 5),
];

fn cells(live: &Live) -> [String; 8] {
    [
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
    ]
}

fn draw_table(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let columns = COLUMNS.map(|column| match column.heading == model.sort.heading() {
        true => Column { rank: 0, ..column },
        false => column,
    });
    let names: Vec<String> = model
        .rows
        .iter()
        .map(|row| one_line(&row.segment.to_string()).into_owned())
        .collect();
    let rows: Vec<Result<[String; 8], &str>> = model
        .rows
        .iter()
        .map(|row| match &row.state {
            Ok(live) => Ok(cells(live)),
            Err(error) => Err(error.as_str()),
        })
        .collect();
    let mut natural = columns.map(|column| table::width(column.heading));
    for (name, row) in names.iter().zip(&rows) {
        natural[0] = natural[0].max(table::width(name));
        for (wide, cell) in natural[1..].iter_mut().zip(row.iter().flatten()) {
            *wide = (*wide).max(table::width(cell));
        }
    }
    let room = usize::from(area.width);
    let mut shown = table::fit(&columns, &natural, room);
    // The name takes what is left, so that columns do not move with every digit.
    let rest: usize = shown[1..].iter().map(|(_, wide)| wide + table::GAP).sum();
    shown[0].1 = room.saturating_sub(rest);
    let aligned = |at: usize, text: &str| match columns[at].is_right {
        true => Cell::new(Line::from(text.to_owned()).right_aligned()),
        false => Cell::new(text.to_owned()),
    };
    let header = shown.iter().map(|&(at, _)| {
        let heading = columns[at].heading;
        let is_sorted = heading == model.sort.heading();
        aligned(at, heading).style(match is_sorted {
            true => Style::new().add_modifier(Modifier::UNDERLINED),
            false => Style::new(),
        })
    });
    let lines = names.iter().zip(&rows).map(|(name, row)| {
        let name = Cell::new(table::shorten_name(name, shown[0].1));
        match row {
            Ok(cells) => {
                let others = shown[1..]
                    .iter()
                    .map(|&(at, _)| aligned(at, &cells[at - 1]));
                Cells::new([name].into_iter().chain(others))
            }
            Err(error) => {
                let error = Cell::new(one_line(error).into_owned());
                let others = u16::try_from(shown.len() - 1).unwrap_or(1).max(1);
                Cells::new([name, error.column_span(others)]).style(alarm())
            }
        }
    });
    let widths = shown
        .iter()
        .map(|&(_, wide)| Constraint::Length(u16::try_from(wide).unwrap_or(u16::MAX)));
    let table = Table::new(lines, widths)
        .column_spacing(table::GAP as u16)
        .header(Cells::new(header).style(bold()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(model.selected());
    frame.render_stateful_widget(table, area, &mut state);
}

/// What the columns mean, for the help.
const LEGEND: [(&str, &str); 6] = [
    ("LOAD", "share of slots that are in use"),
    ("WRITES/S", "inserted, removed, replaced"),
    ("HITS", "share of a cache's questions"),
    ("EVICT/S", "entries that were evicted"),
    ("WRITERS", "registered, and alive"),
    ("SLOW", "locks held for two looks"),
];

fn draw_help(frame: &mut Frame<'_>) {
    let lines: Vec<Line<'_>> = HELP
        .iter()
        .chain(&LEGEND)
        .map(|(what, means)| Line::from(format!("{what:<14}  {means}")))
        .collect();
    let [_, rows, _] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Max(u16::try_from(lines.len() + 2).unwrap_or(u16::MAX)),
        Constraint::Fill(1),
    ])
    .areas(frame.area());
    let [_, area, _] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Max(50),
        Constraint::Fill(1),
    ])
    .areas(rows);
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" help: ? or Esc closes it ");
    frame.render_widget(Paragraph::new(lines).block(block), area);
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
        let program = match process::is_of_our_pid_namespace(owner) {
            Some(false) => "in another pid namespace".to_owned(),
            _ => process::program(owner).unwrap_or_default(),
        };
        let state = match owner.liveness() {
            Life::Alive => "",
            Life::Dead => " dead",
            Life::Unknown => " ?",
        };
        format!("{pid:>7} {program}{state}")
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
        let place = match process::is_of_our_pid_namespace(&lock.owner) {
            Some(false) => " of another pid namespace",
            _ => "",
        };
        format!("bucket {} by {pid}{place}{awaited}", lock.bucket)
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
