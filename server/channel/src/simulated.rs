//! The channel towards the server: prepay, parameters, query, close, refund.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::behaviour::Present;
use crate::books::{self, LedgerRow};
use crate::clock::Clock;
use crate::dice::{Cast, Dice};
use crate::error::ChannelError;
use crate::faults::{Fate, Fault};
use crate::keys::ChannelKeys;
use crate::ledger::document::{EndDoc, KeyDoc, OrderDoc, RefundDoc, UNKNOWN_RUN};
use crate::ledger::{Inserted, Ledger, LedgerError};
use crate::notification::{Notification, PaidNotice, Sealer, Verifier};
use crate::options::Options;
use crate::order::{CloseAnswer, Order, PrepayId, TradeState, Whose, Wish, check_out_trade_no};
use crate::outbox::{Notifications, Outbox, outbox};
use crate::params::{PayParamsWriter, prepay_id};
use crate::profile::Profile;
use crate::sign::{Checker, Purpose, SecretKey, SignatureError, Signer};

/// The simulated channel; clones are the same channel.
#[derive(Clone)]
pub struct SimulatedChannel {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) present: Arc<Present>,
    /// Behind ids, which stay what they are when the profile changes.
    pub(crate) seed: u64,
    /// Marks what this run of the program takes: no other run's, whatever the clocks say.
    pub(crate) run: u32,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Clock,
    /// None where the platform signs for itself.
    params: Option<PayParamsWriter>,
    /// Checks pay parameters and calls.
    pub(crate) merchant: ArcSwap<Checker>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) speaks_http: bool,
    verifier: ArcSwap<Verifier>,
}

const SECRET_KEY: &str = "secret";

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
        let speaks_http = options.keys.is_some();
        let (seed, nonces, params, keys) = match options.keys {
            // A program keeps its ids over restarts with other profiles: they hang on the ledger. Its nonces it does not
            // keep: the server, which outlives it, has seen them.
            Some(keys) => (seed_of(&secret), rand::random(), None, keys),
            None => {
                let seed = options.profile.seed;
                let signer = Signer::hmac_sha256(&secret, Purpose::PayParams);
                let merchant = signer.checker().clone();
                let params = PayParamsWriter::with_seed(signer, seed, &options.cashier_url, None);
                let own = Signer::hmac_sha256(&secret, Purpose::Notification);
                (seed, seed, Some(params), ChannelKeys { merchant, own })
            }
        };
        let run = if speaks_http { rand::random_range(UNKNOWN_RUN + 1..=u32::MAX) } else { UNKNOWN_RUN };
        let clock = Clock::start();
        let present = Present::new(options.profile);
        let sealer = Arc::new(Sealer::new(keys.own, seed, nonces));
        let verifier = ArcSwap::from_pointee(sealer.verifier());
        let (outbox, notifications) =
            outbox(options.notification_capacity, Arc::clone(&sealer), clock, Arc::clone(&present));
        let merchant = ArcSwap::from_pointee(keys.merchant);
        let outbox = Arc::new(outbox);
        let inner =
            Inner { present, seed, run, ledger, clock, params, merchant, sealer, outbox, speaks_http, verifier };
        Ok((Self { inner: Arc::new(inner) }, notifications))
    }

    /// WeChat style: asks for the prepay id of an order, the same one for every repeat.
    ///
    /// # Errors
    /// [`ChannelError`]; `ORDER_CLOSED` for one that is closed, `OUT_TRADE_NO_USED` if the number stands for another
    /// order.
    pub async fn prepay(&self, order: &Order<'_>, wish: &Wish) -> Result<PrepayId, ChannelError> {
        let number = u64::from(wish.attempt);
        self.call(Cast::Prepay, order.out_trade_no, number, Some(wish), self.prepay_now(order, None)).await
    }

    /// The same, with the address to which the news of the payment go. The first one that comes with an order stays.
    pub(crate) async fn prepay_notified(
        &self,
        order: &Order<'_>,
        notify_url: &str,
        wish: &Wish,
    ) -> Result<PrepayId, ChannelError> {
        let number = u64::from(wish.attempt);
        let effect = self.prepay_now(order, Some(notify_url));
        self.call(Cast::Prepay, order.out_trade_no, number, Some(wish), effect).await
    }

    async fn prepay_now(&self, order: &Order<'_>, notify_url: Option<&str>) -> Result<PrepayId, ChannelError> {
        check_out_trade_no(order.out_trade_no)?;
        let mut document = OrderDoc {
            merchant: order.merchant.to_owned(),
            order_no: order.order_no.to_owned(),
            amount_minor: order.amount_minor,
            currency: order.currency,
            style: order.style,
            prepaid_at_us: self.inner.clock.now_us(),
            notify_url: notify_url.map(str::to_owned),
        };
        if let Inserted::Existing(theirs) = self.inner.ledger.insert(order.out_trade_no, &document).await? {
            document.prepaid_at_us = theirs.prepaid_at_us;
            // A server that has moved is still the same one with the same order.
            document.notify_url.clone_from(&theirs.notify_url);
            if document != theirs {
                return Err(ChannelError::permanent("OUT_TRADE_NO_USED", "the number stands for another order"));
            }
        }
        // A paid order still answers its id: that is what an attempt whose answer was lost comes back for.
        if let Some(EndDoc::Closed { .. }) = self.inner.ledger.get(order.out_trade_no).await? {
            return Err(ChannelError::permanent("ORDER_CLOSED", "the order is closed"));
        }
        Ok(prepay_id(self.inner.seed, order.out_trade_no, document.prepaid_at_us))
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
        match &self.inner.params {
            Some(params) => params.pay_params(order, prepay, wish),
            None => Err(ChannelError::permanent("NO_AUTH", "the platform signs its parameters itself")),
        }
    }

    /// Where the order stands. `repeat` tells repeats of the query for one order apart, for the dice only: give any
    /// number that changes from one to the next, or what fails once fails always.
    ///
    /// # Errors
    /// [`ChannelError`].
    pub async fn query(&self, out_trade_no: &str, repeat: u64) -> Result<TradeState, ChannelError> {
        self.query_of(Whose::ANYBODYS, out_trade_no, repeat).await
    }

    /// The same for somebody who says whose it is.
    pub(crate) async fn query_of(
        &self,
        whose: Whose<'_>,
        out_trade_no: &str,
        repeat: u64,
    ) -> Result<TradeState, ChannelError> {
        self.call(Cast::Query, out_trade_no, repeat, None, self.query_now(whose, out_trade_no)).await
    }

    async fn query_now(&self, whose: Whose<'_>, out_trade_no: &str) -> Result<TradeState, ChannelError> {
        check_out_trade_no(out_trade_no)?;
        let ledger = &self.inner.ledger;
        let is_closed = match ledger.get(out_trade_no).await? {
            Some(EndDoc::Paid(end)) => {
                whose.check(&end.merchant, end.paid.currency)?;
                return Ok(TradeState::Paid(end.paid));
            }
            end => end.is_some(),
        };
        let order: Option<OrderDoc> = ledger.get(out_trade_no).await?;
        if let Some(order) = &order {
            whose.check(&order.merchant, order.currency)?;
        }
        Ok(match order {
            _ if is_closed => TradeState::Closed,
            Some(_) => TradeState::AwaitingPayer,
            None => TradeState::Unknown,
        })
    }

    /// Closes the order, so that nobody can pay it any more; holds also for one that the channel has not seen yet.
    /// `repeat` as in [`Self::query`].
    ///
    /// # Errors
    /// [`ChannelError`].
    pub async fn close(&self, out_trade_no: &str, repeat: u64) -> Result<CloseAnswer, ChannelError> {
        self.close_of(Whose::ANYBODYS, out_trade_no, repeat).await
    }

    /// The same for somebody who says whose it is. Of an order that was not seen yet nobody can tell.
    pub(crate) async fn close_of(
        &self,
        whose: Whose<'_>,
        out_trade_no: &str,
        repeat: u64,
    ) -> Result<CloseAnswer, ChannelError> {
        self.call(Cast::Close, out_trade_no, repeat, None, self.close_now(whose, out_trade_no)).await
    }

    async fn close_now(&self, whose: Whose<'_>, out_trade_no: &str) -> Result<CloseAnswer, ChannelError> {
        check_out_trade_no(out_trade_no)?;
        if whose != Whose::ANYBODYS
            && let Some(order) = self.inner.ledger.get::<OrderDoc>(out_trade_no).await?
        {
            whose.check(&order.merchant, order.currency)?;
        }
        let closed = EndDoc::Closed { closed_at_us: self.inner.clock.now_us() };
        match self.inner.ledger.insert(out_trade_no, &closed).await? {
            Inserted::Existing(EndDoc::Paid(end)) => {
                whose.check(&end.merchant, end.paid.currency)?;
                Ok(CloseAnswer::AlreadyPaid(end.paid))
            }
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
        self.refund_of(Whose::ANYBODYS, out_trade_no, amount_minor, repeat).await
    }

    /// The same for somebody who says whose it is, and in which currency.
    pub(crate) async fn refund_of(
        &self,
        whose: Whose<'_>,
        out_trade_no: &str,
        amount_minor: u64,
        repeat: u64,
    ) -> Result<(), ChannelError> {
        let effect = self.refund_now(whose, out_trade_no, amount_minor);
        self.call(Cast::Refund, out_trade_no, repeat, None, effect).await
    }

    async fn refund_now(&self, whose: Whose<'_>, out_trade_no: &str, amount_minor: u64) -> Result<(), ChannelError> {
        check_out_trade_no(out_trade_no)?;
        let Some(EndDoc::Paid(end)) = self.inner.ledger.get(out_trade_no).await? else {
            return Err(ChannelError::permanent("ORDER_NOT_EXIST", "the order is not paid"));
        };
        whose.check(&end.merchant, end.paid.currency)?;
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
        self.inner.verifier.load().verify(notification)
    }

    /// What checks this channel's notifications, by itself.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier::clone(&self.inner.verifier.load())
    }

    /// The first `limit` rows of the ledger after an `out_trade_no`, ordered by it. No fault strikes here.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn ledger_page(&self, after: Option<&str>, limit: usize) -> Result<Vec<LedgerRow>, LedgerError> {
        books::page(&self.inner.ledger, after, limit).await
    }

    /// How this channel behaves now.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.inner.present.load().profile.clone()
    }

    /// Changes how this channel behaves; outages and spells count from now. Ids stay what they are.
    pub fn set_profile(&self, profile: Profile) {
        self.inner.present.set(profile, self.inner.clock.running());
    }

    /// How slowly the body of a call's answer comes, if it does.
    pub(crate) fn slow_body(&self, out_trade_no: &str, number: u64) -> Option<std::time::Duration> {
        let in_force = self.inner.present.load();
        let profile = &in_force.profile;
        profile.slow_body.draw(&mut Dice::cast(profile.seed, out_trade_no, Cast::SlowBody, number))
    }

    /// Signs and checks with these keys from now on.
    pub fn set_keys(&self, keys: ChannelKeys) {
        self.inner.verifier.store(Arc::new(Verifier::new([keys.own.checker().clone()])));
        self.inner.merchant.store(Arc::new(keys.merchant));
        self.inner.sealer.set_signer(keys.own);
    }

    /// How many notifications are under way, due, or wait for their first sending.
    #[must_use]
    pub fn notifications_pending(&self) -> usize {
        self.inner.outbox.pending()
    }

    /// How many notifications wait for a scheduled repeat, because nobody has acknowledged them yet.
    #[must_use]
    pub fn notifications_repeating(&self) -> usize {
        self.inner.outbox.repeating()
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
        let fate = {
            let in_force = inner.present.load();
            let running = in_force.running(inner.clock.running());
            Fate::of(&in_force.profile, cast, out_trade_no, number, wish, running)
        };
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

fn seed_of(secret: &SecretKey) -> u64 {
    let digest = Sha256::new().chain_update(b"payrig-channel/ids").chain_update(secret.0).finalize();
    digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}
