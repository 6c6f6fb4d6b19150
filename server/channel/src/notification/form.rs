//! The Alipay-style notification: a form of sorted fields.

use payrig_api::Currency;

use super::{News, Notification, PaidNotice};
use crate::order::Paid;
use crate::sign::{SignatureError, Signer};

const NOTIFY_TYPE: &str = "trade_status_sync";
const TRADE_SUCCESS: &str = "TRADE_SUCCESS";

/// The form, with its signature, which is also left in `signature`.
pub(super) fn write(news: &News, timestamp_s: u64, nonce: &str, signer: &Signer, signature: &mut String) -> Vec<u8> {
    let mut form = String::with_capacity(512);
    let numbers = [news.paid.amount_minor, news.paid.paid_at_us, timestamp_s].map(|number| number.to_string());
    for (name, value) in [
        ("amount_minor", numbers[0].as_str()),
        ("cert_serial", signer.serial()),
        ("currency", news.paid.currency.code()),
        ("gmt_payment_us", &numbers[1]),
        ("notify_id", nonce),
        ("notify_time_s", &numbers[2]),
        ("notify_type", NOTIFY_TYPE),
        ("out_trade_no", &news.out_trade_no),
        ("seller_id", &news.merchant),
        ("trade_no", &news.paid.transaction_id),
        ("trade_status", TRADE_SUCCESS),
    ] {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        push_encoded(&mut form, value);
    }
    signer.sign_into(&[form.as_bytes()], signature);
    form.push_str("&sign=");
    form.push_str(signature);
    form.push_str("&sign_type=");
    form.push_str(signer.algorithm());
    form.into_bytes()
}

/// Checks and reads a form.
pub(super) fn read(notification: &Notification, signer: &Signer) -> Result<PaidNotice, SignatureError> {
    let form = std::str::from_utf8(&notification.body).map_err(|_| SignatureError::Malformed("the form"))?;
    let mut fields = Vec::with_capacity(16);
    for field in form.split('&') {
        fields.push(field.split_once('=').ok_or(SignatureError::Malformed("a field without a value"))?);
    }
    // The values are signed as they are encoded: another spelling of the same value is refused too.
    fields.sort_unstable();
    let find = |name: &'static str| -> Result<&str, SignatureError> {
        let mut found = fields.iter().filter(|field| field.0 == name);
        match (found.next(), found.next()) {
            (Some(field), None) => Ok(field.1),
            _ => Err(SignatureError::Malformed(name)),
        }
    };
    let signature = find("sign")?;
    if find("sign_type")? != signer.algorithm() {
        return Err(SignatureError::Malformed("sign_type"));
    }
    let mut message = String::with_capacity(form.len());
    for (name, value) in fields.iter().filter(|field| field.0 != "sign" && field.0 != "sign_type") {
        if !message.is_empty() {
            message.push('&');
        }
        message.push_str(name);
        message.push('=');
        message.push_str(value);
    }
    signer.check(&[message.as_bytes()], signature)?;
    let text = |name| find(name).and_then(|value| decoded(value).ok_or(SignatureError::Malformed(name)));
    let number = |name| text(name)?.parse::<u64>().map_err(|_| SignatureError::Malformed(name));
    if text("notify_type")? != NOTIFY_TYPE || text("trade_status")? != TRADE_SUCCESS {
        return Err(SignatureError::Malformed("no news of a payment"));
    }
    // What travels beside the form is not signed itself, so it may only repeat what is.
    if notification.signature != signature
        || notification.nonce != text("notify_id")?
        || notification.timestamp_s != number("notify_time_s")?
        || notification.serial != text("cert_serial")?
    {
        return Err(SignatureError::Wrong);
    }
    Ok(PaidNotice {
        out_trade_no: text("out_trade_no")?,
        merchant: text("seller_id")?,
        paid: Paid {
            transaction_id: text("trade_no")?,
            paid_at_us: number("gmt_payment_us")?,
            amount_minor: number("amount_minor")?,
            currency: Currency::from_code(&text("currency")?).ok_or(SignatureError::Malformed("currency"))?,
        },
        timestamp_s: notification.timestamp_s,
        nonce: notification.nonce.clone(),
    })
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn push_encoded(out: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn decoded(value: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { digit(rest.next()?)? << 4 | digit(rest.next()?)? } else { byte });
    }
    String::from_utf8(bytes).ok()
}
