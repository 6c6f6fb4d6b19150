//! The real binary on a free port with a fresh data folder, and what tests ask of it.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part, and a test fails by panicking")]

use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError, Weak, mpsc},
    time::{Duration, Instant},
};

use serde_json::Value;

pub(crate) mod client;
pub(crate) mod openmetrics;
pub(crate) mod payer;

pub(crate) use client::{Connection, Reply};

/// How long anything may take on a busy machine before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that has no other way to tell.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// A channel that answers at once and never fails by itself.
pub(crate) const CALM: &str = "simulated:latency=0ms,transient=0%,permanent=0%,lost-answer=0%,notify=1ms,seed=7";

/// The binary with these arguments and none of the settings of whoever runs the tests.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_payrig-server"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PAYRIG_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a run that ends by itself came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs to the end.
pub(crate) fn run(mut command: Command) -> Ran {
    let mut child = Running(command.spawn().unwrap());
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            text
        })
    };
    let stdout = read(Box::new(child.0.stdout.take().unwrap()));
    let stderr = read(Box::new(child.0.stderr.take().unwrap()));
    let status = child.wait();
    Ran { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// A child that does not outlive the test.
struct Running(Child);

impl Running {
    fn wait(&mut self) -> ExitStatus {
        let child = &mut self.0;
        until("the server to end", || child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(LOOK);
    }
}

/// Lines of stderr, as they come.
#[derive(Default)]
struct Lines {
    text: Mutex<String>,
    more: Condvar,
}

/// A running server.
pub(crate) struct Server {
    child: Running,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) first_line: String,
    stderr: Arc<Lines>,
    folder: Arc<tempfile::TempDir>,
}

impl Server {
    /// A server with a fresh data folder and a calm channel, unless the arguments say otherwise.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), arguments)
    }

    /// A server in this folder.
    pub(crate) fn start_in(folder: Arc<tempfile::TempDir>, arguments: &[&str]) -> Self {
        let mut command = command(&["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--print-address"]);
        command.arg("--data-dir").arg(folder.path().join("data"));
        if !arguments.contains(&"--channel") {
            command.args(["--channel", CALM]);
        }
        let mut child = Running(command.args(arguments).spawn().unwrap());
        let stderr = Arc::new(Lines::default());
        let (from, to) = (child.0.stderr.take().unwrap(), Arc::clone(&stderr));
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut text = to.text.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
                to.more.notify_all();
            }
        });
        let (tell, told) = mpsc::channel();
        let stdout = child.0.stdout.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)))
        });
        let first_line = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no address: {}", said(&stderr)));
        let address = first_line.strip_prefix("listening on http://").unwrap().parse().unwrap();
        let mut server = Self { child, address, admin: address, first_line, stderr, folder };
        let admin = server.wait_for_line("admin books on http://");
        server.admin = admin.trim_end_matches("/admin/books").parse().unwrap();
        server
    }

    /// What follows these words on stderr.
    pub(crate) fn wait_for_line(&self, words: &str) -> String {
        let found = |text: &str| Some(text.split_once(words)?.1.lines().next()?.to_owned());
        let text = self.stderr.text.lock().unwrap();
        let (text, _) = self.stderr.more.wait_timeout_while(text, PATIENCE, |text| found(text).is_none()).unwrap();
        found(&text).unwrap_or_else(|| panic!("nobody said {words:?}: {text}"))
    }

    /// Everything on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        said(&self.stderr)
    }

    /// The folder, for a server that comes after this one.
    pub(crate) fn folder(&self) -> Arc<tempfile::TempDir> {
        Arc::clone(&self.folder)
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().code()
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.connect().request("GET", path, &[], b"")
    }

    /// One request on a connection of its own.
    pub(crate) fn post(&self, path: &str) -> Reply {
        self.connect().request("POST", path, &[], b"")
    }

    /// Submits, with or without a key.
    pub(crate) fn submit(&self, body: &Value, key: Option<&str>) -> Reply {
        self.connect().submit(body, key)
    }

    /// One page of the books.
    pub(crate) fn admin(&self, path: &str) -> Reply {
        Connection::open(self.admin).request("GET", path, &[], b"")
    }

    /// Every document of a collection (or the ledger), page after page.
    pub(crate) fn book(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.admin(&format!("{path}?limit=100{after}")).json();
            all.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={}", escaped(next)),
                None => return all,
            }
        }
    }

    /// It still takes and answers requests.
    pub(crate) fn still_serves(&self) {
        assert_eq!(self.get("/healthz").json()["status"], "ok");
    }
}

fn said(lines: &Lines) -> String {
    lines.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// With everything but letters and digits as percent-escapes.
pub(crate) fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// One server for the tests of a file that run at the same time; it goes with the last of them.
pub(crate) struct Shared(Mutex<Weak<Server>>);

impl Shared {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    pub(crate) fn get(&self) -> Arc<Server> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Server::start(&[]));
            *shared = Arc::downgrade(&server);
            server
        })
    }
}
