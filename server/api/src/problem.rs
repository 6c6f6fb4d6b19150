//! Errors as `application/problem+json` (RFC 9457) with stable types.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The stable kinds of problem. Their names never change; `detail` may.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
pub enum ProblemType {
    /// 400: the body is not JSON.
    #[serde(rename = "urn:payrig:problem:malformed-body")]
    MalformedBody,
    /// 400: a header is not as the contract says.
    #[serde(rename = "urn:payrig:problem:bad-header")]
    BadHeader,
    /// 400: a query parameter is not as the contract says.
    #[serde(rename = "urn:payrig:problem:bad-parameter")]
    BadParameter,
    /// 401: a signature or key is wrong.
    #[serde(rename = "urn:payrig:problem:unauthorized")]
    Unauthorized,
    /// 404: no such resource, or not yours.
    #[serde(rename = "urn:payrig:problem:not-found")]
    NotFound,
    /// 405: the resource has no such method; `Allow` says which.
    #[serde(rename = "urn:payrig:problem:method-not-allowed")]
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    #[serde(rename = "urn:payrig:problem:body-timeout")]
    BodyTimeout,
    /// 409: the order is being paid, or was paid, by another task.
    #[serde(rename = "urn:payrig:problem:order-in-use")]
    OrderInUse,
    /// 409: the order exists with other content.
    #[serde(rename = "urn:payrig:problem:order-differs")]
    OrderDiffers,
    /// 409: the state of the task or order does not allow this.
    #[serde(rename = "urn:payrig:problem:wrong-state")]
    WrongState,
    /// 409: the task has used up its retries.
    #[serde(rename = "urn:payrig:problem:retries-used-up")]
    RetriesUsedUp,
    /// 413: the body is too large.
    #[serde(rename = "urn:payrig:problem:body-too-large")]
    BodyTooLarge,
    /// 415: the body is not `application/json`.
    #[serde(rename = "urn:payrig:problem:unsupported-media-type")]
    UnsupportedMediaType,
    /// 422: a field's type or value is wrong.
    #[serde(rename = "urn:payrig:problem:invalid-field")]
    InvalidField,
    /// 422: the idempotency key came with another body before.
    #[serde(rename = "urn:payrig:problem:key-reused")]
    KeyReused,
    /// 503: refused before anything was written; try again later.
    #[serde(rename = "urn:payrig:problem:overloaded")]
    Overloaded,
    /// 503: a write's fate is unknown; repeat with the same key to find out.
    #[serde(rename = "urn:payrig:problem:fate-unknown")]
    FateUnknown,
    /// 503: the server is stopping.
    #[serde(rename = "urn:payrig:problem:stopping")]
    Stopping,
    /// 500: the server's own fault.
    #[serde(rename = "urn:payrig:problem:internal")]
    Internal,
}

impl ProblemType {
    /// Every type, for documents and tests.
    pub const ALL: [Self; 19] = [
        Self::MalformedBody,
        Self::BadHeader,
        Self::BadParameter,
        Self::Unauthorized,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::OrderInUse,
        Self::OrderDiffers,
        Self::WrongState,
        Self::RetriesUsedUp,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidField,
        Self::KeyReused,
        Self::Overloaded,
        Self::FateUnknown,
        Self::Stopping,
        Self::Internal,
    ];

    /// The HTTP status that goes with the type.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MalformedBody | Self::BadHeader | Self::BadParameter => 400,
            Self::Unauthorized => 401,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTimeout => 408,
            Self::OrderInUse | Self::OrderDiffers | Self::WrongState | Self::RetriesUsedUp => 409,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::InvalidField | Self::KeyReused => 422,
            Self::Internal => 500,
            Self::Overloaded | Self::FateUnknown | Self::Stopping => 503,
        }
    }

    /// The short summary that goes with the type.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::MalformedBody => "The body is not JSON",
            Self::BadHeader => "A header is not as expected",
            Self::BadParameter => "A query parameter is not as expected",
            Self::Unauthorized => "Not authorized",
            Self::NotFound => "No such resource",
            Self::MethodNotAllowed => "The resource has no such method",
            Self::BodyTimeout => "The body did not arrive in time",
            Self::OrderInUse => "The order is taken by another task",
            Self::OrderDiffers => "The order exists with other content",
            Self::WrongState => "The state does not allow this",
            Self::RetriesUsedUp => "The retries of this task are used up",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body must be application/json",
            Self::InvalidField => "A field is not as expected",
            Self::KeyReused => "The idempotency key was used with another body",
            Self::Overloaded => "Overloaded, nothing was written",
            Self::FateUnknown => "The fate of the request is unknown",
            Self::Stopping => "The server is stopping",
            Self::Internal => "Internal error",
        }
    }
}

/// One RFC 9457 problem document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The stable type.
    #[serde(rename = "type")]
    pub kind: ProblemType,
    /// The type's summary.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The field, header or parameter at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What was expected there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The task that stands in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The payment that stands in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_no: Option<String>,
}

impl Problem {
    /// A problem of this type without particulars.
    #[must_use]
    pub fn new(kind: ProblemType) -> Self {
        Self {
            kind,
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: None,
            field: None,
            expected: None,
            task_id: None,
            payment_no: None,
        }
    }

    /// Says what happened this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names the field at fault and what was expected there.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, expected: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self.expected = Some(expected.into());
        self
    }

    /// Names the task that stands in the way.
    #[must_use]
    pub fn task(mut self, task_id: impl Into<String>) -> Self {
        self.task_id = Some(task_id.into());
        self
    }

    /// Names the payment that stands in the way.
    #[must_use]
    pub fn payment(mut self, payment_no: impl Into<String>) -> Self {
        self.payment_no = Some(payment_no.into());
        self
    }
}
