//! The one table of exit codes, and which of several findings a process ends with.

/// What a process of payrig ends with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// All is well.
    Pass = 0,
    /// Something that payrig needs did not work: a file, the server's start, the network.
    RuntimeError = 1,
    /// The command line or a configuration makes no sense.
    Usage = 2,
    /// The candidate is worse than the baseline.
    Regression = 3,
    /// The books do not agree.
    AuditFailed = 4,
    /// The harness itself was the limit: no figure of the run means anything.
    Invalid = 5,
    /// Too little was seen to say.
    Inconclusive = 6,
    /// A promised figure was not kept.
    ThresholdCrossed = 99,
    /// Someone stopped it; results up to then are written.
    Interrupted = 130,
}

impl ExitCode {
    /// Where several findings hold, the first of these is the end: an invalid measurement judges no threshold, and money
    /// that is wrong outranks every speed.
    pub const PRECEDENCE: [Self; 8] = [
        Self::Usage,
        Self::RuntimeError,
        Self::Interrupted,
        Self::AuditFailed,
        Self::Invalid,
        Self::ThresholdCrossed,
        Self::Regression,
        Self::Inconclusive,
    ];

    /// The finding that decides; pass where there is none.
    #[must_use]
    pub fn deciding(findings: impl IntoIterator<Item = Self>) -> Self {
        let rank = |code: &Self| Self::PRECEDENCE.iter().position(|known| known == code).unwrap_or(usize::MAX);
        findings.into_iter().min_by_key(rank).unwrap_or(Self::Pass)
    }

    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::RuntimeError => "runtime error",
            Self::Usage => "usage",
            Self::Regression => "regression",
            Self::AuditFailed => "audit failed",
            Self::Invalid => "measurement invalid",
            Self::Inconclusive => "inconclusive",
            Self::ThresholdCrossed => "a threshold was crossed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode::{
        self, AuditFailed, Inconclusive, Interrupted, Invalid, Pass, Regression, RuntimeError, ThresholdCrossed, Usage,
    };

    #[test]
    fn numbers_are_those_that_are_documented() {
        let table = [
            (Pass, 0),
            (RuntimeError, 1),
            (Usage, 2),
            (Regression, 3),
            (AuditFailed, 4),
            (Invalid, 5),
            (Inconclusive, 6),
            (ThresholdCrossed, 99),
            (Interrupted, 130),
        ];
        assert!(table.into_iter().all(|(code, number)| code.code() == number));
    }

    #[test]
    fn the_first_in_the_order_of_precedence_decides_whatever_the_order_of_finding() {
        let documented = [2, 1, 130, 4, 5, 99, 3, 6];
        assert_eq!(ExitCode::PRECEDENCE.map(ExitCode::code), documented);
        for (rank, stronger) in ExitCode::PRECEDENCE.into_iter().enumerate() {
            assert_eq!(ExitCode::deciding([stronger, Pass]), stronger);
            for weaker in &ExitCode::PRECEDENCE[rank..] {
                assert_eq!(ExitCode::deciding([stronger, *weaker]), stronger);
                assert_eq!(ExitCode::deciding([Pass, *weaker, stronger]), stronger);
            }
        }
        assert_eq!(ExitCode::deciding([]), Pass);
        assert_eq!(ExitCode::deciding([Pass, Pass]), Pass);
    }
}
