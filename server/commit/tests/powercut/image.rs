//! The content of a file, holes left out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Result};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const PAGE: u64 = 4096;
const PAGE_BYTES: usize = 4096;

/// A file's length and its pages that are not all zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    length: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

// === impl Image ===

impl Image {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let (mut image, mut file, mut at) = (Self::default(), File::open(path)?, 0);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(image);
            }
            image.put(at, &buffer[..read]);
            at += read as u64;
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let file = File::create_new(path)?;
        file.set_len(self.length)?;
        for (number, page) in &self.pages {
            let at = number * PAGE;
            let length = usize::try_from((self.length - at).min(PAGE)).unwrap_or(usize::MAX);
            file.write_all_at(&page[..length], at)?;
        }
        Ok(())
    }

    /// Writes bytes; what is beyond the end grows it.
    pub(crate) fn put(&mut self, mut at: u64, mut data: &[u8]) {
        self.length = self.length.max(at + data.len() as u64);
        while !data.is_empty() {
            let start = usize::try_from(at % PAGE).unwrap_or(0);
            let (part, rest) = data.split_at(data.len().min(PAGE_BYTES - start));
            let number = at / PAGE;
            if self.pages.contains_key(&number) || part.iter().any(|&byte| byte != 0) {
                let page = self.pages.entry(number).or_insert_with(|| vec![0; PAGE_BYTES].into());
                page[start..start + part.len()].copy_from_slice(part);
                if page.iter().all(|&byte| byte == 0) {
                    self.pages.remove(&number);
                }
            }
            at += part.len() as u64;
            data = rest;
        }
    }

    pub(crate) fn set_length(&mut self, length: u64) {
        if length < self.length {
            self.pages.retain(|number, _| number * PAGE < length);
            let (number, start) = (length / PAGE, usize::try_from(length % PAGE).unwrap_or(0));
            if let Some(page) = self.pages.get_mut(&number) {
                page[start..].fill(0);
                if page.iter().all(|&byte| byte == 0) {
                    self.pages.remove(&number);
                }
            }
        }
        self.length = length;
    }

    /// Where two images differ first.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let numbers = self.pages.keys().chain(other.pages.keys());
        let page = numbers.filter(|number| self.pages.get(number) != other.pages.get(number)).min();
        format!("{} and {} bytes, first page that differs: {page:?}", self.length, other.length)
    }
}
