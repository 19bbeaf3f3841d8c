//! How far reads and mixes scale over cores, and what an operation costs as the
//! table grows.
//!
//! ```text
//! cargo bench -p shmkv-benches --bench scaling            # cores, then sizes up to what fits
//! cargo bench -p shmkv-benches --bench scaling -- --short
//! cargo bench -p shmkv-benches --bench scaling -- cores
//! ```
//!
//! Stores for processes run one process a worker, maps one thread a worker.
//! Efficiency is the throughput over that of one worker times the number of
//! workers: a read path that writes nothing shared has 100 % where the hardware
//! gives it. The plot goes to `scaling.svg` in the target directory.

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use plotters::prelude::*;
use shmkv_benches::keys::Keys;
use shmkv_benches::record::Spread;
use shmkv_benches::roster::{Builder, Filled, Kind, Peer};
use shmkv_benches::runner::serve_if_worker;
use shmkv_benches::types::{Plain, Types};
use shmkv_benches::workload::{Crew, Span, Workload};
use shmkv_benches::{memory, report, with_types};

#[derive(Debug, Parser)]
#[command(name = "scaling")]
struct Options {
    /// Only this part.
    part: Option<Part>,

    /// Fewer sizes (up to 1e6), shorter slices.
    #[arg(long)]
    short: bool,

    /// Only these peers [default: ours, dashmap, papaya, scc and lmdb over cores,
    /// ours, hashbrown, dashmap and lmdb over sizes].
    #[arg(long, value_delimiter = ',')]
    peers: Vec<Peer>,

    /// Key and value.
    #[arg(long, default_value = "u64")]
    types: Types,

    /// Entries of the table that the cores share.
    #[arg(long, default_value_t = 100_000)]
    entries: usize,

    /// Most workers [default: the number of cores].
    #[arg(long)]
    workers: Option<usize>,

    /// Rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Throughput over the number of workers.
    Cores,
    /// Cost over the number of entries.
    Sizes,
}

fn main() -> Result<(), Box<dyn Error>> {
    if serve_if_worker() {
        return Ok(());
    }
    let options = Options::parse();
    if options.part != Some(Part::Sizes) {
        with_types!(options.types, cores(&options));
    }
    if options.part != Some(Part::Cores) {
        let curves = with_types!(options.types, sizes(&options));
        let path = report::target_directory().join("scaling.svg");
        plot(&curves, options.types, &path)?;
        eprintln!("plotted to {}", path.display());
    }
    Ok(())
}

impl Options {
    fn peers(&self, default: &[Peer]) -> Vec<Peer> {
        if self.peers.is_empty() {
            default.to_vec()
        } else {
            self.peers.clone()
        }
    }

    fn slice(&self) -> Duration {
        Duration::from_millis(if self.short { 20 } else { 100 })
    }
}

/// The peers that can be had, with a line for each of the others.
fn build<K: Plain, V: Plain>(peers: &[Peer], types: Types, keys: &Keys<K, V>) -> Vec<Filled<K, V>> {
    let mut builder = Builder::default();
    let mut runners = Vec::new();
    for &peer in peers {
        match builder.build(peer, types, keys) {
            Ok(runner) => runners.push((peer, runner)),
            Err(reason) => eprintln!("{reason}"),
        }
    }
    runners
}

fn cores<K: Plain, V: Plain>(options: &Options) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let most = options.workers.unwrap_or(cores);
    let keys = Keys::<K, V>::new(options.entries);
    let peers = options.peers(&[
        Peer::Ours,
        Peer::Dashmap,
        Peer::Papaya,
        Peer::Scc,
        Peer::Lmdb,
    ]);
    let mut runners = build(&peers, options.types, &keys);
    for writes in [0, 5, 50] {
        println!(
            "\n{}:{writes} zipf, {}, {} entries [Mops/s of all workers: median, least .. greatest; efficiency]",
            100 - writes,
            options.types.name(),
            options.entries
        );
        // Interleaved: all peers and all numbers of workers in each round.
        let mut numbers = vec![vec![Vec::new(); most]; runners.len()];
        for round in 0..options.rounds {
            let span = Span {
                start: round * 1009,
                budget: options.slice(),
            };
            for workers in 1..=most {
                for ((_, runner), numbers) in runners.iter_mut().zip(&mut numbers) {
                    if let Some(mops) = runner.crew(Crew { workers, writes }, &keys, span) {
                        numbers[workers - 1].push(mops);
                    }
                }
            }
        }
        for ((peer, _), numbers) in runners.iter().zip(numbers) {
            let unit = if peer.kind() == Kind::Concurrent {
                "threads"
            } else {
                "processes"
            };
            let Some(one) = Spread::of(numbers[0].iter().copied()) else {
                println!("{:>20}  cannot be shared", peer.name());
                continue;
            };
            for (workers, numbers) in (1..).zip(numbers) {
                let Some(spread) = Spread::of(numbers) else {
                    continue;
                };
                println!(
                    "{:>20} {workers:>3} {unit:<9} {:>9.2} [{:.2} .. {:.2}]  {:>4.0} %",
                    peer.name(),
                    spread.median,
                    spread.min,
                    spread.max,
                    100.0 * spread.median / (one.median * f64::from(workers)),
                );
            }
        }
    }
}

/// Cost of one operation of one peer at growing sizes.
struct Curve {
    peer: Peer,
    workload: Workload,
    /// Entries and nanoseconds.
    points: Vec<(f64, f64)>,
}

const WORKLOADS: [Workload; 2] = [Workload::GetHit, Workload::Update];

fn sizes<K: Plain, V: Plain>(options: &Options) -> Vec<Curve> {
    let peers = options.peers(&[Peer::Ours, Peer::Hashbrown, Peer::Dashmap, Peer::Lmdb]);
    let mut curves: Vec<Curve> = WORKLOADS
        .into_iter()
        .flat_map(|workload| {
            peers.iter().map(move |&peer| Curve {
                peer,
                workload,
                points: Vec::new(),
            })
        })
        .collect();
    let most = if options.short {
        1_000_000
    } else {
        100_000_000
    };
    println!(
        "\nCost against entries, {} [ns: median, least .. greatest]",
        options.types.name()
    );
    // Three sizes a decade: 1e2, 2e2, 5e2, 1e3 ...
    let sizes = (2..).flat_map(|e| [1, 2, 5].map(|n| n * 10_usize.pow(e)));
    for entries in sizes.take_while(|&entries| entries <= most) {
        let budget = memory::available().unwrap_or(u64::MAX) / 10 * 7;
        // The largest sizes are for those that fit together.
        let mut total = 0;
        let (fitting, left_out): (Vec<Peer>, Vec<Peer>) = peers.iter().partition(|peer| {
            let size = peer.estimate(options.types, entries);
            let fits = total + size <= budget;
            total += if fits { size } else { 0 };
            fits
        });
        for peer in left_out {
            println!(
                "{entries:>10}  {}: skipped, does not fit into memory beside the others",
                peer.name()
            );
        }
        let keys = Keys::<K, V>::new(entries);
        let mut runners = build(&fitting, options.types, &keys);
        for workload in WORKLOADS {
            for (peer, spread) in interleave(options, workload, &keys, &mut runners) {
                println!(
                    "{entries:>10}  {:<18} {:<12} {:>9.2} [{:.2} .. {:.2}]",
                    workload.name(),
                    peer.name(),
                    spread.median,
                    spread.min,
                    spread.max
                );
                let curve = curves
                    .iter_mut()
                    .find(|c| (c.peer, c.workload) == (peer, workload));
                curve
                    .expect("one a peer and workload")
                    .points
                    .push((entries as f64, spread.median));
            }
        }
    }
    curves
}

fn interleave<K: Plain, V: Plain>(
    options: &Options,
    workload: Workload,
    keys: &Keys<K, V>,
    runners: &mut [Filled<K, V>],
) -> Vec<(Peer, Spread)> {
    let mut numbers = vec![Vec::new(); runners.len()];
    for round in 0..options.rounds {
        let span = Span {
            start: round * 1009,
            budget: options.slice() / 2,
        };
        for ((_, runner), numbers) in runners.iter_mut().zip(&mut numbers) {
            numbers.extend(runner.measure(workload, keys, span));
        }
    }
    let peers = runners.iter().map(|(peer, _)| *peer);
    peers
        .zip(numbers)
        .filter_map(|(peer, numbers)| Some((peer, Spread::of(numbers)?)))
        .collect()
}

/// Both axes logarithmic; gets drawn thick, updates thin.
fn plot(curves: &[Curve], types: Types, path: &Path) -> Result<(), Box<dyn Error>> {
    const COLOURS: [RGBColor; 6] = [
        RGBColor(214, 39, 40),
        RGBColor(31, 119, 180),
        RGBColor(44, 160, 44),
        RGBColor(255, 127, 14),
        RGBColor(148, 103, 189),
        RGBColor(90, 90, 90),
    ];
    let points = || curves.iter().flat_map(|curve| curve.points.iter().copied());
    let Some(entries) = Spread::of(points().map(|(entries, _)| entries)) else {
        return Err("no peer was measured".into());
    };
    let cost = Spread::of(points().map(|(_, ns)| ns)).ok_or("no peer was measured")?;
    let root = SVGBackend::new(path, (960, 600)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(
            format!("Nanoseconds an operation, {}", types.name()),
            ("sans-serif", 20),
        )
        .margin(12)
        .x_label_area_size(45)
        .y_label_area_size(60)
        .build_cartesian_2d(
            (entries.min..entries.max * 1.1).log_scale(),
            (cost.min / 1.5..cost.max * 1.5).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("entries")
        .y_desc("ns")
        .x_label_formatter(&|entries| format!("{entries:.0e}"))
        .y_label_formatter(&|ns| format!("{ns:.0}"))
        .draw()?;
    let mut peers: Vec<Peer> = curves.iter().map(|curve| curve.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    for curve in curves.iter().filter(|curve| !curve.points.is_empty()) {
        let number = peers
            .iter()
            .position(|&peer| peer == curve.peer)
            .unwrap_or(0);
        let colour = COLOURS[number % COLOURS.len()];
        let width = if curve.workload == Workload::GetHit {
            3
        } else {
            1
        };
        let style = colour.stroke_width(width);
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), style))?
            .label(format!("{}, {}", curve.peer.name(), curve.workload.name()))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}
