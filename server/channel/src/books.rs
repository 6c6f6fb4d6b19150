//! The ledger as rows, for whoever compares it with other books.

use std::collections::BTreeMap;

use payrig_api::{ChannelStyle, Currency};
use serde::{Deserialize, Serialize};

use crate::ledger::document::{EndDoc, OrderDoc, RefundDoc};
use crate::ledger::{Ledger, LedgerError};

/// All that the ledger knows of one order. Members that it does not know are absent; instants are microseconds since
/// the Unix epoch by the channel's clock.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerRow {
    /// The server's number of the payment.
    pub out_trade_no: String,
    /// The merchant's number of what is bought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_no: Option<String>,
    /// Who is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merchant: Option<String>,
    /// Which way of paying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<ChannelStyle>,
    /// What is to be paid, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<u64>,
    /// ISO 4217 currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// When a prepay id was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepaid_at_us: Option<u64>,
    /// The money that was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid: Option<PaidRow>,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at_us: Option<u64>,
    /// The money that was given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refunded: Option<RefundRow>,
}

/// Money that was taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PaidRow {
    /// The channel's number of the transaction.
    pub transaction_id: String,
    /// How much, in minor units.
    pub amount_minor: u64,
    /// When, in microseconds since the Unix epoch.
    pub paid_at_us: u64,
}

/// Money that was given back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefundRow {
    /// How much, in minor units.
    pub amount_minor: u64,
    /// When, in microseconds since the Unix epoch.
    pub refunded_at_us: u64,
}

impl LedgerRow {
    /// What the channel holds of this order in the end, in minor units: taken less given back.
    #[must_use]
    pub fn net_minor(&self) -> u64 {
        let taken = self.paid.as_ref().map_or(0, |paid| paid.amount_minor);
        taken.saturating_sub(self.refunded.as_ref().map_or(0, |refunded| refunded.amount_minor))
    }

    /// What was paid stays as it was paid: whoever compares the books must see where it is not what was prepaid.
    fn add_order(&mut self, order: OrderDoc) {
        self.order_no.get_or_insert(order.order_no);
        self.merchant.get_or_insert(order.merchant);
        self.style.get_or_insert(order.style);
        self.amount_minor.get_or_insert(order.amount_minor);
        self.currency.get_or_insert(order.currency);
        self.prepaid_at_us = Some(order.prepaid_at_us);
    }

    fn add_end(&mut self, end: EndDoc) {
        match end {
            EndDoc::Closed { closed_at_us } => self.closed_at_us = Some(closed_at_us),
            EndDoc::Paid(end) => {
                self.order_no = Some(end.order_no);
                self.merchant = Some(end.merchant);
                self.style = Some(end.style);
                self.amount_minor = Some(end.paid.amount_minor);
                self.currency = Some(end.paid.currency);
                self.paid = Some(PaidRow {
                    transaction_id: end.paid.transaction_id,
                    amount_minor: end.paid.amount_minor,
                    paid_at_us: end.paid.paid_at_us,
                });
            }
        }
    }
}

/// The first rows after an `out_trade_no`, ordered by it.
pub(crate) async fn page(ledger: &Ledger, after: Option<&str>, limit: usize) -> Result<Vec<LedgerRow>, LedgerError> {
    let mut rows: BTreeMap<String, LedgerRow> = BTreeMap::new();
    // The last effect first: an order that moves on meanwhile never shows a refund without its payment.
    for (key, refund) in ledger.page::<RefundDoc>(after, limit).await? {
        let refunded = RefundRow { amount_minor: refund.amount_minor, refunded_at_us: refund.refunded_at_us };
        rows.entry(key).or_default().refunded = Some(refunded);
    }
    for (key, end) in ledger.page::<EndDoc>(after, limit).await? {
        rows.entry(key).or_default().add_end(end);
    }
    for (key, order) in ledger.page::<OrderDoc>(after, limit).await? {
        rows.entry(key).or_default().add_order(order);
    }
    // Of each kind the first `limit` were read, so the first `limit` of all of them are complete.
    Ok(rows.into_iter().take(limit).map(|(out_trade_no, row)| LedgerRow { out_trade_no, ..row }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::MemoryLedger;
    use crate::ledger::document::{PaidDoc, UNKNOWN_RUN};
    use crate::order::Paid;

    #[tokio::test]
    async fn a_row_tells_what_was_paid_and_not_what_was_prepaid() {
        let ledger = Ledger::from(MemoryLedger::new());
        let order = OrderDoc {
            merchant: "m".to_owned(),
            order_no: "o".to_owned(),
            amount_minor: 7,
            currency: Currency::CNY,
            style: ChannelStyle::Wechat,
            prepaid_at_us: 1,
            notify_url: None,
        };
        let usd = Currency::from_code("USD").unwrap();
        let paid = Paid { transaction_id: "20".to_owned(), paid_at_us: 5, amount_minor: 8, currency: usd };
        let (merchant, order_no) = ("other".to_owned(), "another".to_owned());
        let style = ChannelStyle::Alipay;
        let end = EndDoc::Paid(PaidDoc { paid, merchant, order_no, style, notify_url: None, run: UNKNOWN_RUN });
        ledger.insert("paid", &order).await.unwrap();
        ledger.insert("paid", &end).await.unwrap();
        ledger.insert("prepaid", &order).await.unwrap();
        let rows = page(&ledger, None, 10).await.unwrap();
        let told = |row: &LedgerRow| {
            (row.merchant.clone(), row.order_no.clone(), row.style, row.amount_minor, row.currency, row.prepaid_at_us)
        };
        let text = |text: &str| Some(text.to_owned());
        let expected = [
            (text("other"), text("another"), Some(style), Some(8), Some(usd), Some(1)),
            (text("m"), text("o"), Some(ChannelStyle::Wechat), Some(7), Some(Currency::CNY), Some(1)),
        ];
        assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), expected);
    }
}
