//! `make perf`: our server side by side with a bare hyper server, in one run of interleaved rounds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures go to stdout, progress to stderr")]

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, SystemTime},
};

use clap::Parser;
use payrig_benches::{
    disk::{self, SyncLatency},
    error::PerfError,
    machine,
    report::{self, Figure},
    soak::{self, Verdict},
    suite::{Options, Rig, Scenario},
};
use serde::Serialize;

/// A ratio is below its target.
const SHORT: u8 = 99;
/// The soak's samples scatter too much to say anything.
const INCONCLUSIVE: u8 = 6;

/// Measures the reference server as ratios to a bare hyper server of the same runtime with replies of the same size.
///
/// One core for the servers, one for wrk; needs wrk and taskset. Exit code 99 where a ratio is below its target, 1 where a
/// round means nothing (errors among the replies, payments that do not settle).
#[derive(Parser)]
struct Flags {
    /// Only these scenarios: cache, store, again, accept, flow, settle, early, on-query, key, channel
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Rounds of the short scenarios (cache, store, again, accept, key)
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of a measurement in them, and of the bare server's in all
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Rounds of the steady scenarios (flow, settle, early, on-query, channel)
    #[arg(long, default_value_t = 3)]
    steady_rounds: usize,
    /// Seconds of a measurement in them
    #[arg(long, default_value_t = 30)]
    steady_seconds: u64,
    /// Instead of the suite: a constant rate for so long (10m), at 80 % of what its payers can reach, and is memory flat?
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    soak: Option<Duration>,
    /// Payments a second of the soak [default: 80 % of what is reached, measured first]
    #[arg(long, value_name = "RATE", requires = "soak")]
    rate: Option<f64>,
    /// Of a hundred payers of the soak, so many pay; the others abandon their payments
    #[arg(long, default_value_t = 30, value_name = "SHARE")]
    paying: u64,
    /// The server's program [default: built and taken from beside this one]
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// The core of the servers
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The core of the load
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Folder for data while it runs, on a disk
    #[arg(long, default_value = "target/perf-data", value_name = "DIR")]
    dir: PathBuf,
    /// File for all figures as JSON
    #[arg(long, default_value = "results/runs/perf.json", value_name = "FILE")]
    json_file: PathBuf,
}

/// What the JSON file holds.
#[derive(Serialize)]
struct Results<'a> {
    schema_version: u32,
    unix_time_s: u64,
    revision: String,
    machine: String,
    wrk: String,
    /// 4 KiB each, before and after the run.
    sync_latency: [SyncLatency; 2],
    rounds: usize,
    seconds: u64,
    steady_rounds: usize,
    steady_seconds: u64,
    figures: &'a [Figure],
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("perf: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<ExitCode, PerfError> {
    let chosen = chosen(&flags.only)?;
    let options = options(flags)?;
    pin(flags.load_core)?;
    let rig = Rig::new(options)?;
    if let Some(time) = flags.soak {
        return soak(&rig, flags, time);
    }
    let before = disk::sync_latency(&rig.options.folder)?;
    println!(
        "{}; fdatasync of 4 KiB: p50 {:.0} us, p99 {:.0} us",
        machine::description(),
        before.p50_us,
        before.p99_us
    );
    println!("{}", report::head());
    let mut figures = Vec::new();
    for scenario in chosen {
        eprintln!("perf: {} ...", scenario.what);
        for figure in scenario.run(&rig)? {
            println!("{}", figure.line());
            figure.notes.iter().for_each(|note| println!("    {note}"));
            figures.push(figure);
        }
    }
    let after = disk::sync_latency(&rig.options.folder)?;
    println!("{}\nfdatasync at the end: p50 {:.0} us, p99 {:.0} us", report::LEGEND, after.p50_us, after.p99_us);
    write(flags, [before, after], &figures)?;
    let short = figures.iter().any(|figure| figure.pass == Some(false));
    Ok(if short { ExitCode::from(SHORT) } else { ExitCode::SUCCESS })
}

/// The share of the rate that can be reached that is held.
const SOAK_SHARE: f64 = 0.8;

fn soak(rig: &Rig, flags: &Flags, time: Duration) -> Result<ExitCode, PerfError> {
    let rate = match flags.rate {
        Some(rate) => rate,
        None => {
            let reached = soak::reach(rig, flags.paying, |line| println!("{line}"))?;
            println!("{reached:.0} payments a second can be reached");
            reached * SOAK_SHARE
        }
    };
    println!("{rate:.0} payments a second for {}, {} of 100 pay", humantime::format_duration(time), flags.paying);
    let soaked =
        soak::soak(rig, soak::Options { time, rate: Some(rate), paying: flags.paying }, |line| println!("{line}"))?;
    println!("{:?}: {}; {:.0} payments a second were settled", soaked.verdict, soaked.words, soaked.rate_held);
    save(&flags.json_file, &soaked)?;
    Ok(match soaked.verdict {
        Verdict::Flat => ExitCode::SUCCESS,
        Verdict::Grows => ExitCode::from(SHORT),
        Verdict::Inconclusive => ExitCode::from(INCONCLUSIVE),
        Verdict::Broken => ExitCode::FAILURE,
    })
}

fn chosen(only: &[String]) -> Result<Vec<Scenario>, PerfError> {
    let unknown = only.iter().find(|name| !Scenario::ALL.iter().any(|scenario| scenario.name == name.as_str()));
    if let Some(name) = unknown {
        let names = Scenario::ALL.map(|scenario| scenario.name).join(", ");
        return Err(PerfError::broken(format!("--only {name}: there are {names}")));
    }
    let wanted = |scenario: &Scenario| only.is_empty() || only.iter().any(|name| name == scenario.name);
    Ok(Scenario::ALL.into_iter().filter(wanted).collect())
}

fn options(flags: &Flags) -> Result<Options, PerfError> {
    let beside = std::env::current_exe().map_err(PerfError::io("finding this program"))?;
    let beside = |name: &str| beside.with_file_name(name);
    let server = match &flags.server {
        Some(server) => server.clone(),
        None => {
            build()?;
            beside("payrig-server")
        }
    };
    Ok(Options {
        rounds: flags.rounds.max(1),
        seconds: flags.seconds.max(1),
        steady_rounds: flags.steady_rounds.max(1),
        steady_seconds: flags.steady_seconds.max(1),
        server,
        bare: beside("bare"),
        channel: beside("payrig-channel"),
        server_core: flags.server_core,
        load_core: flags.load_core,
        folder: flags.dir.clone(),
    })
}

/// `cargo run` builds this program alone: the servers are built here. Without cargo they are taken as they are.
fn build() -> Result<(), PerfError> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let arguments =
        ["build", "--release", "-p", "payrig-server", "-p", "payrig-channel", "-p", "payrig-benches", "--bins"];
    let built = Command::new(cargo).args(arguments).status().map_err(PerfError::io("starting cargo"))?;
    if built.success() { Ok(()) } else { Err(PerfError::broken("the servers were not built")) }
}

/// Keeps this process, and with it what it does between measurements, off the servers' core.
fn pin(core: usize) -> Result<(), PerfError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Err(PerfError::broken("two cores are needed: one for the server, one for wrk"));
    }
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    let pinned = rustix::thread::sched_setaffinity(None, &set);
    pinned.map_err(|error| PerfError::Io { what: format!("moving to core {core}"), source: error.into() })
}

fn write(flags: &Flags, sync_latency: [SyncLatency; 2], figures: &[Figure]) -> Result<(), PerfError> {
    let results = Results {
        schema_version: 1,
        unix_time_s: SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO).as_secs(),
        revision: first_line("git", &["describe", "--always", "--dirty"]),
        machine: machine::description(),
        wrk: first_line("wrk", &["-v"]),
        sync_latency,
        rounds: flags.rounds,
        seconds: flags.seconds,
        steady_rounds: flags.steady_rounds,
        steady_seconds: flags.steady_seconds,
        figures,
    };
    save(&flags.json_file, &results)
}

fn save(path: &Path, results: &impl Serialize) -> Result<(), PerfError> {
    let what = || PerfError::io(format!("writing {}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(what())?;
    }
    let mut json = serde_json::to_vec_pretty(results).map_err(|error| PerfError::broken(error.to_string()))?;
    json.push(b'\n');
    replace(path, &json).map_err(what())?;
    println!("all figures: {}", path.display());
    Ok(())
}

/// Writes under another name first, so that nobody finds half a file.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, content)?;
    std::fs::rename(unfinished, path)
}

/// What a program says first, for the record.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}
