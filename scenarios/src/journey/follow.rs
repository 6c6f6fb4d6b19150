//! Polling, and what a shown task means: wait on, pay, retry, cancel or end.

use payrig_api::{PaymentState, SeenReply, SeenTask, TaskState};

use super::{Answer, Cancelling, Journey, Move};
use crate::plan::CancelAt;
use crate::{Action, Outcome, RoundSeen, Shown, StagesSeen, ViolationKind};

impl Journey {
    /// Polls once more after the gap, unless the journey has polled enough.
    pub(super) fn poll(&mut self, retry_after_s: Option<u64>, now_us: u64) -> Action {
        let is_settled = self.record.rounds.last().is_some_and(|round| round.first_settled_us.is_some());
        let what = if is_settled { Move::QueryPaid } else { Move::Query };
        if self.record.polls >= self.settings.max_polls {
            let unseen = if is_settled { "paid" } else { "settled" };
            let reason = format!("not seen as {unseen} after {} polls", self.record.polls);
            return self.end(Outcome::GaveUp { reason }, now_us);
        }
        if self.early_polls_left > 0 && !is_settled {
            self.early_polls_left -= 1;
            let wait_us = self.settings.early_poll_ms.draw_us(&mut self.dice);
            return self.wait_us(wait_us, what);
        }
        let gap_us = self.settings.poll_gap_ms.draw_us(&mut self.dice);
        // A refused poll obeys the server; an answered one keeps the payer's own rhythm.
        let wait_us = retry_after_s.map_or(gap_us, |wait_s| gap_us.max(super::backoff_us(Some(wait_s))));
        self.wait_us(wait_us, what)
    }

    pub(super) fn on_polled(&mut self, sent: Move, answer: Answer<'_>) -> Action {
        if answer.is_success() {
            return match self.read(sent, &answer) {
                Ok(seen) => {
                    self.note_shown(&seen, answer.now_us);
                    self.follow(&seen, answer.now_us)
                }
                Err(done) => done,
            };
        }
        self.tries += 1;
        if answer.is_passing() {
            self.note_answer(sent, &answer, true);
            return self.poll(answer.retry_after_s, answer.now_us);
        }
        if answer.status == 404 && self.tries < self.settings.max_tries {
            // Once is a broken promise, but the journey goes on to see whether the task comes back.
            self.note_answer(sent, &answer, true);
            self.unknown_if_404(&answer);
            return self.poll(None, answer.now_us);
        }
        self.unexpected(sent, &answer)
    }

    /// What the payer does about what is shown.
    pub(super) fn follow(&mut self, seen: &SeenReply, now_us: u64) -> Action {
        match seen.payment.as_ref().map(|payment| payment.state) {
            Some(PaymentState::Paid) => return self.paid(now_us),
            Some(PaymentState::Closed) => {
                let is_asked = self.cancelling != Cancelling::Not;
                return self.end(if is_asked { Outcome::Cancelled } else { Outcome::Closed }, now_us);
            }
            Some(PaymentState::AwaitingPayer) | None => {}
        }
        match seen.task.state {
            TaskState::Cancelled => self.end(Outcome::Cancelled, now_us),
            TaskState::Queued | TaskState::Running | TaskState::Retrying => {
                if self.is_cancel_due(CancelAt::Unsettled) && self.early_polls_left == 0 {
                    return self.think_cancel();
                }
                self.poll(None, now_us)
            }
            TaskState::Failed => self.follow_failed(seen, now_us),
            TaskState::Succeeded => self.follow_succeeded(seen, now_us),
        }
    }

    fn follow_failed(&mut self, seen: &SeenReply, now_us: u64) -> Action {
        // Until the new round is shown, the old one's failure is no news.
        let is_old = self.left_round.is_some_and(|left| seen.task.round.is_some_and(|round| round <= left));
        if is_old {
            return self.poll(None, now_us);
        }
        // Whoever has paid does not ask for another chance to pay.
        let is_watching = self.cancelling == Cancelling::GoingOn || self.record.cashier_took_money();
        let has_retries = self.record.manual_retries < self.plan.manual_retries;
        // Lost retries may be sent again, but not for ever.
        if is_watching || !has_retries || self.retries_sent >= self.settings.max_tries {
            return self.end(Outcome::Failed, now_us);
        }
        self.think(Move::Retry)
    }

    fn follow_succeeded(&mut self, seen: &SeenReply, now_us: u64) -> Action {
        if self.cancelling == Cancelling::GoingOn {
            return self.poll(None, now_us);
        }
        if self.is_pay_done {
            return self.poll(None, now_us);
        }
        match self.find_cashier(seen) {
            Ok(Some(cashier)) => self.cashier = Some(cashier),
            Ok(None) => return self.end(Outcome::SettledOnly, now_us),
            Err(reason) => return self.end(Outcome::Error { reason }, now_us),
        }
        if self.is_cancel_due(CancelAt::Unsettled) || self.is_cancel_due(CancelAt::Succeeded) {
            return self.think_cancel();
        }
        if !self.plan.pays {
            return self.end(Outcome::Abandoned, now_us);
        }
        self.think(Move::Pay)
    }

    pub(super) fn is_cancel_due(&self, at: CancelAt) -> bool {
        self.cancelling == Cancelling::Not && self.plan.cancel == Some(at)
    }

    /// Asks for the cancellation, once: also when its reply is lost, it has been asked for.
    pub(super) fn think_cancel(&mut self) -> Action {
        self.cancelling = Cancelling::Asked;
        self.tries = 0;
        let wait_us = self.settings.early_poll_ms.draw_us(&mut self.dice);
        self.wait_us(wait_us, Move::Cancel)
    }

    /// Reads a successful reply about our task; anything else ends the journey.
    pub(super) fn read(&mut self, sent: Move, answer: &Answer<'_>) -> Result<SeenReply, Action> {
        let seen: SeenReply = match serde_json::from_slice(answer.body) {
            Ok(seen) => seen,
            Err(error) => return Err(self.unreadable(sent, answer, &error, "task")),
        };
        if let Some(ours) = self.record.task_id.as_deref().filter(|ours| *ours != seen.task.task_id) {
            let detail = format!("{} about {ours} was answered with {}", sent.step().name(), seen.task.task_id);
            self.record.violation(ViolationKind::OtherTask, answer.now_us, detail.clone());
            return Err(self.end(Outcome::Error { reason: detail }, answer.now_us));
        }
        self.tries = 0;
        Ok(seen)
    }

    pub(super) fn unreadable(
        &mut self,
        sent: Move,
        answer: &Answer<'_>,
        error: &serde_json::Error,
        what: &str,
    ) -> Action {
        self.note_answer(sent, answer, true);
        let step = sent.step().name();
        let reason = format!("{step} was answered {} without a readable {what}: {error}", answer.status);
        self.end(Outcome::Error { reason }, answer.now_us)
    }

    /// Writes down what a reply showed, and whether it takes back what was shown before.
    pub(super) fn note_shown(&mut self, seen: &SeenReply, now_us: u64) {
        let payment = seen.payment.as_ref();
        let view = Shown {
            first_us: now_us,
            last_us: now_us,
            state: seen.task.state,
            round: seen.task.round,
            attempt: seen.task.attempt,
            payment_no: payment.and_then(|payment| payment.payment_no.clone()),
            payment_state: payment.map(|payment| payment.state),
            transaction_id: payment.and_then(|payment| payment.transaction_id.clone()),
        };
        let rounds = (self.shown_round, self.round_of(&seen.task));
        if let Some(detail) = self.record.shown.last().and_then(|last| taken_back(last, &view, rounds)) {
            self.record.violation(ViolationKind::TakenBack, now_us, detail);
        }
        self.shown_round = rounds.1;
        self.note_round(&seen.task, rounds.1, now_us);
        self.note_payment(&view, payment.and_then(|payment| payment.paid_at), now_us);
        self.record.attempts = self.record.attempts.max(view.attempt.unwrap_or(0));
        match self.record.shown.last_mut() {
            Some(last) if is_same_view(last, &view) => last.last_us = now_us,
            _ => self.record.shown.push(view),
        }
    }

    /// The round that a task is shown in, counted by the client where the server does not say.
    fn round_of(&self, task: &SeenTask) -> u8 {
        let newest = self.record.rounds.last().map_or(1, |round| round.round);
        let was_failed = self.record.rounds.last().is_some_and(|round| round.state == Some(TaskState::Failed));
        // Something else after a failure: a retry whose reply was lost took effect after all.
        let is_next = was_failed && self.is_retry_open && task.state != TaskState::Failed;
        task.round.unwrap_or(if is_next { newest.saturating_add(1) } else { newest })
    }

    fn note_round(&mut self, task: &SeenTask, shown: u8, now_us: u64) {
        let newest = self.record.rounds.last().map_or(0, |round| round.round);
        if shown > newest {
            let asked_us = self.retry_sent_us.unwrap_or(self.sent_us);
            self.is_retry_open = false;
            self.record.manual_retries = self.record.manual_retries.max(shown.saturating_sub(1));
            self.open_round(shown, asked_us);
        }
        let (sent_us, state) = (self.sent_us, task.state);
        let Some(round) = self.record.rounds.last_mut().filter(|round| round.round <= shown) else { return };
        if !state.is_settled() {
            round.last_unsettled_us = round.last_unsettled_us.max(sent_us);
        } else if round.first_settled_us.is_none() {
            round.first_settled_us = Some(now_us);
            round.state = Some(state);
            round.stages = StagesSeen {
                accepted_at: task.accepted_at,
                settled_at: task.settled_at,
                queue_wait_us: task.queue_wait_us,
                channel_us: task.channel_us,
                retry_wait_us: task.retry_wait_us,
                own_us: task.own_us,
            };
        }
    }

    fn note_payment(&mut self, view: &Shown, paid_at: Option<u64>, now_us: u64) {
        match view.payment_state {
            Some(PaymentState::Paid) if self.record.first_paid_us.is_none() => {
                self.record.first_paid_us = Some(now_us);
                self.record.paid_at = paid_at;
                if self.record.pays.is_empty() {
                    let detail = "shown as paid before any paying".to_owned();
                    self.record.violation(ViolationKind::PaidWithoutPayer, now_us, detail);
                }
            }
            Some(PaymentState::AwaitingPayer) if !self.record.pays.is_empty() => {
                self.record.last_unpaid_us = Some(self.sent_us);
            }
            Some(PaymentState::Closed) if self.record.cashier_took_money() => {
                let detail = "the cashier took the money, then the payment was closed".to_owned();
                self.record.violation(ViolationKind::ClosedAfterPaying, now_us, detail);
            }
            _ => {}
        }
    }

    pub(super) fn open_round(&mut self, round: u8, asked_us: u64) {
        self.record.rounds.push(RoundSeen {
            round,
            asked_us,
            last_unsettled_us: asked_us,
            first_settled_us: None,
            state: None,
            stages: StagesSeen::default(),
        });
    }
}

fn is_same_view(last: &Shown, view: &Shown) -> bool {
    *last == Shown { first_us: last.first_us, last_us: last.last_us, ..view.clone() }
}

/// How the newer view takes back the older one, if it does.
fn taken_back(old: &Shown, new: &Shown, (old_round, new_round): (u8, u8)) -> Option<String> {
    if new_round < old_round {
        return Some(format!("round {old_round} was shown, then round {new_round}"));
    }
    if new_round > old_round {
        let is_open = old.state == TaskState::Failed || !old.state.is_settled();
        return (!is_open).then(|| format!("a {} task was shown in round {new_round}", old.state.name()));
    }
    if old.state.is_settled() && new.state != old.state {
        return Some(format!("round {old_round} was {}, then {}", old.state.name(), new.state.name()));
    }
    let is_ended = matches!(old.payment_state, Some(PaymentState::Paid | PaymentState::Closed));
    if is_ended && new.payment_state != old.payment_state {
        return Some(format!("the payment was {:?}, then {:?}", old.payment_state, new.payment_state));
    }
    let is_other = old.payment_no.is_some() && new.payment_no != old.payment_no;
    is_other.then(|| format!("the payment was {:?}, then {:?}", old.payment_no, new.payment_no))
}
