//! One key file: PEM in, PEM out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use pem::Pem;

use super::KeysError;
use crate::sign::{Algorithm, HalfText, KeyError};

/// PKCS#8 and `SubjectPublicKeyInfo` say themselves which algorithm they are for.
const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// Not everybody's label: a shared secret is no public key, whatever its file is called.
const SECRET: &str = "HMAC-SHA256 SECRET";

pub(super) fn failed(path: &Path, source: io::Error) -> KeysError {
    KeysError::File { path: path.to_owned(), source }
}

/// Reads one half of a key.
pub(super) fn read<T>(
    path: &Path,
    is_private: bool,
    take: impl Fn(&HalfText) -> Result<T, KeyError>,
) -> Result<T, KeysError> {
    let label = if is_private { PRIVATE } else { PUBLIC };
    let content = |what: String| KeysError::Content { path: path.to_owned(), what };
    let bytes = fs::read(path).map_err(|source| failed(path, source))?;
    let pem = pem::parse(&bytes).map_err(|error| content(format!("expected PEM `{label}` or `{SECRET}`: {error}")))?;
    let candidates: &[Algorithm] = match pem.tag() {
        SECRET => &[Algorithm::HmacSha256],
        tag if tag == label => &[Algorithm::Ed25519, Algorithm::RsaSha256],
        other => return Err(content(format!("expected PEM `{label}` or `{SECRET}`, found `{other}`"))),
    };
    let mut refused = Vec::new();
    for &algorithm in candidates {
        match take(&HalfText { algorithm, bytes: pem.contents().to_vec() }) {
            Ok(half) => return Ok(half),
            Err(error) => refused.push(format!("as {algorithm}: {error}")),
        }
    }
    Err(content(format!("no key that can be used ({})", refused.join("; "))))
}

/// Writes one half of a key. A shared secret is private in either file.
pub(super) fn write_key(path: &Path, half: &HalfText, is_private: bool) -> Result<(), KeysError> {
    let is_secret = half.algorithm == Algorithm::HmacSha256;
    let label = match (is_secret, is_private) {
        (true, _) => SECRET,
        (false, true) => PRIVATE,
        (false, false) => PUBLIC,
    };
    write(path, pem::encode(&Pem::new(label, half.bytes.clone())).as_bytes(), is_secret || is_private)
}

/// Puts a whole file in the place of the name, or leaves what was there. Private ones are the owner's alone.
pub(super) fn write(path: &Path, content: &[u8], is_private: bool) -> Result<(), KeysError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let mode = if is_private { 0o600 } else { 0o644 };
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    };
    written().map_err(|source| failed(path, source))
}
