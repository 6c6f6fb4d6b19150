//! What can go wrong with a results folder, always with the file's name.

use std::path::{Path, PathBuf};

/// Why results could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The file system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not as this version writes it.
    #[error("{path}, line {line}: {why}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// Another version of payrig wrote this.
    #[error(
        "{path} has schema_version {found}, and this payrig reads {known}: use the version of payrig that wrote it"
    )]
    UnknownSchema {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that is known here.
        known: u32,
    },
    /// A name that would break the log's lines.
    #[error("{name:?} cannot be part of a tag: only small letters, digits, '_' and '-', at least one")]
    BadName {
        /// The name.
        name: String,
    },
    /// Readers of the log stop at lines out of order.
    #[error("an interval starts at {start_us} us, before the last one that was written ({last_us} us)")]
    OutOfOrder {
        /// The new start.
        start_us: u64,
        /// The last start.
        last_us: u64,
    },
    /// A value cannot be encoded.
    #[error("cannot encode {what}: {why}")]
    Encode {
        /// What.
        what: String,
        /// Why not.
        why: String,
    },
    /// Histograms of unlike resolution are not added.
    #[error("{tag}: histograms of unlike bounds or digits cannot be merged: {why}")]
    Unlike {
        /// Which series.
        tag: String,
        /// The library's word.
        why: String,
    },
}

impl ResultsError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
