//! The cashier's side of pay parameters: reads what a payer brought and believes only what is signed.

use std::borrow::Cow;
use std::fmt;

use payrig_api::{ChannelStyle, Currency};
use serde::{Deserialize, Deserializer, de};

use super::{DROP_NOTIFICATION, PREPAY_PACKAGE, PayParams};
use crate::json::{push_escaped, push_u64};
use crate::order::PrepayId;
use crate::sign::{Checker, SignatureError};

/// Reads parameters and checks their signature over every member.
///
/// # Errors
/// [`SignatureError::Malformed`] for what is no set of parameters at all, the others for what was tampered with.
pub(crate) fn read(body: &[u8], checker: &Checker) -> Result<PayParams, SignatureError> {
    let Members(mut members) = serde_json::from_slice::<Members<'_>>(body)
        .map_err(|_| SignatureError::Malformed("a JSON object of texts and integers"))?;
    members.sort_by(|one, other| one.0.0.cmp(&other.0.0));
    if members.windows(2).any(|pair| pair[0].0.0 == pair[1].0.0) {
        return Err(SignatureError::Malformed("each member once"));
    }
    let members = Sorted(members);
    let serial = members.text("key_serial").ok_or(SignatureError::Malformed("key_serial"))?;
    let signature = members.text("sign").ok_or(SignatureError::Malformed("sign"))?;
    if serial != checker.serial() {
        return Err(SignatureError::UnknownSerial);
    }
    checker.check(&[members.signed_text(body.len()).as_bytes()], signature)?;
    members.pay_params().map_err(SignatureError::Malformed)
}

struct Sorted<'a>(Vec<Member<'a>>);

impl Sorted<'_> {
    fn get(&self, name: &str) -> Option<&Scalar<'_>> {
        let at = self.0.binary_search_by(|member| (*member.0.0).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Scalar::Text(text) => Some(&text.0),
            Scalar::Number(_) => None,
        }
    }

    /// What the signature covers, as the writer wrote it.
    fn signed_text(&self, expected_bytes: usize) -> String {
        let mut out = String::with_capacity(expected_bytes);
        let mut separator = '{';
        for (name, value) in self.0.iter().filter(|member| member.0.0 != "sign") {
            out.push(separator);
            separator = ',';
            out.push('"');
            push_escaped(&mut out, &name.0);
            out.push_str("\":");
            match value {
                Scalar::Number(number) => push_u64(&mut out, *number),
                Scalar::Text(text) => {
                    out.push('"');
                    push_escaped(&mut out, &text.0);
                    out.push('"');
                }
            }
        }
        out
    }

    fn pay_params(&self) -> Result<PayParams, &'static str> {
        let text = |name: &'static str| self.text(name).ok_or(name);
        let amount_minor = match self.get("amount_minor") {
            Some(Scalar::Number(amount_minor)) => *amount_minor,
            _ => return Err("amount_minor"),
        };
        let prepay = match self.text("package") {
            Some(package) => Some(PrepayId(package.strip_prefix(PREPAY_PACKAGE).ok_or("package")?.to_owned())),
            None => None,
        };
        let passed_back = self.text("passback_params").or_else(|| self.text("attach"));
        Ok(PayParams {
            out_trade_no: text("out_trade_no")?.to_owned(),
            merchant: text("merchant")?.to_owned(),
            order_no: text("order_no")?.to_owned(),
            amount_minor,
            currency: Currency::from_code(text("currency")?).ok_or("currency")?,
            style: if prepay.is_some() { ChannelStyle::Wechat } else { ChannelStyle::Alipay },
            prepay,
            drops_notification: passed_back == Some(DROP_NOTIFICATION),
            notify_url: self.text("notify_url").map(str::to_owned),
        })
    }
}

/// A text that is borrowed from the body where nothing in it is escaped.
struct Text<'a>(Cow<'a, str>);

/// What a member can be.
enum Scalar<'a> {
    Text(Text<'a>),
    Number(u64),
}

type Member<'a> = (Text<'a>, Scalar<'a>);

/// The members in the order in which they came, repeated ones too.
struct Members<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> de::Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut object: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = object.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;
        impl<'de> de::Visitor<'de> for TextOrNumber {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or an unsigned integer")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number))
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Text(Cow::Owned(text.to_owned()))))
            }
        }
        deserializer.deserialize_any(TextOrNumber)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => Ok(text),
            Scalar::Number(_) => Err(de::Error::custom("a member's name is a text")),
        }
    }
}
