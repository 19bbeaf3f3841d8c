//! Tables: which columns fit into so much room, and how wide they are.
//!
//! The first column holds names, which are told apart by any of their characters: it is shown whole
//! as long as any other column can be left out for it.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use crate::text::one_line;

/// Blanks between two columns.
pub(crate) const GAP: usize = 2;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) heading: &'static str,
    /// Whether its cells are flush right.
    pub(crate) is_right: bool,
    /// Where there is little room, columns with a high rank are left out first. Rank 0 stays.
    pub(crate) rank: u8,
    /// To which width it may be cut, if that makes room for others.
    pub(crate) shortest: Option<usize>,
}

impl Column {
    pub(crate) const fn left(heading: &'static str, rank: u8) -> Self {
        Self {
            heading,
            is_right: false,
            rank,
            shortest: None,
        }
    }

    pub(crate) const fn right(heading: &'static str, rank: u8) -> Self {
        Self {
            is_right: true,
            ..Self::left(heading, rank)
        }
    }

    /// May be cut to this width.
    pub(crate) const fn at_least(self, shortest: usize) -> Self {
        Self {
            shortest: Some(shortest),
            ..self
        }
    }
}

/// The columns that fit into so much room, by their place, with their widths. `natural` is the width
/// of the widest cell of each.
pub(crate) fn fit(columns: &[Column], natural: &[usize], room: usize) -> Vec<(usize, usize)> {
    let mut kept: Vec<(usize, usize)> = natural.iter().copied().enumerate().collect();
    loop {
        let gaps = GAP * kept.len().saturating_sub(1);
        let needed: usize = kept.iter().map(|(_, width)| width).sum::<usize>() + gaps;
        let excess = needed.saturating_sub(room);
        let slack = |&(at, width): &(usize, usize)| {
            let shortest = columns[at].shortest.unwrap_or(width);
            width.saturating_sub(shortest)
        };
        if excess <= kept.iter().map(slack).sum() {
            cut(&mut kept, slack, excess);
            return kept;
        }
        let dropped = (0..kept.len())
            .filter(|&i| columns[kept[i].0].rank > 0)
            .max_by_key(|&i| columns[kept[i].0].rank);
        match dropped {
            Some(i) => drop(kept.remove(i)),
            None => return kept,
        }
    }
}

/// Makes columns narrower by so much in sum, the one with most to spare first.
fn cut(kept: &mut [(usize, usize)], slack: impl Fn(&(usize, usize)) -> usize, mut excess: usize) {
    while excess > 0 {
        let Some(widest) = kept.iter_mut().max_by_key(|column| slack(column)) else {
            return;
        };
        widest.1 -= 1;
        excess -= 1;
    }
}

/// How many columns of a terminal this takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Text of at most this width: what is too much is cut off at the end.
pub(crate) fn shorten(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(1) else {
        return String::new();
    };
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        if width(&text[..next]) > room {
            break;
        }
        end = next;
    }
    format!("{}…", text[..end].trim_end())
}

/// As [`shorten`], but what is too much is cut out of the middle: names often differ at their end.
pub(crate) fn shorten_name(name: &str, room: usize) -> String {
    if width(name) <= room {
        return name.to_owned();
    }
    let Some(room) = room.checked_sub(1) else {
        return String::new();
    };
    let tail = room / 2;
    let start = name
        .char_indices()
        .map(|(at, _)| at)
        .find(|&at| width(&name[at..]) <= tail)
        .unwrap_or(name.len());
    let head = room - width(&name[start..]);
    let end = name
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|&end| width(&name[..end]) <= head)
        .last()
        .unwrap_or(0);
    format!("{}…{}", &name[..end], &name[start..])
}

/// Rows under headings.
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    room: Option<usize>,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        let headings = columns.iter().map(|it| it.heading.to_owned());
        Self {
            rows: vec![headings.collect()],
            columns: columns.to_vec(),
            room: None,
        }
    }

    /// Shows only what fits into so many columns of a terminal.
    pub(crate) fn within(mut self, room: Option<usize>) -> Self {
        self.room = room;
        self
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| one_line(&cell).into_owned());
        self.rows.push(cells.collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        };
        let natural: Vec<usize> = (0..self.columns.len()).map(widest).collect();
        let shown = fit(&self.columns, &natural, self.room.unwrap_or(usize::MAX));
        for row in &self.rows {
            let mut line = String::new();
            for (i, &(at, wide)) in shown.iter().enumerate() {
                let cell = row.get(at).map_or("", String::as_str);
                // Names are whole whatever happens; the terminal breaks the line.
                let cell = if at == 0 {
                    cell.to_owned()
                } else {
                    shorten(cell, wide)
                };
                let blanks = " ".repeat(wide.saturating_sub(width(&cell)));
                if i > 0 {
                    line.push_str(&" ".repeat(GAP));
                }
                match self.columns[at].is_right {
                    true => line.extend([blanks, cell]),
                    false => line.extend([cell, blanks]),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::left("NAME", 0),
        Column::left("TYPE", 2).at_least(4),
        Column::right("SIZE", 1),
        Column::right("AGE", 3),
    ];

    #[test]
    fn columns_are_cut_and_then_left_out_until_they_fit() {
        let natural = [10, 9, 5, 3];
        let shown = |room| fit(&COLUMNS, &natural, room);
        assert_eq!(shown(33), [(0, 10), (1, 9), (2, 5), (3, 3)]);
        assert_eq!(shown(29), [(0, 10), (1, 5), (2, 5), (3, 3)], "cut");
        assert_eq!(
            shown(27),
            [(0, 10), (1, 8), (2, 5)],
            "left out, and the cut undone"
        );
        assert_eq!(shown(18), [(0, 10), (2, 5)]);
        assert_eq!(shown(16), [(0, 10)]);
        assert_eq!(shown(3), [(0, 10)], "the name stays");
        for room in 10..40 {
            let shown = shown(room);
            let total: usize = shown.iter().map(|(_, width)| width).sum();
            assert!(total + GAP * (shown.len() - 1) <= room, "{room}: {shown:?}");
        }
    }

    #[test]
    fn wide_characters_count_for_two() {
        assert_eq!(width("shm:世界"), 8);
        assert_eq!(shorten("世界世界", 7), "世界世…");
        assert_eq!(shorten("世界世界", 6), "世界…");
        assert_eq!(shorten_name("shm:世界-1", 9), "shm:…界-1");
        for room in 0..20 {
            for text in ["shm:世界世界-session-1", "a", ""] {
                assert!(width(&shorten(text, room)) <= room);
                assert!(width(&shorten_name(text, room)) <= room);
            }
        }
        let mut table = Table::new(&[Column::left("NAME", 0), Column::right("N", 0)]);
        table.row(["世界".to_owned(), "1".to_owned()]);
        table.row(["four".to_owned(), "12".to_owned()]);
        assert_eq!(table.to_string(), "NAME   N\n世界   1\nfour  12\n");
    }

    #[test]
    fn names_that_differ_at_their_end_are_told_apart() {
        let short = |n| shorten_name(&format!("shm:a-rather-long-prefix-{n}"), 16);
        assert_eq!(short(1), "shm:a-ra…refix-1");
        assert_ne!(short(1), short(2));
    }
}
