//! The harness: drives journeys against a server, records what a payer would have felt, and judges it.

pub mod child;
pub mod cli;
pub mod engine;
pub mod interrupt;
pub mod journal;
pub mod listing;
pub mod notes;
pub mod observe;
pub mod phases;
pub mod plan;
pub mod progress;
pub mod recorder;
pub mod report;
pub mod run;
pub mod tally;
pub mod target;
pub mod units;
pub mod verdict;
pub mod watch;
