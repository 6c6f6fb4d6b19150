//! Which payment channel, and what belongs to it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::{Uri, uri::Authority};
use payrig_channel::Profile;

use super::{ConfigError, RawConfig, bad, positive, some_time};
use crate::channel::http::Limits;

/// Which payment channel.
#[derive(Clone, PartialEq, Debug)]
pub enum ChannelKind {
    /// In process, of this kind.
    Simulated(Profile),
    /// A program of its own.
    Http {
        /// Its host and port.
        address: Authority,
        /// The folder of both sides' keys.
        keys: PathBuf,
        /// Where it reaches this server; nothing: at the address that is listened on.
        public_url: Option<String>,
        /// Bounds of calls.
        limits: Limits,
    },
}

impl ChannelKind {
    /// How long a call may take with the wait for its place, where calls take time that nobody here decides.
    #[must_use]
    pub fn call_timeout(&self) -> Option<Duration> {
        match self {
            Self::Simulated(_) => None,
            Self::Http { limits, .. } => Some(limits.place.saturating_add(limits.call)),
        }
    }
}

impl RawConfig {
    pub(super) fn checked_channel(&self, listen: SocketAddr) -> Result<ChannelKind, ConfigError> {
        let text = self.channel.as_deref().unwrap_or("simulated");
        if text.starts_with("http://") {
            return self.checked_http_channel(text, listen);
        }
        self.nothing_of_http()?;
        match text.split_once(':') {
            None if text == "simulated" => Ok(ChannelKind::Simulated(Profile::default())),
            Some(("simulated", profile)) => in_process(text, profile),
            _ => Err(bad("channel", text, "this version has: simulated, simulated:PROFILE, http://HOST:PORT")),
        }
    }

    fn checked_http_channel(&self, text: &str, listen: SocketAddr) -> Result<ChannelKind, ConfigError> {
        let address = origin(text).filter(|address| address.port_u16().is_some_and(|port| port > 0));
        let address = address.ok_or_else(|| bad("channel", text, "expected http://HOST:PORT and nothing after it"))?;
        let Some(keys) = self.channel_keys.clone().filter(|keys| !keys.as_os_str().is_empty()) else {
            let expected = "needs --channel-keys DIR, the folder of keys that payrig-channel uses too";
            return Err(bad("channel", text, expected));
        };
        if self.public_url.is_none() && listen.ip().is_unspecified() {
            let expected = "the channel cannot send notifications there: needs --public-url http://HOST:PORT";
            return Err(bad("listen", listen, expected));
        }
        let default = Limits::default();
        let limits = Limits {
            place: default.place,
            call: some_time("channel-timeout", &self.channel_timeout, default.call)?,
            connect: some_time("channel-connect-timeout", &self.channel_connect_timeout, default.connect)?,
            calls: positive("channel-calls", self.channel_calls, default.calls)?,
        };
        Ok(ChannelKind::Http { address, keys, public_url: self.checked_public_url()?, limits })
    }

    fn checked_public_url(&self) -> Result<Option<String>, ConfigError> {
        let Some(text) = &self.public_url else { return Ok(None) };
        match origin(text) {
            Some(address) => Ok(Some(format!("http://{address}"))),
            None => Err(bad("public-url", text, "expected http://HOST:PORT and nothing after it")),
        }
    }

    /// What is given for a channel over HTTP and would do nothing is a mistake somewhere else.
    fn nothing_of_http(&self) -> Result<(), ConfigError> {
        let keys = self.channel_keys.as_ref().map(|keys| keys.display().to_string());
        let calls = self.channel_calls.map(|calls| calls.to_string());
        let given = [
            ("channel-keys", keys),
            ("public-url", self.public_url.clone()),
            ("channel-timeout", self.channel_timeout.clone()),
            ("channel-connect-timeout", self.channel_connect_timeout.clone()),
            ("channel-calls", calls),
        ];
        match given.into_iter().find_map(|(name, value)| Some((name, value?))) {
            Some((name, value)) => Err(bad(name, value, "only with --channel http://HOST:PORT")),
            None => Ok(()),
        }
    }
}

/// The channel in process with this profile; words that would do nothing there are refused.
fn in_process(text: &str, profile: &str) -> Result<ChannelKind, ConfigError> {
    let profile: Profile =
        profile.parse().map_err(|error: payrig_channel::ProfileError| bad("channel", text, error.to_string()))?;
    match profile.only_over_http() {
        None => Ok(ChannelKind::Simulated(profile)),
        Some(word) => {
            let expected = format!("`{word}` has a meaning only for payrig-channel, with --channel http://HOST:PORT");
            Err(bad("channel", text, expected))
        }
    }
}

/// The host and port of an `http://` URL with nothing after them but a slash.
fn origin(text: &str) -> Option<Authority> {
    let uri: Uri = text.parse().ok()?;
    let is_bare = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
    let address = uri.authority().filter(|_| is_bare)?;
    // No user and no password: they would go out with nothing.
    (!address.as_str().contains('@') && !address.host().is_empty()).then(|| address.clone())
}
