//! SIGTERM under load: everything that was accepted is whole, everything that was under way is stored, exit code 0; and
//! what a second signal and the deadline do.

mod kill_support;

use std::{collections::HashSet, net::TcpStream, path::Path, thread, time::Duration};

use kill_support::{
    journey::Intent,
    load::{Load, Told},
    seed,
    server::{Server, command},
    verdict::{Figures, judge_alone},
};
use payrig_audit::{Books, Moment, books::OutcomeState, check};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

/// Slow enough that attempts are under way at any moment.
const CHANNEL: &str =
    "simulated:latency=lognormal(p50=30ms,p99=300ms),transient=0%,permanent=0%,lost-answer=0%,notify=50ms";

/// Orders that wait for a retry when the signal comes say so in their number.
const RETRIES: &str = "-retries";

/// What is not asked to fail does not: so each open round tells by its order whether it may wait for a retry.
fn intent(random: &mut StdRng, order_no: &str) -> Intent {
    let mut intent = Intent::random(random, order_no);
    let retries = random.random_bool(0.3);
    let suffix = if retries { RETRIES } else { "" };
    intent.body["order_no"] = json!(format!("{order_no}{suffix}"));
    intent.body["simulate"] = json!({ "fail_first": u8::from(retries) * 2 });
    intent.body["task_info"] = json!({ "need_retry": true, "retry_times": 3 });
    intent
}

/// With `--sync on-query` a cancellation may win over a success that was shown: that is known, and not looked at here.
fn without_cancelling(random: &mut StdRng, order_no: &str) -> Intent {
    Intent { cancels_after: None, ..intent(random, order_no) }
}

/// Loads a server until some moment, ends it with SIGTERM, and gives its exit code and what the payers saw.
fn drained(data: &Path, random: &mut StdRng, seed: u64, arguments: &[&str]) -> (Option<i32>, Told, String) {
    let load = Load::start(40, seed, if arguments.is_empty() { intent } else { without_cancelling });
    let mut server = Server::start(command(data, &[&["--channel", CHANNEL], arguments].concat()));
    load.up(server.address);
    server.until_busy();
    // The instant of the signal is what is random here; but something shall wait for a retry then.
    thread::sleep(Duration::from_millis(random.random_range(500..2_500)));
    server.until(|admin| admin.counts().expect("the books can be read").queue_delayed > 3);
    server.terminate();
    let status = server.wait();
    (status.code(), load.give_up(), server.log())
}

/// The books as the next start finds them: one that accepts only and sweeps nothing.
fn books(data: &Path) -> Books {
    let server = Server::start(command(data, &["--workers", "0"]));
    let books = server.admin.books().expect("the books can be read");
    server.kill();
    books
}

#[test]
fn sigterm_under_load_leaves_nothing_half_done() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    for arguments in [&[] as &[&str], &["--sync", "on-query"]] {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let (code, mut told, log) = drained(&data, &mut random, seed, arguments);
        assert_eq!(code, Some(0), "{log}");
        let books = books(&data);
        println!("{arguments:?}, seed {seed}: {:?}", Figures::of(&told, &books));
        let findings = check(&books, &told.seen, Moment::Drained);
        assert!(findings.is_empty(), "{arguments:?}: {findings:#?}\n{log}");
        only_retries_wait(&books);
        // The default promises more, and so more is looked at: the next start takes everything up.
        if arguments.is_empty() {
            judge_alone(&data, &mut told);
        }
    }
}

/// There is no outcome to write but of rounds that wait for a retry.
fn only_retries_wait(books: &Books) {
    let settled: HashSet<_> = books.pay_tasks.iter().map(|outcome| outcome.round_id()).collect();
    let unsettled: Vec<_> = books.open_tasks.iter().filter(|open| !settled.contains(&open.round_id())).collect();
    for open in &unsettled {
        assert!(open.task.order_no.ends_with(RETRIES), "{} has no outcome and waits for no retry", open.round_id());
    }
    let succeeded = books.pay_tasks.iter().filter(|outcome| outcome.state == OutcomeState::Succeeded).count();
    assert!(succeeded > 0 && !unsettled.is_empty(), "the signal came when nothing was under way");
}

/// A server with one attempt under way that takes much longer than anybody waits.
fn busy(data: &Path, arguments: &[&str]) -> (Server, Load) {
    let load = Load::start(1, 1, |random, order_no| {
        let mut intent = Intent::random(random, order_no);
        intent.body["channel"] = json!("wechat");
        intent.body["simulate"] = json!({ "latency_ms": 60_000 });
        (intent.double_click, intent.rival, intent.cancels_after) = (false, false, None);
        intent
    });
    let server = Server::start(command(data, &[&["--channel", "simulated:quiet"], arguments].concat()));
    load.up(server.address);
    // Not before the attempt is under way: the books tell.
    server.until(|admin| admin.counts().expect("the books can be read").queue_unacknowledged > 0);
    (server, load)
}

#[test]
fn a_second_signal_stops_at_once_and_says_what_it_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let (mut server, load) = busy(&data, &["--drain-timeout", "10m"]);
    server.terminate();
    // It has heard the first when it listens no more.
    server.until(|_| TcpStream::connect(server.address).is_err());
    server.terminate();
    let (status, log) = (server.wait(), server.log());
    assert_eq!(status.code(), Some(130), "{log}");
    assert!(log.contains("stopped at once; left: 0 queued, 0 waiting for a retry, 1 attempts under way"), "{log}");
    found_again(&data, &load.give_up());
}

#[test]
fn a_drain_ends_at_its_deadline_and_says_what_it_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let (mut server, load) = busy(&data, &["--drain-timeout", "300ms"]);
    server.terminate();
    let (status, log) = (server.wait(), server.log());
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("the time to drain is over; left: 0 queued, 0 waiting for a retry, 1 attempts"), "{log}");
    found_again(&data, &load.give_up());
}

/// What was left is whole and waits for the next start.
fn found_again(data: &Path, told: &Told) {
    let books = books(data);
    assert_eq!(check(&books, &told.seen, Moment::Drained), []);
    assert_eq!((books.open_tasks.len(), books.pay_tasks.len()), (1, 0));
}
