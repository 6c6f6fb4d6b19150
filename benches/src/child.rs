//! Servers as child processes, each pinned to a core, killed when they are dropped.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::error::PerfError;

/// How long a start may take, with a data folder to be replayed.
const START: Duration = Duration::from_secs(120);
/// How long a drain may take.
const STOP: Duration = Duration::from_secs(60);

/// A server that listens.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts a program on one core and waits for its first line, `listening on http://ADDR`. What it says on stderr goes
    /// to `log`.
    ///
    /// # Errors
    /// Where it does not start or says something else.
    pub fn start(core: usize, program: &Path, arguments: &[String], log: &Path) -> Result<Self, PerfError> {
        let name = program.display();
        let said = File::create(log).map_err(PerfError::io(format!("creating {}", log.display())))?;
        let mut child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .map_err(PerfError::io(format!("starting taskset -c {core} {name}")))?;
        let address = first_line(&mut child).as_deref().and_then(address_in);
        match address {
            Some(address) => Ok(Self { child, address }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                let said = std::fs::read_to_string(log).unwrap_or_default();
                Err(PerfError::broken(format!("{name} {} did not start: {said}", arguments.join(" "))))
            }
        }
    }

    /// Its process. taskset becomes the program, so it is the server's own.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A call's address on it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to drain and waits for its end.
    ///
    /// # Errors
    /// Where it does not end, or not with success.
    pub fn stop(mut self) -> Result<(), PerfError> {
        let asked = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok());
        let began = Instant::now();
        while asked && began.elapsed() < STOP {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(PerfError::broken(format!("the server ended with {status}"))),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        Err(PerfError::broken(format!("the server did not drain within {} s", STOP.as_secs())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line of stdout; a thread goes on reading, so that the child never waits for a reader.
fn first_line(child: &mut Child) -> Option<String> {
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let (found, first) = mpsc::channel();
    std::thread::spawn(move || {
        if let Some(Ok(line)) = lines.next() {
            let _ = found.send(line);
        }
        lines.for_each(drop);
    });
    first.recv_timeout(START).ok()
}

fn address_in(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("listening on http://")?.trim().parse().ok()
}
