//! What a client may ask: a submission, and how it is checked beyond its JSON types.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Currency, strict};

/// The most retries that a task may ever have, automatic and manual together (1+2+3+4+5 = 15 s of waiting is already
/// a disaster for a client).
pub const RETRY_CAP: u8 = 5;

/// The largest amount, in minor units: 2^53 - 1, the largest integer that every JSON reader keeps exactly.
pub const MAX_AMOUNT_MINOR: u64 = (1 << 53) - 1;

const ORDER_NO_MAX: usize = 64;
const ITEMS_MAX: usize = 200;
const ITEM_TEXT_MAX: usize = 128;
const SIMULATED_LATENCY_MAX_MS: u64 = 60_000;

// What is expected in a field, in words that hold whichever way it is wrong.
pub(crate) const ORDER_NO: &str = "1 to 64 visible ASCII characters without ':' and '/'";
pub(crate) const AMOUNT: &str = "an integer from 1 to 9007199254740991";
pub(crate) const LIST: &str = "a list of 1 to 200 items, or no list";
pub(crate) const ITEM_TEXT: &str = "1 to 128 visible ASCII characters";
pub(crate) const QUANTITY: &str = "an integer from 1 to 4294967295";
pub(crate) const RETRIES: &str = "an integer from 0 to 5, the built-in cap";
pub(crate) const LATENCY: &str = "an integer from 0 to 60000 (milliseconds)";

/// The two ways in which third-party channels take a payment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelStyle {
    /// No prior call: the server signs the parameters that the payer hands in.
    Alipay,
    /// The channel is asked for a `prepay_id` first.
    Wechat,
}

impl ChannelStyle {
    /// The name that stands in JSON and URLs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alipay => "alipay",
            Self::Wechat => "wechat",
        }
    }
}

/// How often a failed attempt is repeated by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaskInfo {
    /// Whether transient failures are retried at all (default true).
    pub need_retry: bool,
    /// How many automatic retries at most (default 3, at most 5). Retry k waits k seconds.
    #[schema(maximum = 5)]
    pub retry_times: u8,
}

impl Default for TaskInfo {
    fn default() -> Self {
        Self { need_retry: true, retry_times: 3 }
    }
}

impl TaskInfo {
    /// How many automatic retries this asks for.
    #[must_use]
    pub const fn automatic_retries(self) -> u8 {
        if self.need_retry { self.retry_times } else { 0 }
    }
}

/// One line of what is bought; with items the order is created from the submission if it does not exist.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The shop's own number for the thing: 1 to 128 visible ASCII characters.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub sku: String,
    /// How many.
    #[schema(minimum = 1)]
    pub quantity: u32,
    /// What one costs, in minor units.
    pub unit_price_minor: u64,
    /// Who sells it, for splitting by merchant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub seller: Option<String>,
    /// Where it lies, for splitting by warehouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub warehouse: Option<String>,
}

/// What a simulated channel shall do for this one task (as sandboxes do with magic card numbers). All fields are optional
/// and add up.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Simulate {
    /// The first n attempts fail transiently.
    #[serde(skip_serializing_if = "is_zero")]
    pub fail_first: u8,
    /// The channel refuses the order for good.
    #[serde(skip_serializing_if = "is_false")]
    pub permanent: bool,
    /// Each call of an attempt takes this long, in milliseconds, instead of the profile's latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 60_000)]
    pub latency_ms: Option<u64>,
    /// The first n attempts take effect but their answers are lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub lose_answer: u8,
    /// No paid notification is ever sent: the server has to ask.
    #[serde(skip_serializing_if = "is_false")]
    pub drop_notification: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &u8) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The body of `POST /v1/pay-tasks`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The merchant's number of the order to be paid: 1 to 64 visible ASCII characters without ':' and '/'.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-.0-9;-~]+$")]
    pub order_no: String,
    /// What is to be paid, in minor units: 1 to 2^53 - 1.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    pub amount_minor: u64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// Which channel style pays.
    #[serde(deserialize_with = "strict::name")]
    pub channel: ChannelStyle,
    /// What is bought. Where given, the amounts sum to `amount_minor`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "strict::optional_list")]
    #[schema(min_items = 1, max_items = 200)]
    pub items: Option<Vec<Item>>,
    /// Retry settings.
    #[serde(default, deserialize_with = "strict::object")]
    pub task_info: TaskInfo,
    /// Only where the channel is a simulated one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "strict::optional")]
    pub simulate: Option<Simulate>,
}

/// A field whose JSON type is right and whose value is not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invalid {
    /// The field at fault, as a path (`items[3].quantity`).
    pub field: String,
    /// What was expected there.
    pub expected: String,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field: field.into(), expected: expected.into() }
    }
}

/// Whether an order may have this number: 1 to 64 visible ASCII characters without ':' and '/'.
#[must_use]
pub fn is_order_no(text: &str) -> bool {
    visible_ascii(text, ORDER_NO_MAX) && !text.contains([':', '/'])
}

/// Checks a list of items; what they sum to, in minor units.
pub(crate) fn validate_items(items: &[Item]) -> Result<u128, Invalid> {
    if items.is_empty() || items.len() > ITEMS_MAX {
        return Err(Invalid::new("items", LIST));
    }
    let mut sum: u128 = 0;
    for (at, item) in items.iter().enumerate() {
        if !visible_ascii(&item.sku, ITEM_TEXT_MAX) {
            return Err(Invalid::new(format!("items[{at}].sku"), ITEM_TEXT));
        }
        if item.quantity == 0 {
            return Err(Invalid::new(format!("items[{at}].quantity"), QUANTITY));
        }
        for (name, value) in [("seller", &item.seller), ("warehouse", &item.warehouse)] {
            if value.as_deref().is_some_and(|value| !visible_ascii(value, ITEM_TEXT_MAX)) {
                return Err(Invalid::new(format!("items[{at}].{name}"), ITEM_TEXT));
            }
        }
        sum += u128::from(item.quantity) * u128::from(item.unit_price_minor);
    }
    Ok(sum)
}

fn visible_ascii(text: &str, max: usize) -> bool {
    !text.is_empty() && text.len() <= max && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Submission {
    /// Checks what JSON types cannot say.
    ///
    /// # Errors
    /// The first field at fault, in the order of the fields.
    pub fn validate(&self) -> Result<(), Invalid> {
        if !is_order_no(&self.order_no) {
            return Err(Invalid::new("order_no", ORDER_NO));
        }
        if !(1..=MAX_AMOUNT_MINOR).contains(&self.amount_minor) {
            return Err(Invalid::new("amount_minor", AMOUNT));
        }
        if let Some(items) = &self.items {
            self.validate_items(items)?;
        }
        if self.task_info.retry_times > RETRY_CAP {
            return Err(Invalid::new("task_info.retry_times", RETRIES));
        }
        if self.simulate.and_then(|wish| wish.latency_ms).is_some_and(|ms| ms > SIMULATED_LATENCY_MAX_MS) {
            return Err(Invalid::new("simulate.latency_ms", LATENCY));
        }
        Ok(())
    }

    fn validate_items(&self, items: &[Item]) -> Result<(), Invalid> {
        let sum = validate_items(items)?;
        if sum != u128::from(self.amount_minor) {
            return Err(Invalid::new(
                "items",
                format!("items that sum to amount_minor ({}), not to {sum}", self.amount_minor),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_the_limits() {
        assert!(ORDER_NO.contains(&ORDER_NO_MAX.to_string()));
        assert!(AMOUNT.contains(&MAX_AMOUNT_MINOR.to_string()));
        assert!(LIST.contains(&ITEMS_MAX.to_string()));
        assert!(ITEM_TEXT.contains(&ITEM_TEXT_MAX.to_string()));
        assert!(QUANTITY.contains(&u32::MAX.to_string()));
        assert!(RETRIES.contains(&RETRY_CAP.to_string()));
        assert!(LATENCY.contains(&SIMULATED_LATENCY_MAX_MS.to_string()));
    }
}
