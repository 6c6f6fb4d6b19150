//! Single values: how they are read, and what is said of one that cannot be.

use std::{path::PathBuf, str::FromStr, time::Duration};

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("--config {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not as expected.
    #[error("--config {path}: {source}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
    /// A value is not as expected.
    #[error("--{name} {value}: {expected}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What was expected.
        expected: String,
    },
}

pub(super) fn bad(name: &'static str, value: impl std::fmt::Display, expected: impl Into<String>) -> ConfigError {
    ConfigError::Value { name, value: format!("{value}"), expected: expected.into() }
}

/// A URL without user and password: it is shown, in messages and logs.
pub(super) fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // The last one: a password may have one in it that somebody forgot to write as %40.
    rest.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, rest)| format!("{scheme}://{rest}"))
}

pub(super) fn parsed<T: FromStr>(name: &'static str, value: &str, expected: &str) -> Result<T, ConfigError> {
    value.parse().map_err(|_| bad(name, value, expected))
}

pub(super) fn duration(name: &'static str, value: Option<&str>, default: Duration) -> Result<Duration, ConfigError> {
    let Some(value) = value else { return Ok(default) };
    humantime::parse_duration(value).map_err(|_| bad(name, value, "expected a duration such as 300ms, 30s or 1h30m"))
}

/// A duration that is more than nothing.
pub(super) fn some_time(
    name: &'static str,
    value: &Option<String>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    match duration(name, value.as_deref(), default)? {
        Duration::ZERO => Err(bad(name, "0s", "expected more than nothing")),
        time => Ok(time),
    }
}

/// More of anything than a machine has memory for.
const MANY: usize = 1 << 24;

/// The value, if it is at least one and no more than a machine can hold.
pub(super) fn positive(name: &'static str, value: Option<usize>, default: usize) -> Result<usize, ConfigError> {
    match value {
        Some(value @ (0 | MANY..)) => Err(bad(name, value, format!("expected 1 to {}", MANY - 1))),
        value => Ok(value.unwrap_or(default)),
    }
}

/// The value, which may be none.
pub(super) fn none_or_more(name: &'static str, value: Option<usize>, default: usize) -> Result<usize, ConfigError> {
    if value == Some(0) { Ok(0) } else { positive(name, value, default) }
}
