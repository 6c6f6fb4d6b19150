//! Pay parameters: what the server signs and the payer hands to the cashier.
//!
//! One JSON object whose members are sorted by name, each written in exactly one way, and last `sign`: the signature over
//! all the text before it. A payer may write the object again in any order and spacing: the cashier sorts the members,
//! writes them in the one way again and checks the signature over that, so that it covers every member and nothing can
//! be added.

use payrig_api::{ChannelStyle, Currency};

use crate::dice::{Cast, Dice};
use crate::error::ChannelError;
use crate::faults::Fault;
use crate::json::{push_escaped, push_hex, push_u64};
use crate::order::{Order, PrepayId, Wish, check_out_trade_no};
use crate::sign::Signer;
use crate::wire::{ALIPAY_APP_ID, WECHAT_APP_ID};

pub(crate) mod read;

/// The member that carries the simulation's wish through the payer's hands; Alipay has `passback_params` for what shall
/// come back in the notification, and WeChat `attach`.
pub(crate) const DROP_NOTIFICATION: &str = "drop_notification";
const PREPAY_PACKAGE: &str = "prepay_id=";
/// More than the fixed text, the numbers and the signature of either style.
const ROOM: usize = 480;

/// Writes and signs pay parameters with the platform's key; needs no ledger. Everything that is the same for all orders
/// is put together once.
pub struct PayParamsWriter {
    signer: Signer,
    seed: u64,
    /// Between `amount_minor` and the currency.
    alipay_app: String,
    /// Between the currency and the merchant, in both styles.
    key: String,
    /// Between the merchant and the order's number.
    alipay_method: String,
    /// After the variable members.
    alipay_rest: String,
    wechat_app: String,
    wechat_cashier: String,
    wechat_rest: String,
}

impl PayParamsWriter {
    /// For the platform's key and the channel's cashier. The news of Alipay-style payments go to `notify_url`, a signed
    /// member of their parameters; WeChat style names it at prepay.
    #[must_use]
    pub fn new(signer: Signer, cashier_url: &str, notify_url: &str) -> Self {
        // Only the nonces of WeChat-style parameters depend on it.
        let seed = u64::from_str_radix(signer.serial(), 16).unwrap_or_default();
        Self::with_seed(signer, seed, cashier_url, Some(notify_url))
    }

    pub(crate) fn with_seed(signer: Signer, seed: u64, cashier_url: &str, notify_url: Option<&str>) -> Self {
        let mut cashier = String::from(r#","cashier_url":""#);
        push_escaped(&mut cashier, cashier_url);
        let mut notify = String::new();
        if let Some(notify_url) = notify_url {
            notify.push_str(r#"","notify_url":""#);
            push_escaped(&mut notify, notify_url);
        }
        let algorithm = signer.algorithm().name();
        Self {
            seed,
            alipay_app: format!(r#","app_id":"{ALIPAY_APP_ID}"{cashier}","charset":"utf-8","currency":""#),
            key: format!(r#"","key_serial":"{}","merchant":""#, signer.serial()),
            alipay_method: format!(r#"","method":"alipay.trade.page.pay{notify}","order_no":""#),
            alipay_rest: format!(
                r#","product_code":"FAST_INSTANT_TRADE_PAY","sign_type":"{algorithm}","version":"1.0""#
            ),
            wechat_app: format!(r#","appId":"{WECHAT_APP_ID}""#),
            wechat_cashier: format!(r#"{cashier}","currency":""#),
            wechat_rest: format!(r#"","signType":"{algorithm}","timeStamp":""#),
            signer,
        }
    }

    /// The platform's key.
    #[must_use]
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The signed parameters with which the payer pays: one JSON object, the same for every repeat.
    ///
    /// In Alipay style this is no call of the channel, so that what the wish asks for happens here. In WeChat style it
    /// happened at prepay.
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
        match order.style {
            ChannelStyle::Alipay => match Fault::wished(wish) {
                Some(fault) => Err(fault.into()),
                None => Ok(self.alipay(order, wish.drops_notification())),
            },
            ChannelStyle::Wechat => prepay
                .and_then(|prepay| self.wechat(order, prepay, wish.drops_notification()))
                .ok_or(ChannelError::permanent("PARAM_ERROR", "no prepay id of this channel")),
        }
    }

    /// Alipay style: needs nothing from the channel.
    fn alipay(&self, order: &Order<'_>, drops_notification: bool) -> String {
        let mut out = self.start(order);
        out.push_str(&self.alipay_app);
        self.push_currency_and_merchant(&mut out, order);
        out.push_str(&self.alipay_method);
        push_escaped(&mut out, order.order_no);
        out.push_str(r#"","out_trade_no":""#);
        push_escaped(&mut out, order.out_trade_no);
        out.push('"');
        if drops_notification {
            out.push_str(r#","passback_params":"drop_notification""#);
        }
        out.push_str(&self.alipay_rest);
        self.finish(out)
    }

    /// WeChat style: from the prepay id, whose second is the time stamp, so that a repeat gives the same parameters.
    /// Nothing if that id is none of this channel's.
    fn wechat(&self, order: &Order<'_>, prepay: &PrepayId, drops_notification: bool) -> Option<String> {
        let time_stamp_s = prepay.as_str().strip_prefix("wx").and_then(|rest| rest.get(..10))?;
        let mut out = self.start(order);
        out.push_str(&self.wechat_app);
        if drops_notification {
            out.push_str(r#","attach":"drop_notification""#);
        }
        out.push_str(&self.wechat_cashier);
        self.push_currency_and_merchant(&mut out, order);
        out.push_str(r#"","nonceStr":""#);
        push_hex(&mut out, &Dice::cast(self.seed, order.out_trade_no, Cast::Nonce, 0).bytes());
        out.push_str(r#"","order_no":""#);
        push_escaped(&mut out, order.order_no);
        out.push_str(r#"","out_trade_no":""#);
        push_escaped(&mut out, order.out_trade_no);
        out.push_str(r#"","package":""#);
        out.push_str(PREPAY_PACKAGE);
        push_escaped(&mut out, prepay.as_str());
        out.push_str(&self.wechat_rest);
        push_escaped(&mut out, time_stamp_s);
        out.push('"');
        Some(self.finish(out))
    }

    fn start(&self, order: &Order<'_>) -> String {
        let cashier_and_app = self.alipay_app.len();
        let values = order.out_trade_no.len() + order.order_no.len() + order.merchant.len();
        let mut out = String::with_capacity(ROOM + cashier_and_app + values);
        out.push_str(r#"{"amount_minor":"#);
        push_u64(&mut out, order.amount_minor);
        out
    }

    fn push_currency_and_merchant(&self, out: &mut String, order: &Order<'_>) {
        out.push_str(order.currency.code());
        out.push_str(&self.key);
        push_escaped(out, order.merchant);
    }

    fn finish(&self, mut out: String) -> String {
        self.signer.sign_tail(&mut out, r#","sign":""#, "\"}");
        out
    }
}

/// The prepay id of an order: a pure function of seed, order and the second of the first prepay, which the ledger keeps.
pub(crate) fn prepay_id(seed: u64, out_trade_no: &str, prepaid_at_us: u64) -> PrepayId {
    let digits = Dice::cast(seed, out_trade_no, Cast::PrepayId, 0).digits();
    PrepayId(format!("wx{:010}{digits}", prepaid_at_us / 1_000_000))
}

/// Signed parameters that a payer brought, as far as the cashier needs them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PayParams {
    pub(crate) out_trade_no: String,
    pub(crate) merchant: String,
    pub(crate) order_no: String,
    pub(crate) amount_minor: u64,
    pub(crate) currency: Currency,
    pub(crate) style: ChannelStyle,
    /// WeChat style only.
    pub(crate) prepay: Option<PrepayId>,
    pub(crate) drops_notification: bool,
    /// Where the news of the payment go; Alipay style only.
    pub(crate) notify_url: Option<String>,
}
