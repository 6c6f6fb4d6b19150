//! The data folder: one owner at a time, nobody else's files, and a database that is there whole or not at all.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::CommitError;

/// Held while a process owns the folder.
const LOCK: &str = "lock";
/// The database.
const DATABASE: &str = "db";
/// A database that is being created; renamed when it is complete.
const UNFINISHED: &str = "db.new";

/// A data folder that this process owns; dropping it gives it free.
pub(crate) struct Folder {
    dir: PathBuf,
    _lock: File,
}

// === impl Folder ===

impl Folder {
    /// Creates the folder if need be and takes it.
    pub(crate) fn take(dir: &Path) -> Result<Self, CommitError> {
        let fail = || CommitError::io(dir);
        // Names that others are given (in errors, to fjall) must not change their meaning with the working directory.
        let dir = std::path::absolute(dir).map_err(fail())?;
        create(&dir)?;
        refuse_foreign(&dir)?;
        let path = dir.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(CommitError::io(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(CommitError::Locked { dir }),
            Err(TryLockError::Error(error)) => Err(CommitError::io(path)(error)),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of the database, which `create` makes at another path if it is not there yet: a crash half-way
    /// leaves nothing that fjall would refuse to open.
    pub(crate) fn database(
        &self,
        create: impl FnOnce(&Path) -> Result<(), CommitError>,
    ) -> Result<PathBuf, CommitError> {
        let path = self.dir.join(DATABASE);
        if !path.try_exists().map_err(CommitError::io(&path))? {
            let unfinished = self.dir.join(UNFINISHED);
            match fs::remove_dir_all(&unfinished) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(CommitError::io(&unfinished)(error)),
                _ => {}
            }
            create(&unfinished)?;
            sync_tree(&unfinished)?;
            fs::rename(&unfinished, &path).map_err(CommitError::io(&path))?;
            sync_dir(&self.dir)?;
        }
        Ok(path)
    }

    /// Why writing failed, if it is the disk: tries a write of its own.
    pub(crate) fn probe(&self) -> Result<(), CommitError> {
        let path = self.dir.join(DATABASE).join("probe");
        let probe = File::create(&path).and_then(|mut file| {
            std::io::Write::write_all(&mut file, &[0; 64 * 1024])?;
            file.sync_all()
        });
        let _ = fs::remove_file(&path);
        probe.map_err(CommitError::io(path))
    }
}

/// Creates the folder and makes it durable in its parent.
fn create(dir: &Path) -> Result<(), CommitError> {
    if dir.try_exists().map_err(CommitError::io(dir))? {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(CommitError::io(dir)(error)),
        _ => {}
    }
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Makes the entries of a folder and of those in it durable: fjall does not sync the parents of folders it creates.
pub(crate) fn sync_tree(dir: &Path) -> Result<(), CommitError> {
    for entry in fs::read_dir(dir).map_err(CommitError::io(dir))? {
        let path = entry.map_err(CommitError::io(dir))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        }
    }
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), CommitError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(CommitError::io(dir))
}

/// A folder without a database must be empty, but for what we or a file system put there.
fn refuse_foreign(dir: &Path) -> Result<(), CommitError> {
    let mut foreign = None;
    for entry in fs::read_dir(dir).map_err(CommitError::io(dir))? {
        let name = entry.map_err(CommitError::io(dir))?.file_name();
        if name == DATABASE {
            return Ok(());
        }
        if ![LOCK, UNFINISHED, "lost+found"].iter().any(|known| name == *known) {
            foreign = Some(name.to_string_lossy().into_owned());
        }
    }
    foreign.map_or(Ok(()), |found| Err(CommitError::Foreign { dir: dir.into(), found }))
}
