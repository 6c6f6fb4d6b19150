//! The simulated third-party payment channel, Alipay style and WeChat style, with an order ledger of its own.
//!
//! Two parties meet here. The *server* (in whose process this library runs) asks for prepay ids, signs pay parameters,
//! queries, closes and refunds; every call is idempotent by `out_trade_no`. The *payer* hands signed parameters to the
//! cashier, which takes the money and notifies the server. What the channel promised stands in its ledger, durable before
//! any answer, so that a check can compare it with the server's own books.
//!
//! Latencies and faults come from a [`Profile`], and every one of them is a pure function of the seed and of the call
//! it strikes, so that a run can be repeated.
//!
//! Reading order: `order` (what is said), `simulated` (who says it), `cashier` and `params` (the payer's side),
//! `notification` and `outbox` (the news of a payment), `ledger` (what is kept), `profile` and `dice` (what goes wrong).

#![forbid(unsafe_code)]

mod behaviour;
mod books;
mod cashier;
mod clock;
mod dice;
mod error;
mod faults;
mod http;
mod json;
pub mod keys;
mod ledger;
mod metrics;
mod notification;
mod options;
mod order;
mod outbox;
mod params;
mod profile;
pub mod program;
pub mod sending;
mod sign;
mod simulated;
pub mod wire;

pub use books::{LedgerRow, PaidRow, RefundRow};
pub use cashier::CashierError;
pub use error::ChannelError;
pub use ledger::{Ledger, LedgerError, MemoryLedger};
pub use notification::{Notification, PaidNotice, Verifier};
pub use options::Options;
pub use order::{CloseAnswer, Order, Paid, PrepayId, TradeState, Wish};
pub use outbox::Notifications;
pub use params::PayParamsWriter;
pub use payrig_api::Transaction;
pub use profile::{Chance, Codes, Delay, NotifyFaults, Outage, Profile, ProfileError, Rare, Spells};
pub use sign::{Algorithm, Checker, KeyError, Purpose, SecretKey, SignatureError, Signer};
pub use simulated::SimulatedChannel;
