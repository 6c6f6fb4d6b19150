//! Judgements on a run, from its results alone.

mod judge;
pub mod threshold;

pub use judge::{Sums, judge};
