//! The whole flow under a steady load: submissions with everything running behind them, and settled payments.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Rig, until_settled};
use crate::{
    child::Server,
    client::{Connection, Metrics},
    error::PerfError,
    machine::{Load as LoadProcess, Window},
    reply::CannedReply,
    report::{Figure, Side},
    wrk::{Counted, Load, Script},
};

/// Enough that batches and not round trips limit the rate.
const CONNECTIONS: usize = 256;
/// From submission to the one query.
const POLL_AFTER_S: u64 = 2;
/// Before the steady window opens.
const LEAD_S: u64 = 5;
/// The same where results that nobody queries are stored only after 25 s.
const LEAD_UNQUERIED_S: u64 = 30;
/// How soon everything is settled after the load has ended.
const SOON: Duration = Duration::from_secs(5);
/// The same where results that nobody queries are stored only after 25 s.
const SOON_UNQUERIED: Duration = Duration::from_secs(35);
/// What may be left unsettled, beyond what was at the window's start, of what was accepted in it.
const GROWTH: f64 = 0.05;
/// Queries that may be missing, of all: they come 2 s later than the submissions, at what was the rate then.
const BEHIND: f64 = 0.1;
/// Queries that find a payment unsettled, of all.
const UNSETTLED: f64 = 0.01;

/// One way to load the whole flow.
struct Way {
    name: &'static str,
    connections: usize,
    /// Whether payments are queried.
    polled: bool,
    settings: &'static [&'static str],
    lead_s: u64,
    /// After the load.
    soon: Duration,
    /// Whether waiting for the answer holds nobody back, so that the load has to be paced or is refused.
    paced: bool,
}

impl Way {
    const FLOW: Self = Self {
        name: "submit, all running",
        connections: CONNECTIONS,
        polled: false,
        settings: &[],
        lead_s: LEAD_S,
        soon: SOON,
        paced: false,
    };
    const SETTLE: Self = Self { name: "settled payments", polled: true, ..Self::FLOW };

    /// Requests that make a payment.
    const fn requests(&self) -> f64 {
        if self.polled { 2.0 } else { 1.0 }
    }

    const fn target(&self) -> f64 {
        if self.polled { 0.35 } else { 0.25 }
    }
}

/// Submissions with everything running behind them.
pub(super) fn flow(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    Ok(vec![steady(rig, &Way { connections: 64, ..Way::FLOW })?, steady(rig, &Way::FLOW)?])
}

/// Settled payments.
pub(super) fn settle(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    Ok(vec![steady(rig, &Way::SETTLE)?])
}

/// Both with 202 before the write.
pub(super) fn early(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    let (settings, paced) = (&["--accept", "early"], true);
    let flow = steady(rig, &Way { settings, paced, ..Way::FLOW })?;
    Ok(vec![flow, steady(rig, &Way { settings, paced, ..Way::SETTLE })?])
}

/// Both with results shown before they are stored.
pub(super) fn on_query(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    let (settings, soon) = (&["--sync", "on-query"], SOON_UNQUERIED);
    let flow = steady(rig, &Way { settings, soon, lead_s: LEAD_UNQUERIED_S, ..Way::FLOW })?;
    Ok(vec![flow, steady(rig, &Way { settings, soon, ..Way::SETTLE })?])
}

fn steady(rig: &Rig, way: &Way) -> Result<Figure, PerfError> {
    let settings: String = way.settings.iter().flat_map(|setting| [" ", *setting]).collect();
    let name = format!("{}{settings}, {} connections", way.name, way.connections);
    let mut figure = Figure::new(&name, Some(way.target()));
    let data = rig.fresh_folder("steady")?;
    let ours = rig.server(&data, way.settings)?;
    let (accepted, task_id) = rig.submit_one(&ours)?;
    until_settled(&ours, way.soon)?;
    let shown = Connection::open(ours.address)?.get(&format!("/v1/pay-tasks/{task_id}"))?;
    let bare = bare(rig, way, &shown.canned(), &accepted.canned())?;
    let measure_bare = || measure_bare(rig, way, &bare, &task_id);
    let mut pace = if way.paced { Some(pace(rig, way, &ours)?) } else { None };
    let mut before = measure_bare()?;
    for _ in 0..rig.options.steady_rounds {
        let ours = measure_ours(rig, way, &ours, &mut pace)?;
        let after = measure_bare()?;
        figure.push(ours, Side::mean(&before, &after));
        before = after;
    }
    ours.stop()?;
    std::fs::remove_dir_all(&data).map_err(PerfError::io("removing the data folder"))?;
    Ok(figure)
}

fn bare(rig: &Rig, way: &Way, shown: &CannedReply, accepted: &CannedReply) -> Result<Server, PerfError> {
    if way.polled && shown.status != 200 {
        return Err(PerfError::broken(format!("a settled payment reads {}", shown.status)));
    }
    rig.bare(shown, accepted)
}

/// The bare server's requests; where payments are queried, half of them are, and two make a payment.
fn measure_bare(rig: &Rig, way: &Way, server: &Server, task_id: &str) -> Result<Side, PerfError> {
    let tag = rig.tag();
    let load = Load {
        address: server.address,
        connections: way.connections,
        seconds: rig.options.seconds,
        script: if way.polled { Script::Mixed } else { Script::Submit },
        arguments: &[tag.as_str(), task_id],
    };
    let side = rig.measure(server, &load)?;
    Ok(if way.polled { side.divided(2.0) } else { side })
}

/// Counts of the server at one moment.
struct Counts {
    at: Instant,
    accepted: f64,
    settled: f64,
    queries: f64,
}

impl Counts {
    fn read(server: &Server) -> Result<Self, PerfError> {
        let metrics = Metrics::read(server.address)?;
        Ok(Self {
            at: Instant::now(),
            accepted: metrics.get("payrig_accepted_total")?,
            settled: metrics.get_or_zero("payrig_settled_total"),
            queries: metrics.get_or_zero("payrig_cache_hits_total") + metrics.get_or_zero("payrig_cache_misses_total"),
        })
    }

    fn unsettled(&self) -> f64 {
        self.accepted - self.settled
    }
}

/// Requests a second that nobody is refused at, found from above.
fn pace(rig: &Rig, way: &Way, server: &Server) -> Result<f64, PerfError> {
    const PROBE_S: u64 = 6;
    let flat_out = window(rig, way, server, None, PROBE_S)?;
    let mut pace = Some(flat_out.side.rate * way.requests() * 1.2);
    loop {
        let probe = window(rig, way, server, pace, PROBE_S)?;
        match (probe.unsteady, pace) {
            (None, Some(pace)) => return Ok(pace),
            (Some(why), _) => slower(&mut pace, why)?,
            (None, None) => {}
        }
    }
}

fn slower(pace: &mut Option<f64>, why: String) -> Result<(), PerfError> {
    const STEP: f64 = 0.95;
    /// Slower than that is no pace.
    const LEAST: f64 = 100.0;
    match pace {
        Some(pace) if *pace > LEAST => {
            *pace *= STEP;
            Ok(())
        }
        _ => Err(PerfError::Broken(why)),
    }
}

/// A steady window; a paced load goes slower until it is one.
fn measure_ours(rig: &Rig, way: &Way, server: &Server, pace: &mut Option<f64>) -> Result<Side, PerfError> {
    loop {
        let window = window(rig, way, server, *pace, rig.options.steady_seconds)?;
        match window.unsteady {
            None => return Ok(window.side),
            Some(why) => slower(pace, why)?,
        }
    }
}

/// What came of a window.
struct Seen {
    side: Side,
    /// Why it was not steady, if it was not.
    unsteady: Option<String>,
}

/// A window within a longer load. What counts is what was both accepted and settled in it.
fn window(rig: &Rig, way: &Way, server: &Server, pace: Option<f64>, seconds: u64) -> Result<Seen, PerfError> {
    let (tag, poll_after, pace) = (rig.tag(), POLL_AFTER_S.to_string(), pace.unwrap_or(0.0).to_string());
    let lead_s = way.lead_s + if way.polled { POLL_AFTER_S } else { 0 };
    let load = Load {
        address: server.address,
        connections: way.connections,
        // A little longer than needed: the window closes under load.
        seconds: lead_s + seconds + 1,
        script: if way.polled { Script::Settle } else { Script::Submit },
        arguments: &[tag.as_str(), if way.polled { &poll_after } else { "-" }, &pace],
    };
    let running = rig.wrk.start(&load)?;
    thread::sleep(Duration::from_secs(lead_s));
    let window = Window::open(server.pid(), LoadProcess::Running(running.pid()))?;
    let from = Counts::read(server)?;
    thread::sleep(Duration::from_secs(seconds));
    let machine = window.close()?;
    let to = Counts::read(server)?;
    let counted = running.finish()?;
    until_settled(server, way.soon)?;
    let done = (to.accepted - from.accepted).min(to.settled - from.settled);
    let side = Side::new(done, done / (to.at - from.at).as_secs_f64(), machine);
    Ok(Seen { side, unsteady: unsteady(way, &from, &to, counted) })
}

/// Why a window says nothing about a steady rate, if it does not.
fn unsteady(way: &Way, from: &Counts, to: &Counts, counted: Counted) -> Option<String> {
    if let Err(error) = counted.without_errors() {
        return Some(error.to_string());
    }
    let (accepted, settled) = (to.accepted - from.accepted, to.settled - from.settled);
    let grown = to.unsettled() - from.unsettled();
    if grown > accepted * GROWTH {
        return Some(format!("of {accepted} submissions {grown} were left unsettled at the end of the window"));
    }
    if !way.polled {
        return None;
    }
    let queries = to.queries - from.queries;
    let unsettled = counted.unsettled as f64 / counted.polled.max(1) as f64;
    (queries < settled * (1.0 - BEHIND) || unsettled > UNSETTLED)
        .then(|| format!("{queries} queries for {settled} payments, {unsettled:.3} of them before it was settled"))
}
