//! Which news the server has acknowledged, so that a restart repeats only the others.
//!
//! Nothing of it is on a payment's path: acknowledgements are written together, some time later. What a crash loses of
//! them is repeated once more, which does no harm.

use std::time::Duration;

use tokio::sync::mpsc;

use super::schedule::{TimeScale, whole};
use crate::ledger::LedgerError;
use crate::ledger::document::{EndDoc, PaidDoc, ToldDoc};
use crate::notification::News;
use crate::outbox::Letter;
use crate::simulated::SimulatedChannel;

/// Acknowledgements that wait to be written; more are forgotten, and those news repeated by the next start.
const WAITING: usize = 65_536;
/// Written together at most.
const TOGETHER: usize = 4_096;
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(200);
/// Rows of the ledger looked at together by a start.
const PAGE: usize = 1_000;
/// A pause while too much waits to be sent.
const BREATH: Duration = Duration::from_millis(100);

/// Where acknowledgements are handed in.
pub(super) struct Told(mpsc::Sender<String>);

/// Writes them.
pub(super) struct Writer {
    channel: SimulatedChannel,
    arrivals: mpsc::Receiver<String>,
}

pub(super) fn told(channel: SimulatedChannel) -> (Told, Writer) {
    let (sender, arrivals) = mpsc::channel(WAITING);
    (Told(sender), Writer { channel, arrivals })
}

impl Told {
    pub(super) fn tell(&self, out_trade_no: String) {
        let _ = self.0.try_send(out_trade_no);
    }
}

impl Writer {
    /// Until nobody hands in any more.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        while self.arrivals.recv_many(&mut batch, TOGETHER).await > 0 {
            let inner = self.channel.inner();
            let told_at_us = inner.clock.now_us();
            let documents: Vec<_> =
                batch.drain(..).map(|out_trade_no| (out_trade_no, ToldDoc { told_at_us })).collect();
            if let Err(error) = inner.ledger.insert_all(&documents).await {
                tracing::warn!(%error, "acknowledgements were not written; those news are repeated by the next start");
            }
            if !self.arrivals.is_closed() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Sends again, as there is room for it, what no earlier run of the program saw acknowledged, as far as the schedule
/// would still repeat it.
///
/// It goes through the whole ledger beside everything else, so that a start does not wait for it. What this run takes
/// meanwhile is on its way already: its documents bear the run's mark, since no clock that may be set back could tell.
pub(super) async fn resend(channel: SimulatedChannel, scale: TimeScale) {
    match resend_all(&channel, scale).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "notifications of earlier runs are sent again"),
        Err(error) => tracing::error!(%error, "notifications of earlier runs cannot be read"),
    }
}

async fn resend_all(channel: &SimulatedChannel, scale: TimeScale) -> Result<u64, LedgerError> {
    let inner = channel.inner();
    let started_us = inner.clock.started_us();
    let (mut after, mut count) = (None::<String>, 0);
    loop {
        let page = inner.ledger.page::<EndDoc>(after.as_deref(), PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(count) };
        after = Some(last.clone());
        for (out_trade_no, end) in page {
            let EndDoc::Paid(end) = end else { continue };
            let still_us = u64::try_from(whole(end.style, scale).as_micros()).unwrap_or(u64::MAX);
            let is_due = end.notify_url.is_some() && end.paid.paid_at_us.saturating_add(still_us) > started_us;
            if end.run == inner.run || !is_due || inner.ledger.get::<ToldDoc>(&out_trade_no).await?.is_some() {
                continue;
            }
            while !inner.outbox.is_half_empty() {
                tokio::time::sleep(BREATH).await;
            }
            let PaidDoc { paid, merchant, style, notify_url, .. } = end;
            let news = News { style, out_trade_no, merchant, paid, notify_url };
            inner.outbox.send(Letter::first(news), Duration::ZERO);
            count += 1;
        }
        tokio::task::yield_now().await;
    }
}
