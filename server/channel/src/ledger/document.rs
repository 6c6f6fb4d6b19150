//! What the ledger keeps of an order: three insert-once documents.

use payrig_api::{ChannelStyle, Currency};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{LedgerError, Shelf};
use crate::order::Paid;

/// A document of the ledger and the shelf on which its kind stands.
pub(crate) trait Document: Serialize + DeserializeOwned {
    const SHELF: Shelf;
}

/// A WeChat-style order was prepaid.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct OrderDoc {
    pub(crate) merchant: String,
    pub(crate) order_no: String,
    pub(crate) amount_minor: u64,
    pub(crate) currency: Currency,
    pub(crate) style: ChannelStyle,
    pub(crate) prepaid_at_us: u64,
}

/// The one end of an order: whoever inserts it first decides between paid and closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum EndDoc {
    Paid(PaidDoc),
    Closed { closed_at_us: u64 },
}

/// The money was taken, and for what.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PaidDoc {
    pub(crate) paid: Paid,
    pub(crate) merchant: String,
    pub(crate) order_no: String,
    pub(crate) style: ChannelStyle,
}

/// Money was given back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RefundDoc {
    pub(crate) amount_minor: u64,
    pub(crate) refunded_at_us: u64,
}

/// The secret from which the keys of this ledger's channel are derived.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyDoc(pub(crate) [u8; 32]);

impl Document for OrderDoc {
    const SHELF: Shelf = Shelf::Orders;
}

impl Document for EndDoc {
    const SHELF: Shelf = Shelf::Ends;
}

impl Document for RefundDoc {
    const SHELF: Shelf = Shelf::Refunds;
}

impl Document for KeyDoc {
    const SHELF: Shelf = Shelf::Keys;
}

/// Stands before every document, so that a later layout can tell these apart.
const LAYOUT: u8 = 1;

pub(crate) fn encode<D: Document>(document: &D) -> Result<Vec<u8>, LedgerError> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(LAYOUT);
    postcard::to_extend(document, bytes).map_err(|source| LedgerError::Encode(source.to_string()))
}

pub(crate) fn decode<D: Document>(key: &str, bytes: &[u8]) -> Result<D, LedgerError> {
    let damaged = |what: String| LedgerError::Damaged { shelf: D::SHELF.name(), key: key.to_owned(), what };
    match bytes.split_first() {
        Some((&LAYOUT, document)) => postcard::from_bytes(document).map_err(|source| damaged(source.to_string())),
        Some((layout, _)) => Err(damaged(format!("layout {layout}; this version reads layout {LAYOUT}"))),
        None => Err(damaged("it is empty".to_owned())),
    }
}
