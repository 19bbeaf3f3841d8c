//! `shmkv create`: makes a segment from types that are written down.

use clap::Args;
use shmkv::dynamic::DynMapBuilder;
use shmkv::format::HashFunction;
use shmkv::schema::Type;
use shmkv::{DynMap, Segment};

use super::settings::CacheArgs;
use crate::failure::{ExitStatus, Failure, Outcome};
use crate::number::number;
use crate::text;

/// Types and size of a new segment.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// Type of the keys: u64, Str<32>, [u8; 16], struct { a: u32, b: char }, …
    #[arg(long, value_name = "TYPE", value_parser = ty)]
    pub(crate) key: Type,
    /// Type of the values, likewise; () makes it a set.
    #[arg(long, value_name = "TYPE", value_parser = ty)]
    pub(crate) value: Type,
    /// How many entries shall fit, whatever their keys.
    #[arg(long, value_name = "N", value_parser = number::<usize>)]
    pub(crate) capacity: usize,
    /// How many processes can write at a time.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = number::<u32>)]
    pub(crate) max_writers: u32,
    #[command(flatten)]
    cache: CacheArgs,
}

impl Plan {
    /// A builder to this plan.
    pub(crate) fn builder(&self) -> DynMapBuilder {
        let builder = DynMap::builder()
            .capacity(self.capacity)
            .max_writers(self.max_writers);
        match self.cache.settings() {
            Some(settings) => builder.cache(settings),
            None => builder,
        }
    }
}

/// Whether a segment outlives the command that creates it.
pub(super) fn lasting(segment: &Segment) -> Outcome<()> {
    match segment {
        Segment::Memfd(name) => Err(Failure::new(format!(
            "{segment} would end with this command, since nobody else has its descriptor: create \
             shm:{} instead, or make the memfd in the program that hands it on",
            name.as_str()
        ))),
        _ => Ok(()),
    }
}

/// Creates a segment.
///
/// Types: u8 to u128, i8 to i128, f32, f64 (values only), bool, char, (), NonZero<u32>, Str<N>
/// (up to N bytes of text), Bytes<N>, [TYPE; N], struct { name: TYPE, … }, enum: u8 { A, B = 5 }.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv create shm:quotes --key u64 --value 'struct { bid: f64, ask: f64 }' --capacity 10000\n  shmkv create shm:pages --key 'Str<60>' --value 'Bytes<4000>' --capacity 5000 --cache --ttl 5m"
)]
pub(crate) struct Create {
    /// Its name: shm:NAME, file:PATH, sysv:KEY or sysv:PATH#N.
    segment: Segment,
    #[command(flatten)]
    plan: Plan,
    /// Permission bits, in octal; the umask has no say.
    #[arg(long, default_value = "600", value_parser = octal)]
    mode: u32,
    /// Hash function of the keys: sip if they come from somebody who wants them to collide.
    #[arg(long, default_value = "rapid")]
    hash: Hash,
    /// Say nothing.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Hash {
    Rapid,
    Sip,
}

impl Create {
    pub(crate) fn run(self) -> Outcome {
        lasting(&self.segment)?;
        let Plan { key, value, .. } = &self.plan;
        let map = self
            .plan
            .builder()
            .mode(self.mode)
            .hash(match self.hash {
                Hash::Rapid => HashFunction::Rapid,
                Hash::Sip => HashFunction::Sip,
            })
            .create(self.segment.clone(), key, value)
            .map_err(|error| Failure::opening(&self.segment, error))?;
        if !self.quiet {
            let layout = map.header();
            let mut output = crate::output::Output::new();
            output.text(&format!(
                "{}: {} entries of {} + {} bytes, {}\n",
                text::one_line(&self.segment.to_string()),
                text::thousands(layout.capacity()),
                layout.key_len(),
                layout.value_len(),
                text::bytes(layout.total_len()),
            ))?;
            output.flush()?;
        }
        Ok(ExitStatus::Fine)
    }
}

/// A type as people write it.
pub(crate) fn ty(text: &str) -> Result<Type, String> {
    Type::parse(text).map_err(|error| {
        format!(
            "{error}; types are u64, i32, f64, bool, Str<32>, Bytes<16>, [u8; 4], \
             struct {{ a: u32, b: char }} and more: see `shmkv help create`"
        )
    })
}

/// Permission bits as people write them.
pub(crate) fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected permission bits in octal, such as 640".to_owned()),
    }
}
