//! Samples: asks the server from time to time how many messages wait, for all nodes send and take.

use std::{sync::Arc, time::Duration};

use lapin::{Channel, options::QueueDeclareOptions, types::ShortString};
use tokio::time::MissedTickBehavior;

use super::{
    link::{Link, Session},
    tally::Tally,
};

/// How often. What this node itself does is known at once.
const EVERY: Duration = Duration::from_secs(1);

/// Corrects a tally by the number of messages in these queues, for as long as it is polled.
pub(super) async fn sample(link: Arc<Link>, queues: Vec<ShortString>, tally: Arc<Tally>) {
    let mut last = 0;
    while let Some(session) = link.session_after(last).await {
        last = session.number();
        if let Err(error) = follow(&session, &queues, &tally).await {
            // A queue was deleted: the next session makes it again.
            session.end(&format!("a queue cannot be looked at: {error}"));
        }
    }
}

async fn follow(session: &Session, queues: &[ShortString], tally: &Tally) -> lapin::Result<()> {
    let channel = session.channel().await?;
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = session.over() => return Ok(()),
            _ = every.tick() => {}
        }
        let asked = tally.mark();
        let mut there = 0;
        for queue in queues {
            there += messages(&channel, queue).await?;
        }
        tally.correct(there, asked);
    }
}

async fn messages(channel: &Channel, queue: &ShortString) -> lapin::Result<usize> {
    let looking = QueueDeclareOptions::durable().passive();
    let queue = channel.queue_declare(queue.clone(), looking, lapin::types::FieldTable::default()).await?;
    Ok(usize::try_from(queue.message_count()).unwrap_or(usize::MAX))
}
