//! Runs with a third process, the channel: started before the server, stopped after it, and never left behind.

mod rig;
mod stub;

use std::time::Duration;

use payrig_results::Ended;
use rig::{Rig, eventually, processes, signal, stub_program, wait};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(20);

/// Flags for a server and a channel, both of which the stub plays.
fn flags<'a>(stub: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--server", stub, "--channel", "http:seed=7", "--channel-command", stub], more].concat()
}

#[test]
fn both_are_started_and_stopped_and_their_cost_is_told_apart() {
    let (rig, stub) = (Rig::new(), stub_program());
    let ran = rig.run(&flags(&stub, &["--channel-args", "--time-scale 100"]));
    ran.expect(0).says("payment channel: a process of its own at http://127.0.0.1:");
    ran.says("--time-scale 100 --profile seed=7").says("server CPU: ").says("channel CPU: ");
    let run = rig.recorded();
    let channel = run.notes.iter().find_map(|note| note.split_once("of its own at ")?.1.split_once(": "));
    let (address, _) = channel.expect("the note says where");
    // The server got the channel's address, and the folder where the channel keeps its keys.
    assert!(run.target.contains(&format!("--channel {address} --channel-keys ")), "{}", run.target);
    assert!(run.target.ends_with("/data/keys"), "{}", run.target);
    assert!(processes(&rig.path().display().to_string()).is_empty());
    assert_eq!(rig.folders().len(), 1, "both folders are removed");
}

#[test]
fn a_channel_that_does_not_start_ends_the_run_before_there_is_a_server() {
    let (rig, stub) = (Rig::new(), stub_program());
    let ran = rig.run(&flags(&stub, &["--channel-args", "--exit-at-once"]));
    ran.expect(1).complains("the channel ").complains("ended before it was ready (exit code 3)");
    assert!(rig.folders().is_empty(), "{:?}", rig.folders());
    let ran = rig.run(&["--server", &stub, "--channel", "http", "--channel-command", "/no/such/channel"]);
    ran.expect(1).complains("/no/such/channel").complains("--channel-command needs the path");
}

#[test]
fn a_server_that_does_not_start_takes_the_channel_with_it() {
    let (rig, stub) = (Rig::new(), stub_program());
    rig.run(&flags(&stub, &["--server-args", "--exit-at-once"])).expect(1).complains("the server ");
    assert!(processes(&rig.path().display().to_string()).is_empty());
    assert!(rig.folders().is_empty(), "{:?}", rig.folders());
}

#[test]
fn a_channel_that_crashes_in_mid_run_breaks_it_off_with_results() {
    let (rig, stub) = (Rig::new(), stub_program());
    let child = rig.command(&flags(&stub, &["--channel-args", "--crash-soon", "-t", "1h"])).spawn().expect("payrig");
    let ran = wait(child, PATIENCE);
    ran.expect(1)
        .complains("the channel ")
        .complains("ended by itself during the run: exit code 101")
        .says("broken off");
    assert_eq!(ran.stderr.matches("ended by itself").count(), 1, "{}", ran.stderr);
    assert_eq!(rig.recorded().ended, Ended::Aborted);
    let log = std::fs::read_to_string(rig.results().join("channel.log")).expect("its last words");
    assert!(log.contains("at the worst moment"), "{log}");
    assert!(processes(&rig.path().display().to_string()).is_empty());
}

#[test]
fn a_channel_that_stops_badly_is_a_runtime_error() {
    let (rig, stub) = (Rig::new(), stub_program());
    let ran = rig.run(&flags(&stub, &["--channel-args", "--stop-badly"]));
    ran.expect(1).complains("the channel ").complains("stopped badly: exit code 7");
}

#[test]
fn ctrl_c_stops_both() {
    let (rig, stub) = (Rig::new(), stub_program());
    let mark = rig.path().display().to_string();
    let child = rig.command(&flags(&stub, &["-t", "1h"])).spawn().expect("payrig");
    eventually("both run", || processes(&mark).len() == 3);
    signal(&child, Signal::INT);
    wait(child, PATIENCE).expect(130);
    assert!(processes(&mark).is_empty());
    assert!(rig.folders().len() <= 1, "both folders are removed");
}

#[test]
fn a_killed_harness_leaves_neither_behind() {
    let (rig, stub) = (Rig::new(), stub_program());
    let mark = rig.path().display().to_string();
    let child = rig.command(&flags(&stub, &["-t", "1h"])).spawn().expect("payrig");
    eventually("both run", || processes(&mark).len() == 3);
    signal(&child, Signal::KILL);
    let _ = wait(child, PATIENCE);
    eventually("both are gone", || processes(&mark).is_empty());
}
