//! `shmkv info`: everything about a segment.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};
use shmkv::cache::{CacheSettings, CacheStats};
use shmkv::format::{FORMAT_VERSION, StoreKind};
use shmkv::map::MapStats;
use shmkv::process::{Liveness as Life, Participant};
use shmkv::segment::SegmentMetadata;
use shmkv::{ReadOnlyDynMap, Segment};

use super::settings;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::open::Global;
use crate::output::Output;
use crate::process;
use crate::text::{self, escape, thousands};

/// Shows everything about a segment: types, geometry, load, memory, writers.
///
/// "load" is the share of slots that are in use, where a map is full at about 96 %. "occupancy"
/// says how many buckets hold 0, 1, … 16 entries. "resident" is what is in memory (the rest is
/// swapped out, or has not been read from its file). "displaced" counts entries that were moved to
/// make room since the creation.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  shmkv info shm:quotes --json | jq .load")]
pub(crate) struct Info {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.read(&self.segment)?;
        let metadata = self.segment.metadata().map_err(Failure::segment)?;
        let facts = Facts {
            stats: map.stats(),
            participants: map.participants(),
            resident: map.resident_bytes().ok(),
            segment: &self.segment,
            map: &map,
            metadata,
        };
        let mut output = Output::new();
        match self.json {
            true => output.document(&facts.json())?,
            false => output.text(&escape(&facts.text(output.columns())))?,
        }
        output.flush()?;
        Ok(ExitStatus::Fine)
    }
}

struct Facts<'a> {
    segment: &'a Segment,
    map: &'a ReadOnlyDynMap,
    metadata: SegmentMetadata,
    stats: MapStats,
    participants: Vec<Participant>,
    resident: Option<u64>,
}

impl Facts<'_> {
    /// For a terminal of so many columns, if it is one.
    fn text(&self, columns: Option<usize>) -> String {
        /// Where values begin.
        const INDENT: usize = 12;
        // A terminal that is too narrow for that breaks the lines itself.
        let room = columns.unwrap_or(0).saturating_sub(INDENT);
        let (map, stats, metadata) = (self.map, &self.stats, &self.metadata);
        let layout = map.header();
        let mut text = String::new();
        let mut line = |label: &str, value: String| {
            // Values of several lines stay behind their label.
            let value = text::wrap(&value, room).replace('\n', "\n            ");
            let _ = writeln!(text, "{label:<11} {value}");
        };
        line(
            "segment",
            text::one_line(&self.segment.to_string()).into_owned(),
        );
        line(
            "kind",
            format!(
                "{}, layout version {FORMAT_VERSION}, {}",
                map.kind(),
                layout.hash()
            ),
        );
        line("key", format!("{:#}", map.key_type()));
        line("value", format!("{:#}", map.value_type()));
        line(
            "entries",
            format!(
                "{} of {} {} ({})",
                thousands(stats.len),
                thousands(stats.capacity),
                if map.kind() == StoreKind::Cache {
                    "at most"
                } else {
                    "promised"
                },
                text::percent(stats.len as f64 / stats.capacity as f64)
            ),
        );
        line(
            "load",
            format!(
                "{} of {} slots, {} displaced",
                text::percent(stats.load),
                thousands(stats.slots),
                thousands(stats.displaced)
            ),
        );
        line(
            "geometry",
            format!(
                "{} buckets of {} bytes, {} of 16 slots usable, {} + {} bytes an entry",
                thousands(layout.buckets()),
                layout.bucket_len(),
                layout.usable_slots(),
                layout.key_len(),
                layout.value_len()
            ),
        );
        let mut memory = format!(
            "{} ({} bytes)",
            text::bytes(layout.total_len()),
            layout.total_len()
        );
        if let Some(resident) = self.resident {
            let _ = write!(memory, ", {} resident", text::bytes(resident));
        }
        line("memory", memory);
        let mut access = format!(
            "{} {}:{}",
            text::mode(metadata.mode),
            process::user(metadata.uid),
            process::group(metadata.gid)
        );
        if let Some(attached) = metadata.attached {
            let _ = write!(access, ", attached {attached} times");
        }
        line("access", access);
        let mut created = format!(
            "{} ago by process {}",
            text::duration(text::age(layout.created_at())),
            layout.creator_pid()
        );
        if layout.created_this_boot() == Some(false) {
            created += ", before the machine was last booted";
        }
        line("created", created);
        line("writers", self.writers());
        if let Some(settings) = map.cache_settings() {
            line("times", times(&settings));
        }
        if let Some(cache) = map.cache_stats() {
            line("cache", counters(&cache));
        }
        line("occupancy", self.histogram());
        text
    }

    fn writers(&self) -> String {
        let max = self.map.header().max_writers();
        if self.participants.is_empty() {
            return format!("none (at most {max})");
        }
        let dead = self
            .participants
            .iter()
            .filter(|it| it.owner.liveness() == Life::Dead);
        let mut text = format!(
            "{} registered, {} of them dead (at most {max})",
            self.participants.len(),
            dead.count()
        );
        for writer in &self.participants {
            let program = match process::is_of_our_pid_namespace(&writer.owner) {
                Some(false) => "in another pid namespace, ".to_owned(),
                _ => process::program(&writer.owner).map_or(String::new(), |it| format!("{it}, ")),
            };
            // Its weaker sign of life is said: processes of other pid namespaces cannot judge it.
            let sign = match writer.has_no_file_lock {
                true => " (it has no lock, only its process id tells)",
                false => "",
            };
            let _ = write!(text, "\n{program}{}{sign}", writer.owner);
        }
        text
    }

    fn histogram(&self) -> String {
        const WIDTH: u64 = 40;
        let most = self
            .stats
            .occupancy
            .iter()
            .copied()
            .max()
            .unwrap_or(0)
            .max(1);
        let rows = self.stats.occupancy.iter().enumerate();
        rows.filter(|(_, buckets)| **buckets > 0)
            .map(|(entries, buckets)| {
                let bar = "#".repeat((buckets * WIDTH).div_ceil(most) as usize);
                format!("{entries:>2} {bar:<40} {}", thousands(*buckets))
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn json(&self) -> Value {
        let (map, stats, metadata) = (self.map, &self.stats, &self.metadata);
        let layout = map.header();
        let writers: Vec<Value> = self.participants.iter().map(participant).collect();
        json!({
            "segment": self.segment.to_string(),
            "kind": map.kind().to_string(),
            "layout": FORMAT_VERSION,
            "hash": layout.hash().to_string(),
            "id": format!("{:032x}", layout.segment_id()),
            "key": map.key_type().to_string(),
            "value": map.value_type().to_string(),
            "key_bytes": layout.key_len(),
            "value_bytes": layout.value_len(),
            "entries": stats.len,
            "capacity": stats.capacity,
            "slots": stats.slots,
            "load": stats.load,
            "displaced": stats.displaced,
            "buckets": layout.buckets(),
            "bucket_bytes": layout.bucket_len(),
            "occupancy": stats.occupancy,
            "bytes": layout.total_len(),
            "resident_bytes": self.resident,
            "mode": format!("{:03o}", metadata.mode),
            "uid": metadata.uid,
            "gid": metadata.gid,
            "attached": metadata.attached,
            "created_unix": layout
                .created_at()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            "creator_pid": layout.creator_pid(),
            "of_this_boot": layout.created_this_boot(),
            "max_writers": layout.max_writers(),
            "writers": writers,
            "cache": cache_json(map),
        })
    }
}

/// The times of a cache.
fn times(settings: &CacheSettings) -> String {
    let times = [
        ("to live", settings.time_to_live),
        ("to idle", settings.time_to_idle),
        ("stale", settings.stale_while_revalidate),
        ("negative", settings.negative_ttl),
    ];
    let set: Vec<String> = times
        .into_iter()
        .filter_map(|(name, time)| Some((name, time?)))
        .map(|(name, time)| format!("{name} {}", humantime::format_duration(time)))
        .collect();
    match set.is_empty() {
        true => "entries have no end".to_owned(),
        false => set.join(", "),
    }
}

/// What a cache has counted.
fn counters(stats: &CacheStats) -> String {
    if !stats.is_counting {
        return "it was created without statistics".to_owned();
    }
    let mut text = format!(
        "hit ratio {} ({} hits, {} misses)",
        text::percent(stats.hit_ratio()),
        thousands(stats.hits),
        thousands(stats.misses)
    );
    let _ = write!(
        text,
        "\n{} inserted, {} updated, {} removed, {} evicted for room, {} expired",
        thousands(stats.inserts),
        thousands(stats.updates),
        thousands(stats.removed),
        thousands(stats.evicted_for_room),
        thousands(stats.evicted_expired)
    );
    if stats.loads > 0 {
        let mean = stats.load_time.as_secs_f64() / stats.loads as f64;
        let _ = write!(
            text,
            "\n{} loads ({} failed), {:.3} ms each",
            thousands(stats.loads),
            thousands(stats.load_failures),
            mean * 1e3
        );
    }
    text
}

fn cache_json(map: &ReadOnlyDynMap) -> Option<Value> {
    let (settings, stats) = (map.cache_settings()?, map.cache_stats()?);
    let mut json = settings::to_json(&settings);
    if stats.is_counting {
        json["hit_ratio"] = json!(stats.hit_ratio());
        json["hits"] = json!(stats.hits);
        json["misses"] = json!(stats.misses);
        json["inserts"] = json!(stats.inserts);
        json["updates"] = json!(stats.updates);
        json["removed"] = json!(stats.removed);
        json["evicted_for_room"] = json!(stats.evicted_for_room);
        json["evicted_expired"] = json!(stats.evicted_expired);
        json["loads"] = json!(stats.loads);
        json["load_failures"] = json!(stats.load_failures);
        json["load_seconds"] = json!(stats.load_time.as_secs_f64());
    }
    Some(json)
}

fn participant(writer: &Participant) -> Value {
    let owner = &writer.owner;
    json!({
        "pid": owner.pid(),
        "command": process::program(owner),
        "state": match owner.liveness() {
            Life::Alive => "alive",
            Life::Dead => "dead",
            Life::Unknown => "unknown",
        },
        "has_lock": !writer.has_no_file_lock,
        "slot": owner.slot(),
        "generation": owner.generation(),
        "pid_namespace": owner.pid_namespace(),
        "registered_unix": owner.registered_at(),
    })
}
