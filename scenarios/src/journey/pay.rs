//! The payer at the cashier: where it is, and what its replies mean.

use payrig_api::SeenReply;
use serde::Deserialize;

use super::{Answer, Journey, Move};
use crate::plan::CancelAt;
use crate::{Action, PaySeen, Target, ViolationKind};

/// Where and with what the payer pays.
#[derive(Clone, Debug)]
pub(super) struct Cashier {
    pub(super) target: Target,
    pub(super) body: Vec<u8>,
}

impl Journey {
    /// The cashier that a succeeded reply names; none where this server has none.
    pub(super) fn find_cashier(&self, seen: &SeenReply) -> Result<Option<Cashier>, String> {
        let Some(payment) = &seen.payment else { return Ok(None) };
        let (Some(url), Some(params)) = (payment.cashier_url(), &payment.pay_params) else { return Ok(None) };
        let target = if url.starts_with("http://") || url.starts_with("https://") {
            Target::Url(url)
        } else if url.starts_with('/') {
            Target::Path(url)
        } else {
            return Err(format!("cashier_url is neither an http URL nor a path: {url:?}"));
        };
        Ok(Some(Cashier { target, body: params.get().as_bytes().to_vec() }))
    }

    pub(super) fn note_paying(&mut self, now_us: u64) {
        self.record.pays.push(PaySeen { sent_us: now_us, answered_us: None, status: None, transaction_id: None });
    }

    pub(super) fn on_paid(&mut self, answer: Answer<'_>) -> Action {
        self.note_pay_answer(&answer);
        if answer.is_success() {
            self.is_pay_done = true;
            if self.plan.is_double {
                self.tries = 0;
                let wait_us = self.settings.double_click_ms.draw_us(&mut self.dice);
                return self.wait_us(wait_us, Move::PayTwin);
            }
            if self.is_cancel_due(CancelAt::Paid) {
                return self.think_cancel();
            }
            return self.poll(None, answer.now_us);
        }
        if answer.status == 409 {
            // Closed at the channel: the polls show the end.
            self.note_answer(Move::Pay, &answer, false);
            self.is_pay_done = true;
            return self.poll(None, answer.now_us);
        }
        if answer.is_passing() {
            self.note_answer(Move::Pay, &answer, true);
            return self.again(Move::Pay, answer.retry_after_s, answer.now_us);
        }
        self.unexpected(Move::Pay, &answer)
    }

    pub(super) fn on_paid_again(&mut self, answer: Answer<'_>) -> Action {
        self.note_pay_answer(&answer);
        if answer.is_passing() {
            self.note_answer(Move::PayTwin, &answer, true);
            return self.again(Move::PayTwin, answer.retry_after_s, answer.now_us);
        }
        if !answer.is_success() {
            self.note_answer(Move::PayTwin, &answer, true);
            let detail = format!("paying again was answered {}", answer.status);
            self.record.violation(ViolationKind::OtherTransaction, answer.now_us, detail);
            return self.poll(None, answer.now_us);
        }
        let mut transactions: Vec<&str> = self.record.pays.iter().filter_map(|p| p.transaction_id.as_deref()).collect();
        transactions.dedup();
        if transactions.len() > 1 {
            let detail = format!("paying twice gave the transactions {}", transactions.join(" and "));
            self.record.violation(ViolationKind::OtherTransaction, answer.now_us, detail);
            self.last_was_error = true;
        }
        self.poll(None, answer.now_us)
    }

    fn note_pay_answer(&mut self, answer: &Answer<'_>) {
        #[derive(Deserialize)]
        struct Transaction {
            transaction_id: Option<String>,
        }
        if let Some(pay) = self.record.pays.last_mut() {
            pay.answered_us = Some(answer.now_us);
            pay.status = Some(answer.status);
            let read = serde_json::from_slice::<Transaction>(answer.body).ok();
            pay.transaction_id =
                read.and_then(|transaction| transaction.transaction_id).filter(|_| answer.is_success());
        }
    }
}
