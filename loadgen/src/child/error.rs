//! Why a program of a run is not there, or why it ended badly, with its last words.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use super::ADDRESS_PREFIX;

const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 12;

/// Why a program of a run is not there, or why it ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("cannot start the {child}: {source}{hint}")]
    Start {
        /// What it is, and its program.
        child: String,
        /// Why.
        source: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// A folder or file for it could not be made.
    #[error("cannot make a folder for the {child} in {folder}: {source}")]
    Folder {
        /// What it is, and its program.
        child: String,
        /// Where.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It ended before it was ready.
    #[error("the {child} ended before it was ready ({status}){tail}")]
    EndedEarly {
        /// What it is, and its program.
        child: String,
        /// How.
        status: Exit,
        /// The end of its stderr.
        tail: Tail,
    },
    /// It did not get ready in time.
    #[error("the {child} was not ready after {waited:?}: {missing} (--server-wait gives it more time){tail}")]
    NotReady {
        /// What it is, and its program.
        child: String,
        /// How long it was waited for.
        waited: Duration,
        /// What did not happen.
        missing: String,
        /// The end of its stderr.
        tail: Tail,
    },
    /// Its first line was not its address.
    #[error("the {child} said {line:?} first, not `{ADDRESS_PREFIX}ADDR`: does it know --print-address?")]
    NoAddress {
        /// What it is, and its program.
        child: String,
        /// What it said.
        line: String,
    },
    /// It ended by itself, or badly.
    #[error("the {child} {when}: {status}{tail}")]
    BadEnd {
        /// What it is, and its program.
        child: String,
        /// At which point of the run.
        when: &'static str,
        /// How.
        status: Exit,
        /// The end of its stderr.
        tail: Tail,
    },
    /// Its second address was not told.
    #[error("the {child} did not say where its admin listener is within {waited:?}{tail}")]
    NoAdmin {
        /// What it is, and its program.
        child: String,
        /// How long it was waited for.
        waited: Duration,
        /// The end of its stderr.
        tail: Tail,
    },
    /// It did not stop when it was asked to.
    #[error("the {child} did not stop within {waited:?} of SIGTERM and was killed{tail}")]
    Stuck {
        /// What it is, and its program.
        child: String,
        /// How long it was waited for.
        waited: Duration,
        /// The end of its stderr.
        tail: Tail,
    },
    /// Somebody pressed ctrl-c while it was waited for.
    #[error("interrupted while waiting for the {child}")]
    Interrupted {
        /// What it is, and its program.
        child: String,
    },
}

/// How a process ended, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit(pub(super) ExitStatus);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "ended by signal {signal}"),
            (None, None) => write!(f, "{}", self.0),
        }
    }
}

/// The last lines that it wrote to stderr.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tail(String);

impl Tail {
    pub(super) fn read(path: &Path) -> Self {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(path) {
            let start = file.metadata().map_or(0, |meta| meta.len().saturating_sub(TAIL_BYTES));
            let _ = file.seek(SeekFrom::Start(start));
            let _ = file.read_to_end(&mut bytes);
        }
        Self(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl std::fmt::Display for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<_> = self.0.lines().collect();
        if lines.is_empty() {
            return write!(f, "; it wrote nothing to stderr");
        }
        write!(f, "; its stderr ended with:")?;
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}
