//! Looks through fjall's journals before fjall does: cuts off the torn end that a crash leaves, and tells it from
//! damage. fjall alone drops everything after the first unreadable byte, acknowledged or not, and refuses to open
//! when a page within the last batch did not reach the disk.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::CommitError;

/// The end of a batch: a tag, a checksum (fjall's business) and these bytes.
const TRAILER: &[u8; 4] = b"FJL\x03";

/// How far sequence numbers may be ahead in a batch that follows a damaged one.
const SEQUENCE_WINDOW: u64 = 1 << 20;

/// Where the batches of a journal end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scan {
    /// Start of the last whole batch.
    last: u64,
    /// End of the last whole batch.
    end: u64,
    /// Sequence number of the last whole batch.
    sequence: u64,
    /// Length of the file.
    len: u64,
}

/// The end of the active journal, so that its last batch can be taken off and put back.
pub(crate) struct Tail {
    path: PathBuf,
    start: u64,
    bytes: Vec<u8>,
}

/// Checks all journals in `db`, cuts the torn end off the last one, and returns the last batch of that one.
pub(crate) fn check(dir: &Path, db: &Path) -> Result<Option<Tail>, CommitError> {
    let mut journals = journals(db)?;
    let Some(active) = journals.pop() else {
        return Err(CommitError::Corrupt { dir: dir.into(), what: "it has no journal".into() });
    };
    for path in &journals {
        check_sealed(dir, path)?;
    }
    check_active(dir, &active)
}

/// The journals by age, the active one last.
fn journals(db: &Path) -> Result<Vec<PathBuf>, CommitError> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(db).map_err(CommitError::io(db))? {
        let path = entry.map_err(CommitError::io(db))?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        journals.extend(number.map(|number| (number, path)));
    }
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

fn check_sealed(dir: &Path, path: &Path) -> Result<(), CommitError> {
    let (scan, rest) = File::open(path).and_then(scan).map_err(CommitError::io(path))?;
    if rest.iter().all(|&byte| byte == 0) { Ok(()) } else { Err(damaged(dir, path, scan.end)) }
}

fn check_active(dir: &Path, path: &Path) -> Result<Option<Tail>, CommitError> {
    let fail = || CommitError::io(path);
    let (scan, rest) = File::open(path).and_then(scan).map_err(fail())?;
    if rest.iter().any(|&byte| byte != 0) {
        if holds_batch(&rest, scan.sequence) {
            return Err(damaged(dir, path, scan.end));
        }
        tracing::warn!(journal = %path.display(), from = scan.end, "cut off a write that a crash interrupted");
        cut(path, scan.end).map_err(fail())?;
    }
    if scan.end == 0 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(fail())?;
    file.seek(SeekFrom::Start(scan.last)).map_err(fail())?;
    file.take(scan.end - scan.last).read_to_end(&mut bytes).map_err(fail())?;
    Ok(Some(Tail { path: path.into(), start: scan.last, bytes }))
}

fn damaged(dir: &Path, path: &Path, at: u64) -> CommitError {
    let what = format!("{} cannot be read at byte {at}, and whole batches follow", path.display());
    CommitError::Corrupt { dir: dir.into(), what }
}

fn cut(path: &Path, len: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(len)?;
    file.sync_all()
}

// === impl Tail ===

impl Tail {
    /// Takes the last batch off: it is as long as it should be, but what is in it may be torn.
    pub(crate) fn take_off(&self) -> Result<(), CommitError> {
        cut(&self.path, self.start).map_err(CommitError::io(&self.path))
    }

    /// Puts it back as it was.
    pub(crate) fn put_back(&self) -> Result<(), CommitError> {
        let write = || {
            let mut file = File::options().write(true).open(&self.path)?;
            file.set_len(self.start)?;
            file.seek(SeekFrom::Start(self.start))?;
            io::Write::write_all(&mut file, &self.bytes)?;
            file.sync_all()
        };
        write().map_err(CommitError::io(&self.path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Reads over whole batches; returns where they end, and what follows unless it is all zeros.
fn scan(file: File) -> io::Result<(Scan, Vec<u8>)> {
    let len = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut found = Scan { len, ..Scan::default() };
    while let Some((batch, sequence)) = batch_len(&mut reader, len - found.end)? {
        (found.last, found.end, found.sequence) = (found.end, found.end + batch, sequence);
    }
    reader.seek(SeekFrom::Start(found.end))?;
    let mut rest = Vec::new();
    let mut page = vec![0; 1 << 16];
    loop {
        let read = reader.read(&mut page)?;
        if read == 0 {
            break;
        }
        // A preallocated journal ends in zeros, 64 MiB of them: only what comes before them is kept.
        if !rest.is_empty() || page[..read].iter().any(|&byte| byte != 0) {
            rest.extend_from_slice(&page[..read]);
        }
    }
    Ok((found, rest))
}

/// Reads over one batch at the reader's place, of which there are `left` bytes; its length and sequence number, or
/// `None` if there is no whole batch.
fn batch_len(reader: &mut (impl Read + Seek), left: u64) -> io::Result<Option<(u64, u64)>> {
    match try_batch_len(reader, left) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        other => other,
    }
}

fn try_batch_len(reader: &mut (impl Read + Seek), left: u64) -> io::Result<Option<(u64, u64)>> {
    // Start: tag, number of items, sequence number.
    let mut len = 13;
    if read::<1>(reader)? != [1] {
        return Ok(None);
    }
    let count = u32::from_le_bytes(read(reader)?);
    let sequence = u64::from_le_bytes(read(reader)?);
    for _ in 0..count {
        match read::<1>(reader)? {
            // Item: kind of value, compression (none), space, lengths of key, value and value as stored; the bytes.
            [2] => {
                let [0..=2 | 4, 0] = read::<2>(reader)? else { return Ok(None) };
                let _space = read::<8>(reader)?;
                let key_len = u16::from_le_bytes(read(reader)?);
                let [value_len, stored_len] = [u32::from_le_bytes(read(reader)?), u32::from_le_bytes(read(reader)?)];
                let bytes = i64::from(key_len) + i64::from(value_len);
                len += 21 + bytes.unsigned_abs();
                if value_len != stored_len || len > left {
                    return Ok(None);
                }
                reader.seek_relative(bytes)?;
            }
            // Clear: a space.
            [4] => {
                len += 9;
                read::<8>(reader)?;
            }
            _ => return Ok(None),
        }
    }
    // End: tag, checksum, trailer.
    len += 13;
    let [3, _, _, _, _, _, _, _, _, trailer @ ..] = read::<13>(reader)? else { return Ok(None) };
    Ok((trailer == *TRAILER).then_some((len, sequence)))
}

fn read<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Is there a whole batch in `rest` that is not at its start? A crash can tear only the last batch, as each is written
/// when the one before is on disk.
fn holds_batch(rest: &[u8], sequence: u64) -> bool {
    let plausible = |found| found > sequence && found <= sequence.saturating_add(SEQUENCE_WINDOW);
    let starts = rest.iter().enumerate().skip(1).filter(|&(_, &byte)| byte == 1);
    starts.into_iter().any(|(at, _)| {
        let mut reader = io::Cursor::new(&rest[at..]);
        matches!(batch_len(&mut reader, (rest.len() - at) as u64), Ok(Some((len, found))) if len > 26 && plausible(found))
    })
}
