//! The disk as the log tells it: for each file what was synced and what was written after, for each folder the entries
//! of its last sync.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Result};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::image::Image;
use super::{Random, broken_log};

const MAGIC: u32 = 0x5455_4350;

/// A file or folder: its inode, and how many were created with this inode before.
pub(crate) type Id = (u64, u32);

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) id: Id,
    pub(crate) is_folder: bool,
}

/// A file: what was synced, and what was done after.
#[derive(Clone, Default)]
pub(crate) struct Content {
    pub(crate) synced: Image,
    after: VecDeque<Change>,
    /// Changes ever made: names the moment at which a sync began.
    changes: u64,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Clone, Default)]
pub(crate) struct Disk {
    files: HashMap<Id, Content>,
    folders: HashMap<Id, BTreeMap<String, Node>>,
    /// How many files each inode has been.
    lives: HashMap<u64, u32>,
    /// Syncs that have begun.
    pending: HashMap<u64, Pending>,
}

#[derive(Clone)]
enum Pending {
    File(Id, u64),
    Folder(Id, BTreeMap<String, Node>),
}

/// An entry of the log.
struct Event {
    kind: u32,
    inode: u64,
    number: u64,
    data: Vec<u8>,
}

// === impl Disk ===

impl Disk {
    /// A folder as it is, all of it durable.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let mut disk = Self::default();
        disk.load_folder(root)?;
        Ok(disk)
    }

    fn load_folder(&mut self, folder: &Path) -> Result<()> {
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = fs::symlink_metadata(entry.path())?;
            let node = Node { id: (metadata.ino(), 0), is_folder: metadata.is_dir() };
            if node.is_folder {
                self.load_folder(&entry.path())?;
            } else {
                let synced = Image::load(&entry.path())?;
                self.files.insert(node.id, Content { synced, ..Content::default() });
            }
            entries.insert(entry.file_name().to_string_lossy().into_owned(), node);
        }
        self.folders.insert((fs::metadata(folder)?.ino(), 0), entries);
        Ok(())
    }

    /// The file that has this inode now.
    pub(crate) fn id(&self, inode: u64) -> Id {
        (inode, self.lives.get(&inode).copied().unwrap_or(0))
    }

    /// A file; an empty one if nothing was ever written to it.
    pub(crate) fn file(&self, id: Id) -> Content {
        self.files.get(&id).cloned().unwrap_or_default()
    }

    /// A folder's entries at its last sync.
    pub(crate) fn folder(&self, id: Id) -> Option<&BTreeMap<String, Node>> {
        self.folders.get(&id)
    }

    pub(crate) fn unsynced_bytes(&self) -> u64 {
        let after = self.files.values().flat_map(|file| &file.after);
        after.map(|change| if let Change::Write(_, data) = change { data.len() as u64 } else { 0 }).sum()
    }

    pub(crate) fn replay(&mut self, log: &Path, root: &Path) -> Result<()> {
        let mut log = BufReader::new(File::open(log).map_err(|_| broken_log("there is none: was the program armed?"))?);
        let mut greeted = false;
        while let Some(event) = Event::read(&mut log)? {
            match event.kind {
                1 if event.data == root.as_os_str().as_encoded_bytes() => greeted = true,
                1 => return Err(broken_log("it is about another folder")),
                2 => *self.lives.entry(event.inode).or_default() += 1,
                3 => self.change(event.inode, Change::Write(event.number, event.data)),
                4 => self.change(event.inode, Change::Length(event.number)),
                5 => {
                    let id = self.id(event.inode);
                    let changes = self.files.entry(id).or_default().changes;
                    self.pending.insert(event.number, Pending::File(id, changes));
                }
                6 => self.synced(event.number)?,
                7 => {
                    let entries = self.entries(&event.data)?;
                    self.pending.insert(event.number, Pending::Folder(self.id(event.inode), entries));
                }
                8 => return Err(broken_log(&format!("cannot follow {}", String::from_utf8_lossy(&event.data)))),
                kind => return Err(broken_log(&format!("an event of kind {kind}"))),
            }
        }
        if greeted { Ok(()) } else { Err(broken_log("it is empty: is the program linked statically?")) }
    }

    fn change(&mut self, inode: u64, change: Change) {
        let file = self.files.entry(self.id(inode)).or_default();
        file.after.push_back(change);
        file.changes += 1;
    }

    fn synced(&mut self, token: u64) -> Result<()> {
        match self.pending.remove(&token).ok_or_else(|| broken_log("a sync ended that never began"))? {
            Pending::Folder(id, entries) => drop(self.folders.insert(id, entries)),
            Pending::File(id, changes) => {
                let file = self.files.entry(id).or_default();
                while file.changes - (file.after.len() as u64) < changes {
                    let Some(change) = file.after.pop_front() else { break };
                    change.apply(&mut file.synced);
                }
            }
        }
        Ok(())
    }

    fn entries(&self, text: &[u8]) -> Result<BTreeMap<String, Node>> {
        let text = String::from_utf8(text.to_vec()).map_err(|_| broken_log("a name that is not UTF-8"))?;
        let entry = |entry: &str| {
            let mut parts = entry.splitn(3, ' ');
            let inode = parts.next()?.parse().ok()?;
            let is_folder = parts.next()? == "1";
            Some((parts.next()?.to_owned(), Node { id: self.id(inode), is_folder }))
        };
        text.split_terminator('\0').map(|text| entry(text).ok_or_else(|| broken_log("a folder's entry"))).collect()
    }
}

// === impl Content ===

impl Content {
    /// Everything that was written.
    pub(crate) fn written(self) -> Image {
        let mut image = self.synced;
        self.after.iter().for_each(|change| change.apply(&mut image));
        image
    }

    /// What was synced and a choice of what was written after: a part in order, then pieces in no order, or all but one.
    pub(crate) fn torn(self, random: &mut Random) -> Image {
        let mut image = self.synced;
        let count = self.after.len() as u64;
        let whole = match random.below(5) {
            0 | 1 => 0,
            2 => count,
            _ => random.below(count + 1),
        };
        let whole = usize::try_from(whole).unwrap_or(usize::MAX);
        self.after.iter().take(whole).for_each(|change| change.apply(&mut image));
        // A disk writes sectors or pages, not calls: what belongs to one is kept or lost as one.
        let size = [512, 4096][usize::from(random.below(2) == 0)];
        let (mut pieces, mut fates) = (Vec::new(), BTreeMap::new());
        for change in self.after.iter().skip(whole) {
            let &Change::Write(mut at, ref data) = change else { continue };
            let mut data = &data[..];
            while !data.is_empty() {
                let room = usize::try_from(size - at % size).unwrap_or(usize::MAX);
                let (part, rest) = data.split_at(data.len().min(room));
                pieces.push((at, part));
                fates.insert(at / size, true);
                (at, data) = (at + part.len() as u64, rest);
            }
        }
        let (one, keep_of_4) = (random.below(fates.len().max(1) as u64), random.below(5));
        let all_but_one = random.below(2) == 0;
        for (number, kept) in (0..).zip(fates.values_mut()) {
            *kept = if all_but_one { number != one } else { random.below(4) < keep_of_4 };
        }
        pieces.retain(|(at, _)| fates[&(at / size)]);
        pieces.into_iter().for_each(|(at, part)| image.put(at, part));
        image
    }
}

// === impl Change ===

impl Change {
    fn apply(&self, image: &mut Image) {
        match self {
            Self::Write(at, data) => image.put(*at, data),
            Self::Length(length) => image.set_length(*length),
        }
    }
}

// === impl Event ===

impl Event {
    /// The next event; none at the end, or where a kill tore the last one.
    fn read(log: &mut impl Read) -> Result<Option<Self>> {
        let mut header = [0; 32];
        match log.read_exact(&mut header) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[at..at + 8]);
            u64::from_ne_bytes(bytes)
        };
        let magic = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        let kind = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
        if magic != MAGIC {
            return Ok(None);
        }
        let (inode, number, length) = (word(8), word(16), word(24));
        let mut data = Vec::new();
        log.take(length).read_to_end(&mut data)?;
        Ok((data.len() as u64 == length).then_some(Self { kind, inode, number, data }))
    }
}
