//! The command that starts a program of a run, and how its process is tied to this one.

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

/// What a program is in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The server under test.
    Server,
    /// The third-party payment channel.
    Channel,
}

impl Role {
    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Channel => "channel",
        }
    }

    /// The program that is looked for beside this one.
    const fn program(self) -> &'static str {
        match self {
            Self::Server => "payrig-server",
            Self::Channel => "payrig-channel",
        }
    }

    /// The flags that name another one, and give it more arguments.
    const fn flags(self) -> (&'static str, &'static str) {
        match self {
            Self::Server => ("--server", "--server-args"),
            Self::Channel => ("--channel-command", "--channel-args"),
        }
    }

    /// What to do where the program that was looked for is not there, and where one that somebody named is not.
    const fn hints(self) -> (&'static str, &'static str) {
        match self {
            Self::Server => (
                "; build it with `cargo build --release`, name one with --server CMD, or a running one with -H URL",
                "; --server needs the path of a program, or its name in PATH",
            ),
            Self::Channel => (
                "; build it with `cargo build --release`, or name one with --channel-command CMD",
                "; --channel-command needs the path of a program, or its name in PATH",
            ),
        }
    }
}

/// A program to start: its path, then arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChildCommand {
    /// What it is in the run.
    pub role: Role,
    words: Vec<OsString>,
    /// Whether nobody named it, so that it is the one that comes with this program.
    is_default: bool,
}

impl ChildCommand {
    /// The program that somebody named, or the one beside this program, with more words for it.
    ///
    /// # Errors
    /// A command line that no shell would take, in words.
    pub fn new(role: Role, command: Option<&str>, more: &[String]) -> Result<Self, String> {
        let (flag, flag_of_more) = role.flags();
        let mut words = match command {
            Some(text) => split(flag, text)?,
            None => vec![beside_this_program(role.program())],
        };
        if words.is_empty() {
            return Err(format!("{flag}: a command is missing; write {flag} ./target/release/{}", role.program()));
        }
        for text in more {
            words.extend(split(flag_of_more, text)?);
        }
        Ok(Self { role, words, is_default: command.is_none() })
    }

    /// The same with more arguments.
    #[must_use]
    pub fn with(mut self, arguments: impl IntoIterator<Item = OsString>) -> Self {
        self.words.extend(arguments);
        self
    }

    /// Whether it is the program that comes with this one, all of whose flags are known.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        self.is_default
    }

    /// The value that a flag has among its arguments.
    #[must_use]
    pub fn value_of(&self, flag: &str) -> Option<String> {
        let at = |word: &OsString| Some(word.to_string_lossy().strip_prefix(flag)?.strip_prefix('=')?.to_owned());
        let inline = self.words.iter().find_map(at);
        let position = self.words.iter().position(|word| word == flag);
        inline.or_else(|| position.and_then(|at| Some(self.words.get(at + 1)?.to_string_lossy().into_owned())))
    }

    /// What it is and its program, for people.
    #[must_use]
    pub fn called(&self) -> String {
        format!("{} {}", self.role.name(), self.words[0].to_string_lossy())
    }

    /// What a program of ours answers to `--version`: `NAME VERSION [(COMMIT)]`. Programs that someone named are not
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

fn beside_this_program(program: &str) -> OsString {
    let here = std::env::current_exe().ok();
    let folder = here.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
    folder.join(program).into_os_string()
}

/// Starts the program on a free port with this data folder.
pub(super) fn spawn(command: &ChildCommand, data: &Path, stderr: File) -> Result<Child, ChildError> {
    let (not_built, not_there) = command.role.hints();
    let start = |source: std::io::Error| ChildError::Start {
        child: command.called(),
        hint: match source.kind() {
            std::io::ErrorKind::NotFound if command.is_default => not_built,
            std::io::ErrorKind::NotFound => not_there,
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
