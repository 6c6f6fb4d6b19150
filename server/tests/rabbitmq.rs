//! What RabbitMQ and the network before it do to the task queue: lost, forced and blocked connections, refused and returned
//! messages, messages that nobody can read, deleted queues, and wrong configurations.
#![cfg_attr(not(feature = "rabbitmq"), allow(unused, reason = "there is nothing to test"))]
#![allow(clippy::unwrap_used, reason = "the cases are tests, of a harness of their own")]

mod contract_support;
#[cfg(feature = "rabbitmq")]
mod rabbit_support;

#[cfg(not(feature = "rabbitmq"))]
fn main() {}

#[cfg(feature = "rabbitmq")]
fn main() {
    cases::main();
}

#[cfg(feature = "rabbitmq")]
#[path = "rabbit_support/cases.rs"]
mod cases;
