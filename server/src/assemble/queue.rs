//! The task queue of a configuration, and the success messages, which travel the same way.

use std::sync::Arc;

use crate::{
    config::{Config, QueueKind},
    dispatch,
    metrics::Metrics,
    queue::{
        Queue,
        memory::{MemoryQueue, Wheel},
        success::{Announced, Successes},
    },
};
#[cfg(feature = "rabbitmq")]
use crate::{
    dispatch::SUBSCRIBERS,
    queue::{
        rabbitmq::{Limits, Rabbit, RabbitQueue, RabbitSettings},
        success::{
            SubscriberQueue, SuccessExchange,
            rabbitmq::{RabbitExchange, RabbitSuccesses},
        },
    },
};

use super::ServerError;

/// Success messages that may wait for a subscriber or the publisher in this process; over it they are read from the
/// notices.
const SUCCESSES: usize = 16_384;

/// Both queues, and what has to be run for them.
pub(super) struct Queues {
    pub(super) tasks: Queue,
    pub(super) successes: Successes,
    pub(super) announced: Announced,
    /// The part of a queue in process that waits.
    pub(super) wheel: Option<Wheel>,
}

/// Opens the queues.
#[cfg_attr(
    not(feature = "rabbitmq"),
    expect(unused_variables, clippy::unused_async, reason = "for a queue that is somewhere else")
)]
pub(super) async fn open(config: &Config, metrics: &Arc<Metrics>) -> Result<Queues, ServerError> {
    match &config.queue {
        QueueKind::Memory => {
            let (queue, wheel) = MemoryQueue::new(config.queue_capacity);
            let (successes, announced) = dispatch::in_process(SUCCESSES);
            Ok(Queues { tasks: Queue::Memory(queue), successes, announced, wheel: Some(wheel) })
        }
        #[cfg(feature = "rabbitmq")]
        QueueKind::Rabbitmq(settings) => on_rabbitmq(config, settings, metrics).await,
    }
}

#[cfg(feature = "rabbitmq")]
async fn on_rabbitmq(
    config: &Config,
    settings: &RabbitSettings,
    metrics: &Arc<Metrics>,
) -> Result<Queues, ServerError> {
    let subscribers: Vec<&'static str> = SUBSCRIBERS.iter().map(|subscriber| subscriber.name).collect();
    let rabbit = Rabbit::connect(settings, &subscribers, Arc::clone(metrics)).await?;
    let limits = Limits { capacity: config.queue_capacity, in_hand: config.workers };
    let tasks = Queue::Rabbitmq(RabbitQueue::new(&rabbit, limits));
    let queues = subscribers.iter().map(|name| SubscriberQueue::Rabbitmq(RabbitSuccesses::new(&rabbit, name)));
    let exchange = SuccessExchange::Rabbitmq(RabbitExchange::new(&rabbit));
    let (successes, announced) = Successes::through(exchange, queues.collect(), SUCCESSES);
    Ok(Queues { tasks, successes, announced, wheel: None })
}
