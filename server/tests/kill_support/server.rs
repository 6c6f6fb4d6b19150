//! The server as a process: its addresses, its words, and the ways in which it ends.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use payrig_audit::{Admin, books::Payment};
use rustix::process::{Pid, Signal, kill_process};

/// How long a start may take on a busy machine, recovery included.
const START: Duration = Duration::from_secs(60);
/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the books.
const LOOK: Duration = Duration::from_millis(10);
/// Lines of its log that are kept for a failed test.
const LOG: usize = 60;

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) admin: Admin,
    starting: Starting,
}

/// A server that may not be ready yet.
pub(crate) struct Starting {
    pid: Pid,
    ended: Receiver<ExitStatus>,
    is_over: bool,
    listening: Receiver<String>,
    admin: Receiver<String>,
    log: Arc<Mutex<VecDeque<String>>>,
}

/// A server on this data folder and free ports, with the admin books and these further arguments.
pub(crate) fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    command_on("127.0.0.1:0", data_dir, arguments)
}

/// The same on this address.
pub(crate) fn command_on(listen: &str, data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_payrig-server"));
    command.args(["--listen", listen, "--admin-listen", "127.0.0.1:0", "--print-address", "--data-dir"]);
    command.arg(data_dir).args(arguments).env("NO_COLOR", "1");
    command
}

impl Starting {
    /// Starts it and does not wait.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let pid = Pid::from_child(&child);
        let (say_listening, listening) = channel();
        let (say_admin, admin) = channel();
        let log = Arc::new(Mutex::new(VecDeque::new()));
        follow(child.stdout.take().expect("is piped"), "listening on http://", say_listening, Arc::clone(&log));
        follow(child.stderr.take().expect("is piped"), "admin books on http://", say_admin, Arc::clone(&log));
        let ended = wait_in_background(child);
        Self { pid, ended, is_over: false, listening, admin, log }
    }

    /// Waits until it serves.
    pub(crate) fn ready(self) -> Server {
        let said = self.listening.recv_timeout(START).ok().zip(self.admin.recv_timeout(START).ok());
        let Some((address, admin)) = said else { panic!("the server did not start:\n{}", self.log()) };
        let admin = Admin::new(&admin, Duration::from_secs(30)).expect("an address");
        Server { address: address.parse().expect("an address"), admin, starting: self }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        let _ = self.wait();
    }

    fn signal(&mut self, signal: Signal) {
        if self.is_over {
            return;
        }
        match self.ended.try_recv() {
            Ok(status) => {
                self.is_over = true;
                panic!("the server had ended by itself ({status}):\n{}", self.log());
            }
            Err(_) => kill_process(self.pid, signal).expect("it is there"),
        }
    }

    fn wait(&mut self) -> ExitStatus {
        let status = self.ended.recv_timeout(PATIENCE);
        let status = status.unwrap_or_else(|_| panic!("the server does not end:\n{}", self.log()));
        self.is_over = true;
        status
    }

    fn log(&self) -> String {
        let log = self.log.lock().expect("nobody panics with it");
        log.iter().map(|line| format!("  | {line}\n")).collect()
    }
}

impl Server {
    /// Starts it and waits until it serves.
    pub(crate) fn start(command: Command) -> Self {
        Starting::spawn(command).ready()
    }

    /// Waits until the books say so: a load that has got under way, however slow the machine is.
    pub(crate) fn until(&self, is_so: impl Fn(&Admin) -> bool) {
        let began = Instant::now();
        while !is_so(&self.admin) {
            assert!(began.elapsed() < PATIENCE, "it never is so:\n{}", self.log());
            thread::sleep(LOOK);
        }
    }

    /// Waits until there are payments.
    pub(crate) fn until_busy(&self) {
        self.until(|admin| !admin.collection::<Payment>("payments").expect("the books can be read").is_empty());
    }

    /// `kill -9`.
    pub(crate) fn kill(self) {
        self.starting.kill();
    }

    /// SIGTERM; does not wait.
    pub(crate) fn terminate(&mut self) {
        self.starting.signal(Signal::TERM);
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.starting.wait()
    }

    /// The last lines that it wrote.
    pub(crate) fn log(&self) -> String {
        self.starting.log()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = kill_process(self.pid, Signal::KILL);
            let _ = self.ended.recv_timeout(PATIENCE);
        }
    }
}

/// Reads what it writes: keeps the last lines and tells the address behind these words.
fn follow(
    from: impl Read + Send + 'static,
    words: &'static str,
    tell: Sender<String>,
    log: Arc<Mutex<VecDeque<String>>>,
) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if let Some((_, address)) = line.split_once(words) {
                let _ = tell.send(address.split('/').next().unwrap_or_default().to_owned());
            }
            let mut log = log.lock().expect("nobody panics with it");
            if log.len() == LOG {
                log.pop_front();
            }
            log.push_back(line);
        }
    });
}

fn wait_in_background(mut child: Child) -> Receiver<ExitStatus> {
    let (say, ended) = channel();
    thread::spawn(move || {
        let status = child.wait().expect("it can be waited for");
        let _ = say.send(status);
    });
    ended
}
