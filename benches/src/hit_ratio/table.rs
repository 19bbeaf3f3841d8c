//! The results, judged.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use super::Score;
use super::caches::Contestant;

/// Points that our average has to be above the best of the peers', on recorded traces.
pub const LEAD_MIN: f64 = 0.5;
/// Points that we may be below LRU in any cell.
pub const LOSS_MAX: f64 = 4.0;

/// One trace at one size.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The trace.
    pub trace: String,
    /// Its share of the distinct keys.
    pub share: f64,
    /// Entries of the caches.
    pub entries: usize,
    /// What came of it.
    pub scores: BTreeMap<Contestant, Score>,
}

impl Cell {
    fn points(&self, contestant: Contestant) -> Option<f64> {
        Some(100.0 * self.scores.get(&contestant)?.ratio())
    }
}

/// All cells of a run.
#[derive(Debug, Default)]
pub struct Table {
    /// In the order in which they were played.
    pub cells: Vec<Cell>,
    /// Whether the traces are recorded ones, whole.
    pub is_recorded: bool,
    /// By how many requests those who share a cache may be out of order. A cache that is smaller sees
    /// another stream than LRU did, and what it is worth beside LRU is not judged.
    pub disorder: usize,
}

/// A claim, and whether it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// What was claimed, and what was found.
    pub text: String,
    /// Whether it holds.
    pub is_met: bool,
}

const COLUMNS: [Contestant; 7] = [
    Contestant::Ours,
    Contestant::OursShared,
    Contestant::Lru,
    Contestant::Moka,
    Contestant::QuickCache,
    Contestant::TinyUfo,
    Contestant::Optimum,
];

impl Table {
    /// The mean over all cells, in points. `None` unless it played in each.
    pub fn average(&self, contestant: Contestant) -> Option<f64> {
        let points: Option<Vec<f64>> = self.cells.iter().map(|c| c.points(contestant)).collect();
        let points = points.filter(|points| !points.is_empty())?;
        Some(points.iter().sum::<f64>() / points.len() as f64)
    }

    /// The cell of at least so many entries in which it is furthest below LRU, or least above, and by
    /// how many points.
    pub fn worst(&self, contestant: Contestant, least: usize) -> Option<(&Cell, f64)> {
        let against = |cell| -> Option<(&Cell, f64)> {
            let cell: &Cell = cell;
            Some((
                cell,
                cell.points(contestant)? - cell.points(Contestant::Lru)?,
            ))
        };
        let cells = self.cells.iter().filter(|cell| cell.entries >= least);
        (cells.filter_map(against)).min_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// What is promised, judged. Generated traces are no basis for the first claim: which policy is best
    /// on them is a matter of how they were generated.
    pub fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        let peers = COLUMNS.into_iter().filter(|c| c.is_peer());
        let best = peers
            .filter_map(|peer| Some((peer, self.average(peer)?)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b));
        if let (true, Some(ours), Some((peer, best))) =
            (self.is_recorded, self.average(Contestant::Ours), best)
        {
            claims.push(Claim {
                text: format!(
                    "average {ours:.2} at least {LEAD_MIN} above the best of the others, {} with {best:.2}",
                    peer.name()
                ),
                is_met: ours >= best + LEAD_MIN,
            });
        }
        for (contestant, least) in [
            (Contestant::Ours, 0),
            (Contestant::OursShared, self.disorder),
        ] {
            if let Some((cell, difference)) = self.worst(contestant, least) {
                let sizes = match least {
                    0 => "nowhere".to_owned(),
                    _ => format!("with {least} or more entries nowhere"),
                };
                claims.push(Claim {
                    text: format!(
                        "{} {sizes} more than {LOSS_MAX} below LRU: worst {difference:+.2} ({}, {} entries)",
                        contestant.name(),
                        cell.trace,
                        cell.entries
                    ),
                    is_met: difference >= -LOSS_MAX,
                });
            }
        }
        claims
    }

    /// Prints the table, its averages, and the claims. Returns how many were missed.
    pub fn print(&self) -> usize {
        println!("\nHits of 100 requests");
        print!("{:<16} {:>7} {:>8}", "trace", "keys", "entries");
        for contestant in COLUMNS {
            print!(" {:>12}", contestant.name());
        }
        println!();
        for cell in &self.cells {
            let share = format!("{:.1} %", 100.0 * cell.share);
            print!("{:<16} {share:>7} {:>8}", cell.trace, cell.entries);
            print_row(|contestant| cell.points(contestant).map(|p| format!("{p:.2}")));
        }
        print!("{:<33}", "average");
        print_row(|contestant| self.average(contestant).map(|p| format!("{p:.2}")));
        print!("{:<33}", "worst cell against LRU");
        print_row(|contestant| self.worst(contestant, 0).map(|(_, d)| format!("{d:+.2}")));
        println!();
        let claims = self.claims();
        for claim in &claims {
            let verdict = if claim.is_met { "met   " } else { "MISSED" };
            println!("{verdict}  {}", claim.text);
        }
        claims.iter().filter(|claim| !claim.is_met).count()
    }

    /// An array of rows: trace, entries, cache, hit_ratio (0 to 1), and the share of the distinct
    /// keys that the entries are.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let rows = self.cells.iter().flat_map(|cell| {
            cell.scores.iter().map(|(contestant, score)| {
                json!({
                    "trace": cell.trace,
                    "entries": cell.entries,
                    "cache": contestant.name(),
                    "hit_ratio": score.ratio(),
                    "share": cell.share,
                    "hits": score.hits,
                    "requests": score.requests,
                })
                .to_string()
            })
        });
        let rows: Vec<String> = rows.collect();
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(path, format!("[\n{}\n]\n", rows.join(",\n")))
    }
}

fn print_row(text: impl Fn(Contestant) -> Option<String>) {
    for contestant in COLUMNS {
        print!(
            " {:>12}",
            text(contestant).unwrap_or_else(|| "-".to_owned())
        );
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(is_recorded: bool, cells: &[(u64, u64, u64)]) -> Table {
        let cells = cells.iter().map(|(ours, lru, moka)| {
            let score = |hits| Score {
                hits,
                requests: 1000,
            };
            Cell {
                trace: "t".to_owned(),
                share: 0.1,
                entries: 10,
                scores: BTreeMap::from([
                    (Contestant::Ours, score(*ours)),
                    (Contestant::Lru, score(*lru)),
                    (Contestant::Moka, score(*moka)),
                    (Contestant::Optimum, score(1000)),
                ]),
            }
        });
        Table {
            cells: cells.collect(),
            is_recorded,
            disorder: 0,
        }
    }

    fn met(table: &Table) -> Vec<bool> {
        table.claims().iter().map(|claim| claim.is_met).collect()
    }

    #[test]
    fn the_average_has_to_be_above_the_best_and_no_cell_far_below_lru() {
        assert_eq!(met(&table(true, &[(505, 490, 500)])), [true, true]);
        assert_eq!(met(&table(true, &[(504, 490, 500)])), [false, true]);
        assert_eq!(
            met(&table(true, &[(450, 490, 100), (600, 500, 0)])),
            [true, true]
        );
        assert_eq!(
            met(&table(true, &[(449, 490, 100), (600, 500, 0)])),
            [true, false]
        );
        assert_eq!(met(&table(false, &[(450, 490, 990)])), [true]);
    }

    #[test]
    fn who_shares_a_cache_is_judged_where_the_order_matters_little() {
        let mut table = table(true, &[(505, 490, 500)]);
        let shared = Score {
            hits: 300,
            requests: 1000,
        };
        let scores = &mut table.cells[0].scores;
        scores.insert(Contestant::OursShared, shared);
        table.disorder = 10;
        assert_eq!(met(&table), [true, true, false]);
        table.disorder = 11;
        assert_eq!(met(&table), [true, true]);
    }

    #[test]
    fn rows_say_who_had_how_many_hits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/hit_ratio.json");
        table(true, &[(505, 490, 500)]).write_json(&path).unwrap();
        let text = fs::read_to_string(path).unwrap();
        let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 4);
        let lru = &rows[1];
        assert_eq!(
            (
                &lru["trace"],
                &lru["entries"],
                &lru["cache"],
                &lru["hit_ratio"]
            ),
            (&json!("t"), &json!(10), &json!("LRU"), &json!(0.49))
        );
    }
}
