//! From the bytes of a body to a checked request, or to the problem that names the field at fault.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use crate::{
    Currency, Invalid, NewOrder, Problem, ProblemType, Ship, Submission,
    request::{AMOUNT, ITEM_TEXT, LATENCY, LIST, ORDER_NO, QUANTITY, RETRIES},
    strict::Object,
};

impl Submission {
    /// Reads and checks the body of a submission.
    ///
    /// # Errors
    /// [`ProblemType::MalformedBody`] for what is not JSON, [`ProblemType::InvalidField`] for everything else, with the
    /// first field at fault and what was expected there.
    pub fn from_json(body: &[u8]) -> Result<Self, Box<Problem>> {
        checked(body, Self::validate)
    }
}

impl NewOrder {
    /// Reads and checks the body of a new order.
    ///
    /// # Errors
    /// As [`Submission::from_json`].
    pub fn from_json(body: &[u8]) -> Result<Self, Box<Problem>> {
        checked(body, Self::validate)
    }
}

impl Ship {
    /// Reads the body of a shipment.
    ///
    /// # Errors
    /// As [`Submission::from_json`].
    pub fn from_json(body: &[u8]) -> Result<Self, Box<Problem>> {
        checked(body, |_| Ok(()))
    }
}

/// Reads a body and checks what its JSON types cannot say.
fn checked<T: DeserializeOwned>(body: &[u8], check: fn(&T) -> Result<(), Invalid>) -> Result<T, Box<Problem>> {
    let Object(request) = serde_json::from_slice::<Object<T>>(body).map_err(|error| why_not::<T>(body, &error))?;
    match check(&request) {
        Ok(()) => Ok(request),
        Err(invalid) => Err(Problem::new(ProblemType::InvalidField).field(invalid.field, invalid.expected).into()),
    }
}

/// The problem with a body that did not parse. It is parsed again, this time keeping track of the path.
fn why_not<T: DeserializeOwned>(body: &[u8], error: &serde_json::Error) -> Box<Problem> {
    // A number beyond every type is well-formed JSON with a wrong value, though the parser counts it as syntax.
    if !error.is_data() && !error.to_string().starts_with("number out of range") {
        return Problem::new(ProblemType::MalformedBody).detail(error.to_string()).into();
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let (path, said) = match serde_path_to_error::deserialize::<_, Object<T>>(&mut reader) {
        Ok(_) => (String::new(), error.to_string()),
        Err(error) => (error.path().to_string(), error.inner().to_string()),
    };
    let said = said.split(" at line ").next().unwrap_or_default();
    let field = field_of(&path, said);
    let expected = if let Some(known) = said.strip_prefix("unknown field ") {
        let known = known.split_once(", expected ").map_or("", |(_, known)| known);
        Cow::from(format!("no such field; there is {known}"))
    } else if said.starts_with("duplicate field ") {
        Cow::from("each field once")
    } else {
        let says_serde = || said.split_once(", expected ").map_or(said, |(_, expected)| expected).to_owned();
        expected_of(&field).unwrap_or_else(|| says_serde().into())
    };
    Problem::new(ProblemType::InvalidField).field(field, expected).detail(said).into()
}

/// The path of the field at fault. Of a missing, unknown or repeated one serde tells only in words which it is.
fn field_of(path: &str, said: &str) -> String {
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| said.strip_prefix(start)?.split('`').next());
    let path = if path == "." { "" } else { path };
    match named {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) if path != name && !path.ends_with(&format!(".{name}")) => format!("{path}.{name}"),
        _ if path.is_empty() => "body".to_owned(),
        _ => path.to_owned(),
    }
}

/// What is expected in a field, whichever way it is wrong.
fn expected_of(field: &str) -> Option<Cow<'static, str>> {
    let kind = match field.split_once('[') {
        Some((list, rest)) => format!("{list}{}", rest.split_once(']').map_or("", |(_, member)| member)),
        None => field.to_owned(),
    };
    Some(match kind.as_str() {
        "body" => "a JSON object".into(),
        "order_no" => ORDER_NO.into(),
        "amount_minor" => AMOUNT.into(),
        "currency" => {
            let codes: Vec<&str> = Currency::codes().collect();
            format!("an ISO 4217 code that is taken here: {}", codes.join(", ")).into()
        }
        "channel" => "\"alipay\" or \"wechat\"".into(),
        "items" if field == "items" => LIST.into(),
        "mode" => "\"none\", \"by_merchant\" or \"by_warehouse\"".into(),
        "items.sku" | "items.seller" | "items.warehouse" => ITEM_TEXT.into(),
        "items.quantity" => QUANTITY.into(),
        "items.unit_price_minor" => "an unsigned integer".into(),
        "items" | "task_info" | "simulate" => "a JSON object".into(),
        "task_info.retry_times" => RETRIES.into(),
        "task_info.need_retry" | "simulate.permanent" | "simulate.drop_notification" => "true or false".into(),
        "simulate.fail_first" | "simulate.lose_answer" => "an integer from 0 to 255".into(),
        "simulate.latency_ms" => LATENCY.into(),
        _ => return None,
    })
}
