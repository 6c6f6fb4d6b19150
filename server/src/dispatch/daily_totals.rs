//! The second subscriber: what each merchant took a day, as one document a payment. A total is their sum, so that a repeat
//! adds nothing and a crash loses nothing.

use std::{sync::Arc, time::Duration};

use super::Subscriber;
use crate::{
    model::{Collection, DailyTotal, Document, Success},
    parts::micros,
};

/// Writes one document a payment.
pub(super) const SUBSCRIBER: Subscriber =
    Subscriber { name: "daily_totals", collection: Collection::DailyTotals, effect };

const DAY: Duration = Duration::from_hours(24);

fn effect(success: &Success, _at_us: u64) -> Document {
    Document::DailyTotal(DailyTotal {
        payment_no: success.payment_no,
        merchant: Arc::clone(&success.merchant),
        paid_day: success.paid_at_us / micros(DAY),
        amount_minor: success.amount_minor,
        currency: success.currency,
    })
}
