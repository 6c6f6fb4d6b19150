//! The side-by-side suite: our server and the bare one in turn, round after round, on the same core.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    child::Server,
    client::{Connection, Metrics, Reply},
    disk,
    error::PerfError,
    machine::{Load as LoadProcess, Window},
    reply::CannedReply,
    report::{Figure, Side},
    wrk::{Load, Wrk},
};

pub mod channel;
pub mod query;
pub mod steady;
pub mod submit;

/// Before a figure is taken.
const SETTLE_S: u64 = 1;
/// A zero-latency channel without faults: what is measured is the flow.
const CHANNEL: &str = "simulated:latency=0ms,transient=0%,permanent=0%,lost-answer=0%";

/// How a run of the suite is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rounds of short scenarios.
    pub rounds: usize,
    /// The length of a measurement in them.
    pub seconds: u64,
    /// Rounds of steady scenarios.
    pub steady_rounds: usize,
    /// The length of a measurement in them.
    pub steady_seconds: u64,
    /// The server's program.
    pub server: PathBuf,
    /// The bare server's program.
    pub bare: PathBuf,
    /// The channel's program.
    pub channel: PathBuf,
    /// The servers' core.
    pub server_core: usize,
    /// The load's core.
    pub load_core: usize,
    /// Where data is kept while it runs: on a disk.
    pub folder: PathBuf,
}

/// What every scenario works with.
pub struct Rig {
    /// How the run is made.
    pub options: Options,
    /// The load.
    pub wrk: Wrk,
    tags: std::cell::Cell<u32>,
}

impl Rig {
    /// Prepares the folder and looks whether everything is there.
    ///
    /// # Errors
    /// Where something is missing, or the folder is in memory.
    pub fn new(options: Options) -> Result<Self, PerfError> {
        fs::create_dir_all(&options.folder).map_err(PerfError::io(format!("creating {}", options.folder.display())))?;
        disk::must_be_a_disk(&options.folder)?;
        for program in [&options.server, &options.bare, &options.channel] {
            if !program.exists() {
                let hint = "cargo build --release -p payrig-server -p payrig-channel -p payrig-benches --bins";
                return Err(PerfError::Missing { program: program.display().to_string(), hint });
            }
        }
        let wrk = Wrk::new(options.load_core, &options.folder.join("wrk"))?;
        Ok(Self { options, wrk, tags: std::cell::Cell::new(0) })
    }

    /// A new, empty data folder.
    ///
    /// # Errors
    /// Where an old one cannot be removed.
    pub fn fresh_folder(&self, name: &str) -> Result<PathBuf, PerfError> {
        let folder = self.options.folder.join(name);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(PerfError::Io { what: format!("removing {}", folder.display()), source: error })
            }
            _ => Ok(folder),
        }
    }

    /// Our server on a data folder, with these settings beside.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn server(&self, data: &Path, settings: &[&str]) -> Result<Server, PerfError> {
        self.server_at(data, CHANNEL, settings)
    }

    /// The same with this channel.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn server_at(&self, data: &Path, channel: &str, settings: &[&str]) -> Result<Server, PerfError> {
        let data_dir = data.display().to_string();
        let fixed = ["--listen", "127.0.0.1:0", "--print-address", "--data-dir", &data_dir, "--channel", channel];
        let arguments: Vec<String> = fixed.iter().chain(settings).map(ToString::to_string).collect();
        let log = self.options.folder.join("server.log");
        Server::start(self.options.server_core, &self.options.server, &arguments, &log)
    }

    /// The bare server, which answers every GET and POST like these.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn bare(&self, get: &CannedReply, post: &CannedReply) -> Result<Server, PerfError> {
        let json = |reply| serde_json::to_string(reply).map_err(|error| PerfError::broken(error.to_string()));
        let arguments = ["--get".to_owned(), json(get)?, "--post".to_owned(), json(post)?];
        let log = self.options.folder.join("bare.log");
        Server::start(self.options.server_core, &self.options.bare, &arguments, &log)
    }

    /// A start of order numbers that no other load of this data folder has; always of the same length.
    pub fn tag(&self) -> String {
        let number = self.tags.get();
        self.tags.set(number + 1);
        let seconds = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()) % 1_000_000_000;
        format!("perf-{seconds:09}-{number:05}-")
    }

    /// Submits one order and gives the reply with the task's id.
    ///
    /// # Errors
    /// Where it is not accepted.
    pub fn submit_one(&self, server: &Server) -> Result<(Reply, String), PerfError> {
        submit_order(&mut Connection::open(server.address)?, &format!("{}{:010}", self.tag(), 0))
    }

    /// A short measurement: settles with the same load first.
    ///
    /// # Errors
    /// Where a reply is an error.
    pub fn measure(&self, server: &Server, load: &Load<'_>) -> Result<Side, PerfError> {
        self.wrk.run(&Load { seconds: SETTLE_S, ..load.clone() })?;
        self.measure_settled(server, load)
    }

    fn measure_settled(&self, server: &Server, load: &Load<'_>) -> Result<Side, PerfError> {
        let window = Window::open(server.pid(), LoadProcess::Ended)?;
        let counted = self.wrk.run(load)?;
        let machine = window.close()?;
        Ok(Side::new(counted.requests as f64, counted.rate(), machine))
    }
}

/// Submits an order; gives the reply and the task's id.
fn submit_order(connection: &mut Connection, order_no: &str) -> Result<(Reply, String), PerfError> {
    let body = format!(r#"{{"order_no":"{order_no}","amount_minor":1999,"currency":"CNY","channel":"alipay"}}"#);
    let reply = connection.post("/v1/pay-tasks", &body)?;
    if reply.status != 202 {
        return Err(PerfError::broken(format!("a submission was answered {}: {}", reply.status, reply.body)));
    }
    let task_id = text_after(&reply.body, r#""task_id":""#);
    let task_id = task_id.ok_or_else(|| PerfError::broken(format!("a 202 without a task_id: {}", reply.body)))?;
    Ok((reply, task_id))
}

/// What a word is followed by, up to the next quote.
fn text_after(text: &str, word: &str) -> Option<String> {
    text.split_once(word).and_then(|(_, rest)| rest.split_once('"')).map(|(found, _)| found.to_owned())
}

/// Measures both in turn; which goes first changes from round to round.
fn in_turn(
    round: usize,
    ours: impl FnOnce() -> Result<Side, PerfError>,
    bare: impl FnOnce() -> Result<Side, PerfError>,
) -> Result<(Side, Side), PerfError> {
    if round.is_multiple_of(2) {
        let ours = ours()?;
        Ok((ours, bare()?))
    } else {
        let bare = bare()?;
        Ok((ours()?, bare))
    }
}

/// Waits until everything that was accepted is settled.
///
/// # Errors
/// Where that takes longer than this.
fn until_settled(server: &Server, at_most: Duration) -> Result<(), PerfError> {
    let began = Instant::now();
    loop {
        let metrics = Metrics::read(server.address)?;
        let (accepted, settled) = (metrics.get("payrig_accepted_total")?, metrics.get_or_zero("payrig_settled_total"));
        if settled >= accepted {
            return Ok(());
        }
        if began.elapsed() > at_most {
            return Err(PerfError::broken(format!(
                "{} of {accepted} payments were not settled {} s after the load had ended",
                accepted - settled,
                at_most.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a server has nothing to do any more, as what it does at its start would be counted as a request's.
///
/// # Errors
/// Where that takes over two minutes.
fn until_quiet(server: &Server) -> Result<(), PerfError> {
    const LOOKS: usize = 240;
    const QUIET: f64 = 0.03;
    for _ in 0..LOOKS {
        let window = Window::open(server.pid(), LoadProcess::Ended)?;
        std::thread::sleep(Duration::from_millis(500));
        if window.close()?.server_busy() < QUIET {
            return Ok(());
        }
    }
    Err(PerfError::broken("the server is still busy two minutes after its start"))
}

/// A scenario by its name on the command line.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it measures.
    pub what: &'static str,
    run: fn(&Rig) -> Result<Vec<Figure>, PerfError>,
}

impl Scenario {
    /// All, in the order of a whole run.
    pub const ALL: [Self; 10] = [
        Self { name: "cache", what: "query that hits the cache", run: query::cache },
        Self { name: "store", what: "query that hits the store", run: query::store },
        Self { name: "again", what: "query that looks at the store again", run: query::again },
        Self { name: "accept", what: "durable submit alone", run: submit::accept },
        Self { name: "flow", what: "submit with everything running behind it", run: steady::flow },
        Self { name: "settle", what: "settled payments: submit plus one poll each", run: steady::settle },
        Self { name: "early", what: "flow and settle with --accept early", run: steady::early },
        Self { name: "on-query", what: "flow and settle with --sync on-query", run: steady::on_query },
        Self { name: "key", what: "durable submit alone, with an idempotency key", run: submit::with_key },
        Self { name: "channel", what: "payments through payrig-channel, by signature", run: channel::ceiling },
    ];

    /// Runs it.
    ///
    /// # Errors
    /// Where a round means nothing.
    pub fn run(&self, rig: &Rig) -> Result<Vec<Figure>, PerfError> {
        (self.run)(rig)
    }
}
