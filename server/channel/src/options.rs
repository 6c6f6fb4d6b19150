//! How a channel is set up.

use crate::keys::ChannelKeys;
use crate::profile::Profile;
use crate::sign::SecretKey;

/// How a channel is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Latencies, faults and seed.
    pub profile: Profile,
    /// Where the payer pays; stands in the parameters.
    pub cashier_url: String,
    /// How many notifications may wait to be sent; more are dropped and counted.
    pub notification_capacity: usize,
    /// The secret behind the signatures; without one the ledger's own is used, which is made at its first opening.
    pub secret: Option<SecretKey>,
    /// The keys of a channel that is a program of its own: the platform signs its parameters itself, and notifications go
    /// out over HTTP. Without them everything is signed by keys derived from the secret.
    pub keys: Option<ChannelKeys>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            cashier_url: "http://127.0.0.1:8080/simulated/cashier".to_owned(),
            notification_capacity: 65_536,
            secret: None,
            keys: None,
        }
    }
}
