//! The reference server of the payment flow: submit, queue, runner, payment channel, result cache, synchronisation to a
//! document store, and what follows when the payer has paid.
//!
//! Modules stand in the order in which a payment flows. `docs/architecture.md` has a reading order.

pub mod config;
pub mod start;
pub mod assemble;
pub mod stop;
pub mod http;
pub mod merchants;
pub mod service;
pub mod queue;
pub mod runner;
pub mod channel;
pub mod cache;
pub mod sync;
pub mod notice;
pub mod refund;
pub mod closing;
pub mod dispatch;
pub mod order;
pub mod sweep;
pub mod store;
pub mod model;
pub mod parts;
pub mod clock;
pub mod metrics;
