//! Notifications over HTTP: a bounded pool sends them, and repeats those that are not acknowledged on the published
//! schedule.

mod post;
mod schedule;
mod told;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::metrics::{Metrics, Sent};
use crate::notification::{Claim, Notification};
use crate::outbox::{Letter, Notifications};
use crate::simulated::SimulatedChannel;
use post::{Answered, Poster};
pub use schedule::{TimeScale, wait_after, whole};
use told::Told;

/// How many notifications are under way at most. A server that hangs holds a place for 5 s at a time.
const UNDER_WAY: usize = 256;

/// How one notification gets to a server.
trait Post: Send + Sync + 'static {
    /// Sends it and waits for its answer.
    fn post(&self, url: &str, notification: Notification) -> impl Future<Output = Answered> + Send;
}

/// What one sending needs.
struct Sender<P> {
    channel: SimulatedChannel,
    metrics: Arc<Metrics>,
    poster: P,
    told: Told,
    scale: TimeScale,
}

/// What there is to send.
pub(crate) struct ToSend {
    /// What payers cause from now on, and what earlier runs left.
    pub(crate) notifications: Notifications,
    /// How fast it is repeated.
    pub(crate) scale: TimeScale,
}

/// Sends notifications until told to stop, then waits for those under way. What was not acknowledged by then, or when
/// the program died, is sent again by the next start.
pub(crate) async fn run(
    channel: SimulatedChannel,
    metrics: Arc<Metrics>,
    to_send: ToSend,
    stop: watch::Receiver<bool>,
) {
    run_with(Poster::new(), channel, metrics, to_send, stop).await;
}

async fn run_with(
    poster: impl Post,
    channel: SimulatedChannel,
    metrics: Arc<Metrics>,
    to_send: ToSend,
    mut stop: watch::Receiver<bool>,
) {
    let ToSend { mut notifications, scale } = to_send;
    let (told, writer) = told::told(channel.clone());
    let writing = tokio::spawn(writer.run());
    let resending = tokio::spawn(told::resend(channel.clone(), scale));
    let sender = Arc::new(Sender { channel, metrics, poster, told, scale });
    let places = Arc::new(Semaphore::new(UNDER_WAY));
    loop {
        let next = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            next = next(&mut notifications, &places) => next,
        };
        let Some((letter, place)) = next else { break };
        let sender = Arc::clone(&sender);
        tokio::spawn(async move {
            sender.send(letter).await;
            drop(place);
        });
    }
    resending.abort();
    let all = u32::try_from(UNDER_WAY).unwrap_or(u32::MAX);
    let _ = places.acquire_many(all).await;
    // The last one lets the writer go, which then writes what it has.
    drop(sender);
    let _ = writing.await;
}

/// A place first, so that a letter is never taken and then left alone.
async fn next(notifications: &mut Notifications, places: &Arc<Semaphore>) -> Option<(Letter, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let letter = notifications.next().await?;
    Some((letter, place))
}

impl<P: Post> Sender<P> {
    /// One sending, and what follows from how it was answered.
    async fn send(&self, letter: Letter) {
        let inner = self.channel.inner();
        let down_for = inner.present.load().down_for(inner.clock.running());
        if let Some(down_for) = down_for {
            return inner.outbox.send_again(letter, down_for);
        }
        let outcome = self.outcome(&letter).await;
        self.metrics.sent(outcome);
        if outcome == Sent::Acknowledged {
            if letter.claim == Claim::Genuine {
                self.told.tell(letter.news.out_trade_no);
            }
            return inner.outbox.settle();
        }
        let wait = if letter.is_copy { None } else { wait_after(letter.news.style, letter.sending, self.scale) };
        match wait {
            Some(wait) => inner.outbox.send_again(Letter { sending: letter.sending + 1, ..letter }, wait),
            None => {
                if !letter.is_copy {
                    self.metrics.sent(Sent::GivenUp);
                    tracing::warn!(letter.news.out_trade_no, "a notification was never acknowledged");
                }
                inner.outbox.settle();
            }
        }
    }

    async fn outcome(&self, letter: &Letter) -> Sent {
        let inner = self.channel.inner();
        let news = &letter.news;
        if inner.present.loses(&news.out_trade_no, letter.sending) {
            return Sent::Lost;
        }
        let Some(notify_url) = &news.notify_url else { return Sent::Acknowledged };
        let notification = inner.sealer.seal(news, letter.claim, inner.clock.now_s(), letter.sending);
        match self.poster.post(notify_url, notification).await {
            Answered::Acknowledged => Sent::Acknowledged,
            Answered::Otherwise(status) => {
                tracing::debug!(news.out_trade_no, status, "a notification was not acknowledged");
                Sent::NotAcknowledged
            }
            Answered::Not(why) => {
                tracing::debug!(news.out_trade_no, why, "a notification was not answered");
                Sent::Unanswered
            }
        }
    }
}

/// How long an answer may take, as published.
const ANSWER_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
