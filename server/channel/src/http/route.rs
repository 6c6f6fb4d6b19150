//! Which path is answered by whom.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::answer::{Answer, Lost, answer, body, json};
use super::{admin, alipay, cashier, wechat};
use crate::dice::Dice;
use crate::metrics::{Call, Metrics, Outcome};
use crate::simulated::SimulatedChannel;
use crate::wire;
use crate::wire::wechat::ErrorBody;

/// Which of the two listeners it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Face {
    /// Server and payers.
    Public,
    /// The books and the profile.
    Admin,
}

/// What a listener serves.
pub(crate) struct App {
    pub(crate) channel: SimulatedChannel,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) face: Face,
}

impl App {
    /// Answers one request.
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Result<Answer, Lost> {
        let (head, incoming) = request.into_parts();
        let Some(call) = self.route(&head) else { return Ok(not_found()) };
        let result = match body(incoming).await {
            Ok(body) => self.call(call, &head, &body).await,
            Err(bad) => Ok(unsigned(bad.status(), wire::wechat::code::PARAM_ERROR, bad.why())),
        };
        let outcome = match &result {
            Ok(answer) if answer.status().is_success() => Outcome::Success,
            Ok(answer) if answer.status().is_server_error() => Outcome::ServerError,
            Ok(_) => Outcome::ClientError,
            Err(Lost) => Outcome::Lost,
        };
        self.metrics.answered(call, outcome);
        result
    }

    fn route(&self, head: &Parts) -> Option<Call> {
        let path = head.uri.path();
        let is = |method: &Method| head.method == *method;
        let (get, post) = (is(&Method::GET), is(&Method::POST));
        if path == "/healthz" && get {
            return Some(Call::Health);
        }
        match self.face {
            Face::Public => match path {
                wire::PREPAY if post => Some(Call::Prepay),
                wire::REFUND if post => Some(Call::Refund),
                wire::GATEWAY if post => Some(Call::Gateway),
                wire::CASHIER if post => Some(Call::Cashier),
                _ => {
                    let number = path.strip_prefix(wire::BY_NUMBER)?;
                    match number.strip_suffix("/close") {
                        Some(_) => post.then_some(Call::Close),
                        None => get.then_some(Call::Query),
                    }
                }
            },
            Face::Admin => match path {
                "/admin/books" if get => Some(Call::Books),
                "/admin/ledger" if get => Some(Call::Ledger),
                "/admin/profile" if get => Some(Call::Profile),
                "/admin/profile" if is(&Method::PUT) => Some(Call::SetProfile),
                "/metrics" if get => Some(Call::Metrics),
                _ => None,
            },
        }
    }

    async fn call(&self, call: Call, head: &Parts, body: &[u8]) -> Result<Answer, Lost> {
        match call {
            Call::Health => Ok(answer(StatusCode::OK, "application/json", r#"{"status":"ok"}"#)),
            Call::Prepay | Call::Query | Call::Close | Call::Refund => wechat::call(self, call, head, body).await,
            Call::Gateway => alipay::call(self, body).await,
            Call::Cashier => Ok(cashier::pay(&self.channel, body).await),
            Call::Books => Ok(admin::books(&self.channel)),
            Call::Ledger => Ok(admin::ledger(&self.channel, head.uri.query()).await),
            Call::Profile => Ok(admin::profile(&self.channel)),
            Call::SetProfile => Ok(admin::set_profile(&self.channel, body)),
            Call::Metrics => Ok(admin::metrics(&self.channel, &self.metrics)),
        }
    }
}

/// An error in the one form, which nobody has signed: the call was never believed.
pub(super) fn unsigned(status: StatusCode, code: &str, message: &str) -> Answer {
    json(status, &ErrorBody { code: code.to_owned(), message: message.to_owned() })
}

fn not_found() -> Answer {
    unsigned(StatusCode::NOT_FOUND, "NOT_FOUND", "no such path, or another method")
}

/// Tells repeats of one call apart, for the dice: a function of what the caller never sends twice.
pub(super) fn number_of(nonce: &str) -> u64 {
    Dice::of_text(nonce).next()
}
