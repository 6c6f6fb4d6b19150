//! The address of a Redis or a Redis Cluster, as `--cache` names it.

use std::{fmt, sync::Arc};

use fred::{
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs},
    rustls_native_certs::load_native_certs,
    types::config::{Config, ServerConfig, TlsConfig},
};
use percent_encoding::percent_decode_str;
use url::Url;

const PORT: u16 = 6379;
const PREFIX: &str = "payrig";
/// A prefix is part of every key: it is kept short.
const PREFIX_MAX: usize = 64;

/// Where the cache is and who may use it. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    clustered: bool,
    tls: bool,
    hosts: Vec<(String, u16)>,
    username: Option<String>,
    password: Option<String>,
    database: u8,
    prefix: Arc<str>,
}

/// An address that cannot be. Says nothing of a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0}; expected redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] or redis-cluster://[USER:PASSWORD@]HOST[:PORT][?node=HOST:PORT], \
     rediss:// and rediss-cluster:// with TLS, and ?prefix=NAME where several payrigs share one"
)]
pub struct RedisUrlError(String);

impl RedisConfig {
    /// Reads an address.
    ///
    /// # Errors
    /// [`RedisUrlError`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self, RedisUrlError> {
        let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        let (clustered, tls) = match url.scheme() {
            "redis" => (false, false),
            "rediss" => (false, true),
            "redis-cluster" => (true, false),
            "rediss-cluster" => (true, true),
            other => return Err(wrong(format!("{other}:// is no Redis"))),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("the host is missing"))?;
        let mut config = Self {
            clustered,
            tls,
            hosts: vec![(bare(host), url.port().unwrap_or(PORT))],
            username: Some(decoded(url.username())?).filter(|name| !name.is_empty()),
            password: url.password().map(decoded).transpose()?.filter(|password| !password.is_empty()),
            database: database(url.path(), clustered)?,
            prefix: PREFIX.into(),
        };
        if config.username.is_some() && config.password.is_none() {
            return Err(wrong("a user needs a password (a password alone is :PASSWORD@)"));
        }
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "node" if clustered => config.hosts.push(node(&value)?),
                "prefix" => config.prefix = prefix(&value)?.into(),
                other => return Err(wrong(format!("there is no ?{other}= here"))),
            }
        }
        Ok(config)
    }

    /// The address without its secrets, for people.
    #[must_use]
    pub fn address(&self) -> String {
        let scheme = match (self.clustered, self.tls) {
            (false, false) => "redis",
            (false, true) => "rediss",
            (true, false) => "redis-cluster",
            (true, true) => "rediss-cluster",
        };
        let hosts: Vec<String> = self.hosts.iter().map(|(host, port)| host_and_port(host, *port)).collect();
        let path = if self.clustered { String::new() } else { format!("/{}", self.database) };
        format!("{scheme}://{}{path}", hosts.join(","))
    }

    /// Whether it is a cluster.
    #[must_use]
    pub const fn is_clustered(&self) -> bool {
        self.clustered
    }

    /// What every key begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The client's configuration.
    ///
    /// # Errors
    /// Where TLS is asked for and the system has no certificates to trust.
    pub(super) fn client(&self) -> Result<Config, String> {
        let server = if self.clustered {
            ServerConfig::new_clustered(self.hosts.clone())
        } else {
            let (host, port) = self.hosts.first().cloned().unwrap_or_default();
            ServerConfig::new_centralized(host, port)
        };
        Ok(Config {
            server,
            username: self.username.clone(),
            password: self.password.clone(),
            database: Some(self.database).filter(|_| !self.clustered),
            tls: if self.tls { Some(tls()?) } else { None },
            ..Config::default()
        })
    }
}

/// The system's certificates and our own choice of cryptography: where a build holds several, the default is a panic.
fn tls() -> Result<TlsConfig, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(load_native_certs().certs);
    if added == 0 {
        return Err("the system has no certificates to trust; SSL_CERT_FILE names others".to_owned());
    }
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(client.into())
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}?prefix={}", self.address(), self.prefix)
    }
}

fn wrong(what: impl Into<String>) -> RedisUrlError {
    RedisUrlError(what.into())
}

/// IPv6 addresses stand in brackets in URLs only.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn decoded(text: &str) -> Result<String, RedisUrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| wrong("user and password are percent-encoded UTF-8"))
}

fn database(path: &str, clustered: bool) -> Result<u8, RedisUrlError> {
    match path.trim_matches('/') {
        "" => Ok(0),
        _ if clustered => Err(wrong("a cluster has no databases")),
        number => number.parse().map_err(|_| wrong(format!("/{number} is no database, which is a number"))),
    }
}

fn node(text: &str) -> Result<(String, u16), RedisUrlError> {
    let parsed = text.rsplit_once(':').and_then(|(host, port)| Some((bare(host), port.parse().ok()?)));
    parsed.filter(|(host, _)| !host.is_empty()).ok_or_else(|| wrong(format!("?node={text} is no HOST:PORT")))
}

/// Braces would make another hash tag.
fn prefix(text: &str) -> Result<String, RedisUrlError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if text.is_empty() || text.len() > PREFIX_MAX || !text.bytes().all(is_plain) {
        return Err(wrong(format!("?prefix= takes 1 to {PREFIX_MAX} letters, digits, '-', '_', '.' and ':'")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::RedisConfig;

    fn shown(text: &str) -> String {
        RedisConfig::parse(text).map_or_else(|error| error.to_string(), |config| format!("{config:?}"))
    }

    #[test]
    fn addresses_are_read() {
        for (text, expected) in [
            ("redis://h", "redis://h:6379/0?prefix=payrig"),
            ("rediss://:s3cret@h:1/7", "rediss://h:1/7?prefix=payrig"),
            ("redis://u:s3cret@[::1]:1/", "redis://[::1]:1/0?prefix=payrig"),
            ("redis-cluster://u:s3cret@h:1?node=i:2&node=[::1]:3&prefix=a", "redis-cluster://h:1,i:2,[::1]:3?prefix=a"),
            ("rediss-cluster://h", "rediss-cluster://h:6379?prefix=payrig"),
        ] {
            assert_eq!(shown(text), expected);
        }
        let config = RedisConfig::parse("redis://us%40er:p%40ss%2F@h").expect("an address");
        assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("us@er"), Some("p@ss/")));
    }

    #[test]
    fn wrong_addresses_are_refused_and_no_password_is_told() {
        for (text, says) in [
            ("redis://", "host"),
            ("redis://:s3cret@/0", "host"),
            ("redis://u:s3cret@h:99999", "port"),
            ("redis://u:s3cret@h/x", "/x is no database"),
            ("redis://u:s3cret@h/256", "/256 is no database"),
            ("redis-cluster://u:s3cret@h/1", "no databases"),
            ("redis://u@h", "needs a password"),
            ("redis://u:s3cret@h?node=i:1", "no ?node="),
            ("redis-cluster://u:s3cret@h?node=i", "no HOST:PORT"),
            ("redis://u:s3cret@h?prefix={a}", "?prefix= takes"),
            ("redis-sentinel://u:s3cret@h", "is no Redis"),
            ("redis", "relative URL"),
        ] {
            let told = shown(text);
            assert!(told.contains(says) && told.contains("expected redis://"), "{text}: {told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
    }
}
