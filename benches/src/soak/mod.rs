//! The soak: a constant rate for minutes, payers who pay or abandon, and the server's memory, which must stay flat.

use std::{
    fmt::Write as _,
    path::Path,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    child::Server,
    client::Metrics,
    disk,
    error::PerfError,
    figures::{Slope, slope},
    machine,
    suite::Rig,
};

mod connection;
mod payers;

use payers::{Counts, Plan};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);
/// Caches, memtables and queues fill in the beginning.
const FILLING: Duration = Duration::from_secs(120);
/// How long what can be reached is looked for.
const REACHING: Duration = Duration::from_mins(1);
/// What a payment may leave in memory: filters and indexes of the store's tables grow with its disk.
const FLAT_BYTES: f64 = 32.0;
/// What may be missing of the planned rate.
const HELD: f64 = 0.98;

/// How to soak.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For so long.
    pub time: Duration,
    /// Payments a second; nothing: as many as the server takes.
    pub rate: Option<f64>,
    /// So many of a hundred pay.
    pub paying: u64,
}

/// One look.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Look {
    /// Since the start.
    pub seconds: f64,
    /// Payments accepted, by the server's count.
    pub accepted: f64,
    /// Payments settled, by the server's count.
    pub settled: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Entries of the result cache.
    pub cache_entries: f64,
    /// Messages that wait in the task queue.
    pub queue_waiting: f64,
    /// Documents that wait for a commit.
    pub store_waiting: f64,
    /// The data folder.
    pub disk_bytes: u64,
    /// Requests of the payers that wait for a connection.
    pub payers_behind: u64,
}

/// What the memory did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It stayed flat.
    Flat,
    /// It grew with every payment.
    Grows,
    /// The samples scatter too much to say.
    Inconclusive,
    /// The rate was not held, or a reply was not as it should be: the memory says nothing.
    Broken,
}

/// A soak and its outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Soaked {
    /// Payments a second, as planned.
    pub rate: Option<f64>,
    /// As reached after the beginning.
    pub rate_held: f64,
    /// Bytes of resident memory a payment, after the beginning.
    pub growth: Option<Slope>,
    /// Every look.
    pub looks: Vec<Look>,
    /// What the memory did.
    pub verdict: Verdict,
    /// Why, in words.
    pub words: String,
}

/// Soaks a fresh server; `say` gets a line a look.
///
/// # Errors
/// Where the server does not start, dies, or does not drain.
pub fn soak(rig: &Rig, options: Options, mut say: impl FnMut(&str)) -> Result<Soaked, PerfError> {
    let data = rig.fresh_folder("soak")?;
    let server = rig.server(&data, &[])?;
    let counts = Arc::new(Counts::default());
    let stop = AtomicBool::new(false);
    let plan = Plan { server: server.address, rate: options.rate, paying: options.paying, tag: rig.tag() };
    let looks = thread::scope(|scope| {
        let payers = scope.spawn(|| payers::run(plan, Arc::clone(&counts), &stop));
        say(HEAD);
        let looks = watch(&server, &data, &counts, options.time, &mut say);
        stop.store(true, Relaxed);
        match payers.join() {
            Ok(Ok(())) => looks,
            Ok(Err(error)) => Err(PerfError::Io { what: "running the payers".to_owned(), source: error }),
            Err(_) => Err(PerfError::broken("the payers panicked")),
        }
    })?;
    server.stop()?;
    std::fs::remove_dir_all(&data).map_err(PerfError::io("removing the data folder"))?;
    Ok(judge(options, looks, &counts))
}

/// Payments a second that a fresh server settles of payers who send the next request when an earlier one was answered.
///
/// # Errors
/// As [`soak`].
pub fn reach(rig: &Rig, paying: u64, say: impl FnMut(&str)) -> Result<f64, PerfError> {
    Ok(soak(rig, Options { time: REACHING, rate: None, paying }, say)?.rate_held)
}

const HEAD: &str = "\
    time   accepted    settled       paid   refused  behind   RSS MiB    cache   queue  commits  disk MiB";

fn watch(
    server: &Server,
    data: &Path,
    counts: &Counts,
    time: Duration,
    say: &mut impl FnMut(&str),
) -> Result<Vec<Look>, PerfError> {
    let (began, mut looks) = (Instant::now(), Vec::new());
    let mut next = LOOK;
    while next <= time {
        thread::sleep(next.saturating_sub(began.elapsed()));
        let metrics = Metrics::read(server.address)?;
        let look = Look {
            seconds: began.elapsed().as_secs_f64(),
            accepted: metrics.get("payrig_accepted_total")?,
            settled: metrics.get_or_zero("payrig_settled_total"),
            resident_bytes: machine::resident_bytes(server.pid())?,
            cache_entries: metrics.get("payrig_cache_entries")?,
            queue_waiting: metrics.get("payrig_queue_waiting")?,
            store_waiting: metrics.get("payrig_store_waiting")?,
            disk_bytes: disk::folder_bytes(data),
            payers_behind: counts.behind.load(Relaxed),
        };
        say(&line(&look, counts));
        looks.push(look);
        next += LOOK;
    }
    Ok(looks)
}

fn line(look: &Look, counts: &Counts) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let read = |count: &AtomicU64| count.load(Relaxed);
    let mut line = format!("{:>7.0}s {:>10.0} {:>10.0}", look.seconds, look.accepted, look.settled);
    let _ = write!(line, " {:>10} {:>9} {:>7}", read(&counts.paid), read(&counts.refused), look.payers_behind);
    let _ = write!(line, " {:>9.1} {:>8.0}", mib(look.resident_bytes), look.cache_entries);
    let _ = write!(line, " {:>7.0} {:>8.0} {:>9.0}", look.queue_waiting, look.store_waiting, mib(look.disk_bytes));
    line
}

fn judge(options: Options, looks: Vec<Look>, counts: &Counts) -> Soaked {
    // In a short trial the beginning is a fifth.
    let filling = FILLING.min(options.time / 5).as_secs_f64();
    let after: Vec<&Look> = looks.iter().filter(|look| look.seconds >= filling).collect();
    let points: Vec<(f64, f64)> = after.iter().map(|look| (look.accepted, look.resident_bytes as f64)).collect();
    let growth = slope(&points);
    let rate_held = match (after.first(), after.last()) {
        (Some(first), Some(last)) if last.seconds > first.seconds => {
            (last.settled - first.settled) / (last.seconds - first.seconds)
        }
        _ => 0.0,
    };
    let (refused, errors) = (counts.refused.load(Relaxed), counts.errors.load(Relaxed));
    let (verdict, words) = if errors > 0 {
        let first = counts.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (
            Verdict::Broken,
            format!("{errors} replies were not as they should be; the first: {}", first.unwrap_or_default()),
        )
    } else if refused > 0 {
        (Verdict::Broken, format!("{refused} submissions were refused"))
    } else if let Some(rate) = options.rate.filter(|rate| rate_held < rate * HELD) {
        (Verdict::Broken, format!("{rate_held:.0} of {rate:.0} payments a second were settled"))
    } else {
        of_memory(growth)
    };
    Soaked { rate: options.rate, rate_held, growth, looks, verdict, words }
}

fn of_memory(growth: Option<Slope>) -> (Verdict, String) {
    let Some(Slope { value, plus_minus }) = growth else {
        return (Verdict::Inconclusive, "too few looks".to_owned());
    };
    let words = format!("{value:.1} +- {plus_minus:.1} bytes of memory a payment (95 %); flat is at most {FLAT_BYTES}");
    let verdict = if value + plus_minus <= FLAT_BYTES {
        Verdict::Flat
    } else if value - plus_minus > FLAT_BYTES {
        Verdict::Grows
    } else {
        Verdict::Inconclusive
    };
    (verdict, words)
}
