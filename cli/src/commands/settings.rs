//! The settings of a cache: on the command line, and in the first line of a dump.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use shmkv::cache::CacheSettings;

/// What makes a new segment a cache.
#[derive(Args, Clone, Debug)]
pub(crate) struct CacheArgs {
    /// Make it a cache: at most so many entries; when it is full, others are evicted.
    #[arg(long)]
    cache: bool,
    /// How long an entry lives unless it is told otherwise: 5m, 30s, 1d.
    #[arg(long, requires = "cache", value_name = "TIME", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
    /// How long an entry lives unless it is asked for.
    #[arg(long, requires = "cache", value_name = "TIME", value_parser = humantime::parse_duration)]
    idle: Option<Duration>,
    /// For how long an entry that has expired may be served while one process loads it anew.
    #[arg(long, requires = "cache", value_name = "TIME", value_parser = humantime::parse_duration)]
    stale: Option<Duration>,
    /// How long it is remembered that there is no value for a key.
    #[arg(long, requires = "cache", value_name = "TIME", value_parser = humantime::parse_duration)]
    negative_ttl: Option<Duration>,
    /// Do not count hits, misses and the like.
    #[arg(long, requires = "cache")]
    no_statistics: bool,
}

impl CacheArgs {
    /// The settings, if it is to be a cache.
    pub(crate) fn settings(&self) -> Option<CacheSettings> {
        self.cache.then(|| {
            let mut settings = CacheSettings::default();
            settings.time_to_live = self.ttl;
            settings.time_to_idle = self.idle;
            settings.stale_while_revalidate = self.stale;
            settings.negative_ttl = self.negative_ttl;
            settings.statistics = !self.no_statistics;
            settings
        })
    }
}

/// As JSON; times in milliseconds.
pub(crate) fn to_json(settings: &CacheSettings) -> Value {
    let millis = |time: Option<Duration>| {
        time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    json!({
        "ttl_ms": millis(settings.time_to_live),
        "idle_ms": millis(settings.time_to_idle),
        "stale_ms": millis(settings.stale_while_revalidate),
        "negative_ttl_ms": millis(settings.negative_ttl),
        "statistics": settings.statistics,
    })
}

/// Back again. What is not there is not set.
pub(crate) fn from_json(json: &Value) -> Result<CacheSettings, String> {
    let time = |name: &str| match json.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(time) => match time.as_u64() {
            Some(millis) => Ok(Some(Duration::from_millis(millis))),
            None => Err(format!(
                "the description's {name:?} is {time}, expected milliseconds"
            )),
        },
    };
    let mut settings = CacheSettings::default();
    settings.time_to_live = time("ttl_ms")?;
    settings.time_to_idle = time("idle_ms")?;
    settings.stale_while_revalidate = time("stale_ms")?;
    settings.negative_ttl = time("negative_ttl_ms")?;
    settings.statistics = json.get("statistics") != Some(&Value::Bool(false));
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_dump() {
        let mut settings = CacheSettings::default();
        assert_eq!(from_json(&to_json(&settings)), Ok(settings));
        settings.time_to_live = Some(Duration::from_millis(1));
        settings.negative_ttl = Some(Duration::from_secs(86_400));
        settings.statistics = false;
        assert_eq!(from_json(&to_json(&settings)), Ok(settings));
        assert!(from_json(&json!({"ttl_ms": "5m"})).is_err());
    }
}
