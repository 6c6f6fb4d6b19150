//! The payer's side: the cashier takes money for signed parameters, once an order, and sends word to the server.

use std::time::Duration;

use payrig_api::{Problem, ProblemType, Transaction};

use crate::dice::{Cast, Dice};
use crate::ledger::document::{EndDoc, OrderDoc, PaidDoc};
use crate::ledger::{Inserted, LedgerError};
use crate::notification::News;
use crate::order::{Paid, PrepayId};
use crate::outbox::Letter;
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

impl CashierError {
    /// What the payer is told, by whoever serves the cashier. A ledger that failed is logged here.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let kind = match self {
            Self::Closed => ProblemType::WrongState,
            Self::Malformed(_) => ProblemType::MalformedBody,
            Self::Tampered(_) => ProblemType::Unauthorized,
            Self::Unavailable => ProblemType::Overloaded,
            Self::Broken(_) => {
                tracing::warn!(error = %self, "the cashier's ledger failed");
                ProblemType::FateUnknown
            }
        };
        Problem::new(kind).detail(self.to_string())
    }
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
        if inner.present.load().down_for(inner.clock.running()).is_some() {
            return Err(CashierError::Unavailable);
        }
        let params = read(body, &inner.merchant.load()).map_err(|error| match error {
            SignatureError::Malformed(what) => CashierError::Malformed(what),
            other => CashierError::Tampered(other),
        })?;
        let prepaid_url = self.check_prepaid(&params).await?;
        let notify_url = if params.drops_notification { None } else { prepaid_url.or(params.notify_url.clone()) };
        let paid = Paid {
            transaction_id: transaction_id(inner.seed, &params),
            paid_at_us: inner.clock.now_us(),
            amount_minor: params.amount_minor,
            currency: params.currency,
        };
        let news = News {
            style: params.style,
            out_trade_no: params.out_trade_no.clone(),
            merchant: params.merchant.clone(),
            paid: paid.clone(),
            notify_url: notify_url.clone(),
        };
        let end = PaidDoc {
            paid,
            merchant: params.merchant,
            order_no: params.order_no,
            style: params.style,
            notify_url,
            run: inner.run,
        };
        match inner.ledger.insert(&params.out_trade_no, &EndDoc::Paid(end)).await? {
            Inserted::Existing(EndDoc::Closed { .. }) => Err(CashierError::Closed),
            Inserted::Existing(EndDoc::Paid(theirs)) => Ok(transaction(params.out_trade_no, theirs.paid)),
            Inserted::New => {
                let transaction = transaction(params.out_trade_no, news.paid.clone());
                // Over HTTP news without an address go nowhere.
                if !params.drops_notification && (news.notify_url.is_some() || !self.inner().speaks_http) {
                    self.announce(news);
                }
                Ok(transaction)
            }
        }
    }

    /// In WeChat style the order itself stands in the ledger, and the parameters must be its own. Gives the address for
    /// the news that the order came with. Parameters without a prepay id say all by themselves; but where their number
    /// was prepaid it stands for that order and no other.
    async fn check_prepaid(&self, params: &PayParams) -> Result<Option<String>, CashierError> {
        let inner = self.inner();
        let order: Option<OrderDoc> = inner.ledger.get(&params.out_trade_no).await?;
        let is_its_own = |order: &OrderDoc| {
            order.amount_minor == params.amount_minor
                && order.currency == params.currency
                && order.merchant == params.merchant
                && order.order_no == params.order_no
        };
        let is_given = |prepay: &PrepayId, order: &OrderDoc| {
            *prepay == prepay_id(inner.seed, &params.out_trade_no, order.prepaid_at_us)
        };
        match (&params.prepay, order) {
            (Some(_), None) => Err(CashierError::Malformed("no such prepay id")),
            (Some(prepay), Some(order)) if is_given(prepay, &order) && is_its_own(&order) => Ok(order.notify_url),
            (None, Some(order)) if is_its_own(&order) => Ok(None),
            (None, None) => Ok(None),
            (_, Some(_)) => Err(CashierError::Malformed("not what was prepaid")),
        }
    }

    fn announce(&self, news: News) {
        let inner = self.inner();
        let in_force = inner.present.load();
        let running = inner.clock.running();
        let fate = in_force.news_fate(&news.out_trade_no);
        let send = |letter, delay: Duration| {
            // A channel that is down sends nothing: the news go out when it is up again.
            let due = running.saturating_add(delay);
            let down_for = in_force.down_for(due).unwrap_or_default();
            inner.outbox.send(letter, delay.saturating_add(down_for));
        };
        if let Some(delay) = fate.copy {
            send(Letter { sending: COPY, is_copy: true, ..Letter::first(news.clone()) }, delay);
        }
        if let Some((claim, delay)) = fate.contradiction.filter(|_| inner.speaks_http) {
            send(Letter { claim, is_copy: true, ..Letter::first(news.clone()) }, delay);
        }
        send(Letter::first(news), fate.delay);
    }
}

/// The number of a second copy's sending: beyond those of any schedule, so that its nonce is its own.
const COPY: u32 = 1_000;

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
