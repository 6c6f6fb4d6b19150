//! What may go wrong with a MongoDB-compatible server: at start, and in a single command.

use mongodb::error::{Error, ErrorKind, NO_WRITES_PERFORMED};

use crate::store::StoreError;

/// Why the store cannot be used. Each message names the setting and the address, never the password.
#[derive(Debug, thiserror::Error)]
pub enum MongoError {
    /// Nobody answers there.
    #[error(
        "--store {address}: no MongoDB-compatible server answers: {reason}; check the address, and that it is running"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// What the driver says.
        reason: String,
    },
    /// The server knows no such user with this password.
    #[error(
        "--store {address}: the server refuses the user or the password: {reason}; they stand before the '@' of the URL, \
         and ?authSource= names the database that knows the user"
    )]
    Refused {
        /// Where.
        address: String,
        /// What the server says.
        reason: String,
    },
    /// The driver cannot use these settings.
    #[error("--store {address}: {reason}")]
    Settings {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The server answers and cannot be used.
    #[error("--store {address}: the database {database} cannot be used: {reason}")]
    Unusable {
        /// Where.
        address: String,
        /// Which database.
        database: String,
        /// What the server says.
        reason: String,
    },
    /// A later version of this program has written there.
    #[error(
        "--store {address}: the database {database} has schema {found} and this payrig-server knows {known}: run the \
         newer payrig-server, or name another database in the URL's path"
    )]
    Newer {
        /// Where.
        address: String,
        /// Which database.
        database: String,
        /// The schema that it has.
        found: i64,
        /// The schema of this version.
        known: i64,
    },
}

/// What is known of a command that did not go well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// It surely has done nothing.
    NothingDone(String),
    /// It may have been done, or may still be.
    Unknown(String),
}

impl Trouble {
    /// As the seam says it.
    pub(super) fn into_store_error(self) -> StoreError {
        match self {
            Self::NothingDone(reason) => StoreError::Unavailable(reason),
            Self::Unknown(reason) => StoreError::Unknown(reason),
        }
    }

    pub(super) fn reason(&self) -> &str {
        match self {
            Self::NothingDone(reason) | Self::Unknown(reason) => reason,
        }
    }
}

/// Codes of a server that did not even begin: not the primary, not allowed.
const NOT_BEGUN: [i32; 5] = [10_107, 13_435, 10_058, 13, 18];

impl From<Error> for Trouble {
    /// Only what surely never reached the server, or was surely turned away, counts as nothing done. A pool that is
    /// cleared is not of that kind: the driver says the same of a command that it breaks off half-way, when its monitor
    /// hears nothing any more.
    fn from(error: Error) -> Self {
        let reason = told(&error);
        if error.contains_label(NO_WRITES_PERFORMED) {
            return Self::NothingDone(reason);
        }
        match &*error.kind {
            ErrorKind::ServerSelection { .. }
            | ErrorKind::Authentication { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::InvalidTlsConfig { .. }
            | ErrorKind::InvalidArgument { .. }
            | ErrorKind::IncompatibleServer { .. }
            | ErrorKind::SessionsNotSupported
            | ErrorKind::Shutdown => Self::NothingDone(reason),
            ErrorKind::Command(command) if NOT_BEGUN.contains(&command.code) => Self::NothingDone(reason),
            _ => Self::Unknown(reason),
        }
    }
}

/// The heart of a driver's message, in one line that a person can read.
pub(super) fn told(error: &Error) -> String {
    match &*error.kind {
        // "Server selection timeout: No available servers. Topology: { Type: .., Servers: [ { .. Error: Kind: .. } ] }"
        ErrorKind::ServerSelection { message, .. } => {
            let cause = message.split("Error: Kind: ").nth(1).and_then(|rest| rest.split(", labels:").next());
            cause.map_or_else(|| message.clone(), str::to_owned)
        }
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_leaves_the_fate_open() {
        let broken = Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(matches!(Trouble::from(broken), Trouble::Unknown(_)));
        let wrong = Error::from(ErrorKind::SessionsNotSupported);
        assert!(matches!(Trouble::from(wrong), Trouble::NothingDone(_)));
    }
}
