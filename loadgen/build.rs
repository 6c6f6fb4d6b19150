//! Tells the program which commit it was built from, for its results.

use std::process::Command;

/// What ends up in the program, seen from the workspace's root.
const SOURCES: [&str; 6] = ["loadgen", "scenarios", "results", "server/api", "Cargo.toml", "Cargo.lock"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed=../{source}");
    }
    println!("cargo::rerun-if-changed=../.git/HEAD");
    if let Some(revision) = revision() {
        println!("cargo::rustc-env=PAYRIG_GIT_REVISION={revision}");
    }
}

/// The commit, with `-dirty` where one of the sources differs from it; none without git or a repository.
fn revision() -> Option<String> {
    let revision = git(&["rev-parse", "HEAD"]).filter(|revision| !revision.is_empty())?;
    let changed = git(&[&["status", "--porcelain", "--"][..], &SOURCES].concat())?;
    Some(if changed.is_empty() { revision } else { format!("{revision}-dirty") })
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(["-C", ".."]).args(words).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
