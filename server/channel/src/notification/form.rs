//! The Alipay-style notification: a form of sorted fields.

use payrig_api::Currency;

use super::{Claimed, Notification, PaidNotice};
use crate::order::Paid;
use crate::sign::{Checker, SignatureError, Signer};
use crate::wire::sorted::{self, Fields};

const NOTIFY_TYPE: &str = "trade_status_sync";
const TRADE_SUCCESS: &str = "TRADE_SUCCESS";
const TRADE_CLOSED: &str = "TRADE_CLOSED";
/// Alipay signs all but the signature and its kind.
const UNSIGNED: &str = "sign_type";

/// The form, and its signature.
pub(super) fn write(
    claimed: &Claimed<'_>,
    timestamp_s: u64,
    nonce: &str,
    notify_id: &str,
    signer: &Signer,
) -> (Vec<u8>, String) {
    let news = claimed.news;
    let numbers = [claimed.amount_minor, news.paid.paid_at_us, timestamp_s].map(|number| number.to_string());
    let fields = [
        ("amount_minor", numbers[0].as_str()),
        ("cert_serial", signer.serial()),
        ("currency", news.paid.currency.code()),
        ("gmt_payment_us", &numbers[1]),
        ("nonce", nonce),
        ("notify_id", notify_id),
        ("notify_time_s", &numbers[2]),
        ("notify_type", NOTIFY_TYPE),
        ("out_trade_no", &news.out_trade_no),
        ("seller_id", &news.merchant),
        ("trade_no", &claimed.transaction_id),
        ("trade_status", if claimed.is_closed { TRADE_CLOSED } else { TRADE_SUCCESS }),
    ];
    let (form, signature) = sorted::write(&fields, &[(UNSIGNED, signer.algorithm().name())], signer);
    (form.into_bytes(), signature)
}

/// Checks and reads a form.
pub(super) fn read(notification: &Notification, checker: &Checker) -> Result<PaidNotice, SignatureError> {
    let form = Fields::read(&notification.body)?;
    if form.exact(UNSIGNED)? != checker.algorithm().name() {
        return Err(SignatureError::Malformed(UNSIGNED));
    }
    form.check(&[UNSIGNED], checker)?;
    if form.text("notify_type")? != NOTIFY_TYPE || form.text("trade_status")? != TRADE_SUCCESS {
        return Err(SignatureError::Malformed("no news of a payment"));
    }
    // What travels beside the form is not signed itself, so it may only repeat what is.
    if notification.signature != form.exact(sorted::SIGN)?
        || notification.nonce != form.text("nonce")?
        || notification.timestamp_s != form.number("notify_time_s")?
        || notification.serial != form.text("cert_serial")?
    {
        return Err(SignatureError::Wrong);
    }
    Ok(PaidNotice {
        out_trade_no: form.text("out_trade_no")?,
        merchant: form.text("seller_id")?,
        paid: Paid {
            transaction_id: form.text("trade_no")?,
            paid_at_us: form.number("gmt_payment_us")?,
            amount_minor: form.number("amount_minor")?,
            currency: Currency::from_code(&form.text("currency")?).ok_or(SignatureError::Malformed("currency"))?,
        },
        timestamp_s: notification.timestamp_s,
        nonce: notification.nonce.clone(),
        notify_id: form.text("notify_id")?,
    })
}
