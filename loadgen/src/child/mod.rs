//! A program that lives as long as the run: started, waited for, stopped, and never left behind.

mod command;
mod error;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub use command::{ChildCommand, Role, TIED_SUBCOMMAND, become_tied};
pub use error::{ChildError, Exit, Tail};

use crate::interrupt::Interrupt;

/// How the server announces itself on the first line of its stdout.
const ADDRESS_PREFIX: &str = "listening on http://";
/// How it announces its admin listener, on stderr.
const ADMIN_PREFIX: &str = "admin books on http://";
/// How long a stop may take: longer than a server's own drain (30 s), so that it is the server that says what went wrong.
const STOP_PATIENCE: Duration = Duration::from_secs(40);
const POLL_GAP: Duration = Duration::from_millis(20);

/// A program started for one run. Dropped, it is killed at once.
#[derive(Debug)]
pub struct ChildProcess {
    process: Child,
    /// What it is, and its program.
    called: String,
    role: Role,
    address: SocketAddr,
    /// Whether it has been told already that it ended by itself.
    is_known_gone: bool,
    wait: Duration,
    log: PathBuf,
    /// Removed with everything in it when this value goes.
    folder: tempfile::TempDir,
}

impl ChildProcess {
    /// Starts the program on a free port with a fresh data folder under `parent`, and waits until it is ready.
    ///
    /// Call it on the main thread: the kernel ends a tied child when the *thread* that started it ends.
    ///
    /// # Errors
    /// It did not start, ended early, or did not get ready within `wait`; nothing is left behind.
    pub fn start(
        command: &ChildCommand,
        wait: Duration,
        parent: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, ChildError> {
        let deadline = Instant::now() + wait;
        let called = command.called();
        let no_folder = |source| ChildError::Folder { child: called.clone(), folder: parent.to_owned(), source };
        // Beside the results, not in /tmp: that is often memory, where an fsync costs and proves nothing.
        let folder = tempfile::Builder::new()
            .prefix(&format!(".{}-", command.role.name()))
            .tempdir_in(parent)
            .map_err(no_folder)?;
        let log = folder.path().join("stderr.log");
        let stderr = File::create(&log).map_err(no_folder)?;
        let mut process = command::spawn(command, &folder.path().join("data"), stderr)?;
        let lines = first_line(&mut process);
        let placeholder = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut child = Self {
            process,
            called: called.clone(),
            role: command.role,
            address: placeholder,
            is_known_gone: false,
            wait,
            log,
            folder,
        };
        let line = child.wait_for_line(&lines, deadline, interrupt)?;
        let address = line.trim().strip_prefix(ADDRESS_PREFIX).and_then(|text| text.trim_end_matches('/').parse().ok());
        let Some(address) = address else {
            return Err(ChildError::NoAddress { child: called, line });
        };
        child.address = address;
        child.wait_until_ready(deadline, interrupt)?;
        Ok(child)
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

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where its admin listener is, which it says on stderr.
    ///
    /// # Errors
    /// It does not say so within the time that it had to get ready, or has ended.
    pub fn admin_address(&mut self, interrupt: &Interrupt) -> Result<SocketAddr, ChildError> {
        let began = Instant::now();
        while began.elapsed() < self.wait {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            // Only whole lines: the last one may be half-written.
            let lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let address = lines
                .filter_map(|line| line.split_once(ADMIN_PREFIX))
                .find_map(|(_, rest)| rest.split(['/', '\n']).next().and_then(|address| address.trim().parse().ok()));
            if let Some(address) = address {
                return Ok(address);
            }
            self.still_waiting(interrupt)?;
            std::thread::sleep(POLL_GAP);
        }
        Err(ChildError::NoAdmin { child: self.called.clone(), waited: self.wait, tail: Tail::read(&self.log) })
    }

    /// Says so if the program has ended by itself.
    ///
    /// # Errors
    /// It has: how, with the end of its stderr.
    pub fn check_alive(&mut self) -> Result<(), ChildError> {
        match self.process.try_wait() {
            Ok(Some(status)) => {
                self.is_known_gone = true;
                Err(self.bad_end("ended by itself during the run", status))
            }
            _ => Ok(()),
        }
    }

    /// Asks the program to stop, waits for it, and judges how it ended. What it wrote to stderr, if anything, is kept in
    /// the given folder, as `server.log` or `channel.log`.
    ///
    /// # Errors
    /// It ended badly, or had to be killed. One that is known to have ended by itself is no news.
    pub fn stop(mut self, keep_log_in: &Path) -> Result<(), ChildError> {
        let ended = if self.is_known_gone { Ok(()) } else { self.terminate() };
        if self.log.metadata().is_ok_and(|log| log.len() > 0) {
            // Only a help for people: a run is not lost for want of it.
            let _ = std::fs::copy(&self.log, keep_log_in.join(format!("{}.log", self.role.name())));
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
        while asked.elapsed() < STOP_PATIENCE {
            match self.process.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(self.bad_end("stopped badly", status)),
                _ => std::thread::sleep(POLL_GAP),
            }
        }
        let child = self.called.clone();
        Err(ChildError::Stuck { child, waited: STOP_PATIENCE, tail: Tail::read(&self.log) })
    }

    fn bad_end(&self, when: &'static str, status: ExitStatus) -> ChildError {
        ChildError::BadEnd { child: self.called.clone(), when, status: Exit(status), tail: Tail::read(&self.log) }
    }

    fn not_ready(&self, missing: impl Into<String>) -> ChildError {
        let (child, waited) = (self.called.clone(), self.wait);
        ChildError::NotReady { child, waited, missing: missing.into(), tail: Tail::read(&self.log) }
    }

    /// Passes while the child lives, time is left and nobody pressed ctrl-c.
    fn still_waiting(&mut self, interrupt: &Interrupt) -> Result<(), ChildError> {
        if interrupt.is_set() {
            return Err(ChildError::Interrupted { child: self.called.clone() });
        }
        match self.process.try_wait() {
            Ok(Some(status)) => {
                let tail = Tail::read(&self.log);
                Err(ChildError::EndedEarly { child: self.called.clone(), status: Exit(status), tail })
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
            if let Err(error) = self.still_waiting(interrupt) {
                // What it said before it ended may still be on its way.
                return lines.recv_timeout(POLL_GAP * 10).map_err(|_| error);
            }
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

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Errors mean that it has ended and was waited for already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
