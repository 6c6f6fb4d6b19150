//! wrk, pinned to the load's core, driven by one of our scripts.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::error::PerfError;

const COMMON: &str = include_str!("../wrk/common.lua");

/// What to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Script {
    /// Submissions.
    Submit,
    /// Queries of known ids.
    Query,
    /// A submission and one query a payment.
    Settle,
    /// A submission and a query in turn.
    Mixed,
}

impl Script {
    const ALL: [Self; 4] = [Self::Submit, Self::Query, Self::Settle, Self::Mixed];

    const fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit.lua",
            Self::Query => "query.lua",
            Self::Settle => "settle.lua",
            Self::Mixed => "mixed.lua",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Submit => include_str!("../wrk/submit.lua"),
            Self::Query => include_str!("../wrk/query.lua"),
            Self::Settle => include_str!("../wrk/settle.lua"),
            Self::Mixed => include_str!("../wrk/mixed.lua"),
        }
    }
}

/// wrk on a core, with our scripts in a folder.
pub struct Wrk {
    core: usize,
    scripts: PathBuf,
}

/// One run's load.
#[derive(Clone, Debug)]
pub struct Load<'a> {
    /// On which server.
    pub address: SocketAddr,
    /// So many connections at once.
    pub connections: usize,
    /// For so long.
    pub seconds: u64,
    /// What to ask for.
    pub script: Script,
    /// The script's arguments.
    pub arguments: &'a [&'a str],
}

/// A load that runs.
pub struct Running {
    child: Child,
    what: String,
}

/// What wrk counted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Counted {
    /// Replies.
    pub requests: u64,
    /// The time it took.
    pub seconds: f64,
    /// Replies with a status over 399.
    pub status: u64,
    /// Connections that failed.
    pub connect: u64,
    /// Reads that failed.
    pub read: u64,
    /// Writes that failed.
    pub write: u64,
    /// Replies that took over 10 s.
    pub timeout: u64,
    /// The median latency (as wrk corrects it), in microseconds.
    pub p50_us: u64,
    /// What one in a hundred exceeds.
    pub p99_us: u64,
    /// Submissions that a script counted.
    pub submitted: u64,
    /// Queries that a script counted.
    pub polled: u64,
    /// Queries among them that found the payment not settled.
    pub unsettled: u64,
}

impl Counted {
    /// Replies a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// The same, if no reply was an error.
    ///
    /// # Errors
    /// Where one was, or there was none at all.
    pub fn without_errors(self) -> Result<Self, PerfError> {
        let Self { requests, status, connect, read, write, timeout, .. } = self;
        if status + connect + read + write + timeout == 0 && requests > 0 {
            return Ok(self);
        }
        Err(PerfError::broken(format!(
            "of {requests} replies {status} were errors; sockets: {connect} connect, {read} read, {write} write, \
             {timeout} timeout"
        )))
    }
}

impl Wrk {
    /// Writes the scripts into a folder and looks whether wrk is there.
    ///
    /// # Errors
    /// Where it is not, or the folder cannot be written to.
    pub fn new(core: usize, scripts: &Path) -> Result<Self, PerfError> {
        let hint = "scripts/install-wrk.sh installs it (Debian and Ubuntu: apt-get install wrk)";
        if Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return Err(PerfError::Missing { program: "wrk".to_owned(), hint });
        }
        std::fs::create_dir_all(scripts).map_err(PerfError::io(format!("creating {}", scripts.display())))?;
        for script in Script::ALL {
            let path = scripts.join(script.name());
            let text = format!("{COMMON}\n{}", script.text());
            std::fs::write(&path, text).map_err(PerfError::io(format!("writing {}", path.display())))?;
        }
        Ok(Self { core, scripts: scripts.to_owned() })
    }

    /// Starts a load.
    ///
    /// # Errors
    /// Where the process cannot be started.
    pub fn start(&self, load: &Load<'_>) -> Result<Running, PerfError> {
        let Load { address, connections, seconds, script, arguments } = load;
        let child = Command::new("taskset")
            .args(["-c", &self.core.to_string(), "wrk", "-t1", "--timeout", "10s"])
            .args([format!("-c{connections}"), format!("-d{seconds}s")])
            .arg("-s")
            .arg(self.scripts.join(script.name()))
            .arg(format!("http://{address}"))
            .arg("--")
            .args(*arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(PerfError::io("starting wrk"))?;
        Ok(Running { child, what: format!("wrk {} with {connections} connections", script.name()) })
    }

    /// Runs a load to its end. An error among the replies is an error of the suite.
    ///
    /// # Errors
    /// Where wrk fails, or any reply was an error.
    pub fn run(&self, load: &Load<'_>) -> Result<Counted, PerfError> {
        self.start(load)?.finish()?.without_errors()
    }
}

impl Running {
    /// Its process (taskset becomes wrk).
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; errors among the replies are counted.
    ///
    /// # Errors
    /// Where wrk fails.
    pub fn finish(self) -> Result<Counted, PerfError> {
        let Self { child, what } = self;
        let output = child.wait_with_output().map_err(PerfError::io("waiting for wrk"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let result = said.lines().find_map(|line| line.strip_prefix("RESULT "));
        let counted: Option<Counted> = result.and_then(|json| serde_json::from_str(json).ok());
        counted.ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            PerfError::broken(format!("{what} gave no result: {said}{complaint}"))
        })
    }
}
