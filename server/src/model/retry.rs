//! The retry policy: retry k waits k seconds, at most five retries a task, automatic and manual together.

use std::time::Duration;

use payrig_api::{RETRY_CAP, TaskInfo};

/// The difference of the arithmetic sequence of delays.
const DELAY_STEP: Duration = Duration::from_secs(1);

/// What follows a transient failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterFailure {
    /// The next attempt, after this delay.
    RetryIn(Duration),
    /// No attempt is left for this round.
    UsedUp,
}

/// What follows the failure of this attempt (`attempt` counts over all rounds, from 1). Only the first round retries by
/// itself: a manual retry is one attempt.
#[must_use]
pub fn after_failure(info: TaskInfo, round: u8, attempt: u8) -> AfterFailure {
    let allowed = if round == 1 { info.automatic_retries().min(RETRY_CAP) } else { 0 };
    // In the first round attempt k failed, so that retry k would be next.
    if attempt <= allowed { AfterFailure::RetryIn(DELAY_STEP * u32::from(attempt)) } else { AfterFailure::UsedUp }
}

/// Whether a task that has made so many attempts may be retried by hand.
#[must_use]
pub const fn manual_retry_left(attempts: u8) -> bool {
    // The first attempt is no retry; a task that failed before any (poison) has all its retries.
    attempts <= RETRY_CAP
}

/// How long a round lasts at most whose every attempt takes so long: the built-in cap of retries, with their delays.
#[must_use]
pub fn longest_round(attempt: Duration) -> Duration {
    let delays: u32 = (1..=u32::from(RETRY_CAP)).sum();
    DELAY_STEP * delays + attempt.saturating_mul(u32::from(RETRY_CAP) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_gaps_are_one_two_three_seconds_by_default_and_five_on_the_cap() {
        let gaps = |retry_times| -> Vec<u64> {
            let info = TaskInfo { need_retry: true, retry_times };
            (1..=10)
                .map_while(|attempt| match after_failure(info, 1, attempt) {
                    AfterFailure::RetryIn(delay) => Some(delay.as_secs()),
                    AfterFailure::UsedUp => None,
                })
                .collect()
        };
        assert_eq!(gaps(3), [1, 2, 3]);
        assert_eq!(gaps(5), [1, 2, 3, 4, 5]);
        assert_eq!(gaps(0), [0; 0]);
        assert_eq!(after_failure(TaskInfo { need_retry: false, retry_times: 3 }, 1, 1), AfterFailure::UsedUp);
    }

    #[test]
    fn the_longest_round_has_fifteen_seconds_of_delays_and_six_attempts() {
        assert_eq!(longest_round(Duration::from_secs(5)), Duration::from_secs(45));
    }

    proptest! {
        #[test]
        fn no_task_is_ever_retried_more_than_five_times(retry_times in 0_u8..=255, need_retry: bool, asks in 0_usize..20) {
            let info = TaskInfo { need_retry, retry_times };
            let mut attempt = 1;
            while let AfterFailure::RetryIn(delay) = after_failure(info, 1, attempt) {
                prop_assert_eq!(delay.as_secs(), u64::from(attempt));
                attempt += 1;
            }
            let allowed = RETRY_CAP.min(info.automatic_retries());
            prop_assert!(attempt - 1 <= allowed);
            for round in 0..asks {
                if manual_retry_left(attempt) {
                    attempt += 1;
                    prop_assert_eq!(after_failure(info, u8::try_from(round + 2).unwrap(), attempt), AfterFailure::UsedUp);
                }
            }
            prop_assert!(attempt - 1 <= RETRY_CAP);
        }
    }
}
