//! A real server process under load: started, killed, drained and started again, with a log of all that clients saw.
#![allow(dead_code, reason = "no test uses everything")]

pub(crate) mod channel;
pub(crate) mod client;
pub(crate) mod journey;
pub(crate) mod load;
pub(crate) mod server;
pub(crate) mod verdict;

use std::{env, time::SystemTime};

/// A number from the environment, or its default.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a number")))
}

/// The seed of this run: printed, and taken from `PAYRIG_SEED` to repeat its choices.
pub(crate) fn seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let seed = number("PAYRIG_SEED", now.as_micros().try_into().unwrap_or(7));
    eprintln!("PAYRIG_SEED={seed}");
    seed
}
