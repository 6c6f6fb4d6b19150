//! `payrig run` against a server that is there: summary, JSON, thresholds, and what is seen of a bad server.

mod rig;
mod stub;

use std::time::Duration;

use payrig_results::{Ended, JOURNEYS_FILE, read_journeys, recompute, recount};
use payrig_scenarios::JourneyRecord;
use rig::Rig;
use stub::{Behaviour, Stub};

#[test]
fn a_run_ends_with_a_summary_and_results_that_can_be_computed_again() {
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour::default()));
    let ran = rig.run(&["-H", &stub.url(), "--seed", "42", "--threshold", "p99<10s for submit"]);
    ran.expect(0);
    for words in [
        "closed model (Goose users)",
        "seed 42",
        "quick",
        &stub.url(),
        "steady phase 1.0 s",
        "p99.9",
        "submit",
        "query_paid",
        "send lag",
        "queue_wait",
        "own",
        "settle, server's clock",
        "at least",
        "paid",
        "polls",
        "pass  p99<10s for submit",
    ] {
        ran.says(words);
    }
    let (dir, run) = (rig.results(), rig.recorded());
    ran.says(&dir.display().to_string());
    assert_eq!((run.ended, run.exit_code, run.seed), (Ended::Completed, 0, 42));
    assert_eq!(recompute(&dir, run.steady).unwrap(), run.figures);
    assert_eq!(recount(&dir, run.steady).unwrap(), run.journeys);
    let counts = &run.journeys.steady;
    assert!(counts.n > 20 && counts.outcomes["paid"] > counts.n / 2, "{counts:?}");
    assert!(!counts.outcomes.contains_key("unfinished") && counts.violations.is_empty(), "{counts:?}");
    let (submits, all) = (run.figures.steps["submit"].n, run.figures.all_steps.n);
    assert!(submits >= counts.accepted && all > 3 * submits, "{submits} of {all}");
    assert!((run.figures.all_steps.rate_per_s - all as f64 / (run.steady.length_us() as f64 / 1e6)).abs() < 0.01);
    assert_eq!(run.steady.length_us(), 1_000_000);
}

#[test]
fn json_is_all_that_stands_on_stdout_and_quiet_is_quiet() {
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour::default()));
    let ran = rig.run(&["-H", &stub.url(), "--json", "-q"]);
    ran.expect(0);
    assert_eq!(ran.stderr, "");
    let run: payrig_results::Run = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(run, rig.recorded());
}

#[test]
fn progress_goes_to_stderr_and_the_summary_to_stdout() {
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour::default()));
    let ran = rig.run(&["-H", &stub.url(), "-t", "2s"]);
    ran.expect(0).complains("--seed ").complains("8 users");
    assert!(ran.stdout.starts_with("quick  closed model"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\x1b') && !ran.stderr.contains('\x1b'));
}

#[test]
fn a_crossed_threshold_is_99_and_one_on_nothing_is_crossed() {
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour { has_cashier: false, ..Behaviour::default() }));
    let slow = rig.run(&["-H", &stub.url(), "--threshold", "p99<1us", "--threshold", "error-rate<1%"]);
    slow.expect(99).says("FAIL  p99<1us").says("pass  error-rate<1%");
    let nothing = rig.run(&["-H", &stub.url(), "--threshold", "p99<1h for pay"]);
    nothing.expect(99).says("FAIL  p99<1h for pay  (nothing was seen");
}

#[test]
fn thresholds_of_the_profile_are_judged_too() {
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour { fail_every: 10, ..Behaviour::default() }));
    let text = format!("thresholds = [\"error-rate<1%\"]\n{}", rig::QUICK);
    std::fs::write(rig.path().join("quick.toml"), text).unwrap();
    let ran = rig.run(&["-H", &stub.url()]);
    ran.expect(99).says("FAIL  error-rate<1%").says("failed").says("status 500");
    let run = rig.recorded();
    let rate = run.figures.all_steps.error_rate;
    assert!((0.05..0.2).contains(&rate), "{rate}");
    let by_kind: u64 = run.failures.values().flat_map(|endings| endings.values()).sum();
    assert_eq!(by_kind, run.figures.all_steps.errors);
}

#[test]
fn without_a_cashier_journeys_end_when_settled_and_the_report_says_so() {
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour { has_cashier: false, ..Behaviour::default() }));
    rig.run(&["-H", &stub.url()]).expect(0).says("names no cashier_url").says("settled_only");
}

#[test]
fn journeys_that_never_end_count_as_unfinished_and_hold_nobody_up() {
    let settle = Duration::from_secs(3600);
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour { settle, ..Behaviour::default() }));
    let start = std::time::Instant::now();
    rig.run(&["-H", &stub.url(), "--grace", "1s", "--warmup", "0"]).expect(0).says("unfinished");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    let run = rig.recorded();
    assert!(run.journeys.all.outcomes["unfinished"] > 0);
    assert_eq!(run.ended, Ended::Completed);
    assert!(run.journeys.all.accepted > 0, "the ids of unfinished journeys are kept");
}

#[test]
fn requests_without_a_reply_count_as_failed() {
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour { delay: Duration::from_secs(60), ..Behaviour::default() }));
    let timeout = rig.run(&["-H", &stub.url(), "--timeout", "300ms", "-t", "3s"]);
    timeout.expect(1).says("timed out").complains("nothing was measured");
    let rig = Rig::new();
    let cut = rig.run(&["-H", &stub.url(), "--grace", "300ms", "--warmup", "0"]);
    cut.expect(1).says("no reply by the end of the grace");
}

#[test]
fn a_server_that_goes_away_is_a_runtime_error_with_results() {
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour::default()));
    let child = rig.command(&["-H", &stub.url(), "-t", "3s", "--grace", "1s"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1800));
    stub.stop();
    let ran = rig::wait(child, Duration::from_secs(20));
    ran.expect(1).complains("cannot reach the server").says("no connection");
    let run = rig.recorded();
    assert!(run.figures.all_steps.n > 0 && run.figures.all_steps.errors > 0);
    assert_eq!(run.exit_code, 1);
}

#[test]
fn a_server_that_refuses_connections_is_a_runtime_error_before_anything_runs() {
    let rig = Rig::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ran = rig.run(&["-H", &url]);
    ran.expect(1).complains("cannot reach the server").complains("-H");
    assert_eq!(ran.stdout, "");
    assert_eq!(rig.folders().len(), 0);
}

#[test]
fn a_proxy_in_the_environment_is_not_measured() {
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour::default()));
    let output = rig
        .command(&["-H", &stub.url()])
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("http_proxy", "http://127.0.0.1:9")
        .output();
    rig::Ran::of(output.unwrap()).expect(0);
}

#[test]
fn the_same_seed_gives_each_user_the_same_journeys() {
    let stub = Stub::start(Behaviour::default());
    let first_journeys = |seed: &str| {
        let rig = Rig::new();
        rig.run(&["-H", &stub.url(), "--seed", seed, "-t", "2s"]).expect(0);
        let mut journeys: Vec<_> = read_journeys::<JourneyRecord>(&rig.results().join(JOURNEYS_FILE))
            .unwrap()
            .map(Result::unwrap)
            .filter(|record| record.journey < 3)
            .map(|record| (record.user, record.journey, record.scenario, record.amount_minor, record.channel))
            .collect();
        journeys.sort();
        (journeys, rig.recorded().plan_hash)
    };
    let (one, again, other) = (first_journeys("7"), first_journeys("7"), first_journeys("8"));
    assert_eq!(one.0.len(), 24);
    assert_eq!(one, again);
    assert_ne!(one, other);
}

#[test]
fn a_key_goes_with_every_call_but_the_cashiers_and_into_no_file() {
    let key = "payrig_SECRET";
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour { key: Some(key), ..Behaviour::default() }));
    let url = stub.url();
    rig.run(&["-H", &url, "--api-key", key, "--threshold", "error-rate<1%"]).expect(0).says("paid");
    let results = rig.results();
    for file in std::fs::read_dir(&results).unwrap() {
        let text = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("SECRET"), "{}", results.display());
    }
    assert!(rig.recorded().command.contains(&"***".to_owned()));
    let by_environment = Rig::new();
    let output = by_environment.command(&["-H", &url]).env("PAYRIG_API_KEY", key).output().unwrap();
    rig::Ran::of(output).expect(0);
    let without = Rig::new();
    // What is refused is an error, and a run of nothing else measured nothing.
    without.run(&["-H", &url]).expect(1).says("refused: 401 urn:payrig:problem:unauthorized");
}

#[test]
fn orders_are_steps_of_their_own_and_wrong_sums_broken_promises() {
    let (rig, stub) = (Rig::only("order"), Stub::start(Behaviour::default()));
    let ran = rig.run(&["-H", &stub.url(), "--threshold", "p99<1h for create_order", "--threshold", "p99<1h for ship"]);
    ran.expect(0).says("create_order").says("outcomes").says("shipped");
    let run = rig.recorded();
    let count = |step: &str| run.figures.steps[step].n;
    assert!(count("create_order") > 0 && count("ship") > 0 && count("order") > count("ship"));
    assert!(run.journeys.all.violations.is_empty() && run.journeys.all.outcomes["shipped"] > 0);
    let (rig, stub) = (Rig::only("order"), Stub::start(Behaviour { loses_cents: true, ..Behaviour::default() }));
    rig.run(&["-H", &stub.url()]).expect(0).says("parts_do_not_sum").says("sum to");
}
