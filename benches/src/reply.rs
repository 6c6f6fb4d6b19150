//! A reply as the bare server gives it: the same status, headers and number of bytes as a real one.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

/// A reply without its meaning. Travels to the bare server as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CannedReply {
    /// The status code.
    pub status: u16,
    /// Headers by name, without those that hyper adds by itself (`date`, `content-length`).
    pub headers: Vec<(String, String)>,
    /// The length of the body.
    pub bytes: usize,
}

/// A reply that HTTP does not know.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP reply: {0}")]
pub struct NoReply(String);

impl CannedReply {
    /// The status and headers as hyper wants them.
    ///
    /// # Errors
    /// Where a status or header is none.
    pub fn head(&self) -> Result<(StatusCode, HeaderMap), NoReply> {
        let status = StatusCode::from_u16(self.status).map_err(|error| NoReply(error.to_string()))?;
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name).map_err(|error| NoReply(error.to_string()))?;
            let value = HeaderValue::try_from(value).map_err(|error| NoReply(error.to_string()))?;
            headers.insert(name, value);
        }
        Ok((status, headers))
    }
}
