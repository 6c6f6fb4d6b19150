//! Why there is no server, or why it ended badly, with its last words.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use super::ADDRESS_PREFIX;

const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 12;

/// Why there is no server, or why it ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("cannot start the server {program}: {source}{hint}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// A folder or file for it could not be made.
    #[error("cannot make a folder for the server in {folder}: {source}")]
    Folder {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It ended before it was ready.
    #[error("the server {program} ended before it was ready ({status}){tail}")]
    EndedEarly {
        /// The program.
        program: String,
        /// How.
        status: Exit,
        /// The end of its stderr.
        tail: Tail,
    },
    /// It did not get ready in time.
    #[error("the server {program} was not ready after {waited:?}: {missing} (--server-wait gives it more time){tail}")]
    NotReady {
        /// The program.
        program: String,
        /// How long it was waited for.
        waited: Duration,
        /// What did not happen.
        missing: String,
        /// The end of its stderr.
        tail: Tail,
    },
    /// Its first line was not its address.
    #[error(
        "the server {program} said {line:?} first, not `{ADDRESS_PREFIX}ADDR`: is it a server that knows --print-address?"
    )]
    NoAddress {
        /// The program.
        program: String,
        /// What it said.
        line: String,
    },
    /// It ended by itself, or badly.
    #[error("the server {program} {when}: {status}{tail}")]
    BadEnd {
        /// The program.
        program: String,
        /// At which point of the run.
        when: &'static str,
        /// How.
        status: Exit,
        /// The end of its stderr.
        tail: Tail,
    },
    /// It did not stop when it was asked to.
    #[error("the server {program} did not stop within {waited:?} of SIGTERM and was killed{tail}")]
    Stuck {
        /// The program.
        program: String,
        /// How long it was waited for.
        waited: Duration,
        /// The end of its stderr.
        tail: Tail,
    },
    /// Somebody pressed ctrl-c while it was waited for.
    #[error("interrupted while waiting for the server")]
    Interrupted,
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

/// The last lines that the server wrote to stderr.
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
