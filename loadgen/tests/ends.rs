//! How runs end before their time: flags, signals, and servers of their own that do not behave.

mod rig;
mod stub;

use std::time::{Duration, Instant};

use payrig_results::Ended;
use rig::{Rig, eventually, processes, signal, stub_program, wait};
use rustix::process::Signal;
use stub::{Behaviour, Stub};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn bad_flags_are_2_and_say_what_to_do() {
    let rig = Rig::new();
    for (flags, words) in [
        (&["-R", "2000"][..], "open engine is not in this version"),
        (&["--stage", "30s:2000"], "open engine is not in this version"),
        (&["--poisson"], "-u USERS"),
        (&["-r", "-1"], "users a second"),
        (&["--timeout", "fast"], "30s"),
        (&["--timeout", "10"], "10s"),
        (&["--threshold", "p99<5 window=10s"], "not in this version"),
        (&["--threshold", "p99 250ms"], "one of <"),
        (&["--abort-on-fail"], "not in this version"),
        (&["-H", "htp://x"], "http://127.0.0.1:8080"),
        (&["--frobnicate"], "--frobnicate"),
    ] {
        let ran = rig.run(flags);
        ran.expect(2).complains(words);
        assert_eq!(ran.stdout, "", "{flags:?}");
    }
    assert_eq!(rig.folders().len(), 0);
}

#[test]
fn ctrl_c_in_the_steady_phase_writes_the_results() {
    let delay = Duration::from_millis(100);
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour { delay, ..Behaviour::default() }));
    let child = rig.command(&["-H", &stub.url(), "-t", "1h"]).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let start = Instant::now();
    signal(&child, Signal::INT);
    wait(child, PATIENCE)
        .expect(130)
        .says("interrupted")
        .says("closed model")
        .says("under way when the run was cut short");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let run = rig.recorded();
    assert_eq!((run.ended, run.exit_code), (Ended::Interrupted, 130));
    assert!(run.figures.all_steps.n > 0 && run.figures.all_steps.errors == 0);
    assert!((500_000..3_000_000).contains(&run.steady.length_us()), "{:?}", run.steady);
}

#[test]
fn ctrl_c_while_users_are_started_ends_at_once() {
    let (rig, stub) = (Rig::new(), Stub::start(Behaviour::default()));
    let child = rig.command(&["-H", &stub.url(), "-r", "0.5"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let start = Instant::now();
    signal(&child, Signal::INT);
    wait(child, PATIENCE).expect(130).says("before its steady phase");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(rig.recorded().ended, Ended::Interrupted);
}

#[test]
fn sigterm_ends_a_run_as_ctrl_c_does_and_its_server_too() {
    let rig = Rig::new();
    let mark = rig.path().display().to_string();
    let child = rig.command(&["--server", &stub_program(), "-t", "1h"]).spawn().unwrap();
    eventually("its server runs", || processes(&mark).len() == 2);
    std::thread::sleep(Duration::from_secs(1));
    signal(&child, Signal::TERM);
    wait(child, PATIENCE).expect(130);
    assert!(processes(&mark).is_empty());
    assert_eq!(rig.folders().len(), 1, "the server's folder is removed");
}

#[test]
fn a_server_of_its_own_is_started_and_stopped() {
    let rig = Rig::new();
    let ran = rig.run(&["--server", &stub_program()]);
    ran.expect(0).says("started by this run").says("server CPU: ");
    assert!(!ran.stdout.contains("not seen, because"));
    assert!(processes(&rig.path().display().to_string()).is_empty());
    assert_eq!(rig.folders().len(), 1);
}

#[test]
fn a_server_that_ends_at_once_is_told_with_its_last_words() {
    let rig = Rig::new();
    let ran = rig.run(&["--server", &stub_program(), "--server-args", "--exit-at-once"]);
    ran.expect(1).complains("ended before it was ready (exit code 3)").complains("something is wrong with the disk");
    assert!(rig.folders().is_empty(), "{:?}", rig.folders());
}

#[test]
fn a_server_that_never_gets_ready_is_given_up_and_not_left_behind() {
    let rig = Rig::new();
    let flags = ["--server", &stub_program(), "--server-args", "--never-ready", "--server-wait", "700ms"];
    let ran = rig.run(&flags);
    ran.expect(1).complains("was not ready after 700ms").complains("waiting for godot").complains("--server-wait");
    assert!(processes(&rig.path().display().to_string()).is_empty());
}

#[test]
fn ctrl_c_while_waiting_for_the_server_is_130() {
    let rig = Rig::new();
    let mark = rig.path().display().to_string();
    let child = rig.command(&["--server", &stub_program(), "--server-args", "--never-ready"]).spawn().unwrap();
    eventually("its server runs", || processes(&mark).len() == 2);
    signal(&child, Signal::INT);
    wait(child, PATIENCE).expect(130);
    assert!(processes(&mark).is_empty());
}

#[test]
fn a_server_that_crashes_in_mid_run_breaks_it_off_with_results() {
    let rig = Rig::new();
    let flags = ["--server", &stub_program(), "--server-args", "--crash-soon", "-t", "1h"];
    let ran = wait(rig.command(&flags).spawn().unwrap(), PATIENCE);
    ran.expect(1).complains("ended by itself during the run: exit code 101").complains("at the worst moment");
    ran.says("broken off");
    let run = rig.recorded();
    assert_eq!((run.ended, run.exit_code), (Ended::Aborted, 1));
    assert!(run.figures.all_steps.n > 0);
    assert!(std::fs::read_to_string(rig.results().join("server.log")).unwrap().contains("at the worst moment"));
}

#[test]
fn a_server_that_stops_badly_is_a_runtime_error() {
    let rig = Rig::new();
    let ran = rig.run(&["--server", &stub_program(), "--server-args", "--stop-badly", "--threshold", "p99<1us"]);
    // A runtime error outranks a crossed threshold, which is told all the same.
    ran.expect(1).complains("stopped badly: exit code 7").says("FAIL  p99<1us");
}

#[test]
fn a_server_that_is_not_there_says_what_to_do() {
    let rig = Rig::new();
    rig.run(&["--server", "/no/such/server"]).expect(1).complains("/no/such/server").complains("--server");
    rig.run(&["--server", "no-such-server-in-path"]).expect(1).complains("PATH");
    rig.run(&["--server", "/bin/echo hello"]).expect(1).complains("--print-address");
}

#[test]
fn a_killed_harness_leaves_no_server_behind() {
    let rig = Rig::new();
    let mark = rig.path().display().to_string();
    let child = rig.command(&["--server", &stub_program(), "-t", "1h"]).spawn().unwrap();
    eventually("its server runs", || processes(&mark).len() == 2);
    signal(&child, Signal::KILL);
    let _ = wait(child, PATIENCE);
    eventually("its server is gone", || processes(&mark).is_empty());
}

#[test]
fn the_second_ctrl_c_ends_it_at_once() {
    let rig = Rig::new();
    let mark = rig.path().display().to_string();
    // A stub that ignores nothing but takes its time: the first signal waits for it, the second does not.
    let flags = ["--server", &stub_program(), "--server-args", "--slow-to-stop", "-t", "1h"];
    let child = rig.command(&flags).spawn().unwrap();
    eventually("its server runs", || processes(&mark).len() == 2);
    std::thread::sleep(Duration::from_secs(1));
    signal(&child, Signal::INT);
    std::thread::sleep(Duration::from_millis(1500));
    let start = Instant::now();
    signal(&child, Signal::INT);
    wait(child, PATIENCE).expect(130).complains("stopped at once");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for pid in processes(&mark) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
    }
}

#[test]
fn scenarios_are_listed() {
    let list = |flags: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_payrig"));
        rig::Ran::of(command.arg("scenarios").args(flags).output().unwrap())
    };
    list(&[]).expect(0).says("mixed").says("double-click").says("error-rate<1%");
    let json = list(&["--json"]);
    let profiles: Vec<payrig_scenarios::Profile> = serde_json::from_str(&json.expect(0).stdout).unwrap();
    assert!(profiles.len() >= 8);
}
