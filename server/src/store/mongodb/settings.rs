//! Which database, as `--store mongodb://...` names it.

use std::fmt;

use mongodb::options::ConnectionString;

/// The database where the URL names none.
const DATABASE: &str = "payrig";

/// A checked URL. Shown without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct MongoSettings {
    url: String,
    shown: String,
    database: String,
}

impl MongoSettings {
    /// Checks `mongodb://[USER:PASSWORD@]HOST[:PORT][,..][/DATABASE][?OPTIONS]` (or `mongodb+srv://`).
    ///
    /// # Errors
    /// What is wrong with it; nothing of the password is in there.
    pub fn parse(url: &str) -> Result<Self, String> {
        let parsed = ConnectionString::parse(url).map_err(|error| without(url, &error.kind.to_string()))?;
        let database = parsed.default_database.as_deref().unwrap_or(DATABASE);
        let is_name = !database.is_empty()
            && database.len() <= 38
            && database.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if !is_name {
            return Err(format!("a database is 1 to 38 letters, digits, '_' and '-', not {database}"));
        }
        Ok(Self { url: url.to_owned(), shown: shown(url), database: database.to_owned() })
    }

    /// The URL with its password, for the driver.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }
}

impl fmt::Display for MongoSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for MongoSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MongoSettings({}, database {})", self.shown, self.database)
    }
}

/// The URL without user, password and options (which may hold secrets too).
#[must_use]
pub fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
    let hosts = rest.split('?').next().unwrap_or_default();
    if scheme.is_empty() { hosts.to_owned() } else { format!("{scheme}://{hosts}") }
}

/// A message without what stands before the hosts, should it repeat the URL.
fn without(url: &str, message: &str) -> String {
    let secret = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(user, _)| user);
    let parts = secret.into_iter().flat_map(|user| std::iter::once(user).chain(user.split(':')));
    parts.filter(|part| !part.is_empty()).fold(message.to_owned(), |message, part| message.replace(part, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_in_the_path() {
        let settings = |url: &str| MongoSettings::parse(url).map(|settings| settings.database().to_owned());
        assert_eq!(settings("mongodb://127.0.0.1").as_deref(), Ok("payrig"));
        assert_eq!(settings("mongodb://127.0.0.1:27017/shop?replicaSet=rs0").as_deref(), Ok("shop"));
        assert_eq!(settings("mongodb://u:p@a:1,b:2/").as_deref(), Ok("payrig"));
        for wrong in
            ["mongodb://", "postgres://a", "mongodb://a/b.c", "mongodb://a:port", "mongodb://a/?w=x&w=y&nosuch"]
        {
            assert!(settings(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = "mongodb://someone:hunter2@db.example:27017/shop?authSource=hunter2";
        let settings = MongoSettings::parse(url).expect("a good URL");
        for text in [format!("{settings}"), format!("{settings:?}"), shown(url), shown("mongodb://someone:hunter2@a")] {
            assert!(!text.contains("hunter2") && !text.contains("someone"), "{text}");
        }
        let wrong = MongoSettings::parse("mongodb://someone:hunter2@db:port").expect_err("no port");
        assert!(!wrong.contains("hunter2"), "{wrong}");
    }
}
