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
    wrk::{Load, Script},
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
/// What may be left unsettled, beyond what was at the window's start, of what was accepted in it.
const GROWTH: f64 = 0.05;
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
}

impl Way {
    const FLOW: Self =
        Self { name: "submit, all running", connections: CONNECTIONS, polled: false, settings: &[], lead_s: LEAD_S };
    const SETTLE: Self =
        Self { name: "settled payments", connections: CONNECTIONS, polled: true, settings: &[], lead_s: LEAD_S };

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
    let settings = &["--accept", "early"];
    Ok(vec![steady(rig, &Way { settings, ..Way::FLOW })?, steady(rig, &Way { settings, ..Way::SETTLE })?])
}

/// Both with results shown before they are stored.
pub(super) fn on_query(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    let settings = &["--sync", "on-query"];
    let unqueried = Way { settings, lead_s: LEAD_UNQUERIED_S, ..Way::FLOW };
    Ok(vec![steady(rig, &unqueried)?, steady(rig, &Way { settings, ..Way::SETTLE })?])
}

fn steady(rig: &Rig, way: &Way) -> Result<Figure, PerfError> {
    let settings: String = way.settings.iter().flat_map(|setting| [" ", *setting]).collect();
    let name = format!("{}{settings}, {} connections", way.name, way.connections);
    let mut figure = Figure::new(&name, Some(way.target()));
    let data = rig.fresh_folder("steady")?;
    let ours = rig.server(&data, way.settings)?;
    let (accepted, task_id) = rig.submit_one(&ours)?;
    until_settled(&ours, SOON)?;
    let shown = Connection::open(ours.address)?.get(&format!("/v1/pay-tasks/{task_id}"))?;
    let bare = bare(rig, way, &shown.canned(), &accepted.canned())?;
    let measure_bare = || measure_bare(rig, way, &bare, &task_id);
    let mut before = measure_bare()?;
    for _ in 0..rig.options.steady_rounds {
        let ours = measure_ours(rig, way, &ours)?;
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

/// A steady window within a longer load. What counts is what was both accepted and settled in it.
fn measure_ours(rig: &Rig, way: &Way, server: &Server) -> Result<Side, PerfError> {
    let (tag, poll_after) = (rig.tag(), POLL_AFTER_S.to_string());
    let lead_s = way.lead_s + if way.polled { POLL_AFTER_S } else { 0 };
    let steady_s = rig.options.steady_seconds;
    let load = Load {
        address: server.address,
        connections: way.connections,
        // A little longer than needed: the window closes under load.
        seconds: lead_s + steady_s + 1,
        script: if way.polled { Script::Settle } else { Script::Submit },
        arguments: &[tag.as_str(), if way.polled { &poll_after } else { "" }],
    };
    let running = rig.wrk.start(&load)?;
    thread::sleep(Duration::from_secs(lead_s));
    let window = Window::open(server.pid(), LoadProcess::Running(running.pid()))?;
    let from = Counts::read(server)?;
    thread::sleep(Duration::from_secs(steady_s));
    let machine = window.close()?;
    let to = Counts::read(server)?;
    let counted = running.finish()?;
    until_settled(server, SOON)?;

    let (accepted, settled) = (to.accepted - from.accepted, to.settled - from.settled);
    let grown = to.unsettled() - from.unsettled();
    if grown > accepted * GROWTH {
        return Err(PerfError::broken(format!(
            "of {accepted} submissions in {steady_s} s {grown} were left unsettled: that is no steady rate"
        )));
    }
    if way.polled {
        let queries = to.queries - from.queries;
        let unsettled = counted.unsettled as f64 / counted.polled.max(1) as f64;
        if queries < settled * (1.0 - GROWTH) || unsettled > UNSETTLED {
            return Err(PerfError::broken(format!(
                "{queries} queries for {settled} payments, {unsettled:.3} of them before it was settled"
            )));
        }
    }
    let done = accepted.min(settled);
    Ok(Side::new(done, done / (to.at - from.at).as_secs_f64(), machine))
}
