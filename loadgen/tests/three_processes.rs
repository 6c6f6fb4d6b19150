//! Whole runs of every scenario through three processes: harness, reference server and payment channel. Outcomes come as
//! often as the profiles have it, and the books of server and channel and what the payers saw agree.

mod rig;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use payrig_api::{ChannelStyle, Currency};
use payrig_channel::keys::PlatformKeys;
use payrig_channel::{Order, PayParamsWriter, Wish};
use payrig_results::{AuditVerdict, Run};
use rig::{Rig, eventually, processes, wait};

/// Beyond so many standard deviations a share is wrong: one run in 150,000 of a right one is.
const SIGMAS: f64 = 4.5;

/// Programs of ours stand beside `payrig`; `cargo test --workspace` builds them.
fn are_built() {
    let payrig = Path::new(env!("CARGO_BIN_EXE_payrig"));
    for name in ["payrig-server", "payrig-channel"] {
        let program = payrig.with_file_name(name);
        assert!(program.exists(), "{} is missing: cargo build -p {name}", program.display());
    }
}

/// With payers who have the patience for retries, and for a notification that never comes.
fn patient(rig: Rig) -> Rig {
    let path = rig.path().join("quick.toml");
    let text = std::fs::read_to_string(&path).expect("the profile");
    let text = text.replace("poll_gap_ms = [20, 40]", "poll_gap_ms = [50, 100]");
    std::fs::write(&path, format!("{text}max_polls = 20000\nmax_order_reads = 600\n")).expect("the profile");
    rig
}

/// Runs a scenario, or the quick mix of all, with a channel that has no faults of its own.
fn run(rig: &Rig, users: &str) -> Run {
    are_built();
    // Notifications that a journey asks to be dropped are found by asking the channel, half a minute later.
    let flags = ["-u", users, "-t", "3s", "--grace", "90s", "--audit-wait", "90s", "--channel", "http:quiet"];
    let ran = rig.run(&flags);
    ran.expect(0).says("payment channel: a process of its own").says("channel CPU: ").says("passed");
    let run = rig.recorded();
    eprintln!("seed {}: {:?}", run.seed, run.journeys.all.outcomes);
    assert_eq!(run.audit.verdict, AuditVerdict::Passed, "{:?}", run.audit.findings);
    assert!(run.journeys.all.violations.is_empty(), "{:?}", run.journeys.all.violations);
    assert!(processes(&rig.path().display().to_string()).is_empty(), "nothing is left behind");
    run
}

/// Of all journeys of a run of these, so many ended so, and none otherwise.
fn ends(scenario: &str, users: &str, expected: &[(&str, f64)]) {
    let run = run(&patient(Rig::only(scenario)), users);
    let all = &run.journeys.all;
    assert!(all.n >= 60, "too few journeys to say anything: {}", all.n);
    shares(&run, expected);
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn shares(run: &Run, expected: &[(&str, f64)]) {
    let all = &run.journeys.all;
    let n = all.n as f64;
    for (outcome, count) in &all.outcomes {
        assert!(expected.iter().any(|(known, _)| known == outcome), "seed {}: {count} ended {outcome}", run.seed);
    }
    for (outcome, share) in expected {
        let seen = all.outcomes.get(*outcome).copied().unwrap_or(0) as f64;
        let sigma = (n * share * (1.0 - share)).sqrt();
        assert!(
            (seen - n * share).abs() <= SIGMAS * sigma,
            "seed {}: of {n} journeys {seen} ended {outcome}, expected {:.0} +- {sigma:.1}",
            run.seed,
            n * share
        );
    }
}

#[test]
fn checkouts_are_paid() {
    ends("checkout", "8", &[("paid", 1.0)]);
}

#[test]
fn both_styles_are_paid() {
    ends("wechat", "8", &[("paid", 1.0)]);
    ends("alipay", "8", &[("paid", 1.0)]);
}

#[test]
fn double_clicks_pay_once() {
    ends("double-click", "8", &[("paid", 1.0)]);
}

#[test]
fn abandoned_payments_stay_open() {
    ends("abandon", "8", &[("abandoned", 1.0)]);
}

#[test]
fn orders_are_paid_and_shipped() {
    ends("order", "8", &[("shipped", 1.0)]);
}

/// `cancel_share` 0.6 cancel; a fifth of them when it is too late.
#[test]
fn the_impatient_cancel_in_time_or_too_late() {
    ends("impatient", "8", &[("cancelled", 0.48), ("paid", 0.52)]);
}

/// A tenth asks for a channel that refuses for good; all the others recover, by themselves or by a manual retry.
#[test]
fn the_flaky_recover_or_fail_as_they_ask() {
    ends("flaky", "60", &[("failed", 0.1), ("paid", 0.9)]);
}

/// The weights of the quick mix.
#[test]
fn a_mix_of_all_has_each_as_often_as_its_weight() {
    let run = run(&patient(Rig::new()), "40");
    let cancelled = 0.10 * 0.48;
    let (failed, abandoned) = (0.12 * 0.1, 0.04);
    let paid = 1.0 - cancelled - failed - abandoned;
    shares(&run, &[("paid", paid), ("cancelled", cancelled), ("failed", failed), ("abandoned", abandoned)]);
    // What the server's books and the channel's show is shown to have been looked at.
    assert!(run.notes.iter().any(|note| note.starts_with("server CPU: ")));
}

/// Where the channel of a rig's server is, and the folder of its keys, by the words that the server was started with.
fn channel_of(rig: &Rig) -> Option<(String, PathBuf)> {
    let pids = processes(&rig.path().display().to_string());
    pids.into_iter().find_map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
        let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1).cloned();
        let address = after("--channel")?.strip_prefix("http://")?.to_owned();
        Some((address, PathBuf::from(after("--channel-keys")?)))
    })
}

/// Somebody with the platform's key pays the channel for what the server never heard of.
fn doctor((address, keys): &(String, PathBuf)) {
    let signer = PlatformKeys::load(keys).expect("keys").merchant;
    // Nobody ever listens on port 1: the notification waits for its repeats until the channel is stopped.
    let writer =
        PayParamsWriter::new(signer, &format!("http://{address}/cashier"), "http://127.0.0.1:1/v1/notify/alipay");
    let order = Order {
        out_trade_no: "DOCTORED-1",
        merchant: "default",
        order_no: "doctored",
        amount_minor: 777,
        currency: Currency::CNY,
        style: ChannelStyle::Alipay,
    };
    let params = writer.pay_params(&order, None, &Wish::PLAIN).expect("parameters");
    let mut stream = TcpStream::connect(address).expect("the channel");
    let head =
        format!("POST /cashier HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}", params.len());
    write!(stream, "{head}\r\n\r\n{params}").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn money_that_is_in_the_channels_books_alone_fails_the_run() {
    are_built();
    let rig = Rig::only("checkout");
    let child = rig.command(&["--channel", "http:quiet", "-t", "2s", "--grace", "30s"]).spawn().expect("payrig");
    eventually("the server runs", || channel_of(&rig).is_some());
    doctor(&channel_of(&rig).expect("it runs"));
    let words = "the channel took 777 for DOCTORED-1 and it is not paid in the books";
    wait(child, Duration::from_secs(120)).expect(4).complains(words);
    let audit = rig.recorded().audit;
    assert_eq!((audit.verdict, audit.findings.as_slice()), (AuditVerdict::Failed, &[words.to_owned()][..]));
}
