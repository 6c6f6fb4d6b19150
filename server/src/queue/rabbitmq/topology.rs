//! The queues and exchanges: their names, their arguments, and how they are made.
//!
//! | name | what |
//! |---|---|
//! | `PREFIX.tasks` | attempts to make now; what was delivered too often goes to the parked ones |
//! | `PREFIX.tasks.delay.Ns` | attempts for in N seconds: one queue a delay, because messages expire only at a queue's head |
//! | `PREFIX.parked` | messages that nobody can work with, and why |
//! | `PREFIX.success` | the exchange that hands a success message to every subscriber |
//! | `PREFIX.success.SUBSCRIBER` | a subscriber's own queue |
//!
//! None has an argument that a setting decides, so that no setting makes a start fail.

use std::time::Duration;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use super::{error::RabbitError, settings::RabbitSettings};

/// The delays that there are queues for: the flow's own, and those of attempts that are put off.
pub const DELAYS: [Duration; 8] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(4),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_mins(1),
];
/// How often a message is delivered again before it is parked. RabbitMQ counts whatever brings a message back: a consumer
/// that hands it back, and one that is lost with it.
const DELIVERIES: i64 = 20;
/// Parked messages that are kept; over it the oldest go. Their tasks are in the store.
const PARKED: i64 = 100_000;
/// How long a parked message is kept, in milliseconds: two weeks.
const PARKED_MS: i64 = 14 * 24 * 3_600 * 1_000;

/// The names of one prefix.
#[derive(Clone, Debug)]
pub(in crate::queue) struct Names {
    prefix: Box<str>,
}

impl Names {
    pub(super) fn of(settings: &RabbitSettings) -> Self {
        Self { prefix: settings.prefix().into() }
    }

    // The prefix and subscribers' names are short: none of these comes near AMQP's 255 bytes.

    pub(in crate::queue) fn tasks(&self) -> ShortString {
        format!("{}.tasks", self.prefix).into()
    }

    pub(in crate::queue) fn delay(&self, delay: Duration) -> ShortString {
        format!("{}.tasks.delay.{}s", self.prefix, delay.as_secs()).into()
    }

    pub(in crate::queue) fn parked(&self) -> ShortString {
        format!("{}.parked", self.prefix).into()
    }

    pub(in crate::queue) fn success_exchange(&self) -> ShortString {
        format!("{}.success", self.prefix).into()
    }

    pub(in crate::queue) fn success(&self, subscriber: &str) -> ShortString {
        format!("{}.success.{subscriber}", self.prefix).into()
    }
}

/// The delay that there is a queue for: the wanted one, or the next longer one; the longest where there is none.
pub(in crate::queue) fn rounded_up(delay: Duration) -> Duration {
    let longest = DELAYS[DELAYS.len() - 1];
    DELAYS.into_iter().find(|there_is| *there_is >= delay).unwrap_or(longest)
}

/// Everything that is declared: made anew after every connection, so that a deleted queue comes back by itself.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    pub(super) names: Names,
    subscribers: Box<[&'static str]>,
}

impl Topology {
    pub(super) fn new(settings: &RabbitSettings, subscribers: &[&'static str]) -> Self {
        Self { names: Names::of(settings), subscribers: subscribers.into() }
    }

    /// Makes what is not there.
    ///
    /// # Errors
    /// Where something is there with other arguments, or the server does not do it.
    pub(super) async fn declare(&self, settings: &RabbitSettings, channel: &Channel) -> Result<(), RabbitError> {
        let names = &self.names;
        let tasks = names.tasks();
        declare(settings, channel, names.parked(), parked()).await?;
        declare(settings, channel, tasks.clone(), working(&names.parked())).await?;
        for delay in DELAYS {
            declare(settings, channel, names.delay(delay), delaying(delay, &tasks)).await?;
        }
        let exchange = names.success_exchange();
        let failed = |error| RabbitError::of_declaration(settings, names.success_exchange().as_str(), &error);
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = channel.exchange_declare(exchange.clone(), ExchangeKind::Fanout, durable, FieldTable::default());
        declared.await.map_err(failed)?;
        for subscriber in &self.subscribers {
            let queue = names.success(subscriber);
            declare(settings, channel, queue.clone(), working(&names.parked())).await?;
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            channel.queue_bind(queue, exchange.clone(), "".into(), options, arguments).await.map_err(failed)?;
        }
        Ok(())
    }
}

async fn declare(
    settings: &RabbitSettings,
    channel: &Channel,
    name: ShortString,
    arguments: FieldTable,
) -> Result<(), RabbitError> {
    let declared = channel.queue_declare(name.clone(), QueueDeclareOptions::durable(), arguments).await;
    declared.map(|_| ()).map_err(|error| RabbitError::of_declaration(settings, name.as_str(), &error))
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

/// A queue that is worked off.
fn working(parked: &ShortString) -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERIES));
    dead_letters_to(&mut arguments, parked);
    arguments
}

/// A queue whose messages go on to another one after so long.
fn delaying(delay: Duration, target: &ShortString) -> FieldTable {
    let mut arguments = quorum();
    let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(delay_ms));
    dead_letters_to(&mut arguments, target);
    arguments
}

/// At least once: the message leaves its queue when the other one has confirmed it. RabbitMQ does so only where the
/// queue refuses what it has no room for instead of dropping something.
fn dead_letters_to(arguments: &mut FieldTable, target: &ShortString) {
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(target.as_str()));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
}

fn parked() -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(PARKED));
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(PARKED_MS));
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::retry::longest_round;

    #[test]
    fn a_delay_is_never_shorter_than_wanted_but_beyond_the_longest() {
        for millis in [0, 1, 999, 1_000, 1_001, 4_999, 5_000, 5_001, 30_510, 59_999, 60_000] {
            let wanted = Duration::from_millis(millis);
            let rounded = rounded_up(wanted);
            assert!(rounded >= wanted && DELAYS.contains(&rounded), "{wanted:?}: {rounded:?}");
        }
        assert_eq!(rounded_up(Duration::from_secs(5)), Duration::from_secs(5));
        assert_eq!(rounded_up(Duration::from_hours(1)), Duration::from_mins(1));
    }

    #[test]
    fn every_delay_of_the_flow_has_a_queue_of_its_own() {
        // 1 to 5 s: the retries' delays are what a round without any time of its own lasts.
        let mut left = longest_round(Duration::ZERO);
        for delay in &DELAYS[..5] {
            left -= *delay;
        }
        assert_eq!(left, Duration::ZERO);
    }
}
