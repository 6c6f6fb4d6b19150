//! The channel as a program of its own: flags, start, signals, stop.

mod config;
mod run;

pub use config::{Command, Config, MakeKeys, Start};
pub use run::{ProgramError, make_keys, run};
