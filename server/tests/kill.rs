//! `kill -9` under load at random instants, each followed by a restart on the same folder; in the end the money is checked.
//!
//! `PAYRIG_KILLS` sets how many (`server/scripts/kill-many.sh` does more), `PAYRIG_PAYERS` how many pay at once;
//! `PAYRIG_SEED` repeats a run's choices (not its timing); `PAYRIG_SERVER_ARGUMENTS` adds to the server's. With
//! `--sync on-query` or `--accept early` there it should fail: that is what the two switches cost.

mod kill_support;

use std::{thread, time::Duration};

use kill_support::{
    journey::Intent,
    load::Load,
    number, seed,
    server::{Server, Starting, command},
    verdict::judge_alone,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Quick, and full of faults.
fn channel(seed: u64) -> String {
    let seed = seed % 1_000_000;
    format!(
        "simulated:latency=lognormal(p50=4ms,p99=80ms),transient=5%,permanent=1%,lost-answer=3%,\
         notify=lognormal(p50=10ms,p99=300ms),seed={seed}"
    )
}

#[test]
fn no_promise_is_broken_by_kills() {
    let seed = seed();
    let (kills, payers) = (number("PAYRIG_KILLS", 5), number("PAYRIG_PAYERS", 50));
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let more = std::env::var("PAYRIG_SERVER_ARGUMENTS").unwrap_or_default();
    let start = || {
        let mut command = command(&data, &["--channel", &channel(seed)]);
        command.args(more.split_whitespace());
        command
    };

    let load = Load::start(payers, seed, Intent::random);
    let mut in_recovery = 0;
    for _ in 0..kills {
        let starting = Starting::spawn(start());
        // Some of the kills strike while the folder is opened and what was open is taken up.
        if random.random_bool(0.2) {
            in_recovery += 1;
            thread::sleep(Duration::from_millis(random.random_range(0..200)));
            starting.kill();
            continue;
        }
        let server = starting.ready();
        load.up(server.address);
        // The instant of the kill is what is random here.
        thread::sleep(Duration::from_millis(random.random_range(20..2_000)));
        server.kill();
    }
    let server = Server::start(start());
    load.up(server.address);
    let mut told = load.finish();
    server.kill();

    let figures = judge_alone(&data, &mut told);
    println!("kills {} ({in_recovery} while starting), seed {seed}, findings 0: {figures:?}", kills + 1);
    assert!(figures.accepted > 0 && figures.paid > 0, "there was hardly any load: {figures:?}");
}
