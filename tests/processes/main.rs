//! Several processes on one segment: what they share, and what they can do to each other.

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod cache_load;
mod cache_storm;
mod examples;
mod hostile;
mod machine_crash;
mod several;
