//! The key folder, in which the platform and the channel find their keys.
//!
//! `merchant.key` and `merchant.pub` are the platform's: it signs pay parameters and calls, the channel checks them.
//! `channel-SERIAL.key` and `.pub` are the channel's: it signs notifications and answers with the one that `active` names,
//! and the platform believes every `.pub`, so that one can take another's place. Keys are PEM: PKCS#8 and
//! `SubjectPublicKeyInfo` (what `openssl genpkey` writes), or the 32 bytes of a shared secret, the same in both files.

mod file;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::notification::Verifier;
use crate::sign::{Algorithm, Checker, HalfText, KeyError, Purpose, Signer};

const MERCHANT_KEY: &str = "merchant.key";
const MERCHANT_PUB: &str = "merchant.pub";
const ACTIVE: &str = "active";
const CHANNEL: &str = "channel-";

/// Why the keys of a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A file or the folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is there and holds no such key.
    #[error("{}: {what}", path.display())]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// New keys would be mixed with what is there.
    #[error("{} is not empty; `--rotate` adds a channel key to it, an empty or absent folder takes new keys", .0.display())]
    NotEmpty(PathBuf),
    /// No channel key is in the folder.
    #[error("{} has no channel-SERIAL.pub; `payrig-channel make-keys` makes all keys", .0.display())]
    NoChannelKey(PathBuf),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What the server needs: its own key, and the public halves of the channel's.
#[derive(Clone, Debug)]
pub struct PlatformKeys {
    /// Signs pay parameters and calls.
    pub merchant: Signer,
    /// Checks notifications and answers.
    pub channel: Verifier,
}

/// What the channel needs: its own active key, and the public half of the platform's.
#[derive(Clone, Debug)]
pub struct ChannelKeys {
    /// Checks pay parameters and calls.
    pub merchant: Checker,
    /// Signs notifications and answers.
    pub own: Signer,
}

impl PlatformKeys {
    /// Reads the server's side of a folder.
    ///
    /// # Errors
    /// [`KeysError`], which names the file.
    pub fn load(dir: &Path) -> Result<Self, KeysError> {
        let merchant = signer(&dir.join(MERCHANT_KEY), Purpose::PayParams)?;
        let mut keys = Vec::new();
        for entry in fs::read_dir(dir).map_err(|source| file::failed(dir, source))? {
            let path = entry.map_err(|source| file::failed(dir, source))?.path();
            let Some(serial) = channel_serial(&path) else { continue };
            let key = checker(&path, Purpose::Notification)?;
            named(&path, &serial, key.serial())?;
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(KeysError::NoChannelKey(dir.to_owned()));
        }
        Ok(Self { merchant, channel: Verifier::new(keys) })
    }
}

impl ChannelKeys {
    /// Reads the channel's side of a folder.
    ///
    /// # Errors
    /// [`KeysError`], which names the file.
    pub fn load(dir: &Path) -> Result<Self, KeysError> {
        let merchant = checker(&dir.join(MERCHANT_PUB), Purpose::PayParams)?;
        let serial = active(dir)?;
        let path = channel_key(dir, &serial);
        let own = signer(&path, Purpose::Notification)?;
        named(&path, &serial, own.serial())?;
        Ok(Self { merchant, own })
    }
}

/// Whether a folder has no keys yet: it is absent, or nothing is in it.
///
/// # Errors
/// It is there and cannot be read.
pub fn is_empty(dir: &Path) -> Result<bool, KeysError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(file::failed(dir, source)),
    }
}

/// Makes all keys in a folder that is empty or absent, and gives the serial of the channel's. The folder appears whole or
/// not at all.
///
/// # Errors
/// [`KeysError`].
pub fn make(dir: &Path, algorithm: Algorithm) -> Result<String, KeysError> {
    if !is_empty(dir)? {
        return Err(KeysError::NotEmpty(dir.to_owned()));
    }
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let building = dir.with_file_name(name);
    let made = make_in(&building, algorithm).and_then(|serial| {
        fs::rename(&building, dir).map_err(|source| file::failed(dir, source))?;
        Ok(serial)
    });
    if made.is_err() {
        // What was begun holds secrets of nobody; a failure to remove it is no reason to hide the first one.
        let _ = fs::remove_dir_all(&building);
    }
    made
}

fn make_in(dir: &Path, algorithm: Algorithm) -> Result<String, KeysError> {
    fs::create_dir_all(dir).map_err(|source| file::failed(dir, source))?;
    let (private, public) = HalfText::make(algorithm)?;
    file::write_key(&dir.join(MERCHANT_KEY), &private, true)?;
    file::write_key(&dir.join(MERCHANT_PUB), &public, false)?;
    add_channel_key(dir, algorithm)
}

/// Adds a channel key to a folder and makes it the active one; the earlier ones stay, so that what they signed is still
/// believed. Without an algorithm it is that of the active key. Gives the new serial.
///
/// # Errors
/// [`KeysError`].
pub fn rotate(dir: &Path, algorithm: Option<Algorithm>) -> Result<String, KeysError> {
    let algorithm = match algorithm {
        Some(algorithm) => algorithm,
        None => ChannelKeys::load(dir)?.own.algorithm(),
    };
    add_channel_key(dir, algorithm)
}

fn add_channel_key(dir: &Path, algorithm: Algorithm) -> Result<String, KeysError> {
    let (private, public) = HalfText::make(algorithm)?;
    let serial = Signer::from_text(&private, Purpose::Notification)?.serial().to_owned();
    let path = channel_key(dir, &serial);
    // The public half first, and the name of the active key last: what signs is always known to who checks.
    file::write_key(&path.with_extension("pub"), &public, false)?;
    file::write_key(&path, &private, true)?;
    file::write(&dir.join(ACTIVE), format!("{serial}\n").as_bytes(), false)?;
    Ok(serial)
}

fn active(dir: &Path) -> Result<String, KeysError> {
    let path = dir.join(ACTIVE);
    let text = fs::read_to_string(&path).map_err(|source| file::failed(&path, source))?;
    let serial = text.trim_end();
    if serial.is_empty() || !serial.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(KeysError::Content { path, what: "expected one line, the serial of a channel key".to_owned() });
    }
    Ok(serial.to_owned())
}

fn channel_key(dir: &Path, serial: &str) -> PathBuf {
    dir.join(format!("{CHANNEL}{serial}.key"))
}

/// The serial in the name of a channel key's public half.
fn channel_serial(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_prefix(CHANNEL)?.strip_suffix(".pub")?.to_owned())
}

fn named(path: &Path, name: &str, serial: &str) -> Result<(), KeysError> {
    if name == serial {
        return Ok(());
    }
    Err(KeysError::Content { path: path.to_owned(), what: format!("its key has the serial {serial}") })
}

fn signer(path: &Path, purpose: Purpose) -> Result<Signer, KeysError> {
    file::read(path, true, |text| Signer::from_text(text, purpose))
}

fn checker(path: &Path, purpose: Purpose) -> Result<Checker, KeysError> {
    file::read(path, false, |text| Checker::from_text(text, purpose))
}
