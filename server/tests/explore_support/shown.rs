//! What clients have seen: nothing of it may be taken back.

use std::collections::BTreeMap;

use payrig_api::{PaymentState, TaskState};
use payrig_server::model::{TaskId, TaskView};

/// The part of an answer that stands: its round, and once it is settled how, and once its payment ended how.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Standing {
    round: u8,
    settled: Option<u8>,
    ended: Option<u8>,
}

impl Standing {
    pub(crate) fn of(view: &TaskView) -> Self {
        let ended = view.payment.as_ref().map(|payment| payment.state);
        Self {
            round: view.round,
            settled: view.state.is_settled().then_some(view.state as u8),
            ended: ended.filter(|state| *state != PaymentState::AwaitingPayer).map(|state| state as u8),
        }
    }

    /// Whether an answer given after this one agrees with it.
    fn agrees(self, later: Self) -> bool {
        if later.round != self.round {
            // Only a failed round is followed by another.
            let may_follow = self.settled.is_none_or(|state| state == TaskState::Failed as u8);
            return later.round > self.round && may_follow;
        }
        let same = |before: Option<u8>, after: Option<u8>| before.is_none() || before == after;
        same(self.settled, later.settled) && same(self.ended, later.ended)
    }
}

/// The newest answers, by task.
#[derive(Clone, Default, Debug)]
pub(crate) struct Shown {
    newest: BTreeMap<TaskId, Standing>,
    /// What was taken back, in words.
    pub(crate) taken_back: Vec<String>,
}

impl Shown {
    /// What an answer that is asked for now has to agree with.
    pub(crate) fn floor(&self, task: TaskId) -> Option<Standing> {
        self.newest.get(&task).copied()
    }

    /// An answer, to a question that was asked at this floor.
    pub(crate) fn saw(&mut self, task: TaskId, view: Option<&TaskView>, floor: Option<Standing>) {
        let now = view.map(Standing::of);
        if let Some(floor) = floor
            && !now.is_some_and(|now| floor.agrees(now))
        {
            self.taken_back.push(format!("{task} was shown as {floor:?}, and later as {now:?}"));
        }
        let Some(now) = now else { return };
        let newest = self.newest.entry(task).or_insert(now);
        let contradicts = |one: Option<u8>, other: Option<u8>| one.is_some() && other.is_some() && one != other;
        if newest.round == now.round
            && (contradicts(newest.settled, now.settled) || contradicts(newest.ended, now.ended))
        {
            self.taken_back.push(format!("{task} was shown as {newest:?} and as {now:?}"));
        }
        // Of two answers that were under way at the same time either may be the newer one.
        *newest = (*newest).max(now);
    }

    pub(crate) fn tasks(&self) -> Vec<TaskId> {
        self.newest.keys().copied().collect()
    }

    pub(crate) fn newest(&self) -> &BTreeMap<TaskId, Standing> {
        &self.newest
    }
}
