//! How a call of the channel fails.

use crate::LedgerError;

/// Why a call did not do what was asked, in the three ways that matter to a caller, and a broken ledger.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// Nothing took effect; the same call may succeed later.
    #[error("the channel failed for now: {code} ({why})")]
    Transient {
        /// The channel's error code, as the published ones.
        code: &'static str,
        /// What it stands for here.
        why: &'static str,
    },
    /// Nothing took effect, and a repeat will not change that.
    #[error("the channel refused: {code} ({why})")]
    Permanent {
        /// The channel's error code, as the published ones.
        code: &'static str,
        /// What it stands for here.
        why: &'static str,
    },
    /// The answer was lost; whether the call took effect is unknown. Repeating it is safe.
    #[error("no answer from the channel")]
    NoAnswer,
    /// The simulated channel's own ledger failed; whether the call took effect is unknown.
    #[error("the simulated channel's ledger failed")]
    Broken(#[from] LedgerError),
}

impl ChannelError {
    pub(crate) const fn permanent(code: &'static str, why: &'static str) -> Self {
        Self::Permanent { code, why }
    }
}
