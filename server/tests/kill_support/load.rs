//! Many payers at once, against whichever server is up, until told to stop.

use std::{net::SocketAddr, time::Duration};

use payrig_audit::{Seen, Shown, Submitted};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{runtime::Runtime, sync::watch, task::JoinSet, time::timeout};

use super::{
    client::{Answer, Client, Up},
    journey::{Intent, Journey, Ways, shown},
};

/// How long the last journeys may take.
const LAST_JOURNEYS: Duration = Duration::from_secs(180);

/// A load that goes on.
pub(crate) struct Load {
    runtime: Runtime,
    up: watch::Sender<Up>,
    /// Where the channel is, if it is a program of its own.
    channel_up: Option<watch::Sender<Up>>,
    stop: watch::Sender<bool>,
    payers: JoinSet<(Vec<Submitted>, Vec<String>)>,
}

/// Everything that the payers saw, and what they did not understand.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) seen: Seen,
    pub(crate) odd: Vec<String>,
}

impl Load {
    /// So many payers, each making one journey after another, as `intent` has it.
    pub(crate) fn start(payers: u64, seed: u64, intent: fn(&mut StdRng, &str) -> Intent) -> Self {
        let (up, server) = watch::channel(Up::default());
        let ways = Ways { cashier: server.clone(), server, cashier_path: "/simulated/cashier" };
        Self::start_on(&ways, up, None, payers, seed, intent)
    }

    /// The same with a channel that is a program of its own.
    pub(crate) fn start_with_channel(payers: u64, seed: u64, intent: fn(&mut StdRng, &str) -> Intent) -> Self {
        let ((up, server), (channel_up, cashier)) = (watch::channel(Up::default()), watch::channel(Up::default()));
        let ways = Ways { server, cashier, cashier_path: "/cashier" };
        Self::start_on(&ways, up, Some(channel_up), payers, seed, intent)
    }

    fn start_on(
        ways: &Ways,
        up: watch::Sender<Up>,
        channel_up: Option<watch::Sender<Up>>,
        payers: u64,
        seed: u64,
        intent: fn(&mut StdRng, &str) -> Intent,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (stop, stopped) = watch::channel(false);
        let mut set = JoinSet::new();
        for payer in 0..payers {
            let random = StdRng::seed_from_u64(seed ^ (payer << 32));
            let (ways, stopped) = (ways.clone(), stopped.clone());
            set.spawn_on(pay(random, format!("{seed:x}-{payer}"), ways, stopped, intent), runtime.handle());
        }
        Self { runtime, up, channel_up, stop, payers: set }
    }

    /// A server is up.
    pub(crate) fn up(&self, address: SocketAddr) {
        is_up(&self.up, address);
    }

    /// The channel is up.
    pub(crate) fn channel_up(&self, address: SocketAddr) {
        is_up(self.channel_up.as_ref().expect("the channel is a program of its own"), address);
    }

    /// No further journeys begin.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// No server will ever be up again: whatever is asked counts as broken, and the journeys end where they are.
    pub(crate) fn give_up(self) -> Told {
        self.stop();
        self.up.send_modify(|up| up.is_gone = true);
        self.finish()
    }

    /// Waits for the journeys under way; gives the whole log.
    pub(crate) fn finish(mut self) -> Told {
        self.stop();
        let mut told = Told::default();
        told.seen.merchant = "default".to_owned();
        told.seen.is_complete = true;
        let all = async {
            while let Some(payer) = self.payers.join_next().await {
                let (submissions, odd) = payer.expect("a payer does not panic");
                told.seen.submissions.extend(submissions);
                told.odd.extend(odd);
            }
        };
        let ended = self.runtime.block_on(async { timeout(LAST_JOURNEYS, all).await });
        let left = self.payers.len();
        assert!(ended.is_ok(), "{left} journeys do not come to an end");
        told
    }
}

fn is_up(whose: &watch::Sender<Up>, address: SocketAddr) {
    whose.send_modify(|up| *up = Up { life: up.life + 1, address: Some(address), is_gone: false });
}

async fn pay(
    mut random: StdRng,
    name: String,
    ways: Ways,
    stop: watch::Receiver<bool>,
    intent: fn(&mut StdRng, &str) -> Intent,
) -> (Vec<Submitted>, Vec<String>) {
    let (mut submissions, mut odd) = (Vec::new(), Vec::new());
    let mut journey = 0_u64;
    while !*stop.borrow() {
        journey += 1;
        let order_no = format!("{name}-{journey}-{}", random.random_range(0..1_000));
        let (seen, strange) = Journey::new(intent(&mut random, &order_no), &ways).run().await;
        submissions.extend(seen);
        odd.extend(strange);
    }
    (submissions, odd)
}

impl Told {
    /// Asks once more for every task that was accepted: it must be found, as it was shown.
    pub(crate) fn ask_again(&mut self, address: SocketAddr) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (_up, is_up) = watch::channel(Up { life: 1, address: Some(address), is_gone: false });
        let mut client = Client::new(is_up);
        runtime.block_on(async {
            for submission in &mut self.seen.submissions {
                let Some(task_id) = submission.accepted.first().cloned() else { continue };
                match client.get(&format!("/v1/pay-tasks/{task_id}")).await {
                    Answer::Reply(200, reply) => submission.shown.extend(shown(&reply)),
                    Answer::Reply(404, _) => submission.shown.push(Shown::NotFound { task_id }),
                    Answer::Reply(status, _) => self.odd.push(format!("{task_id}: asked again, answered {status}")),
                    Answer::Broken => self.odd.push(format!("{task_id}: asked again, no answer")),
                }
            }
        });
    }
}
