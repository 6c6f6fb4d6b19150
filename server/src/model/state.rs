//! The state machine of a round: which step may follow which.

use payrig_api::TaskState;

/// What may happen to a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// An attempt begins.
    Start,
    /// The attempt failed and another will follow.
    Postpone,
    /// The attempt succeeded.
    Succeed,
    /// The attempt failed and none will follow.
    Fail,
    /// Somebody cancelled it.
    Cancel,
}

/// A step that the state does not allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{step:?} is not possible while {}", from.name())]
pub struct IllegalStep {
    /// Where the round stood.
    pub from: TaskState,
    /// What was tried.
    pub step: Step,
}

/// The state after this step.
///
/// # Errors
/// [`IllegalStep`] where the state does not allow it: a settled round takes no step at all.
pub const fn after(from: TaskState, step: Step) -> Result<TaskState, IllegalStep> {
    use TaskState::{Cancelled, Failed, Queued, Retrying, Running, Succeeded};
    match (from, step) {
        (Queued | Retrying, Step::Start) => Ok(Running),
        (Running, Step::Postpone) => Ok(Retrying),
        (Running, Step::Succeed) => Ok(Succeeded),
        // A poisoned round fails without ever having been started.
        (Queued | Running | Retrying, Step::Fail) => Ok(Failed),
        (Queued | Running | Retrying, Step::Cancel) => Ok(Cancelled),
        _ => Err(IllegalStep { from, step }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEPS: [Step; 5] = [Step::Start, Step::Postpone, Step::Succeed, Step::Fail, Step::Cancel];

    proptest! {
        #[test]
        fn a_settled_round_never_moves_again(walk in prop::collection::vec(0..STEPS.len(), 0..40)) {
            let mut state = TaskState::Queued;
            let mut settled = None;
            for step in walk {
                match after(state, STEPS[step]) {
                    Ok(next) => {
                        prop_assert!(settled.is_none(), "moved on from {settled:?}");
                        prop_assert_ne!(next, TaskState::Queued);
                        state = next;
                        if state.is_settled() {
                            settled = Some(state);
                        }
                    }
                    Err(refused) => prop_assert_eq!(refused.from, state),
                }
            }
        }
    }

    #[test]
    fn success_needs_a_running_attempt() {
        assert!(after(TaskState::Queued, Step::Succeed).is_err());
        assert!(after(TaskState::Retrying, Step::Succeed).is_err());
        assert_eq!(after(TaskState::Running, Step::Succeed), Ok(TaskState::Succeeded));
    }
}
