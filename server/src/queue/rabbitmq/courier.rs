//! The courier: sees messages through to their confirms, over lost connections and missing queues, for so long.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

use super::{
    ledger::Verdict,
    link::Link,
    publish::{BATCH, Outgoing, Publishers},
};
use crate::queue::QueueError;

/// How long messages are kept that cannot be sent. What is given up is in the store, and the sweeper sends it again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before a message is sent again that was refused or lost.
const PAUSE: Duration = Duration::from_millis(50);

/// Messages that were not confirmed. Some of them may be there all the same.
#[derive(Debug)]
pub(in crate::queue) struct NotSent {
    /// Why.
    pub(in crate::queue) error: QueueError,
    /// How many.
    pub(in crate::queue) left: usize,
}

/// Sends messages.
#[derive(Clone)]
pub(super) struct Courier {
    link: Arc<Link>,
    publishers: Publishers,
}

impl Courier {
    pub(super) const fn new(link: Arc<Link>, publishers: Publishers) -> Self {
        Self { link, publishers }
    }

    /// Whether messages would be taken now.
    pub(super) fn is_usable(&self) -> bool {
        self.link.usable().is_ok()
    }

    /// Sends messages, at most [`BATCH`], each at least once; done when all are confirmed.
    ///
    /// # Errors
    /// Where that does not happen for so long, with the number of those that are not confirmed.
    pub(super) async fn send(&self, messages: Vec<Outgoing>) -> Result<(), NotSent> {
        debug_assert!(messages.len() <= BATCH, "a job has a number for each");
        let deadline = Instant::now() + PATIENCE;
        let mut messages: Arc<[Outgoing]> = messages.into();
        let mut was_refused = false;
        loop {
            let given_up = |error| NotSent { error, left: messages.len() };
            let unavailable = |why: &str| given_up(QueueError::Unavailable(why.to_owned()));
            let session = match self.link.usable() {
                Ok(session) => session,
                Err(why) => match timeout_at(deadline, self.link.wait_until_usable()).await {
                    Ok(()) => continue,
                    Err(_) => return Err(unavailable(&why)),
                },
            };
            let published = timeout_at(deadline, self.publishers.publish(Arc::clone(&messages))).await;
            let verdicts = match published {
                Ok(verdicts) => verdicts,
                Err(_) if was_refused => return Err(given_up(QueueError::Full)),
                Err(_) => return Err(unavailable("no confirm in time")),
            };
            let again = messages.iter().zip(&verdicts).filter(|(_, verdict)| **verdict != Verdict::Confirmed);
            let again: Vec<Outgoing> = again.map(|(message, _)| message.clone()).collect();
            if again.is_empty() {
                return Ok(());
            }
            if verdicts.contains(&Verdict::Returned) {
                // Somebody deleted it. A new session declares everything again.
                session.end("there is no queue for a message");
                // Until its keeper sees it, an ended session looks usable.
                let _ = timeout_at(deadline, self.link.session_after(session.number())).await;
            }
            was_refused = verdicts.contains(&Verdict::Refused);
            if Instant::now() >= deadline {
                let error = if was_refused {
                    QueueError::Full
                } else {
                    QueueError::Unavailable("it was not confirmed".to_owned())
                };
                return Err(NotSent { error, left: again.len() });
            }
            sleep(PAUSE).await;
            messages = again.into();
        }
    }
}
