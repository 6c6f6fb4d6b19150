//! A server that lives as long as the run: started, waited for, stopped, and never left behind.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::interrupt::Interrupt;

/// The hidden subcommand that ties a program's life to its parent's, see [`become_tied`].
pub const TIED_SUBCOMMAND: &str = "tied-child";

/// How the server announces itself on the first line of its stdout.
const ADDRESS_PREFIX: &str = "listening on http://";
const POLL_GAP: Duration = Duration::from_millis(20);
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 12;

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

/// Why there is no server, or why it ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("cannot start the server {program}: {source}{hint}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// A folder or file for it could not be made.
    #[error("cannot make a folder for the server in {folder}: {source}")]
    Folder {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It ended before it was ready.
    #[error("the server {program} ended before it was ready ({status}){tail}")]
    EndedEarly {
        /// The program.
        program: String,
        /// How.
        status: Exit,
        /// The end of its stderr.
        tail: Tail,
    },
    /// It did not get ready in time.
    #[error("the server {program} was not ready after {waited:?}: {missing} (--server-wait gives it more time){tail}")]
    NotReady {
        /// The program.
        program: String,
        /// How long it was waited for.
        waited: Duration,
        /// What did not happen.
        missing: String,
        /// The end of its stderr.
        tail: Tail,
    },
    /// Its first line was not its address.
    #[error(
        "the server {program} said {line:?} first, not `{ADDRESS_PREFIX}ADDR`: is it a server that knows --print-address?"
    )]
    NoAddress {
        /// The program.
        program: String,
        /// What it said.
        line: String,
    },
    /// It ended by itself, or badly.
    #[error("the server {program} {when}: {status}{tail}")]
    BadEnd {
        /// The program.
        program: String,
        /// At which point of the run.
        when: &'static str,
        /// How.
        status: Exit,
        /// The end of its stderr.
        tail: Tail,
    },
    /// It did not stop when it was asked to.
    #[error("the server {program} did not stop within {waited:?} of SIGTERM and was killed{tail}")]
    Stuck {
        /// The program.
        program: String,
        /// How long it was waited for.
        waited: Duration,
        /// The end of its stderr.
        tail: Tail,
    },
    /// Somebody pressed ctrl-c while it was waited for.
    #[error("interrupted while waiting for the server")]
    Interrupted,
}

/// How a process ended, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit(ExitStatus);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "ended by signal {signal}"),
            (None, None) => write!(f, "{}", self.0),
        }
    }
}

/// The last lines that the server wrote to stderr.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tail(String);

impl Tail {
    fn read(path: &Path) -> Self {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(path) {
            let start = file.metadata().map_or(0, |meta| meta.len().saturating_sub(TAIL_BYTES));
            let _ = std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start));
            let _ = file.read_to_end(&mut bytes);
        }
        Self(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl std::fmt::Display for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<_> = self.0.lines().collect();
        if lines.is_empty() {
            return write!(f, "; it wrote nothing to stderr");
        }
        write!(f, "; its stderr ended with:")?;
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// A server started for one run. Dropped, it is killed at once.
#[derive(Debug)]
pub struct ChildServer {
    process: Child,
    program: String,
    address: SocketAddr,
    wait: Duration,
    log: PathBuf,
    /// Removed with everything in it when this value goes.
    _folder: tempfile::TempDir,
}

impl ChildServer {
    /// Starts the server on a free port with a fresh data folder under `parent`, and waits until it is ready.
    ///
    /// Call it on the main thread: the kernel ends a tied child when the *thread* that started it ends.
    ///
    /// # Errors
    /// It did not start, ended early, or did not get ready within `wait`; nothing is left behind.
    pub fn start(
        command: &ServerCommand,
        wait: Duration,
        parent: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, ChildError> {
        let deadline = Instant::now() + wait;
        let no_folder = |source| ChildError::Folder { folder: parent.to_owned(), source };
        // Beside the results, not in /tmp: that is often memory, where an fsync costs and proves nothing.
        let folder = tempfile::Builder::new().prefix(".server-").tempdir_in(parent).map_err(no_folder)?;
        let log = folder.path().join("stderr.log");
        let stderr = File::create(&log).map_err(no_folder)?;
        let mut process = spawn(command, &folder.path().join("data"), stderr)?;
        let lines = first_line(&mut process);
        let placeholder = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { process, program: command.program(), address: placeholder, wait, log, _folder: folder };
        let line = server.wait_for_line(&lines, deadline, interrupt)?;
        let address = line.trim().strip_prefix(ADDRESS_PREFIX).and_then(|text| text.trim_end_matches('/').parse().ok());
        let Some(address) = address else {
            return Err(ChildError::NoAddress { program: server.program.clone(), line });
        };
        server.address = address;
        server.wait_until_ready(deadline, interrupt)?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Says so if the server has ended by itself.
    ///
    /// # Errors
    /// It has: how, with the end of its stderr.
    pub fn check_alive(&mut self) -> Result<(), ChildError> {
        match self.process.try_wait() {
            Ok(Some(status)) => Err(self.bad_end("ended by itself during the run", status)),
            _ => Ok(()),
        }
    }

    /// Asks the server to stop, waits for it, and judges how it ended. What it wrote to stderr, if anything, is kept as
    /// `server.log` in the given folder.
    ///
    /// # Errors
    /// It ended badly, or had to be killed.
    pub fn stop(mut self, keep_log_in: &Path) -> Result<(), ChildError> {
        let ended = self.terminate();
        if self.log.metadata().is_ok_and(|log| log.len() > 0) {
            // Only a help for people: a run is not lost for want of it.
            let _ = std::fs::copy(&self.log, keep_log_in.join("server.log"));
        }
        ended
    }

    fn terminate(&mut self) -> Result<(), ChildError> {
        let asked = Instant::now();
        if let Ok(Some(status)) = self.process.try_wait() {
            return Err(self.bad_end("ended by itself during the run", status));
        }
        if let Some(pid) = Pid::from_raw(self.process.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        while asked.elapsed() < self.wait {
            match self.process.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(self.bad_end("stopped badly", status)),
                _ => std::thread::sleep(POLL_GAP),
            }
        }
        let (program, waited) = (self.program.clone(), self.wait);
        Err(ChildError::Stuck { program, waited, tail: Tail::read(&self.log) })
    }

    fn bad_end(&self, when: &'static str, status: ExitStatus) -> ChildError {
        ChildError::BadEnd { program: self.program.clone(), when, status: Exit(status), tail: Tail::read(&self.log) }
    }

    fn not_ready(&self, missing: impl Into<String>) -> ChildError {
        let (program, waited) = (self.program.clone(), self.wait);
        ChildError::NotReady { program, waited, missing: missing.into(), tail: Tail::read(&self.log) }
    }

    /// Passes while the child lives, time is left and nobody pressed ctrl-c.
    fn still_waiting(&mut self, interrupt: &Interrupt) -> Result<(), ChildError> {
        if interrupt.is_set() {
            return Err(ChildError::Interrupted);
        }
        match self.process.try_wait() {
            Ok(Some(status)) => {
                let tail = Tail::read(&self.log);
                Err(ChildError::EndedEarly { program: self.program.clone(), status: Exit(status), tail })
            }
            _ => Ok(()),
        }
    }

    fn wait_for_line(
        &mut self,
        lines: &Receiver<String>,
        deadline: Instant,
        interrupt: &Interrupt,
    ) -> Result<String, ChildError> {
        while Instant::now() < deadline {
            match lines.recv_timeout(POLL_GAP) {
                Ok(line) => return Ok(line),
                // The pipe closes a moment before the process can be waited for.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL_GAP),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.still_waiting(interrupt)?;
        }
        Err(self.not_ready(format!("no `{ADDRESS_PREFIX}ADDR` on its stdout")))
    }

    fn wait_until_ready(&mut self, deadline: Instant, interrupt: &Interrupt) -> Result<(), ChildError> {
        let mut last = "no connection".to_owned();
        while Instant::now() < deadline {
            match readiness(self.address) {
                // A server of someone else's may have no /readyz; only 503 says "not yet".
                Ok(status) if status != 503 => return Ok(()),
                Ok(status) => last = format!("GET /readyz on {} answers {status}", self.address),
                Err(error) => last = format!("GET /readyz on {}: {error}", self.address),
            }
            self.still_waiting(interrupt)?;
            std::thread::sleep(POLL_GAP);
        }
        Err(self.not_ready(last))
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        // Errors mean that it has ended and was waited for already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(command: &ServerCommand, data: &Path, stderr: File) -> Result<Child, ChildError> {
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

/// The first line of stdout; what follows is read and dropped, so that the server never blocks on a full pipe.
fn first_line(process: &mut Child) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    if let Some(stdout) = process.stdout.take() {
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            if reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                let _ = sender.send(line);
            }
            let _ = std::io::copy(&mut reader, &mut std::io::sink());
        });
    }
    receiver
}

fn readiness(address: SocketAddr) -> std::io::Result<u16> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut head = [0_u8; 12];
    stream.read_exact(&mut head)?;
    let status = std::str::from_utf8(&head[9..]).ok().and_then(|digits| digits.parse().ok());
    status.ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}
