//! The channel towards the server: prepay, parameters, query, close, refund.

use std::sync::Arc;

use payrig_api::ChannelStyle;
use tokio::time::sleep;

use crate::books::{self, LedgerRow};
use crate::clock::Clock;
use crate::dice::Cast;
use crate::error::ChannelError;
use crate::faults::{Fate, Fault};
use crate::ledger::document::{EndDoc, KeyDoc, OrderDoc, RefundDoc};
use crate::ledger::{Inserted, Ledger, LedgerError};
use crate::notification::{Notification, PaidNotice, Sealer, Verifier};
use crate::order::{CloseAnswer, Order, PrepayId, TradeState, Wish};
use crate::outbox::{Notifications, Outbox, outbox};
use crate::params::{ParamsWriter, prepay_id};
use crate::profile::Profile;
use crate::sign::{Purpose, SecretKey, SignatureError, Signer};

/// How a channel is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Latencies, faults and seed.
    pub profile: Profile,
    /// Where the payer pays; stands in the parameters.
    pub cashier_url: String,
    /// How many notifications may wait to be sent; more are dropped and counted.
    pub notification_capacity: usize,
    /// The secret behind the signatures; without one the ledger's own is used, which is made at its first opening.
    pub secret: Option<SecretKey>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            cashier_url: "http://127.0.0.1:8080/simulated/cashier".to_owned(),
            notification_capacity: 65_536,
            secret: None,
        }
    }
}

/// The simulated channel; clones are the same channel.
#[derive(Clone)]
pub struct SimulatedChannel {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) profile: Profile,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Clock,
    pub(crate) params: ParamsWriter,
    pub(crate) outbox: Outbox,
    verifier: Verifier,
}

const SECRET_KEY: &str = "secret";

/// The longest `out_trade_no`, as Alipay has it.
const OUT_TRADE_NO_MAX: usize = 64;

impl SimulatedChannel {
    /// Starts the channel on a ledger. The outages of the profile count from now. The notifications are handed out once,
    /// here.
    ///
    /// # Errors
    /// The ledger's secret can be neither read nor made.
    pub async fn start(ledger: Ledger, options: Options) -> Result<(Self, Notifications), LedgerError> {
        let secret = match options.secret {
            Some(secret) => secret,
            None => {
                let fresh = SecretKey::random();
                match ledger.insert(SECRET_KEY, &KeyDoc(fresh.0)).await? {
                    Inserted::New => fresh,
                    Inserted::Existing(KeyDoc(bytes)) => SecretKey::from_bytes(bytes),
                }
            }
        };
        let seed = options.profile.seed;
        let clock = Clock::start();
        let signer = Signer::hmac_sha256(&secret, Purpose::PayParams);
        let sealer = Arc::new(Sealer::new(Signer::hmac_sha256(&secret, Purpose::Notification), seed));
        let verifier = sealer.verifier();
        let (outbox, notifications) = outbox(options.notification_capacity, sealer, clock);
        let params = ParamsWriter::new(signer, seed, &options.cashier_url);
        let inner = Inner { profile: options.profile, ledger, clock, params, outbox, verifier };
        Ok((Self { inner: Arc::new(inner) }, notifications))
    }

    /// WeChat style: asks for the prepay id of an order, the same one for every repeat.
    ///
    /// # Errors
    /// [`ChannelError`]; `ORDER_CLOSED` for one that is closed, `OUT_TRADE_NO_USED` if the number stands for another
    /// order.
    pub async fn prepay(&self, order: &Order<'_>, wish: &Wish) -> Result<PrepayId, ChannelError> {
        let number = u64::from(wish.attempt);
        self.call(Cast::Prepay, order.out_trade_no, number, Some(wish), self.prepay_now(order)).await
    }

    async fn prepay_now(&self, order: &Order<'_>) -> Result<PrepayId, ChannelError> {
        check_out_trade_no(order.out_trade_no)?;
        let mut document = OrderDoc {
            merchant: order.merchant.to_owned(),
            order_no: order.order_no.to_owned(),
            amount_minor: order.amount_minor,
            currency: order.currency,
            style: order.style,
            prepaid_at_us: self.inner.clock.now_us(),
        };
        if let Inserted::Existing(theirs) = self.inner.ledger.insert(order.out_trade_no, &document).await? {
            document.prepaid_at_us = theirs.prepaid_at_us;
            if document != theirs {
                return Err(ChannelError::permanent("OUT_TRADE_NO_USED", "the number stands for another order"));
            }
        }
        // A paid order still answers its id: that is what an attempt whose answer was lost comes back for.
        if let Some(EndDoc::Closed { .. }) = self.inner.ledger.get(order.out_trade_no).await? {
            return Err(ChannelError::permanent("ORDER_CLOSED", "the order is closed"));
        }
        Ok(prepay_id(self.inner.profile.seed, order.out_trade_no, document.prepaid_at_us))
    }

    /// The signed parameters with which the payer pays: one JSON object, the same for every repeat.
    ///
    /// In Alipay style this is no call of the channel; only what the wish asks for happens here. In WeChat style it
    /// happened at [`Self::prepay`].
    ///
    /// # Errors
    /// [`ChannelError::Permanent`] without the prepay id in WeChat style; in Alipay style also what the wish asks for.
    pub fn pay_params(
        &self,
        order: &Order<'_>,
        prepay: Option<&PrepayId>,
        wish: &Wish,
    ) -> Result<String, ChannelError> {
        check_out_trade_no(order.out_trade_no)?;
        let params = &self.inner.params;
        match order.style {
            ChannelStyle::Alipay => match Fault::wished(wish) {
                Some(fault) => Err(fault.into()),
                None => Ok(params.alipay(order, wish.drops_notification())),
            },
            ChannelStyle::Wechat => prepay
                .and_then(|prepay| params.wechat(order, prepay, wish.drops_notification()))
                .ok_or(ChannelError::permanent("PARAM_ERROR", "no prepay id of this channel")),
        }
    }

    /// Where the order stands. `repeat` tells repeats of the query for one order apart, for the dice only: give any
    /// number that changes from one to the next, or what fails once fails always.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub async fn query(&self, out_trade_no: &str, repeat: u64) -> Result<TradeState, ChannelError> {
        self.call(Cast::Query, out_trade_no, repeat, None, self.query_now(out_trade_no)).await
    }

    async fn query_now(&self, out_trade_no: &str) -> Result<TradeState, ChannelError> {
        check_out_trade_no(out_trade_no)?;
        let ledger = &self.inner.ledger;
        match ledger.get(out_trade_no).await? {
            Some(EndDoc::Paid(end)) => Ok(TradeState::Paid(end.paid)),
            Some(EndDoc::Closed { .. }) => Ok(TradeState::Closed),
            None if ledger.get::<OrderDoc>(out_trade_no).await?.is_some() => Ok(TradeState::AwaitingPayer),
            None => Ok(TradeState::Unknown),
        }
    }

    /// Closes the order, so that nobody can pay it any more; holds also for one that the channel has not seen yet.
    /// `repeat` as in [`Self::query`].
    ///
    /// # Errors
    /// [`ChannelError`].
    pub async fn close(&self, out_trade_no: &str, repeat: u64) -> Result<CloseAnswer, ChannelError> {
        self.call(Cast::Close, out_trade_no, repeat, None, self.close_now(out_trade_no)).await
    }

    async fn close_now(&self, out_trade_no: &str) -> Result<CloseAnswer, ChannelError> {
        check_out_trade_no(out_trade_no)?;
        let closed = EndDoc::Closed { closed_at_us: self.inner.clock.now_us() };
        match self.inner.ledger.insert(out_trade_no, &closed).await? {
            Inserted::Existing(EndDoc::Paid(end)) => Ok(CloseAnswer::AlreadyPaid(end.paid)),
            Inserted::New | Inserted::Existing(EndDoc::Closed { .. }) => Ok(CloseAnswer::Closed),
        }
    }

    /// Gives money back, once an order: a repeat with the same amount (in minor units) changes nothing. `repeat` as in
    /// [`Self::query`].
    ///
    /// # Errors
    /// [`ChannelError`]; permanently for an order that is not paid, for more than was paid, for nothing, and for another
    /// amount than was refunded before.
    pub async fn refund(&self, out_trade_no: &str, amount_minor: u64, repeat: u64) -> Result<(), ChannelError> {
        self.call(Cast::Refund, out_trade_no, repeat, None, self.refund_now(out_trade_no, amount_minor)).await
    }

    async fn refund_now(&self, out_trade_no: &str, amount_minor: u64) -> Result<(), ChannelError> {
        check_out_trade_no(out_trade_no)?;
        let Some(EndDoc::Paid(end)) = self.inner.ledger.get(out_trade_no).await? else {
            return Err(ChannelError::permanent("ORDER_NOT_EXIST", "the order is not paid"));
        };
        if !(1..=end.paid.amount_minor).contains(&amount_minor) {
            return Err(ChannelError::permanent("PARAM_ERROR", "a refund is between 1 and the amount paid"));
        }
        let refund = RefundDoc { amount_minor, refunded_at_us: self.inner.clock.now_us() };
        match self.inner.ledger.insert(out_trade_no, &refund).await? {
            Inserted::Existing(theirs) if theirs.amount_minor != amount_minor => {
                Err(ChannelError::permanent("INVALID_REQUEST", "another amount was refunded before"))
            }
            Inserted::New | Inserted::Existing(_) => Ok(()),
        }
    }

    /// Checks a notification of this channel; see [`Verifier::verify`].
    ///
    /// # Errors
    /// [`SignatureError`]: nothing of the notification may be believed.
    pub fn verify(&self, notification: &Notification) -> Result<PaidNotice, SignatureError> {
        self.inner.verifier.verify(notification)
    }

    /// What checks this channel's notifications, by itself.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        self.inner.verifier.clone()
    }

    /// The first `limit` rows of the ledger after an `out_trade_no`, ordered by it. No fault strikes here.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn ledger_page(&self, after: Option<&str>, limit: usize) -> Result<Vec<LedgerRow>, LedgerError> {
        books::page(&self.inner.ledger, after, limit).await
    }

    /// How this channel behaves.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.inner.profile
    }

    /// How many notifications wait to be sent.
    #[must_use]
    pub fn notifications_pending(&self) -> usize {
        self.inner.outbox.pending()
    }

    /// How many notifications were dropped because too many waited, or because nobody listens.
    #[must_use]
    pub fn notifications_dropped(&self) -> u64 {
        self.inner.outbox.dropped()
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// One call: its latency, then its effect unless a fault forbids it, then its answer unless that is lost.
    async fn call<T>(
        &self,
        cast: Cast,
        out_trade_no: &str,
        number: u64,
        wish: Option<&Wish>,
        effect: impl Future<Output = Result<T, ChannelError>>,
    ) -> Result<T, ChannelError> {
        let inner = &self.inner;
        let fate = Fate::of(&inner.profile, cast, out_trade_no, number, wish, inner.clock.running());
        if !fate.latency.is_zero() {
            sleep(fate.latency).await;
        }
        match fate.fault {
            None => effect.await,
            Some(Fault::LostAnswer) => match effect.await {
                Err(broken @ ChannelError::Broken(_)) => Err(broken),
                _ => Err(ChannelError::NoAnswer),
            },
            Some(fault) => Err(fault.into()),
        }
    }
}

fn check_out_trade_no(out_trade_no: &str) -> Result<(), ChannelError> {
    let fits = (1..=OUT_TRADE_NO_MAX).contains(&out_trade_no.len())
        && out_trade_no.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    Err(ChannelError::permanent("PARAM_ERROR", "an out_trade_no has 1 to 64 visible ASCII characters"))
}
