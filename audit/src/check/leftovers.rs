//! What is left over: after quiescing nothing waits but payments for their payers.

use super::{Index, Moment};
use crate::{books::OutcomeState, finding::Finding};

pub(super) fn check(index: &Index<'_>, moment: Moment, findings: &mut Vec<Finding>) {
    open_tasks(index, moment, findings);
    forgotten(index, findings);
    if moment == Moment::AtRest {
        unfinished(index, findings);
        if !index.books.counts.is_zero() {
            findings.push(Finding::UnderWay(index.books.counts));
        }
    }
}

/// Notices, refunds and closings that have not come to their end.
fn unfinished(index: &Index<'_>, findings: &mut Vec<Finding>) {
    for notice in &index.books.notices {
        let (payment_no, amount_minor) = (notice.payment_no.clone(), notice.amount_minor);
        findings.push(Finding::NoticeLeft { payment_no, amount_minor });
    }
    for refund in &index.books.refunds {
        if !index.refunded.contains_key(&refund.payment_no) {
            let (payment_no, amount_minor) = (refund.payment_no.clone(), refund.amount_minor);
            findings.push(Finding::RefundLeft { payment_no, amount_minor });
        }
    }
    for closing in index.books.closings.iter().filter(|closing| !index.ends.contains_key(&closing.payment_no)) {
        findings.push(Finding::ClosingLeft { payment_no: closing.payment_no.clone() });
    }
}

/// Why an open round with this outcome is still open for nothing: nothing if it waits for its payer.
pub(crate) const fn waits_for_nothing(state: OutcomeState, payment_has_ended: bool) -> Option<&'static str> {
    match state {
        OutcomeState::Refused => Some("it was refused"),
        OutcomeState::Failed => Some("it failed"),
        OutcomeState::Cancelled => Some("it was cancelled"),
        OutcomeState::Succeeded if payment_has_ended => Some("its payment has ended"),
        OutcomeState::Succeeded => None,
    }
}

/// Open rounds with an outcome wait for their payer, or for nothing.
fn open_tasks(index: &Index<'_>, moment: Moment, findings: &mut Vec<Finding>) {
    for round in index.open.keys() {
        let Some(outcome) = index.outcomes.get(round) else { continue };
        // A drained server may leave the tidying of what is final to the next start.
        if moment == Moment::Drained && outcome.state != OutcomeState::Refused {
            continue;
        }
        let Some(why) = waits_for_nothing(outcome.state, index.ends.contains_key(round)) else { continue };
        findings.push(Finding::OpenTaskLeft { round: round.clone(), why });
    }
}

/// Pending work stands in `open_tasks`, or no sweeper will ever see it.
fn forgotten(index: &Index<'_>, findings: &mut Vec<Finding>) {
    let succeeded = index.books.pay_tasks.iter().filter(|outcome| outcome.state == OutcomeState::Succeeded);
    let awaiting = succeeded.map(|outcome| (outcome.round_id(), "waits for its payer"));
    let closing = index.closings.iter().map(|round| ((*round).clone(), "is to be closed"));
    // Both may hold of one payment; it is told once.
    let mut pending: Vec<_> = closing.chain(awaiting).collect();
    pending.sort();
    pending.dedup_by(|later, first| later.0 == first.0);
    for (payment_no, what) in pending {
        let is_seen = index.open.contains_key(&payment_no) || index.notices.contains(&payment_no);
        if !index.ends.contains_key(&payment_no) && !is_seen {
            findings.push(Finding::Forgotten { payment_no, what });
        }
    }
}
