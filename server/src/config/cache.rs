//! Which result cache, as it was chosen.

use super::value::{ConfigError, bad};
#[cfg(feature = "redis")]
use crate::cache::redis::RedisConfig;

/// Where live views are kept.
#[derive(Clone, Debug)]
pub enum CacheKind {
    /// In this process.
    Memory,
    /// In Redis or Redis Cluster.
    #[cfg(feature = "redis")]
    Redis(RedisConfig),
}

impl CacheKind {
    /// Reads the setting. What is said of a wrong address holds no password.
    pub(super) fn parse(value: Option<&str>) -> Result<Self, ConfigError> {
        match value {
            None | Some("memory") => Ok(Self::Memory),
            Some(address) if address.starts_with("redis") => redis(address),
            Some(other) => {
                Err(bad("cache", without_secrets(other), "this version has: memory, redis://, redis-cluster://"))
            }
        }
    }
}

#[cfg(feature = "redis")]
fn redis(address: &str) -> Result<CacheKind, ConfigError> {
    let config = RedisConfig::parse(address);
    config.map(CacheKind::Redis).map_err(|error| bad("cache", without_secrets(address), error.to_string()))
}

#[cfg(not(feature = "redis"))]
fn redis(address: &str) -> Result<CacheKind, ConfigError> {
    let built = "this payrig-server was built without redis: build it with --features redis";
    Err(bad("cache", without_secrets(address), built))
}

/// The address with whatever stands before its host left out.
fn without_secrets(address: &str) -> String {
    let after_scheme = address.find("://").map_or(0, |at| at + 3);
    match address.rfind('@') {
        Some(at) if at >= after_scheme => format!("{}...{}", &address[..after_scheme], &address[at..]),
        _ => address.to_owned(),
    }
}
