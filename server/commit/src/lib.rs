//! Group commit with insert-once ids over fjall: one thread writes, everything that waits shares one sync, and what
//! readers can see is on disk.
//!
//! Opening goes through `folder` (who owns the data) and `journal` (what a crash left), both used by `database`, the
//! only file that drives fjall. A call goes from [`GroupCommit`] to the commit thread in `writer`, which lets `plan`
//! decide what goes in.

mod database;
mod entry;
mod error;
mod folder;
mod group_commit;
mod journal;
mod options;
mod plan;
mod stats;
mod writer;

pub use entry::{Entry, Space, Value};
pub use error::{BadEntry, Cause, CommitError};
pub use group_commit::GroupCommit;
pub use options::Options;
pub use stats::{BATCH_SIZE_BOUNDS, COMMIT_TIME_BOUNDS_US, Histogram, Stats};
