//! Queries: of ids in the result cache, and of ids that only the store knows.

use std::{fs, path::Path, time::Duration};

use super::{Rig, in_turn, submit_order, until_quiet, until_settled};
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
/// Ids that only the store knows: far more than the result cache holds, with tables of their own on the disk.
const STORED: usize = 100_000;
/// Ids that the cache knows and no longer believes: more than are asked for in [`AGAIN_S`], so that none comes twice.
const AGAIN: usize = 120_000;
/// What the ids last for.
const AGAIN_S: u64 = 2;
/// After it the server looks at the store again for a payment that awaits its payer.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// Entries of the result cache while they are asked for.
const CACHE: &str = "1000";
/// The share of queries that may go the other way.
const STRAYS: f64 = 0.01;

/// A query that hits the cache.
pub(super) fn cache(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    let mut figure = Figure::new(&format!("query, cache hit, {CONNECTIONS} connections"), Some(0.85));
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

/// A query of a payment that awaits its payer, of which the cache's entry is too old to be believed: it is looked up in
/// the store whether the payment has ended. Of a payer who polls, every other query is one.
pub(super) fn again(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    let mut figure = Figure::new(&format!("query, store asked again, {CONNECTIONS} connections"), Some(0.7));
    let data = rig.fresh_folder("again")?;
    let ours = rig.server(&data, &["--cache-capacity", "1000000"])?;
    let ids = rig.options.folder.join("again-ids");
    let ids_text = ids.display().to_string();
    fill(rig, &ours, &ids, 1)?;
    let sample = sample_query(&ours, &ids)?.canned();
    let bare = rig.bare(&sample, &sample)?;
    let arguments = [ids_text.as_str(), "0"];
    let load = |server: &Server| Load {
        address: server.address,
        connections: CONNECTIONS,
        seconds: AGAIN_S,
        script: Script::Query,
        arguments: &arguments,
    };
    for round in 0..rig.options.rounds {
        let measure_ours = || {
            fill(rig, &ours, &ids, AGAIN)?;
            std::thread::sleep(BELIEVED_FOR);
            let before = Metrics::read(ours.address)?;
            let side = rig.measure_settled(&ours, &load(&ours))?;
            went(&ours, &before, "payrig_cache_hits_total")?;
            Ok(side)
        };
        let (ours, bare) = in_turn(round, measure_ours, || rig.measure_settled(&bare, &load(&bare)))?;
        figure.push(ours, bare);
    }
    Ok(vec![figure])
}

/// A query that hits the store, of ids in the order of their submission and in none. The server is started afresh on the
/// filled folder, and its cache holds so little that an id is long gone when it comes round.
pub(super) fn store(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    let data = rig.fresh_folder("store")?;
    let ids = rig.options.folder.join("stored-ids");
    let filling = rig.server(&data, &[])?;
    fill(rig, &filling, &ids, STORED)?;
    let sample = sample_query(&filling, &ids)?.canned();
    filling.stop()?;
    let bare = rig.bare(&sample, &sample)?;
    // Without workers nothing but queries happens: no sweep of the open tasks either.
    let ours = rig.server(&data, &["--workers", "0", "--cache-capacity", CACHE])?;
    until_quiet(&ours)?;
    let in_order = stored(rig, &ours, &bare, &ids, "in order of submission")?;
    shuffle(&ids)?;
    let in_no_order = stored(rig, &ours, &bare, &ids, "in no order")?;
    drop(ours);
    fs::remove_dir_all(&data).map_err(PerfError::io("removing the filled folder"))?;
    Ok(vec![in_order, in_no_order])
}

fn stored(rig: &Rig, ours: &Server, bare: &Server, ids: &Path, order: &str) -> Result<Figure, PerfError> {
    let mut figure = Figure::new(&format!("query, store hit, {order}, {CONNECTIONS} connections"), Some(0.7));
    let (mut our_cycle, mut bare_cycle) = (Cycle { rig, ids, at: 0 }, Cycle { rig, ids, at: 0 });
    for round in 0..rig.options.rounds {
        let measure_ours = || {
            our_cycle.turn(ours, super::SETTLE_S)?;
            let before = Metrics::read(ours.address)?;
            let side = our_cycle.turn(ours, rig.options.seconds)?;
            went(ours, &before, "payrig_cache_hits_total")?;
            Ok(side)
        };
        let measure_bare = || {
            bare_cycle.turn(bare, super::SETTLE_S)?;
            bare_cycle.turn(bare, rig.options.seconds)
        };
        let (ours, bare) = in_turn(round, measure_ours, measure_bare)?;
        figure.push(ours, bare);
    }
    Ok(figure)
}

/// Ids that come round in the same order, each load going on where the last one stopped.
struct Cycle<'a> {
    rig: &'a Rig,
    ids: &'a Path,
    at: usize,
}

impl Cycle<'_> {
    fn turn(&mut self, server: &Server, seconds: u64) -> Result<Side, PerfError> {
        let (ids, at) = (self.ids.display().to_string(), self.at.to_string());
        let arguments = [ids.as_str(), &at];
        let (address, script) = (server.address, Script::Query);
        let load = Load { address, connections: CONNECTIONS, seconds, script, arguments: &arguments };
        let side = self.rig.measure_settled(server, &load)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
        let asked = side.count as usize;
        self.at += asked + CONNECTIONS;
        Ok(side)
    }
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
