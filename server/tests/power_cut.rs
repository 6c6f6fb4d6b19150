//! A power cut under load: whatever got an answer is there when only what was synced has survived.
//!
//! `kill -9` alone keeps the page cache and would pass without a single fsync. Here the server runs under the commit
//! crate's harness, which logs all that it writes and syncs; after the kill, copies of its folder (the store's and the
//! ledger's alike, at one moment) are made as a disk would hold them. `PAYRIG_POWER_CUTS` sets how many lives there are.

mod kill_support;
#[path = "../commit/tests/powercut/mod.rs"]
mod powercut;

use std::{fs, thread, time::Duration};

use kill_support::{
    journey::Intent,
    load::Load,
    number, seed,
    server::{Server, command},
    verdict::judge_alone,
};
use powercut::{Cut, PowerCut};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const CHANNEL: &str =
    "simulated:latency=lognormal(p50=3ms,p99=50ms),transient=4%,permanent=1%,lost-answer=3%,notify=20ms";

/// In a hurry, so that there is something unsynced at almost any moment.
fn hasty(random: &mut StdRng, order_no: &str) -> Intent {
    Intent { poll_every_ms: random.random_range(1..10), ..Intent::random(random, order_no) }
}

#[test]
fn what_was_answered_survives_a_power_cut() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    for life in 0..number("PAYRIG_POWER_CUTS", 1) {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let power = PowerCut::new(&data, &folder.path().join("work")).expect("watches");
        let load = Load::start(number("PAYRIG_PAYERS", 60), seed.wrapping_add(life), hasty);
        let server = Server::start(power.arm(command(&data, &["--channel", CHANNEL])));
        load.up(server.address);
        server.until_busy();
        // The instant of the cut is what is random here.
        thread::sleep(Duration::from_millis(random.random_range(500..3_500)));
        server.kill();
        let told = load.give_up();

        let unsynced = power.unsynced_bytes().expect("replays");
        let cuts = [Cut::Synced, Cut::Random { seed: random.random() }, Cut::Random { seed: random.random() }];
        for (number, cut) in cuts.into_iter().enumerate() {
            let copy = folder.path().join(format!("copy-{number}"));
            power.cut(cut, &copy).expect("cuts");
            // Each copy is a world of its own, with the same past.
            let mut told = told.clone();
            let figures = judge_alone(&copy, &mut told);
            println!("life {life}, {cut:?}, {unsynced} B unsynced, seed {seed}, findings 0: {figures:?}");
            assert!(figures.accepted > 0, "there was no load: {figures:?}");
            fs::remove_dir_all(&copy).expect("removes");
        }
    }
}
