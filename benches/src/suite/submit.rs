//! Submissions that are accepted and stay there: what durability costs by itself.

use super::{Rig, in_turn};
use crate::{
    child::Server,
    error::PerfError,
    report::Figure,
    wrk::{Load, Script},
};

/// Accepted tasks wait in the queue for workers that never come: it has to hold them all.
const QUEUE: &str = "8000000";

/// Durable submit alone, at both numbers of connections.
pub(super) fn accept(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    Ok(vec![alone(rig, 64, false, Some(0.5))?, alone(rig, 256, false, Some(0.55))?])
}

/// The same with an idempotency key each, which is one document more.
pub(super) fn with_key(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    Ok(vec![alone(rig, 64, true, None)?, alone(rig, 256, true, None)?])
}

fn alone(rig: &Rig, connections: usize, key: bool, target: Option<f64>) -> Result<Figure, PerfError> {
    let with = if key { " with a key" } else { "" };
    let mut figure = Figure::new(&format!("durable submit alone{with}, {connections} connections"), target);
    let data = rig.fresh_folder("accept")?;
    let ours = rig.server(&data, &["--workers", "0", "--queue-capacity", QUEUE])?;
    let sample = rig.submit_one(&ours)?.0.canned();
    let bare = rig.bare(&sample, &sample)?;
    let measure = |server: &Server| {
        // Two loads, settling and measured, must not repeat each other's order numbers.
        let kind = if key { "key" } else { "-" };
        let (settling, measured) = (rig.tag(), rig.tag());
        let (settling, measured) = ([settling.as_str(), kind], [measured.as_str(), kind]);
        let load = |seconds, arguments| {
            let address = server.address;
            Load { address, connections, seconds, script: Script::Submit, arguments }
        };
        rig.wrk.run(&load(super::SETTLE_S, &settling))?;
        rig.measure_settled(server, &load(rig.options.seconds, &measured))
    };
    for round in 0..rig.options.rounds {
        let (ours, bare) = in_turn(round, || measure(&ours), || measure(&bare))?;
        figure.push(ours, bare);
    }
    Ok(figure)
}
