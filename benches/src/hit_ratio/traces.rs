//! Streams of requests.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use serde::{Deserialize, Serialize};

/// Names the directory with recorded traces.
pub const DIRECTORY: &str = "SHMKV_TRACES";

/// A stream of keys, one a request.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What it is called.
    pub name: String,
    /// Where it can be had again.
    pub source: Source,
    /// The keys, numbered in the order in which they first appear: no cache shall profit from
    /// numbers that lie close together.
    pub keys: Vec<u64>,
    /// How many different ones there are.
    pub distinct: usize,
}

/// Where the keys come from: enough for another process to get the same ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A file of little-endian `u32`s, or its first so many requests.
    File(PathBuf, Option<usize>),
    /// So many requests of a generator.
    Generated(Pattern, usize),
}

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// Stable popularity, zipf 0.7.
    Zipf70,
    /// Zipf 0.9.
    Zipf90,
    /// Zipf 1.1.
    Zipf110,
    /// The same keys over and over, in order.
    Loop,
    /// Zipf 0.9, interrupted by stretches of keys that are asked for once.
    ZipfAndScans,
    /// The place of the next key in a list ordered by recency, drawn from a power law: nobody
    /// who does not know the future beats LRU.
    Recency,
}

impl Pattern {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Zipf70,
        Self::Zipf90,
        Self::Zipf110,
        Self::Loop,
        Self::ZipfAndScans,
        Self::Recency,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zipf70 => "zipf-0.7",
            Self::Zipf90 => "zipf-0.9",
            Self::Zipf110 => "zipf-1.1",
            Self::Loop => "loop",
            Self::ZipfAndScans => "zipf-and-scans",
            Self::Recency => "recency",
        }
    }

    fn keys(self, requests: usize) -> Vec<u64> {
        let mut rng = SmallRng::seed_from_u64(self as u64);
        // One key for ten requests, so that most are asked for again.
        let keys = (requests / 10).max(1) as u64;
        let mut zipf = |exponent| -> Vec<u64> {
            let zipf = Zipf::new(keys as f64, exponent).expect("there are keys");
            (0..requests)
                .map(|_| zipf.sample(&mut rng) as u64)
                .collect()
        };
        match self {
            Self::Zipf70 => zipf(0.7),
            Self::Zipf90 => zipf(0.9),
            Self::Zipf110 => zipf(1.1),
            Self::Loop => (0..requests as u64).map(|request| request % keys).collect(),
            Self::ZipfAndScans => {
                let mut stream = zipf(0.9);
                let mut fresh = 1 << 40;
                // Every tenth stretch of a hundredth of the stream is a scan.
                let stretch = (requests / 100).max(1);
                for scan in stream.chunks_mut(stretch).skip(5).step_by(10) {
                    for key in scan {
                        *key = fresh;
                        fresh += 1;
                    }
                }
                stream
            }
            Self::Recency => by_recency(&mut rng, keys.min(20_000) as usize, requests),
        }
    }
}

fn by_recency(rng: &mut SmallRng, keys: usize, requests: usize) -> Vec<u64> {
    let mut list: Vec<u64> = (0..keys as u64).collect();
    let draw = |_| {
        let depth = (keys as f64).powf(rng.random::<f64>()) as usize - 1;
        // The most recent key is the last one.
        let key = list.remove(keys - 1 - depth.min(keys - 1));
        list.push(key);
        key
    };
    (0..requests).map(draw).collect()
}

impl Source {
    /// The keys, as they are.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or is no whole number of `u32`s.
    pub fn load(&self) -> io::Result<Trace> {
        let (name, keys) = match self {
            Self::File(path, most) => {
                let name = path.file_stem().unwrap_or_default();
                let mut keys = read(path)?;
                keys.truncate(most.unwrap_or(usize::MAX));
                (name.to_string_lossy().into_owned(), keys)
            }
            Self::Generated(pattern, requests) => {
                (pattern.name().to_owned(), pattern.keys(*requests))
            }
        };
        let mut numbers = HashMap::new();
        let keys: Vec<u64> = (keys.into_iter())
            .map(|key| {
                let next = numbers.len() as u64;
                *numbers.entry(key).or_insert(next)
            })
            .collect();
        Ok(Trace {
            name,
            source: self.clone(),
            distinct: numbers.len(),
            keys,
        })
    }
}

fn read(path: &Path) -> io::Result<Vec<u64>> {
    let bytes = fs::read(path)?;
    let (keys, rest) = bytes.as_chunks::<4>();
    if keys.is_empty() || !rest.is_empty() {
        let message = format!(
            "{}: {} bytes are no trace: expected little-endian 32-bit key numbers, at least one",
            path.display(),
            bytes.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(keys
        .iter()
        .map(|key| u32::from_le_bytes(*key).into())
        .collect())
}

/// The recorded traces (`*.u32`) of a directory, by name.
///
/// # Errors
/// The directory cannot be read.
pub fn recorded(directory: &Path, most: Option<usize>) -> io::Result<Vec<Source>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "u32") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths
        .into_iter()
        .map(|path| Source::File(path, most))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_streams_are_the_same_each_time() {
        for pattern in Pattern::ALL {
            let source = Source::Generated(pattern, 5000);
            let (a, b) = (source.load().unwrap(), source.load().unwrap());
            assert_eq!(a.keys, b.keys);
            assert_eq!(a.keys.len(), 5000);
            assert_eq!(a.keys.iter().max(), Some(&(a.distinct as u64 - 1)));
        }
    }

    #[test]
    fn a_file_that_is_no_trace_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in [("empty.u32", &b""[..]), ("odd.u32", b"12345")] {
            let path = directory.path().join(name);
            fs::write(&path, bytes).unwrap();
            let error = Source::File(path, None).load().unwrap_err();
            assert!(error.to_string().contains("are no trace"), "{error}");
        }
    }

    #[test]
    fn a_recorded_trace_is_read_as_little_endian_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.u32");
        fs::write(&path, [7, 1, 0, 0, 5, 0, 0, 0, 7, 1, 0, 0, 7, 0, 0, 0]).unwrap();
        fs::write(directory.path().join("notes.txt"), "none").unwrap();
        let sources = recorded(directory.path(), Some(3)).unwrap();
        assert_eq!(sources, [Source::File(path.clone(), Some(3))]);
        let trace = Source::File(path, None).load().unwrap();
        assert_eq!((trace.name.as_str(), trace.distinct), ("a", 3));
        assert_eq!(trace.keys, [0, 1, 0, 2]);
        assert_eq!(sources[0].load().unwrap().keys, [0, 1, 0]);
    }
}
