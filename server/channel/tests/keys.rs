//! The key folder: what is made, what is read, and what is said where it cannot be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use payrig_channel::Algorithm;
use payrig_channel::keys::{self, ChannelKeys, PlatformKeys};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn both_sides_find_their_halves() {
    for algorithm in Algorithm::ALL {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("keys");
        let serial = keys::make(&folder, algorithm).unwrap();
        let (platform, channel) = (PlatformKeys::load(&folder).unwrap(), ChannelKeys::load(&folder).unwrap());
        assert_eq!((channel.own.serial(), channel.own.algorithm()), (serial.as_str(), algorithm));
        assert!(platform.channel.knows(&serial));
        assert_eq!(platform.merchant.serial(), channel.merchant.serial());
        let mut signature = String::new();
        platform.merchant.sign_into(&[b"text"], &mut signature);
        assert_eq!(channel.merchant.check(&[b"text"], &signature), Ok(()));
        let is_secret = algorithm == Algorithm::HmacSha256;
        let open = if is_secret { 0o600 } else { 0o644 };
        for (name, expected) in [
            ("merchant.key".to_owned(), 0o600),
            ("merchant.pub".to_owned(), open),
            (format!("channel-{serial}.key"), 0o600),
            (format!("channel-{serial}.pub"), open),
        ] {
            assert_eq!(mode(&folder.join(&name)) & !0o022, expected & !0o022, "{name}");
        }
        assert!(matches!(keys::make(&folder, algorithm), Err(keys::KeysError::NotEmpty(_))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside the folder");
    }
}

#[test]
fn a_rotation_adds_and_activates_and_may_change_the_algorithm() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let first = keys::make(&folder, Algorithm::Ed25519).unwrap();
    let second = keys::rotate(&folder, None).unwrap();
    let third = keys::rotate(&folder, Some(Algorithm::RsaSha256)).unwrap();
    let channel = ChannelKeys::load(&folder).unwrap();
    assert_eq!((channel.own.serial(), channel.own.algorithm()), (third.as_str(), Algorithm::RsaSha256));
    let platform = PlatformKeys::load(&folder).unwrap();
    assert!([&first, &second, &third].into_iter().all(|serial| platform.channel.knows(serial)));
    // Back to an earlier one: `active` is a text that a person may write.
    fs::write(folder.join("active"), &first).unwrap();
    assert_eq!(ChannelKeys::load(&folder).unwrap().own.serial(), first);
}

/// What the error says where a file of the folder holds this.
fn complaint(file: &str, content: Option<&str>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let serial = keys::make(&folder, Algorithm::Ed25519).unwrap();
    let path = folder.join(file.replace("SERIAL", &serial));
    match content {
        Some(content) => fs::write(path, content).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
    let platform = PlatformKeys::load(&folder).map(drop);
    platform.and(ChannelKeys::load(&folder).map(drop)).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_used_is_named_with_what_was_expected() {
    // An elliptic-curve key, which is none of the algorithms.
    let other = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\nq9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----\n";
    for (file, content, expected) in [
        ("merchant.key", None, "merchant.key: No such file"),
        ("merchant.key", Some(""), "merchant.key: expected PEM `PRIVATE KEY`"),
        ("merchant.key", Some(other), "found `PUBLIC KEY`"),
        ("merchant.pub", Some(other), "merchant.pub: no key that can be used (as ed25519"),
        ("channel-SERIAL.pub", None, "no channel-SERIAL.pub"),
        ("channel-SERIAL.key", None, ".key: No such file"),
        ("active", Some("../merchant\n"), "active: expected one line"),
        ("active", None, "active: No such file"),
    ] {
        let said = complaint(file, content);
        assert!(said.contains(expected), "{file}: {said}");
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    let serial = keys::make(&folder, Algorithm::Ed25519).unwrap();
    fs::copy(folder.join("merchant.pub"), folder.join(format!("channel-{serial}.pub"))).unwrap();
    let said = PlatformKeys::load(&folder).unwrap_err().to_string();
    assert!(said.contains("its key has the serial"), "{said}");
}

fn program(arguments: &[&str], dir: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_payrig-channel")).args(arguments).current_dir(dir).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_program_makes_and_rotates_keys_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said, _) = program(&["make-keys", "k", "--signature", "ed25519"], dir.path());
    assert_eq!((code, said.contains("the active channel key is ")), (Some(0), true), "{said}");
    let before = ChannelKeys::load(&dir.path().join("k")).unwrap().own.serial().to_owned();
    let (code, _, complaint) = program(&["make-keys", "k"], dir.path());
    assert_eq!((code, complaint.contains("--rotate")), (Some(1), true), "{complaint}");
    assert_eq!(program(&["make-keys", "k", "--rotate"], dir.path()).0, Some(0));
    assert_ne!(ChannelKeys::load(&dir.path().join("k")).unwrap().own.serial(), before);
    for (arguments, expected) in [
        (&["--signature", "rsa"][..], "rsa-sha256"),
        (&["--time-scale", "0"], "from 1"),
        (&["--admin-listen", "0.0.0.0:0"], "loopback"),
        (&["--profile", "latenzy=1s"], "latenzy"),
    ] {
        let (code, _, complaint) = program(arguments, dir.path());
        assert_eq!((code, complaint.contains(expected)), (Some(2), true), "{complaint}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, complaint) = program(&["--listen", &address], dir.path());
    assert_eq!((code, complaint.contains("--listen takes another")), (Some(1), true), "{complaint}");
}
