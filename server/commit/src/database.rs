//! The only file that knows how fjall is opened, written and kept within its memory.

use std::collections::HashSet;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fjall::config::{
    BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, HashRatioPolicy, PartitioningPolicy,
    PinningPolicy, RestartIntervalPolicy,
};
use fjall::{AbstractTree as _, CompressionType, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::folder::{Folder, sync_tree};
use crate::plan::Write;
use crate::{CommitError, Options, Space, Value, journal};

/// Beyond these fjall would make a commit wait, without noticing that its background work has died; so we wait first.
const MAX_SEALED_MEMTABLES: usize = 3;
const MAX_L0_RUNS: usize = 18;

/// How often a commit that waits for room looks again.
const ROOM_POLL: Duration = Duration::from_millis(1);

/// An open database and its folder. Fields are dropped in order: the lock goes last.
pub(crate) struct Database {
    spaces: Vec<Keyspace>,
    db: fjall::Database,
    memory_bytes: u64,
    folder: Folder,
}

// === impl Database ===

impl Database {
    pub(crate) fn open(dir: &Path, spaces: &[&str], options: &Options) -> Result<Self, CommitError> {
        check_spaces(spaces)?;
        let folder = Folder::take(dir)?;
        let path = folder.database(|path| open_fjall(&folder, path, spaces, options).map(drop))?;
        let tail = check_files(&folder, &path)?;
        let opened = match (open_fjall(&folder, &path, spaces, options), tail) {
            (Err(CommitError::Open { source, .. }), Some(tail)) if is_torn(&source) => {
                tail.take_off()?;
                let opened = open_fjall(&folder, &path, spaces, options);
                match &opened {
                    Ok(_) => tracing::warn!(
                        journal = %tail.path().display(), bytes = tail.len(), "dropped a last write that a crash tore"
                    ),
                    Err(_) => tail.put_back()?,
                }
                opened
            }
            (opened, _) => opened,
        };
        let (db, spaces) = opened.map_err(|error| match error {
            CommitError::Open { dir, source } if is_damage(&source) => {
                CommitError::Corrupt { dir, what: source.to_string() }
            }
            other => other,
        })?;
        sync_tree(&path)?;
        Ok(Self { spaces, db, memory_bytes: options.memory_bytes, folder })
    }

    pub(crate) fn spaces(&self) -> usize {
        self.spaces.len()
    }

    pub(crate) fn contains(&self, space: Space, key: &[u8]) -> Result<bool, fjall::Error> {
        self.spaces[usize::from(space.0)].contains_key(key)
    }

    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Value>, fjall::Error> {
        Ok(self.spaces[usize::from(space.0)].get(key)?.map(Value))
    }

    pub(crate) fn range(
        &self,
        space: Space,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
    ) -> Result<Vec<(Value, Value)>, fjall::Error> {
        let found = self.spaces[usize::from(space.0)].range::<&[u8], _>(bounds).take(limit);
        found.map(|guard| guard.into_inner().map(|(key, value)| (Value(key), Value(value)))).collect()
    }

    /// Writes all of it or nothing, syncs, and only then shows it to readers: fjall takes the journal's lock, writes
    /// the journal, syncs it, and applies the batch to the memtables after that.
    pub(crate) fn commit(&self, writes: impl Iterator<Item = Write>, size: usize) -> Result<(), fjall::Error> {
        let mut batch =
            fjall::OwnedWriteBatch::with_capacity(self.db.clone(), size).durability(Some(PersistMode::SyncData));
        for write in writes {
            match write {
                Write::Insert(space, key, value) => batch.insert(&self.spaces[usize::from(space.0)], key, value),
                Write::Delete(space, key) => batch.remove(&self.spaces[usize::from(space.0)], key),
            }
        }
        batch.commit()
    }

    /// Waits until memtables and tables are few enough; returns whether it had to wait. Fails if background work died.
    pub(crate) fn make_room(&self) -> Result<bool, fjall::Error> {
        let mut waited = false;
        loop {
            let used = self.db.write_buffer_size();
            if used > self.memory_bytes / 2 && self.db.outstanding_flushes() == 0 {
                self.write_out_largest()?;
            }
            let behind = |space: &Keyspace| {
                space.tree.sealed_memtable_count() >= MAX_SEALED_MEMTABLES || space.tree.l0_run_count() >= MAX_L0_RUNS
            };
            if used <= self.memory_bytes && !self.spaces.iter().any(behind) {
                return Ok(waited);
            }
            // Writes nothing, but tells whether a background worker failed and will never make room.
            self.db.persist(PersistMode::Buffer)?;
            std::thread::sleep(ROOM_POLL);
            waited = true;
        }
    }

    fn write_out_largest(&self) -> Result<(), fjall::Error> {
        let size = |space: &&Keyspace| space.tree.active_memtable().size();
        match self.spaces.iter().filter(|space| space.tree.sealed_memtable_count() == 0).max_by_key(size) {
            Some(space) => space.rotate_memtable().map(drop),
            None => Ok(()),
        }
    }

    /// Says why the commit failed. fjall keeps to itself why its background work died; mostly the disk is full.
    pub(crate) fn explain(&self, error: &fjall::Error) -> String {
        match (error, self.folder.probe()) {
            (fjall::Error::Poisoned, Err(probe)) => format!("writing out tables in the background failed; {probe}"),
            (fjall::Error::Poisoned, Ok(())) => "writing out tables in the background failed".into(),
            (fjall::Error::Io(error), _) => format!("{}: {error}", self.folder.dir().display()),
            (other, _) => other.to_string(),
        }
    }

    /// Syncs everything, file sizes included.
    pub(crate) fn sync(&self) -> Result<(), fjall::Error> {
        self.db.persist(PersistMode::SyncAll)
    }
}

fn check_spaces(spaces: &[&str]) -> Result<(), CommitError> {
    if spaces.is_empty() || spaces.len() > 256 {
        return Err(CommitError::BadSpaces(format!("{} spaces (1 to 256 are possible)", spaces.len())));
    }
    if let Some(name) = spaces.iter().find(|name| name.is_empty() || name.len() > 255) {
        return Err(CommitError::BadSpaces(format!("a name of {} bytes (1 to 255 are possible)", name.len())));
    }
    let mut names = HashSet::new();
    match spaces.iter().find(|name| !names.insert(**name)) {
        Some(name) => Err(CommitError::BadSpaces(format!("{name} is there twice"))),
        None => Ok(()),
    }
}

/// What fjall would take for a new or empty database, and delete the rest.
fn check_files(folder: &Folder, db: &Path) -> Result<Option<journal::Tail>, CommitError> {
    for needed in ["version", "keyspaces/0/current"] {
        let path = db.join(needed);
        if !path.try_exists().map_err(CommitError::io(&path))? {
            let what = format!("{} is missing", path.display());
            return Err(CommitError::Corrupt { dir: folder.dir().into(), what });
        }
    }
    journal::check(folder.dir(), db)
}

fn open_fjall(
    folder: &Folder,
    path: &Path,
    spaces: &[&str],
    options: &Options,
) -> Result<(fjall::Database, Vec<Keyspace>), CommitError> {
    let open = || {
        let db = fjall::Database::builder(path)
            .cache_size(options.cache_bytes)
            .max_journaling_size(options.journal_bytes)
            // With two, the first spins on messages meant for the second as long as that one compacts.
            .worker_threads(1)
            .journal_compression(CompressionType::None)
            .open()?;
        let spaces = spaces.iter().map(|name| db.keyspace(name, || space_options(options)));
        let spaces = spaces.collect::<Result<_, fjall::Error>>()?;
        Ok((db, spaces))
    };
    // Some damage makes fjall panic.
    let dir = || folder.dir().into();
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => opened.map_err(|source: fjall::Error| match source {
            fjall::Error::Locked => CommitError::Locked { dir: dir() },
            source => CommitError::Open { dir: dir(), source: Arc::new(source) },
        }),
        Err(panic) => Err(CommitError::Corrupt { dir: dir(), what: panic_text(panic.as_ref()) }),
    }
}

/// Small documents that are looked up by id, mostly ids that are not there.
fn space_options(options: &Options) -> KeyspaceCreateOptions {
    let bloom = |policy| FilterPolicyEntry::Bloom(policy);
    KeyspaceCreateOptions::default()
        .max_memtable_size(options.memtable_bytes)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        .data_block_restart_interval_policy(RestartIntervalPolicy::all(16))
        .filter_policy(FilterPolicy::new([
            bloom(BloomConstructionPolicy::FalsePositiveRate(0.0001)),
            bloom(BloomConstructionPolicy::BitsPerKey(10.0)),
        ]))
        .filter_block_pinning_policy(PinningPolicy::new([true, true, false]))
        // A point read goes through one index block a table: kept in memory, it costs no look into the block cache.
        .index_block_pinning_policy(PinningPolicy::new([true, true, true, false]))
        .index_block_partitioning_policy(PartitioningPolicy::all(false))
        .data_block_hash_ratio_policy(HashRatioPolicy::all(1.0))
        .expect_point_read_hits(false)
}

/// May a torn last batch be the cause?
fn is_torn(error: &fjall::Error) -> bool {
    matches!(error, fjall::Error::JournalRecovery(_))
}

/// Is it what is stored, not the system or us?
fn is_damage(error: &fjall::Error) -> bool {
    use fjall::{Error, LsmError};
    match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => {
            matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData)
        }
        Error::Locked | Error::Poisoned | Error::KeyspaceDeleted => false,
        _ => true,
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").into()
}
