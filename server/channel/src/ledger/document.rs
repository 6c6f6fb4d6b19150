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
    /// Where the news of the payment go; nobody where the channel lives in the server's process.
    pub(crate) notify_url: Option<String>,
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
    /// Where the news of the payment go; nobody if none shall.
    pub(crate) notify_url: Option<String>,
    /// Which run of the program took it, and so sends the news: a mark of its own, or [`UNKNOWN_RUN`].
    pub(crate) run: u32,
}

/// An earlier version's, or one in the server's process, where nothing outlives the run.
pub(crate) const UNKNOWN_RUN: u32 = 0;

/// Money was given back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RefundDoc {
    pub(crate) amount_minor: u64,
    pub(crate) refunded_at_us: u64,
}

/// The server has acknowledged the news of a payment. Written some time after that: without it they are repeated once
/// more by the next start.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ToldDoc {
    pub(crate) told_at_us: u64,
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

impl Document for ToldDoc {
    const SHELF: Shelf = Shelf::Told;
}

impl Document for KeyDoc {
    const SHELF: Shelf = Shelf::Keys;
}

/// Stands before every document, so that a later layout can tell these apart.
const LAYOUT: u8 = 3;
/// Lacks `run`, which is the last member of whatever has it.
const WITHOUT_RUN: u8 = 2;
/// Lacks `notify_url` too, which is the last member but that.
const WITHOUT_NOTIFY_URL: u8 = 1;
/// `None` and [`UNKNOWN_RUN`] alike as postcard writes them.
const ABSENT: u8 = 0;

pub(crate) fn encode<D: Document>(document: &D) -> Result<Vec<u8>, LedgerError> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(LAYOUT);
    postcard::to_extend(document, bytes).map_err(|source| LedgerError::Encode(source.to_string()))
}

pub(crate) fn decode<D: Document>(key: &str, bytes: &[u8]) -> Result<D, LedgerError> {
    let damaged = |what: String| LedgerError::Damaged { shelf: D::SHELF.name(), key: key.to_owned(), what };
    let read = match bytes.split_first() {
        Some((&LAYOUT, document)) => postcard::from_bytes(document),
        // Whatever has no such members leaves the bytes alone.
        Some((&WITHOUT_RUN, document)) => postcard::from_bytes(&[document, &[ABSENT]].concat()),
        Some((&WITHOUT_NOTIFY_URL, document)) => postcard::from_bytes(&[document, &[ABSENT; 2]].concat()),
        Some((layout, _)) => return Err(damaged(format!("layout {layout}; this version reads layouts 1 to 3"))),
        None => return Err(damaged("it is empty".to_owned())),
    };
    read.map_err(|source| damaged(source.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the earlier layouts wrote, member by member.
    #[derive(Serialize)]
    struct FirstPaid {
        paid: Paid,
        merchant: String,
        order_no: String,
        style: ChannelStyle,
    }

    #[derive(Serialize)]
    struct SecondPaid {
        first: FirstPaid,
        notify_url: Option<String>,
    }

    #[derive(Serialize)]
    enum End<P> {
        Paid(P),
        Closed { closed_at_us: u64 },
    }

    #[test]
    fn the_earlier_layouts_are_still_read() {
        let paid = Paid { transaction_id: "20".to_owned(), paid_at_us: 5, amount_minor: 7, currency: Currency::CNY };
        let (merchant, order_no) = ("m".to_owned(), "o".to_owned());
        let style = ChannelStyle::Wechat;
        let first = || FirstPaid { paid: paid.clone(), merchant: merchant.clone(), order_no: order_no.clone(), style };
        let url = || Some("http://x/y".to_owned());
        let written = [
            postcard::to_extend(&End::Paid(first()), vec![WITHOUT_NOTIFY_URL]).unwrap(),
            postcard::to_extend(&End::<FirstPaid>::Closed { closed_at_us: 9 }, vec![WITHOUT_NOTIFY_URL]).unwrap(),
            postcard::to_extend(&End::Paid(SecondPaid { first: first(), notify_url: url() }), vec![WITHOUT_RUN])
                .unwrap(),
            postcard::to_extend(&End::<SecondPaid>::Closed { closed_at_us: 8 }, vec![WITHOUT_RUN]).unwrap(),
        ];
        let read = written.map(|bytes| decode::<EndDoc>("k", &bytes).unwrap());
        let doc = |notify_url| {
            let (paid, merchant, order_no) = (paid.clone(), merchant.clone(), order_no.clone());
            EndDoc::Paid(PaidDoc { paid, merchant, order_no, style, notify_url, run: UNKNOWN_RUN })
        };
        let closed = |closed_at_us| EndDoc::Closed { closed_at_us };
        assert_eq!(read, [doc(None), closed(9), doc(url()), closed(8)]);
        assert!(decode::<EndDoc>("k", &[4, 0]).is_err() && decode::<EndDoc>("k", &[]).is_err());
    }
}
