//! The harness: drives journeys against a server, records what a payer would have felt, and judges it.

// In the order in which a run goes through them; the last ones are leaves.
pub mod cli;
pub mod plan;
pub mod run;
pub mod target;
pub mod audit;
pub mod child;
pub mod interrupt;
pub mod engine;
pub mod phases;
pub mod recorder;
pub mod observe;
pub mod tally;
pub mod journal;
pub mod watch;
pub mod progress;
pub mod verdict;
pub mod notes;
pub mod report;
pub mod listing;
pub mod units;
