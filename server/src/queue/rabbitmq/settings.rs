//! Where RabbitMQ is: the URL of `--queue`, read into what a connection needs.

use std::fmt;

use lapin::uri::AMQPUri;
use percent_encoding::percent_decode_str;

/// What queues and exchanges are called where nobody says otherwise.
const PREFIX: &str = "payrig";
/// Names in AMQP have at most 255 bytes, and the prefix is only the beginning of one.
const PREFIX_AT_MOST: usize = 100;
/// As long as AMQP lets it be.
const VHOST_AT_MOST: usize = 255;
/// Without a word for so long twice a connection is taken for lost, in seconds. The server's own default is 60, for which
/// tasks would wait.
const HEARTBEAT_S: u16 = 10;

/// Where RabbitMQ is and what its queues are called.
#[derive(Clone, PartialEq, Eq)]
pub struct RabbitSettings {
    pub(super) uri: AMQPUri,
    prefix: Box<str>,
}

/// Why a URL cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0}; expected amqp://USER:PASSWORD@HOST:PORT/VHOST with %2f for the virtual host /, and ?prefix=NAME if wanted"
)]
pub struct BadUrl(String);

impl RabbitSettings {
    /// Reads `amqp://user:password@host:port/vhost?prefix=NAME&heartbeat=SECONDS`. Everything but the host may be left
    /// out: guest, guest, 5672, `/`, `payrig` and 10.
    ///
    /// # Errors
    /// Where it is not that, with what is wrong; never with the password.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let bad = |what: &str| BadUrl(what.to_owned());
        let Some(rest) = text.strip_prefix("amqp://") else {
            return Err(bad(if text.starts_with("amqps://") { "amqps:// is not supported" } else { "no amqp:// URL" }));
        };
        let (bare, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = bare.split_once('/').map_or((bare, None), |(authority, path)| (authority, Some(path)));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if host.is_empty() || host.starts_with(':') {
            return Err(bad("it names no host"));
        }
        if path.is_some_and(|path| path.contains('/')) {
            return Err(bad("a / within the virtual host's name is written %2f"));
        }
        let mut uri: AMQPUri = format!("amqp://{bare}").parse().map_err(BadUrl)?;
        // The library takes an address in brackets for no host at all, and then for localhost.
        if let Some((address, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            uri.authority.host = address.to_owned();
        }
        if uri.vhost.is_empty() || uri.vhost.len() > VHOST_AT_MOST {
            return Err(bad("the virtual host's name is empty or too long"));
        }
        uri.query.heartbeat = Some(HEARTBEAT_S);
        let mut settings = Self { uri, prefix: PREFIX.into() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            settings.take(pair)?;
        }
        Ok(settings)
    }

    /// One `name=value` behind the question mark.
    fn take(&mut self, pair: &str) -> Result<(), BadUrl> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8_lossy();
        match name {
            "prefix" => {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                if value.is_empty() || value.len() > PREFIX_AT_MOST || !value.bytes().all(is_plain) {
                    let most =
                        format!("prefix={value}: expected 1 to {PREFIX_AT_MOST} letters, digits, '.', '_' or '-'");
                    return Err(BadUrl(most));
                }
                self.prefix = value.as_ref().into();
            }
            "heartbeat" => {
                let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                let seconds =
                    seconds.ok_or_else(|| BadUrl(format!("heartbeat={value}: expected seconds, at least 1")))?;
                self.uri.query.heartbeat = Some(seconds);
            }
            other => return Err(BadUrl(format!("there is no {other}=, only prefix= and heartbeat="))),
        }
        Ok(())
    }

    /// What the names of all queues and exchanges begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where it is, without user and password.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

/// Without the password.
impl fmt::Debug for RabbitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitSettings")
            .field("address", &self.address())
            .field("user", &self.uri.authority.userinfo.username)
            .field("vhost", &self.uri.vhost)
            .field("prefix", &self.prefix)
            .field("heartbeat_s", &self.uri.query.heartbeat)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> RabbitSettings {
        RabbitSettings::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let short = parsed("amqp://localhost");
        assert_eq!(short, parsed("amqp://guest:guest@localhost:5672/%2f?prefix=payrig&heartbeat=10"));
        assert_eq!((short.prefix(), short.address().as_str()), ("payrig", "localhost:5672"));
    }

    #[test]
    fn everything_can_be_said() {
        let full = parsed("amqp://a%40b:p%2Fw@rabbit.example:5673/pay%2frig?prefix=blue.1&heartbeat=3");
        assert_eq!(full.uri.authority.userinfo.username, "a@b");
        assert_eq!(full.uri.authority.userinfo.password, "p/w");
        assert_eq!(full.uri.vhost, "pay/rig");
        assert_eq!((full.prefix(), full.address().as_str()), ("blue.1", "rabbit.example:5673"));
        assert_eq!(parsed("amqp://[::1]:5673").address(), "::1:5673");
    }

    #[test]
    fn what_cannot_be_is_said_without_the_password() {
        for (text, what) in [
            ("http://u:secret@h", "no amqp:// URL"),
            ("amqps://u:secret@h", "not supported"),
            ("amqp://u:secret@:5672", "no host"),
            ("amqp://", "no host"),
            ("amqp://u:secret@h:port", "port"),
            ("amqp://u:secret@h/a/b", "%2f"),
            ("amqp://u:secret@h/", "virtual host"),
            ("amqp://u:secret@h?prefix=a/b", "prefix=a/b"),
            ("amqp://u:secret@h?prefix=", "prefix="),
            ("amqp://u:secret@h?heartbeat=0", "heartbeat=0"),
            ("amqp://u:secret@h?durable=no", "durable"),
        ] {
            let error = RabbitSettings::parse(text).unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
            assert!(!error.contains("secret"), "{text}: {error}");
        }
        let debug = format!("{:?}", parsed("amqp://u:secret@h"));
        assert!(!debug.contains("secret"), "{debug}");
    }
}
