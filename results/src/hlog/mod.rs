//! The interval log: `HdrHistogram` log 1.3, one line a second and series, as the Java, Python, C and JS readers take it.
//!
//! Traps that are known, and how they are met here: the start time is wall-clock; there is a `StartTime` and never a
//! `BaseTime` (lines carry absolute times); tags hold no comma, space or newline; lines are in the order of their starts;
//! nothing is ever written half a line at a time, for the Java reader ends silently at a malformed one.

mod read;
mod write;

pub use read::{Line, LogReader};
pub use write::LogWriter;
