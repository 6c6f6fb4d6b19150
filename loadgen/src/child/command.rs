//! The command that starts a server, and how its process is tied to this one.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use payrig_results::Version;
use rustix::process::Signal;

use super::ChildError;

/// The hidden subcommand that ties a program's life to its parent's, see [`become_tied`].
pub const TIED_SUBCOMMAND: &str = "tied-child";

/// A server to start: program, then arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerCommand {
    words: Vec<OsString>,
    /// Where it was looked for, when nobody named it.
    is_default: bool,
}

impl ServerCommand {
    /// The server in `--server`, or the one beside this program, with the words of `--server-args`.
    ///
    /// # Errors
    /// A command line that no shell would take, in words.
    pub fn new(command: Option<&str>, more: &[String]) -> Result<Self, String> {
        let mut words = match command {
            Some(text) => split("--server", text)?,
            None => vec![beside_this_program()],
        };
        if words.is_empty() {
            return Err("--server: a command is missing; write --server ./target/release/payrig-server".to_owned());
        }
        for text in more {
            words.extend(split("--server-args", text)?);
        }
        Ok(Self { words, is_default: command.is_none() })
    }

    /// The program's name, for people.
    #[must_use]
    pub fn program(&self) -> String {
        self.words[0].to_string_lossy().into_owned()
    }

    /// What the reference server answers to `--version`: `NAME VERSION [(COMMIT)]`. Programs that someone named are not
    /// asked: they may not know the flag, and do something else.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        if !self.is_default {
            return None;
        }
        let output = Command::new(&self.words[0]).arg("--version").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut words = text.split_whitespace();
        let (name, version) = (words.next()?.to_owned(), words.next()?.to_owned());
        let git_revision = words.next().map(|commit| commit.trim_matches(['(', ')']).to_owned());
        Some(Version { name, version, git_revision })
    }

    /// The whole command line, for people and for `run.json`.
    #[must_use]
    pub fn display(&self) -> String {
        self.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

fn split(flag: &str, text: &str) -> Result<Vec<OsString>, String> {
    match shlex::split(text) {
        Some(words) => Ok(words.into_iter().map(OsString::from).collect()),
        None => Err(format!("{flag} {text}: a quote is not closed")),
    }
}

fn beside_this_program() -> OsString {
    let here = std::env::current_exe().ok();
    let folder = here.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    folder.join("payrig-server").into_os_string()
}

/// Starts the server on a free port with this data folder.
pub(super) fn spawn(command: &ServerCommand, data: &Path, stderr: File) -> Result<Child, ChildError> {
    let start = |source: std::io::Error| ChildError::Start {
        program: command.program(),
        hint: match source.kind() {
            std::io::ErrorKind::NotFound if command.is_default => {
                "; build it with `cargo build --release`, name one with --server CMD, or a running one with -H URL"
            }
            std::io::ErrorKind::NotFound => "; --server needs the path of a program, or its name in PATH",
            _ => "",
        },
        source,
    };
    // Looked up first: past this point the program that fails would be our own go-between.
    let program = find_program(Path::new(&command.words[0])).map_err(start)?;
    let myself = std::env::current_exe().map_err(start)?;
    Command::new(myself)
        .arg(TIED_SUBCOMMAND)
        .arg("--")
        .arg(std::process::id().to_string())
        .arg(program)
        .args(["--listen", "127.0.0.1:0", "--print-address", "--data-dir"])
        .arg(data)
        .args(&command.words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        // A group of its own, so that ctrl-c on the terminal reaches the harness alone, which then stops it in order.
        .process_group(0)
        .spawn()
        .map_err(start)
}

fn find_program(name: &Path) -> std::io::Result<PathBuf> {
    if name.components().count() > 1 {
        return name.metadata().map(|_| name.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
}

/// Turns this process into the given program, tied to its parent: `[parent's pid, program, arguments...]`. When the
/// parent ends, however it ends, the kernel sends the program SIGTERM. Returns only if that fails.
#[must_use]
pub fn become_tied(words: &[OsString]) -> std::io::Error {
    let [parent, program, arguments @ ..] = words else {
        return std::io::Error::from(std::io::ErrorKind::InvalidInput);
    };
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::TERM)) {
        return error.into();
    }
    // The parent may have ended before the line above; then nobody would ever be told.
    let is_orphan = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string())
        != Some(parent.to_string_lossy().into_owned());
    if is_orphan {
        return std::io::Error::from(std::io::ErrorKind::NotConnected);
    }
    Command::new(program).args(arguments).exec()
}
