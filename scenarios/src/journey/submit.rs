//! What replies to a submission, to its repeat, to a manual retry and to a cancellation mean.

use payrig_api::SeenReply;

use super::{Answer, Cancelling, Journey, Move};
use crate::{Action, Outcome, ViolationKind};

/// The problem type that ends all retrying.
const RETRIES_USED_UP: &str = "urn:payrig:problem:retries-used-up";

impl Journey {
    pub(super) fn on_submitted(&mut self, answer: Answer<'_>) -> Action {
        if answer.is_passing() {
            self.note_answer(Move::Submit, &answer, true);
            if self.tries + 1 >= self.settings.max_tries && answer.status != 500 {
                return self.refused(&answer);
            }
            return self.again(Move::Submit, answer.retry_after_s, answer.now_us);
        }
        if (400..500).contains(&answer.status) {
            self.note_answer(Move::Submit, &answer, true);
            return self.refused(&answer);
        }
        if !answer.is_success() {
            return self.unexpected(Move::Submit, &answer);
        }
        let seen = match self.read(Move::Submit, &answer) {
            Ok(seen) => seen,
            Err(done) => return done,
        };
        if !is_plain_id(&seen.task.task_id) {
            let reason = format!("submit gave a task_id that fits no path: {:?}", seen.task.task_id);
            return self.end(Outcome::Error { reason }, answer.now_us);
        }
        self.record.task_id = Some(seen.task.task_id.clone());
        self.record.accepted_us = Some(answer.now_us);
        let asked_us = self.submit_asked_us.or(self.record.started_us).unwrap_or(self.sent_us);
        self.open_round(1, asked_us);
        self.note_shown(&seen, answer.now_us);
        if self.plan.is_double {
            self.tries = 0;
            let wait_us = self.settings.double_click_ms.draw_us(&mut self.dice);
            return self.wait_us(wait_us, Move::SubmitTwin);
        }
        // A first answer that is settled already (a fast or synchronous server, a repeat) needs no poll.
        if seen.task.state.is_settled() { self.follow(&seen, answer.now_us) } else { self.poll(None, answer.now_us) }
    }

    pub(super) fn on_submitted_again(&mut self, answer: Answer<'_>) -> Action {
        if answer.is_passing() {
            self.note_answer(Move::SubmitTwin, &answer, true);
            return self.again(Move::SubmitTwin, answer.retry_after_s, answer.now_us);
        }
        if !answer.is_success() {
            self.note_answer(Move::SubmitTwin, &answer, true);
            let detail = format!("the repeat of an accepted submission was answered {}", answer.status);
            self.record.violation(ViolationKind::KeyNotHonoured, answer.now_us, detail);
            return self.poll(None, answer.now_us);
        }
        // Another task is told apart here already, so that it counts as what it is.
        let seen = match serde_json::from_slice::<SeenReply>(answer.body) {
            Ok(seen) => seen,
            Err(error) => return self.unreadable(Move::SubmitTwin, &answer, &error, "task"),
        };
        let first = self.record.task_id.as_deref().unwrap_or_default();
        if seen.task.task_id != first {
            let detail = format!("the same key gave {first}, then {}", seen.task.task_id);
            self.record.violation(ViolationKind::KeyNotHonoured, answer.now_us, detail);
            self.last_was_error = true;
            return self.poll(None, answer.now_us);
        }
        self.note_shown(&seen, answer.now_us);
        if seen.task.state.is_settled() { self.follow(&seen, answer.now_us) } else { self.poll(None, answer.now_us) }
    }

    pub(super) fn on_retried(&mut self, answer: Answer<'_>) -> Action {
        if answer.is_success() {
            let left_round = self.record.rounds.last().map_or(1, |round| round.round);
            self.left_round = Some(left_round);
            self.is_retry_open = false;
            self.record.manual_retries += 1;
            return match self.read(Move::Retry, &answer) {
                Ok(seen) => {
                    self.open_round(left_round.saturating_add(1), self.sent_us);
                    self.note_shown(&seen, answer.now_us);
                    self.poll(None, answer.now_us)
                }
                Err(done) => done,
            };
        }
        if answer.status == 409 {
            self.is_retry_open = false;
            self.note_answer(Move::Retry, &answer, false);
            if answer.problem().as_deref() == Some(RETRIES_USED_UP) {
                return self.end(Outcome::Failed, answer.now_us);
            }
            return self.poll(None, answer.now_us);
        }
        if answer.is_passing() {
            self.note_answer(Move::Retry, &answer, true);
            return self.again(Move::Retry, answer.retry_after_s, answer.now_us);
        }
        self.unknown_if_404(&answer);
        self.unexpected(Move::Retry, &answer)
    }

    pub(super) fn on_cancelled(&mut self, answer: Answer<'_>) -> Action {
        self.cancelling = Cancelling::Asked;
        if answer.is_success() {
            let seen = match self.read(Move::Cancel, &answer) {
                Ok(seen) => seen,
                Err(done) => return done,
            };
            self.cancelling = Cancelling::GoingOn;
            self.note_shown(&seen, answer.now_us);
            return self.follow(&seen, answer.now_us);
        }
        if answer.status == 409 {
            // Too late: it is paid, or has failed; a poll shows which.
            self.note_answer(Move::Cancel, &answer, false);
            return self.poll(None, answer.now_us);
        }
        if answer.is_passing() {
            self.note_answer(Move::Cancel, &answer, true);
            return self.again(Move::Cancel, answer.retry_after_s, answer.now_us);
        }
        self.unknown_if_404(&answer);
        self.unexpected(Move::Cancel, &answer)
    }

    pub(super) fn refused(&mut self, answer: &Answer<'_>) -> Action {
        let outcome = Outcome::Refused { status: answer.status, problem: answer.problem() };
        self.end(outcome, answer.now_us)
    }

    pub(super) fn unknown_if_404(&mut self, answer: &Answer<'_>) {
        if answer.status == 404 {
            let detail = "an accepted task was answered 404".to_owned();
            self.record.violation(ViolationKind::AcceptedUnknown, answer.now_us, detail);
        }
    }
}

/// Whether an id can stand in a path as it is: foreign servers may have ids of any shape.
fn is_plain_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':');
    !id.is_empty() && id.len() <= 256 && id.bytes().all(is_plain)
}
