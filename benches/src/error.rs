//! What can go wrong in the suite: all of it ends the run, loudly.

use std::io;

/// Why the suite cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that the suite needs is not there.
    #[error("{program} is missing: {hint}")]
    Missing {
        /// Which.
        program: String,
        /// How to get it.
        hint: &'static str,
    },
    /// A round broke a condition without which its figure means nothing.
    #[error("{0}")]
    Broken(String),
}

impl PerfError {
    /// For `map_err`: says what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// A broken condition.
    pub fn broken(why: impl Into<String>) -> Self {
        Self::Broken(why.into())
    }
}
