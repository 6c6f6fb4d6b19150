//! Notifications as HTTP requests: headers and body to a [`Notification`] and back, and how one is answered.

use payrig_api::ChannelStyle;

use super::{seconds, sorted::Fields};
use crate::notification::Notification;
use crate::sign::SignatureError;

/// The headers of a WeChat-style notification or answer, in lower case: time stamp, nonce, serial, signature.
pub const HEADERS: [&str; 4] = ["wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature"];
/// What answers an Alipay-style notification, to the byte, with a 200.
pub const ALIPAY_SUCCESS: &str = "success";

impl Notification {
    /// The media type of the body.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match self.style {
            ChannelStyle::Alipay => "application/x-www-form-urlencoded; charset=utf-8",
            ChannelStyle::Wechat => "application/json",
        }
    }

    /// The headers that travel with the body, names in lower case. Alipay style has none: all is in the form.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        match self.style {
            ChannelStyle::Alipay => Vec::new(),
            ChannelStyle::Wechat => {
                let values =
                    [self.timestamp_s.to_string(), self.nonce.clone(), self.serial.clone(), self.signature.clone()];
                HEADERS.into_iter().zip(values).collect()
            }
        }
    }

    /// A notification from a request's raw body and its headers, of which `header` gives one by its lower-case name.
    /// Nothing is checked yet but that it can be read: [`crate::Verifier::verify`] does the rest.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`].
    pub fn from_http<'h>(
        style: ChannelStyle,
        header: impl Fn(&str) -> Option<&'h str>,
        body: Vec<u8>,
    ) -> Result<Self, SignatureError> {
        let [timestamp, nonce, serial, signature] = match style {
            ChannelStyle::Wechat => {
                let get =
                    |at: usize| header(HEADERS[at]).map(str::to_owned).ok_or(SignatureError::Malformed(HEADERS[at]));
                [get(0)?, get(1)?, get(2)?, get(3)?]
            }
            ChannelStyle::Alipay => {
                let form = Fields::read(&body)?;
                [form.text("notify_time_s")?, form.text("nonce")?, form.text("cert_serial")?, form.exact("sign")?]
            }
        };
        let timestamp_s = seconds(&timestamp).ok_or(SignatureError::Malformed("the time stamp"))?;
        Ok(Self { style, timestamp_s, nonce, serial, signature, body })
    }
}

/// Whether an answer says that the notification was taken, so that it is not repeated.
#[must_use]
pub fn is_acknowledged(style: ChannelStyle, status: u16, body: &[u8]) -> bool {
    match style {
        ChannelStyle::Wechat => (200..300).contains(&status),
        ChannelStyle::Alipay => status == 200 && body == ALIPAY_SUCCESS.as_bytes(),
    }
}
