//! `kill -9` of the server and of the channel, each a process of its own, at random instants and with a channel that loses
//! answers and notifications, sends others twice, late and out of order, and is out once for 10 s. In the end the money is
//! checked in the server's books and in the channel's.
//!
//! `PAYRIG_KILLS` sets how many of each (`server/scripts/kill-many.sh kill_channel 20` is the long run), `PAYRIG_PAYERS` how
//! many pay at once, `PAYRIG_SEED` repeats a run's choices. Money on closed payments: `kill_refunds.rs`.

mod kill_support;

use std::{thread, time::Duration};

use kill_support::{
    channel::{Place, free},
    journey::Intent,
    load::Load,
    number, seed,
    server::{Server, Starting, command_on},
    verdict::{Judge, judge},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// How long the one outage lasts.
const OUTAGE: Duration = Duration::from_secs(10);

/// Full of faults.
fn profile(seed: u64, more: &str) -> String {
    let seed = seed % 1_000_000;
    format!(
        "latency=lognormal(p50=4ms,p99=80ms),transient=5%,permanent=1%,lost-answer=5%,\
         notify=lognormal(p50=10ms,p99=500ms),notify-duplicate=20%,notify-lost=5%,notify-reorder=10%/1s,\
         notify-late=2%/5s,seed={seed}{more}"
    )
}

#[test]
fn no_promise_is_broken_by_kills_of_server_or_channel() {
    let seed = seed();
    let (kills, payers) = (number("PAYRIG_KILLS", 4), number("PAYRIG_PAYERS", 40));
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let place = Place::new(folder.path());
    // The channel sends notifications where the server was when it signed the parameters.
    let listen = free().to_string();
    let start = |more: &[&str]| {
        let mut command = command_on(&listen, &data, more);
        command.args(place.flags());
        command
    };

    let mut channel = place.start(&profile(seed, ""));
    let mut server = Server::start(start(&[]));
    let load = Load::start_with_channel(payers, seed, Intent::random);
    load.channel_up(channel.address);
    load.up(server.address);
    let (mut servers, mut channels) = (0, 0);
    while servers < kills || channels < kills {
        // The instant of the kill is what is random here.
        thread::sleep(Duration::from_millis(random.random_range(20..1_500)));
        if channels >= kills || (servers < kills && random.random_bool(0.5)) {
            servers += 1;
            server.kill();
            server = Server::start(start(&[]));
            load.up(server.address);
        } else {
            channels += 1;
            channel.kill();
            // Some of the kills strike while it opens its ledger.
            if random.random_bool(0.2) {
                let starting: Starting = place.spawn(&profile(seed, ""));
                thread::sleep(Duration::from_millis(random.random_range(0..50)));
                starting.kill();
            }
            channel = place.start(&profile(seed.wrapping_add(channels), ""));
            load.channel_up(channel.address);
        }
    }
    channel.kill();
    channel = place.start(&profile(seed, ",outage=0s..10s"));
    load.channel_up(channel.address);
    thread::sleep(OUTAGE);
    let mut told = load.finish();
    server.kill();
    channel.kill();

    let quiet = place.start("quiet");
    let books = Judge { start: &|more| start(more), channel: Some(place.admin_url()) };
    let figures = judge(&books, &mut told);
    quiet.kill();
    println!("kills of each {kills}, seed {seed}, findings 0: {figures:?}");
    let is_load = figures.accepted > 0 && figures.paid > 0 && figures.closed > 0;
    assert!(is_load, "there was hardly any load: {figures:?}");
}
