//! The disk under the data folder: its kind, how long a sync takes, and how much a folder holds.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Instant,
};

use serde::Serialize;

use crate::error::PerfError;

/// Writes that are timed.
const WRITES: usize = 200;
/// The size of each.
const BLOCK: [u8; 4096] = [0x5A; 4096];

/// How long 4 KiB take to be durable.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SyncLatency {
    /// The median, in microseconds.
    pub p50_us: f64,
    /// What one in a hundred exceeds.
    pub p99_us: f64,
}

/// Times `fdatasync` after 4 KiB each, in a file that has its size already, as a journal has.
///
/// # Errors
/// Where the folder cannot be written to.
pub fn sync_latency(folder: &Path) -> Result<SyncLatency, PerfError> {
    let path = folder.join("sync-latency");
    let what = || PerfError::io(format!("timing syncs in {}", folder.display()));
    let mut file = File::create(&path).map_err(what())?;
    file.write_all(&vec![0; BLOCK.len() * WRITES]).map_err(what())?;
    file.sync_all().map_err(what())?;
    file.seek(SeekFrom::Start(0)).map_err(what())?;
    let mut times_us = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&BLOCK).map_err(what())?;
        file.sync_data().map_err(what())?;
        times_us.push(began.elapsed().as_secs_f64() * 1e6);
    }
    drop(file);
    let _ = fs::remove_file(&path);
    times_us.sort_by(f64::total_cmp);
    Ok(SyncLatency { p50_us: times_us[WRITES / 2], p99_us: times_us[WRITES - 1 - WRITES / 100] })
}

/// Refuses a folder in memory: a sync there costs nothing, and so would a promise.
///
/// # Errors
/// Where it is one, or cannot be asked.
pub fn must_be_a_disk(folder: &Path) -> Result<(), PerfError> {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC`.
    const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];
    let stat = rustix::fs::statfs(folder).map_err(|error| PerfError::Io {
        what: format!("asking for the file system of {}", folder.display()),
        source: error.into(),
    })?;
    if IN_MEMORY.contains(&stat.f_type) {
        let folder = folder.display();
        return Err(PerfError::broken(format!("{folder} is in memory, where durable means nothing; use --dir")));
    }
    Ok(())
}

/// The bytes that a folder takes on disk.
#[must_use]
pub fn folder_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => folder_bytes(&entry.path()),
        Ok(found) => found.blocks() * 512,
        // It went while we looked.
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
