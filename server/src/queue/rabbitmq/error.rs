//! Why RabbitMQ cannot be used, in words that say what to do.

use lapin::ErrorKind;

use super::settings::RabbitSettings;

/// Codes that the server closes a connection or a channel with.
mod code {
    pub(super) const ACCESS_REFUSED: u16 = 403;
    pub(super) const PRECONDITION_FAILED: u16 = 406;
    pub(super) const NOT_ALLOWED: u16 = 530;
}

/// Why RabbitMQ cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RabbitError {
    /// Nobody answers there, or not in time.
    #[error("cannot reach RabbitMQ at {address}: {reason}; start it there, or name another address with --queue")]
    Unreachable {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The user or the password is wrong, or the user may not do what has to be done.
    #[error("RabbitMQ at {address} refuses the user {user}: {reason}; correct user, password or permissions (--queue)")]
    Refused {
        /// Where.
        address: String,
        /// Who.
        user: String,
        /// What the server says.
        reason: String,
    },
    /// The virtual host does not exist, or is not for this user.
    #[error("RabbitMQ at {address} has no virtual host {vhost:?} for the user {user}: {reason}; see --queue")]
    NoVhost {
        /// Where.
        address: String,
        /// Who.
        user: String,
        /// Which.
        vhost: String,
        /// What the server says.
        reason: String,
    },
    /// A queue or an exchange exists with other arguments.
    #[error(
        "RabbitMQ at {address} has {name} already, and not as this version wants it: {reason}; delete it once it is \
         empty, or take other names with ?prefix=NAME in --queue"
    )]
    OtherArguments {
        /// Where.
        address: String,
        /// Which.
        name: String,
        /// What the server says.
        reason: String,
    },
    /// Something else went wrong.
    #[error("RabbitMQ at {address} did not {what}: {reason}; its log may say more")]
    Failed {
        /// Where.
        address: String,
        /// What it was asked for.
        what: String,
        /// Why not.
        reason: String,
    },
    /// The system refuses a thread.
    #[error("the system refuses a thread for RabbitMQ's connections: {0}")]
    System(#[from] std::io::Error),
}

impl RabbitError {
    /// What a connection that could not be made means.
    pub(super) fn of_connection(settings: &RabbitSettings, error: &lapin::Error) -> Self {
        let (address, reason) = (settings.address(), reason(error));
        let user = settings.uri.authority.userinfo.username.clone();
        match code_of(error) {
            Some(code::ACCESS_REFUSED) => Self::Refused { address, user, reason },
            Some(code::NOT_ALLOWED) => Self::NoVhost { address, user, vhost: settings.uri.vhost.clone(), reason },
            Some(_) => Self::Failed { address, what: "open a connection".to_owned(), reason },
            None => Self::Unreachable { address, reason },
        }
    }

    /// What a declaration that failed means.
    pub(super) fn of_declaration(settings: &RabbitSettings, name: &str, error: &lapin::Error) -> Self {
        let (address, reason) = (settings.address(), reason(error));
        match code_of(error) {
            Some(code::PRECONDITION_FAILED) => Self::OtherArguments { address, name: name.to_owned(), reason },
            Some(code::ACCESS_REFUSED) => {
                Self::Refused { address, user: settings.uri.authority.userinfo.username.clone(), reason }
            }
            Some(_) => Self::Failed { address, what: format!("declare {name}"), reason },
            None => Self::Unreachable { address, reason },
        }
    }

    /// What a call that failed means.
    pub(super) fn of_call(settings: &RabbitSettings, what: &str, error: &lapin::Error) -> Self {
        Self::Failed { address: settings.address(), what: what.to_owned(), reason: reason(error) }
    }

    /// It took too long.
    pub(super) fn too_slow(settings: &RabbitSettings, seconds: u64) -> Self {
        Self::Unreachable { address: settings.address(), reason: format!("no answer within {seconds} s") }
    }
}

fn code_of(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

fn reason(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    }
}
