//! `shmkv bench`: what the operations cost on this machine.
//!
//! The typed handle is measured, as a program would use it, on keys and values of whole words:
//! the code for each size is compiled in, so there is a fixed set of sizes, and a type is rounded
//! up to the next of them.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use shmkv::schema::Type;
use shmkv::{Map, Segment};

use super::create::ty;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::hangup::Streams;
use crate::interrupt::Interrupt;
use crate::number::number;
use crate::output::Output;
use crate::progress::Progress;
use crate::table::{Column, Table};
use crate::text;

/// Measures get, insert and update with random keys, in a segment of its own.
///
/// NS/OP is the mean over all operations of a phase, timed together. The percentiles are of
/// single operations, each timed on its own in a second run, less what reading the clock costs. A
/// type is rounded up to whole words of 8 bytes, and to a size for which code is compiled in;
/// the first line says to which.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv bench --key u64 --value '[f64; 2]' --entries 100000")]
pub(crate) struct Bench {
    /// Where to create the segment, which is removed at the end.
    #[arg(default_value = "memfd:shmkv-bench")]
    segment: Segment,
    #[arg(long, default_value = "u64", value_name = "TYPE", value_parser = ty)]
    key: Type,
    #[arg(long, default_value = "u64", value_name = "TYPE", value_parser = ty)]
    value: Type,
    /// Entries in the map: how much of it fits into the processor's caches decides.
    #[arg(long, default_value_t = 100_000, value_parser = entries)]
    entries: u64,
    /// How long to measure each operation.
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// How many entries a benchmark may have.
fn entries(text: &str) -> Result<u64, String> {
    match number::<u64>(text)? {
        entries @ 1..=1_000_000_000 => Ok(entries),
        _ => Err("expected 1 to 1G".to_owned()),
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Hit,
    Miss,
    Update,
    /// Removing an entry and inserting another one, counted as two.
    Churn,
}

const OPERATIONS: [(Operation, &str); 4] = [
    (Operation::Hit, "get"),
    (Operation::Miss, "get of an absent key"),
    (Operation::Update, "insert over a present key"),
    (Operation::Churn, "remove, insert"),
];

struct Measured {
    name: &'static str,
    mean: f64,
    latency: Histogram<u64>,
}

impl Bench {
    pub(crate) fn run(self) -> Outcome {
        let words = |ty: &Type| ty.size().div_ceil(8);
        let (key, value) = (words(&self.key), words(&self.value));
        macro_rules! dispatch {
            ($($key:literal: [$($value:literal)*])*) => {
                $($(if key <= $key && value <= $value {
                    return self.measure::<$key, $value>();
                })*)*
            };
        }
        dispatch! {
            1: [0 1 2 4 8 32 128]
            2: [1 8 32]
            4: [1 8 32 128]
        }
        Err(Failure::new(format!(
            "a key of {} and a value of {} bytes: at most 32 and 1024 can be measured",
            self.key.size(),
            self.value.size()
        )))
    }

    fn measure<const K: usize, const V: usize>(&self) -> Outcome {
        // To create and fill a large segment takes its time.
        let is_created = Arc::new(AtomicBool::new(false));
        let guard = Guard {
            interrupt: Interrupt::catch_or_end({
                let (segment, is_created) = (self.segment.clone(), Arc::clone(&is_created));
                move || {
                    if is_created.load(Ordering::Relaxed) {
                        let _ = segment.remove();
                    }
                }
            })?,
            streams: Streams::new(),
        };
        let map: Map<[u64; K], [u64; V]> = Map::builder()
            .capacity(usize::try_from(self.entries).unwrap_or(usize::MAX))
            .prefault(true)
            .create(self.segment.clone())
            .map_err(|error| Failure::opening(&self.segment, error))?;
        is_created.store(
            !matches!(self.segment, Segment::Memfd(_)),
            Ordering::Relaxed,
        );
        let result = self.phases(&map, &guard);
        if !matches!(self.segment, Segment::Memfd(_)) {
            self.segment.remove()?;
        }
        let measured = result?;
        let mut output = Output::new();
        match self.json {
            true => output.document(&self.describe::<K, V>(&map, &measured))?,
            false => output.text(&self.table::<K, V>(&map, &measured)?)?,
        }
        output.flush()?;
        Ok(ExitStatus::Fine)
    }

    fn phases<const K: usize, const V: usize>(
        &self,
        map: &Map<[u64; K], [u64; V]>,
        guard: &Guard,
    ) -> Outcome<Vec<Measured>> {
        let about = |error: shmkv::WriteError| Failure::about(&self.segment, error);
        let steps = OPERATIONS.len() as u64 + 1;
        let progress = Progress::new("bench", Some(steps));
        for number in 0..self.entries {
            if number.is_multiple_of(4096) {
                guard.check()?;
            }
            map.insert(key(number), [number; V]).map_err(about)?;
        }
        progress.set(1, self.entries);
        let mut measured = Vec::new();
        for (step, (operation, name)) in OPERATIONS.into_iter().enumerate() {
            let mut run = Run {
                map,
                operation,
                entries: self.entries,
                random: 0x5EED,
                next: self.entries,
            };
            // Warm up, and find out how many fit between two looks at the clock.
            run.batch(1000).map_err(about)?;
            let (mut operations, mut spent) = (0_u64, Duration::ZERO);
            while spent < self.time {
                guard.check()?;
                let start = Instant::now();
                run.batch(4096).map_err(about)?;
                spent += start.elapsed();
                operations += 4096;
            }
            let mean = spent.as_secs_f64() * 1e9 / operations as f64;
            let latency = self.latencies(&mut run, guard)?;
            measured.push(Measured {
                name,
                mean,
                latency,
            });
            progress.set(step as u64 + 2, self.entries);
        }
        Ok(measured)
    }

    /// Single operations, each with its own time.
    fn latencies<const K: usize, const V: usize>(
        &self,
        run: &mut Run<'_, K, V>,
        guard: &Guard,
    ) -> Outcome<Histogram<u64>> {
        const SAMPLES: u64 = 1_000_000;
        // Three digits over ten minutes: these bounds are valid ones.
        let mut histogram = Histogram::new_with_bounds(1, 600_000_000_000, 3)
            .unwrap_or_else(|error| unreachable!("{error}"));
        let deadline = Instant::now() + self.time;
        while histogram.len() < SAMPLES && Instant::now() < deadline {
            guard.check()?;
            run.sample(&mut histogram, deadline)
                .map_err(|error| Failure::about(&self.segment, error))?;
        }
        Ok(histogram)
    }

    fn heading<const K: usize, const V: usize>(&self) -> String {
        format!(
            "{} entries of {} + {} bytes, measured as {} + {}",
            text::thousands(self.entries),
            self.key.size(),
            self.value.size(),
            K * 8,
            V * 8
        )
    }

    fn table<const K: usize, const V: usize>(
        &self,
        map: &Map<[u64; K], [u64; V]>,
        measured: &[Measured],
    ) -> Outcome<String> {
        let bytes = text::bytes(map.stats().bytes);
        let mut text = format!("{}, {bytes}\n\n", self.heading::<K, V>());
        let mut table = Table::new(&[
            Column::left("OPERATION", 0),
            Column::right("NS/OP", 0),
            Column::right("P50", 0),
            Column::right("P90", 0),
            Column::right("P99", 0),
            Column::right("P99.9", 0),
            Column::right("MAX", 0),
        ]);
        for Measured {
            name,
            mean,
            latency,
        } in measured
        {
            let at = |share| latency.value_at_quantile(share).to_string();
            table.row([
                (*name).to_owned(),
                format!("{mean:.1}"),
                at(0.5),
                at(0.9),
                at(0.99),
                at(0.999),
                latency.max().to_string(),
            ]);
        }
        text += &table.to_string();
        for Measured { name, latency, .. } in measured {
            text += &format!("\nlatency of {name}, ns\n{}", histogram(latency));
        }
        Ok(text)
    }

    fn describe<const K: usize, const V: usize>(
        &self,
        map: &Map<[u64; K], [u64; V]>,
        measured: &[Measured],
    ) -> Value {
        let rows: Vec<Value> = measured
            .iter()
            .map(|it| {
                let at = |share| it.latency.value_at_quantile(share);
                json!({
                    "operation": it.name,
                    "ns_per_operation": it.mean,
                    "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
                    "max": it.latency.max(),
                    "samples": it.latency.len(),
                })
            })
            .collect();
        json!({
            "entries": self.entries,
            "key_bytes": self.key.size(),
            "value_bytes": self.value.size(),
            "measured_key_bytes": K * 8,
            "measured_value_bytes": V * 8,
            "segment_bytes": map.stats().bytes,
            "operations": rows,
        })
    }
}

/// The key number `number`.
fn key<const K: usize>(number: u64) -> [u64; K] {
    let mut key = [number; K];
    if let [first, ..] = &mut key[..] {
        *first = number;
    }
    key
}

/// One operation, over and over.
struct Run<'m, const K: usize, const V: usize> {
    map: &'m Map<[u64; K], [u64; V]>,
    operation: Operation,
    entries: u64,
    random: u64,
    /// The next key that was never there.
    next: u64,
}

impl<const K: usize, const V: usize> Run<'_, K, V> {
    fn number(&mut self) -> u64 {
        // xorshift64* (Vigna): one multiplication, so that it does not weigh much.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let wide = u128::from(self.random.wrapping_mul(0x2545_F491_4F6C_DD1D));
        ((wide * u128::from(self.entries)) >> 64) as u64
    }

    #[inline]
    fn once(&mut self) -> Result<(), shmkv::WriteError> {
        match self.operation {
            Operation::Hit => {
                let number = self.number();
                black_box(self.map.get(&key(number))?);
            }
            Operation::Miss => {
                // Keys from here on are never there.
                let number = self.number() | 1 << 63;
                black_box(self.map.get(&key(number))?);
            }
            Operation::Update => {
                let number = self.number();
                black_box(self.map.insert(key(number), [number; V])?);
            }
            Operation::Churn => {
                // The oldest goes, a new one comes: the map stays as full as it is.
                let oldest = self.next - self.entries;
                black_box(self.map.remove(&key(oldest))?);
                black_box(self.map.insert(key(self.next), [self.next; V])?);
                self.next += 1;
            }
        }
        Ok(())
    }

    /// So many operations.
    fn batch(&mut self, operations: u64) -> Result<(), shmkv::WriteError> {
        let each = if self.operation == Operation::Churn {
            2
        } else {
            1
        };
        for _ in 0..operations / each {
            self.once()?;
        }
        Ok(())
    }

    /// Some single operations, each with its own time (of a pair, half of it), until the deadline.
    fn sample(
        &mut self,
        histogram: &mut Histogram<u64>,
        deadline: Instant,
    ) -> Result<(), shmkv::WriteError> {
        let clock = clock_cost();
        let each = if self.operation == Operation::Churn {
            2
        } else {
            1
        };
        for _ in 0..50_000 {
            let start = Instant::now();
            self.once()?;
            let end = Instant::now();
            let spent = u64::try_from((end - start).as_nanos()).unwrap_or(u64::MAX);
            histogram.saturating_record(spent.saturating_sub(clock) / each);
            if end > deadline {
                break;
            }
        }
        Ok(())
    }
}

/// What may end a measurement early.
struct Guard {
    interrupt: Interrupt,
    streams: Streams,
}

impl Guard {
    fn check(&self) -> Outcome<()> {
        self.interrupt.check()?;
        self.streams.pause(Duration::ZERO)
    }
}

/// What it costs to read the clock twice and do nothing.
fn clock_cost() -> u64 {
    let cost = |_| {
        let start = Instant::now();
        u64::try_from(start.elapsed().as_nanos()).unwrap_or(0)
    };
    let mut costs: Vec<u64> = (0..1001).map(cost).collect();
    costs.sort_unstable();
    costs[costs.len() / 2]
}

/// Bars for powers of two.
fn histogram(latency: &Histogram<u64>) -> String {
    const WIDTH: u64 = 40;
    let bars: Vec<_> = latency
        .iter_log(16, 2.0)
        .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(1);
    let mut text = String::new();
    for (limit, count) in bars {
        let bar = "#".repeat((count * WIDTH).div_ceil(most.max(1)) as usize);
        text += &format!(
            "{:>12} {bar:<40} {}\n",
            format!("< {}", limit + 1),
            text::thousands(count)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_does_what_its_name_says() {
        let map: Map<[u64; 1], [u64; 2]> =
            Map::builder().capacity(100).create("memfd:bench").unwrap();
        for number in 0..100 {
            map.insert(key(number), [0; 2]).unwrap();
        }
        for (operation, _) in OPERATIONS {
            let mut run = Run {
                map: &map,
                operation,
                entries: 100,
                random: 1,
                next: 100,
            };
            run.batch(1000).unwrap();
            assert_eq!(map.len(), 100, "{operation:?}");
            match operation {
                Operation::Hit | Operation::Miss => {
                    assert_eq!(map.get(&[7]).unwrap(), Some([0; 2]))
                }
                Operation::Update => assert_eq!(map.get(&[7]).unwrap(), Some([7; 2])),
                Operation::Churn => assert_eq!(map.get(&[599]).unwrap(), Some([599; 2])),
            }
        }
    }
}
