//! The payer's side: the cashier takes money for signed parameters, once an order, and sends word to the server.

use payrig_api::Transaction;

use crate::dice::{Cast, Dice};
use crate::ledger::document::{EndDoc, OrderDoc, PaidDoc};
use crate::ledger::{Inserted, LedgerError};
use crate::notification::News;
use crate::order::Paid;
use crate::params::{PayParams, prepay_id, read::read};
use crate::sign::SignatureError;
use crate::simulated::SimulatedChannel;

/// Why the cashier took no money.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CashierError {
    /// The order is closed and can never be paid.
    #[error("the order is closed")]
    Closed,
    /// What was brought is no set of pay parameters, or belongs to no order here.
    #[error("these are no pay parameters: {0}")]
    Malformed(&'static str),
    /// The parameters are not those that were signed.
    #[error("the pay parameters were tampered with: {0}")]
    Tampered(SignatureError),
    /// The channel is down for now.
    #[error("the cashier is out of service for now")]
    Unavailable,
    /// The ledger failed; whether the money was taken is unknown. Paying again is safe.
    #[error("the simulated channel's ledger failed")]
    Broken(#[from] LedgerError),
}

impl SimulatedChannel {
    /// The payer pays with the parameters, as one JSON object. A repeat gets the same transaction.
    ///
    /// The payer's call meets no random fault and no latency; only an outage.
    ///
    /// # Errors
    /// [`CashierError`]; no money was taken unless it is [`CashierError::Broken`].
    pub async fn cashier(&self, body: &[u8]) -> Result<Transaction, CashierError> {
        let inner = self.inner();
        if inner.profile.is_down(inner.clock.running()) {
            return Err(CashierError::Unavailable);
        }
        let params = read(body, inner.params.signer()).map_err(|error| match error {
            SignatureError::Malformed(what) => CashierError::Malformed(what),
            other => CashierError::Tampered(other),
        })?;
        self.check_prepaid(&params).await?;
        let paid = Paid {
            transaction_id: transaction_id(inner.profile.seed, &params),
            paid_at_us: inner.clock.now_us(),
            amount_minor: params.amount_minor,
            currency: params.currency,
        };
        let news = News {
            style: params.style,
            out_trade_no: params.out_trade_no.clone(),
            merchant: params.merchant.clone(),
            paid: paid.clone(),
        };
        let end = PaidDoc { paid, merchant: params.merchant, order_no: params.order_no, style: params.style };
        match inner.ledger.insert(&params.out_trade_no, &EndDoc::Paid(end)).await? {
            Inserted::Existing(EndDoc::Closed { .. }) => Err(CashierError::Closed),
            Inserted::Existing(EndDoc::Paid(theirs)) => Ok(transaction(params.out_trade_no, theirs.paid)),
            Inserted::New => {
                let transaction = transaction(params.out_trade_no, news.paid.clone());
                if !params.drops_notification {
                    self.announce(news);
                }
                Ok(transaction)
            }
        }
    }

    /// In WeChat style the order itself stands in the ledger, and the parameters must be its own.
    async fn check_prepaid(&self, params: &PayParams) -> Result<(), CashierError> {
        let Some(prepay) = &params.prepay else { return Ok(()) };
        let inner = self.inner();
        let order: OrderDoc =
            inner.ledger.get(&params.out_trade_no).await?.ok_or(CashierError::Malformed("no such prepay id"))?;
        let is_its_own = *prepay == prepay_id(inner.profile.seed, &params.out_trade_no, order.prepaid_at_us)
            && order.amount_minor == params.amount_minor
            && order.currency == params.currency
            && order.merchant == params.merchant
            && order.order_no == params.order_no;
        if is_its_own { Ok(()) } else { Err(CashierError::Malformed("not what was prepaid")) }
    }

    fn announce(&self, news: News) {
        let inner = self.inner();
        let profile = &inner.profile;
        let mut delay = profile.notify.draw(&mut Dice::cast(profile.seed, &news.out_trade_no, Cast::Notify, 1));
        // A channel that is down sends nothing: the news go out when it is up again.
        let running = inner.clock.running();
        let due = running.saturating_add(delay);
        if let Some(outage) = profile.outages.iter().find(|outage| outage.covers(due)) {
            delay = outage.end().saturating_sub(running);
        }
        inner.outbox.send(news, delay);
    }
}

/// 28 digits: two that tell the style, and 26 from seed and order.
fn transaction_id(seed: u64, params: &PayParams) -> String {
    let style = if params.prepay.is_some() { "42" } else { "20" };
    format!("{style}{}", Dice::cast(seed, &params.out_trade_no, Cast::TransactionId, 0).digits())
}

fn transaction(out_trade_no: String, paid: Paid) -> Transaction {
    Transaction {
        transaction_id: paid.transaction_id,
        out_trade_no,
        amount_minor: paid.amount_minor,
        currency: paid.currency,
        paid_at_us: paid.paid_at_us,
    }
}
