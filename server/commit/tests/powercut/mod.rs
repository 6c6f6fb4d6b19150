//! Power cuts for tests: runs a program so that all it writes under a folder is logged, and makes copies of the folder
//! as a disk would hold it if the power had gone.
//!
//! ```text
//! let power = PowerCut::new(&data, &work)?;        // `data` as it is now counts as durable; `work` is for our files
//! let mut child = power.arm(Command::new(server)).spawn()?;
//! ...                                              // load; remember what was acknowledged
//! child.kill()?; child.wait()?;
//! power.cut(Cut::Synced, &copy)?;                  // then start the program on `copy` and look
//! ```
//!
//! Works for anything that writes through the C library (all of Rust's standard library does) and not through a writable
//! shared mapping or io_uring; [`PowerCut::check`] proves that nothing was missed. Another crate's test can include it:
//! `#[path = "../../server/commit/tests/powercut/mod.rs"] mod powercut;`. Uses the standard library alone.
#![allow(dead_code, reason = "no test uses everything")]

mod disk;
mod image;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Error, Result};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use disk::{Disk, Id, Node};
use image::Image;

const INTERPOSER: &str = include_str!("interposer.c");

/// What survives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Nothing but what was synced: files cut back to their last sync, folders to the entries of theirs.
    Synced,
    /// That, and a choice of what was not synced: a part of the writes in order, of those after it single sectors or
    /// pages in no order (the rest zeros or as before); each folder with its last synced entries or those it had at the end.
    Random {
        /// Print it: the same seed chooses the same.
        seed: u64,
    },
    /// Everything written, as after kill -9 alone.
    Written,
}

/// A folder whose writer is watched.
pub(crate) struct PowerCut {
    root: PathBuf,
    log: PathBuf,
    library: PathBuf,
    before: Disk,
}

/// A small generator of its own (splitmix64), so that a seed means the same everywhere.
pub(crate) struct Random(pub(crate) u64);

// === impl PowerCut ===

impl PowerCut {
    /// Watches `root`, which need not be there yet. Keeps its log and library in `work`, which must not be within it.
    pub(crate) fn new(root: &Path, work: &Path) -> Result<Self> {
        fs::create_dir_all(root)?;
        fs::create_dir_all(work)?;
        let (root, work) = (root.canonicalize()?, work.canonicalize()?);
        let (source, library, log) = (work.join("interposer.c"), work.join("interposer.so"), work.join("log"));
        fs::write(&source, INTERPOSER)?;
        let mut cc = Command::new("cc");
        let done = cc.args(["-shared", "-fPIC", "-O2", "-Wall", "-o"]).args([&library, &source]).output()?;
        if !done.status.success() {
            return Err(Error::other(format!("cc: {}", String::from_utf8_lossy(&done.stderr))));
        }
        let _ = fs::remove_file(&log);
        let before = Disk::load(&root)?;
        Ok(Self { root, log, library, before })
    }

    /// Sets the environment with which a program is watched.
    pub(crate) fn arm(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", &self.library).env("POWERCUT_ROOT", &self.root).env("POWERCUT_LOG", &self.log);
        command
    }

    /// Makes `into` (not there yet) what the folder would be if the power had gone when the program died.
    pub(crate) fn cut(&self, cut: Cut, into: &Path) -> Result<()> {
        let disk = self.replay()?;
        let last = folders(&self.root, &disk)?;
        let mut random = Random(if let Cut::Random { seed } = cut { seed } else { 0 });
        let root = disk.id(fs::metadata(&self.root)?.ino());
        write_folder(&disk, &last, cut, &mut random, root, into)
    }

    /// Makes sure that the log tells all: replayed in full it gives the very bytes that are in the folder. Only for a
    /// program that ended by itself, as a kill may fall between a write and its log entry.
    pub(crate) fn check(&self) -> Result<()> {
        let disk = self.replay()?;
        self.check_folder(&disk, &self.root)
    }

    /// How many bytes of which files were written but not synced.
    pub(crate) fn unsynced_bytes(&self) -> Result<u64> {
        Ok(self.replay()?.unsynced_bytes())
    }

    fn replay(&self) -> Result<Disk> {
        let mut disk = self.before.clone();
        disk.replay(&self.log, &self.root)?;
        Ok(disk)
    }

    fn check_folder(&self, disk: &Disk, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            if metadata.is_dir() {
                self.check_folder(disk, &path)?;
                continue;
            }
            let (found, told) = (Image::load(&path)?, disk.file(disk.id(metadata.ino())).written());
            if found != told {
                return Err(Error::other(format!(
                    "{} was written unseen: {}",
                    path.display(),
                    found.difference(&told)
                )));
            }
        }
        Ok(())
    }
}

/// The entries that folders have now.
fn folders(folder: &Path, disk: &Disk) -> Result<BTreeMap<Id, BTreeMap<String, Node>>> {
    let (mut found, mut entries) = (BTreeMap::new(), BTreeMap::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = fs::symlink_metadata(entry.path())?;
        let node = Node { id: disk.id(metadata.ino()), is_folder: metadata.is_dir() };
        if node.is_folder {
            found.extend(folders(&entry.path(), disk)?);
        }
        entries.insert(entry.file_name().to_string_lossy().into_owned(), node);
    }
    found.insert(disk.id(fs::metadata(folder)?.ino()), entries);
    Ok(found)
}

fn write_folder(
    disk: &Disk,
    last: &BTreeMap<Id, BTreeMap<String, Node>>,
    cut: Cut,
    random: &mut Random,
    folder: Id,
    into: &Path,
) -> Result<()> {
    fs::create_dir(into)?;
    let (synced, empty) = (disk.folder(folder), BTreeMap::new());
    let entries = match (cut, last.get(&folder)) {
        (Cut::Written, Some(last)) => last,
        // A folder may have been removed, and that not yet be durable.
        (Cut::Random { .. }, Some(last)) if random.below(2) == 0 => last,
        _ => synced.unwrap_or(&empty),
    };
    for (name, node) in entries {
        let path = into.join(name);
        if node.is_folder {
            write_folder(disk, last, cut, random, node.id, &path)?;
            continue;
        }
        let file = disk.file(node.id);
        match cut {
            Cut::Synced => file.synced.write(&path)?,
            Cut::Written => file.written().write(&path)?,
            Cut::Random { .. } => file.torn(random).write(&path)?,
        }
    }
    Ok(())
}

// === impl Random ===

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// An error of the log, with what was found.
fn broken_log(what: &str) -> io::Error {
    Error::other(format!("power cut log: {what}"))
}
