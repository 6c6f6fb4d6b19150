//! Queries: of ids in the result cache, and of ids that only the store knows.

use std::{fs, path::Path, time::Duration};

use super::{Rig, in_turn, submit_order, until_settled};
use crate::{
    child::Server,
    client::{Connection, Metrics, Reply},
    error::PerfError,
    report::{Figure, Side},
    wrk::{Load, Script},
};

const CONNECTIONS: usize = 64;
/// Ids that are asked for in turn while they are cached: so few that the one look at the store that each causes after
/// 5 s is lost among the hits.
const CACHED: usize = 200;
/// An entry that is not final is believed for 5 s; ids come round later than that.
const ROUND_TRIP_S: f64 = 5.5;
/// What ours reaches at most, of the bare server's rate: so many ids are needed.
const AT_MOST: f64 = 0.9;
/// The share of queries that may go the other way.
const STRAYS: f64 = 0.01;

/// A query that hits the cache.
pub(super) fn cache(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    let mut figure = Figure::new("query, cache hit, 64 connections", Some(0.85));
    let data = rig.fresh_folder("cache")?;
    let ours = rig.server(&data, &[])?;
    let ids = rig.options.folder.join("cached-ids");
    let ids_text = ids.display().to_string();
    fill(rig, &ours, &ids, CACHED)?;
    let sample = sample_query(&ours, &ids)?.canned();
    let bare = rig.bare(&sample, &sample)?;
    let load = |server: &Server| Load {
        address: server.address,
        connections: CONNECTIONS,
        seconds: rig.options.seconds,
        script: Script::Query,
        arguments: &[],
    };
    for round in 0..rig.options.rounds {
        let arguments = [ids_text.as_str(), "0"];
        let measure_ours = || {
            // Entries live 30 s: each round has its own.
            fill(rig, &ours, &ids, CACHED)?;
            let before = Metrics::read(ours.address)?;
            let side = rig.measure(&ours, &Load { arguments: &arguments, ..load(&ours) })?;
            went(&ours, &before, "payrig_cache_misses_total")?;
            Ok(side)
        };
        let measure_bare = || rig.measure(&bare, &Load { arguments: &arguments, ..load(&bare) });
        let (ours, bare) = in_turn(round, measure_ours, measure_bare)?;
        figure.push(ours, bare);
    }
    Ok(vec![figure])
}

/// A query that hits the store: each round starts the server afresh on a filled folder and asks for each id once in 5 s,
/// in no order.
pub(super) fn store(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    let mut figure = Figure::new("query, store hit, 64 connections", Some(0.7));
    let data = rig.fresh_folder("store")?;
    let ids = rig.options.folder.join("stored-ids");
    let ids_text = ids.display().to_string();
    let filling = rig.server(&data, &[])?;
    fill(rig, &filling, &ids, 1)?;
    let sample = sample_query(&filling, &ids)?.canned();
    let bare = rig.bare(&sample, &sample)?;
    let first_ids = [ids_text.as_str(), "0"];
    let load = |server: &Server| Load {
        address: server.address,
        connections: CONNECTIONS,
        seconds: rig.options.seconds,
        script: Script::Query,
        arguments: &[],
    };
    let calibration = rig.measure(&bare, &Load { arguments: &first_ids, seconds: 2, ..load(&bare) })?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of ids")]
    let wanted = (calibration.capacity() * AT_MOST * ROUND_TRIP_S) as usize;
    fill(rig, &filling, &ids, wanted)?;
    filling.stop()?;
    shuffle(&ids)?;
    figure.note(format!("{wanted} ids in no order, the server started afresh for each round"));
    for round in 0..rig.options.rounds {
        let start = (round * wanted / rig.options.rounds).to_string();
        let arguments = [ids_text.as_str(), &start];
        let measure_ours = || -> Result<Side, PerfError> {
            // Without workers nothing but queries happens: no sweep of the open tasks either.
            let ours = rig.server(&data, &["--workers", "0"])?;
            let before = Metrics::read(ours.address)?;
            // Each id once: the settling part has ids of its own, half-way round the list.
            let half_way = (round * wanted / rig.options.rounds + wanted / 2).to_string();
            let settling = [ids_text.as_str(), &half_way];
            rig.wrk.run(&Load { arguments: &settling, seconds: super::SETTLE_S, ..load(&ours) })?;
            let side = rig.measure_settled(&ours, &Load { arguments: &arguments, ..load(&ours) })?;
            went(&ours, &before, "payrig_cache_hits_total")?;
            Ok(side)
        };
        let measure_bare = || rig.measure(&bare, &Load { arguments: &arguments, ..load(&bare) });
        let (ours, bare) = in_turn(round, measure_ours, measure_bare)?;
        figure.push(ours, bare);
    }
    fs::remove_dir_all(&data).map_err(PerfError::io("removing the filled folder"))?;
    Ok(vec![figure])
}

/// Submits so many orders, waits until they are settled, and leaves their ids in a file.
fn fill(rig: &Rig, server: &Server, ids: &Path, wanted: usize) -> Result<(), PerfError> {
    const PAYERS: usize = 128;
    let payers = wanted.min(PAYERS);
    let submit = |number: usize, tag: &str| -> Result<String, PerfError> {
        let mut connection = Connection::open(server.address)?;
        let share = wanted / payers + usize::from(number < wanted % payers);
        let mut found = String::with_capacity(share * 27);
        for order in 0..share {
            found.push_str(&submit_order(&mut connection, &format!("{tag}{order:010}"))?.1);
            found.push('\n');
        }
        Ok(found)
    };
    let tags: Vec<String> = (0..payers).map(|_| rig.tag()).collect();
    let found: Result<Vec<String>, PerfError> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            tags.iter().enumerate().map(|(number, tag)| scope.spawn(move || submit(number, tag))).collect();
        let gone = |_| Err(PerfError::broken("a filling thread panicked"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(gone)).collect()
    });
    fs::write(ids, found?.concat()).map_err(PerfError::io(format!("writing {}", ids.display())))?;
    until_settled(server, Duration::from_secs(60))
}

/// A settled payment as a query shows it.
fn sample_query(server: &Server, ids: &Path) -> Result<Reply, PerfError> {
    let text = read(ids)?;
    let id = text.lines().next().unwrap_or_default();
    let reply = Connection::open(server.address)?.get(&format!("/v1/pay-tasks/{id}"))?;
    if reply.status == 200 && reply.body.contains(r#""state":"succeeded""#) {
        Ok(reply)
    } else {
        Err(PerfError::broken(format!("a settled payment reads {}: {}", reply.status, reply.body)))
    }
}

/// Checks that hardly any query went the other way (`strays` counts those).
fn went(server: &Server, before: &Metrics, strays: &str) -> Result<(), PerfError> {
    let after = Metrics::read(server.address)?;
    let since = |name: &str| -> Result<f64, PerfError> { Ok(after.get(name)? - before.get(name)?) };
    let all = since("payrig_cache_hits_total")? + since("payrig_cache_misses_total")?;
    let strayed = since(strays)?;
    if all < 1.0 || strayed / all > STRAYS {
        return Err(PerfError::broken(format!("of {all} queries {strayed} went the other way ({strays})")));
    }
    Ok(())
}

/// Puts the lines of a file in no order, the same every time.
fn shuffle(path: &Path) -> Result<(), PerfError> {
    let text = read(path)?;
    let mut lines: Vec<&str> = text.lines().collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for at in (1..lines.len()).rev() {
        // xorshift: good enough for no order.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of a usize")]
        let other = (state % (at as u64 + 1)) as usize;
        lines.swap(at, other);
    }
    let mut shuffled = lines.join("\n");
    shuffled.push('\n');
    fs::write(path, shuffled).map_err(PerfError::io(format!("writing {}", path.display())))
}

fn read(path: &Path) -> Result<String, PerfError> {
    fs::read_to_string(path).map_err(PerfError::io(format!("reading {}", path.display())))
}
