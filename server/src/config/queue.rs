//! Which task queue.

use super::{
    RawConfig,
    value::{ConfigError, bad, without_login},
};
#[cfg(feature = "rabbitmq")]
use crate::queue::rabbitmq::RabbitSettings;

/// Where attempts and success messages wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QueueKind {
    /// In this process.
    Memory,
    /// On RabbitMQ.
    #[cfg(feature = "rabbitmq")]
    Rabbitmq(RabbitSettings),
}

impl RawConfig {
    pub(super) fn checked_queue(&self) -> Result<QueueKind, ConfigError> {
        match self.queue.as_deref() {
            None | Some("memory") => Ok(QueueKind::Memory),
            Some(url) if url.starts_with("amqp") => rabbitmq(url),
            Some(other) => {
                let expected = "expected memory, or amqp://USER:PASSWORD@HOST:PORT/VHOST";
                Err(bad("queue", without_login(other), expected))
            }
        }
    }
}

#[cfg(feature = "rabbitmq")]
fn rabbitmq(url: &str) -> Result<QueueKind, ConfigError> {
    let settings = RabbitSettings::parse(url);
    settings.map(QueueKind::Rabbitmq).map_err(|error| bad("queue", without_login(url), error.to_string()))
}

#[cfg(not(feature = "rabbitmq"))]
fn rabbitmq(url: &str) -> Result<QueueKind, ConfigError> {
    let expected = "this payrig-server was built without RabbitMQ: build it with --features rabbitmq";
    Err(bad("queue", without_login(url), expected))
}
