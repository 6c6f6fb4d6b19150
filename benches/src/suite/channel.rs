//! The third party beside the server: what a payment over HTTP costs each of them, by signature.
//!
//! The channel shares the load's core, so rates would tell how the load fares. What is compared is CPU time: how many
//! payments a second one core of each would give.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{Rig, until_settled};
use crate::{
    child::Server,
    client::Metrics,
    error::PerfError,
    machine::{Load as LoadProcess, Machine, Window},
    report::{Figure, Side},
    wrk::{Load, Script},
};

const SIGNATURES: [&str; 3] = ["hmac-sha256", "ed25519", "rsa-sha256"];
const CONNECTIONS: usize = 64;
/// How long a burst is that finds out what can be settled.
const BURST_S: u64 = 1;
/// Before the window opens.
const LEAD_S: u64 = 3;
/// How soon a burst is settled: the slowest signature takes some two milliseconds a payment.
const SOON: Duration = Duration::from_secs(60);
/// Of what can be settled, so much is asked for.
const SHARE: f64 = 0.7;

/// Payments in `WeChat` style, prepaid at a channel over HTTP: each is one signed call and its signed answer.
pub(super) fn ceiling(rig: &Rig) -> Result<Vec<Figure>, PerfError> {
    SIGNATURES.iter().map(|signature| of(rig, signature)).collect()
}

fn of(rig: &Rig, signature: &str) -> Result<Figure, PerfError> {
    let mut figure = Figure::new(&format!("payrig-channel beside the server, {signature}"), Some(1.0));
    let data = rig.fresh_folder("channel")?;
    let keys = data.join("keys");
    let channel = third_party(rig, &data, &keys, signature)?;
    let at = format!("http://{}", channel.address);
    let flags = ["--channel-keys", &keys.display().to_string()];
    let server = rig.server_at(&data.join("server"), &at, &flags)?;
    let pace = SHARE * burst(rig, &server)?;
    for _ in 0..rig.options.steady_rounds {
        let (done, theirs, ours) = window(rig, &server, &channel, pace)?;
        figure.push(by_core(done, theirs), by_core(done, ours));
    }
    figure.notes.push(format!("payments a second of one core each, by CPU time, at {pace:.0} payments a second"));
    server.stop()?;
    channel.stop()?;
    std::fs::remove_dir_all(&data).map_err(PerfError::io("removing the data folder"))?;
    Ok(figure)
}

/// So many payments, and how many a second a core of this would give.
fn by_core(done: f64, machine: Machine) -> Side {
    Side::new(done, done / machine.server_cpu_s.max(1e-9), machine)
}

fn third_party(rig: &Rig, data: &Path, keys: &Path, signature: &str) -> Result<Server, PerfError> {
    let (ledger, keys) = (data.join("channel").display().to_string(), keys.display().to_string());
    let fixed = ["--listen", "127.0.0.1:0", "--print-address", "--profile", "quiet"];
    let own = ["--data-dir", &ledger, "--keys", &keys, "--signature", signature];
    let arguments: Vec<String> = fixed.iter().chain(&own).map(ToString::to_string).collect();
    let log = rig.options.folder.join("channel.log");
    Server::start(rig.options.load_core, &rig.options.channel, &arguments, &log)
}

fn settled(server: &Server) -> Result<f64, PerfError> {
    Ok(Metrics::read(server.address)?.get_or_zero("payrig_settled_total"))
}

/// Payments a second that are settled after a burst of submissions.
fn burst(rig: &Rig, server: &Server) -> Result<f64, PerfError> {
    let tag = rig.tag();
    let (before, began) = (settled(server)?, Instant::now());
    rig.wrk.run(&load(server, BURST_S, &[&tag, "-", "2000", "wechat"]))?;
    until_settled(server, SOON)?;
    Ok((settled(server)? - before) / began.elapsed().as_secs_f64())
}

/// What was settled in a window of a steady load, and what both did meanwhile: the channel, the server.
fn window(rig: &Rig, server: &Server, channel: &Server, pace: f64) -> Result<(f64, Machine, Machine), PerfError> {
    let (tag, pace) = (rig.tag(), pace.to_string());
    let seconds = rig.options.seconds * 2;
    let running = rig.wrk.start(&load(server, LEAD_S + seconds + 1, &[&tag, "-", &pace, "wechat"]))?;
    thread::sleep(Duration::from_secs(LEAD_S));
    let theirs = Window::open(channel.pid(), LoadProcess::Running(running.pid()))?;
    let ours = Window::open(server.pid(), LoadProcess::Running(running.pid()))?;
    let before = settled(server)?;
    thread::sleep(Duration::from_secs(seconds));
    let done = settled(server)? - before;
    let (theirs, ours) = (theirs.close()?, ours.close()?);
    running.finish()?.without_errors()?;
    until_settled(server, SOON)?;
    if done < 1.0 {
        return Err(PerfError::broken("no payment was settled through payrig-channel"));
    }
    Ok((done, theirs, ours))
}

const fn load<'a>(server: &Server, seconds: u64, arguments: &'a [&'a str]) -> Load<'a> {
    Load { address: server.address, connections: CONNECTIONS, seconds, script: Script::Submit, arguments }
}
