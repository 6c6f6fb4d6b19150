//! The refund list: money that the channel took and that is nobody's to keep. What is owed is written down first; giving
//! it back is idempotent by the payment's number, so that it may be tried as often as it takes and happens once.

use tokio::sync::mpsc;

use crate::{
    channel::{ChannelError, PaymentChannel as _, Trade},
    metrics::Named,
    model::{Document, Refund, Refunded, RoundId},
    parts::Parts,
    store::StoreError,
};

/// Refunds that may be on their way to the pool; more are found in the store.
const ON_THE_WAY: usize = 4_096;

/// Who gives money back: whoever finds that it is owed, or a pool of its own.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    pool: Option<mpsc::Sender<RoundId>>,
}

/// What is owed, for the pool.
pub type Owed = mpsc::Receiver<RoundId>;

/// How far a refund has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given {
    /// The money is back, and that is written down.
    Back,
    /// Not yet: it stays on the list.
    NotYet,
    /// The channel refuses it, and asking again soon will not change that. It stays on the list.
    Refused,
}

impl Desk {
    /// A desk with a pool behind it: what is handed in is given back elsewhere, and nobody waits for it.
    #[must_use]
    pub fn with_pool() -> (Self, Owed) {
        let (pool, owed) = mpsc::channel(ON_THE_WAY);
        (Self { pool: Some(pool) }, owed)
    }
}

/// Writes down that the money of a payment has to go back; returns whether it has gone back.
///
/// # Errors
/// Where the store does not answer; the notice stays, and whoever works it off comes back here.
pub async fn owe(parts: &Parts, trade: Trade<'_>, amount_minor: u64, reason: &str) -> Result<bool, StoreError> {
    let payment_no = trade.payment_no;
    let refund = Refund { payment_no, amount_minor, reason: reason.to_owned(), at_us: parts.clock.now_us() };
    let is_new = parts.store.insert_one(Document::Refund(refund)).await?;
    if !is_new && parts.store.refunded(payment_no).await?.is_some() {
        return Ok(true);
    }
    match &parts.refunds.pool {
        None => Ok(give_back(parts, trade, amount_minor).await? == Given::Back),
        Some(pool) => {
            // Where there is no room the list itself is read again.
            let _ = pool.try_send(payment_no);
            Ok(false)
        }
    }
}

/// Asks the channel once to give the money back, and writes down that it did.
///
/// # Errors
/// Where the store does not answer: the money may be back, and asking again finds out.
pub async fn give_back(parts: &Parts, trade: Trade<'_>, amount_minor: u64) -> Result<Given, StoreError> {
    let payment_no = trade.payment_no;
    let count = |name| {
        parts.metrics.refund_tries.get_or_create(&Named { name }).inc();
    };
    match parts.channel.refund(trade, amount_minor).await {
        Ok(()) => count("given"),
        Err(ChannelError::Transient(reason) | ChannelError::NotAsked(reason)) => {
            count("transient");
            tracing::info!(payment_no = payment_no.payment_no(), reason, "a refund was not taken yet");
            return Ok(Given::NotYet);
        }
        Err(ChannelError::Permanent(reason)) => {
            count("refused");
            tracing::error!(payment_no = payment_no.payment_no(), reason, "the channel refuses a refund that is owed");
            return Ok(Given::Refused);
        }
    }
    let refunded = Refunded { payment_no, amount_minor, at_us: parts.clock.now_us() };
    if parts.store.insert_one(Document::Refunded(refunded)).await? {
        parts.metrics.refunds.inc();
    }
    Ok(Given::Back)
}
