//! Entries as bytes: a header that every version of the program reads alike, and a body in a numbered format.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | the body's format |
//! | 1..4 | the view's version: round, attempt, rank, compared in this order |
//! | 4 | flags: 1 = final |
//! | 5..13 | when the fact was true, microseconds since the epoch, big-endian |
//! | 13.. | the view: postcard, in format 1 |
//!
//! The header is a promise to all later versions: the scripts compare it without knowing the body, so of two programs
//! side by side neither replaces the other's newer entry. A body of another format reads as a miss. Whoever changes what
//! a version means takes another key prefix instead.

use std::sync::Arc;

use crate::{
    cache::{CacheError, Entry},
    model::{TaskId, TaskView},
};

/// The format of the bodies that this program writes and reads.
const FORMAT: u8 = 1;
const FINAL: u8 = 1;
pub(super) const HEADER: usize = 13;
/// A usual view, so that its bytes are allocated once.
const USUAL: usize = 1_024;

/// The bytes of an entry.
///
/// # Errors
/// Where a view has no binary form, which none has.
pub(super) fn encode(entry: &Entry) -> Result<Vec<u8>, CacheError> {
    let view = entry.view.as_ref();
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.push(FORMAT);
    bytes.extend(view.version().to_bytes());
    bytes.push(if view.is_final() { FINAL } else { 0 });
    bytes.extend(entry.fact_at_us.to_be_bytes());
    postcard::to_extend(view, bytes).map_err(|error| CacheError(format!("a view cannot be written: {error}")))
}

/// The entry of these bytes; nothing for what this program cannot read, or what is another task's.
pub(super) fn decode(task: TaskId, bytes: &[u8]) -> Option<Entry> {
    let (header, body) = bytes.split_first_chunk::<HEADER>()?;
    if header[0] != FORMAT {
        return None;
    }
    let view: TaskView = postcard::from_bytes(body).ok()?;
    let fact_at_us = u64::from_be_bytes(*header.last_chunk()?);
    let is_whole = view.task.task_id == task && header[1..4] == view.version().to_bytes();
    is_whole.then(|| Entry { view: Arc::new(view), fact_at_us })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use payrig_api::{ChannelStyle, Currency, TaskInfo, TaskState};

    use super::{Entry, HEADER, decode, encode};
    use crate::model::{End, OpenTask, Outcome, OutcomeState, PayTask, Payment, PaymentEnd, Stages, TaskId, TaskView};

    fn open() -> OpenTask {
        let task_id: TaskId = "01J00000000000000000000001".parse().expect("an id");
        let task = PayTask {
            task_id,
            merchant: "m".into(),
            order_no: "o".into(),
            amount_minor: 1_999,
            currency: Currency::CNY,
            channel: ChannelStyle::Alipay,
            task_info: TaskInfo::default(),
            items: None,
            simulate: None,
        };
        OpenTask { task: Arc::new(task), round: 1, accepted_at_us: 5, attempts_before: 0, key: None }
    }

    fn paid() -> TaskView {
        let OpenTask { task, round, .. } = open();
        let payment_no = task.task_id.round(round);
        let outcome = Outcome {
            task: Arc::clone(&task),
            round,
            state: OutcomeState::Succeeded,
            attempt: 2,
            reason: None,
            accepted_at_us: 5,
            started_at_us: Some(6),
            settled_at_us: 9,
            stages: Stages { queue_wait_us: 1, channel_us: 2, retry_wait_us: 3 },
            history: Vec::new(),
        };
        let payment = Payment {
            payment_no,
            merchant: "m".into(),
            order_no: "o".into(),
            amount_minor: 1_999,
            currency: Currency::CNY,
            channel: ChannelStyle::Alipay,
            pay_params: "{\"a\":1}".into(),
            created_at_us: 8,
        };
        let end = End::Paid { transaction_id: "t".into(), paid_at_us: 10, amount_minor: 1_999 };
        TaskView::settled(&outcome, Some(&payment), Some(&PaymentEnd { payment_no, end, at_us: 11 })).expect("a task")
    }

    fn there_and_back(view: &TaskView) {
        let entry = Entry { view: Arc::new(view.clone()), fact_at_us: 1_800_000_000_123_456 };
        let bytes = encode(&entry).expect("bytes");
        let back = decode(view.task.task_id, &bytes).expect("an entry");
        assert_eq!(back.fact_at_us, entry.fact_at_us);
        assert_eq!(back.view.body(), entry.view.body());
        assert_eq!(back.view.version(), view.version());
        assert_eq!(bytes[4] == 1, view.is_final());
        assert_eq!(format!("{:?}", back.view.task), format!("{:?}", view.task));
    }

    #[test]
    fn entries_come_back_as_they_were() {
        let open = open();
        there_and_back(&TaskView::queued(&open));
        there_and_back(&TaskView::working(&open, TaskState::Retrying, 3, 7, Some("busy".into())));
        there_and_back(&paid());
    }

    /// These bytes are in the caches of running programs: where this fails, the format needs another number.
    #[test]
    fn format_1_stays_as_it_is() {
        let entry = Entry { view: Arc::new(paid()), fact_at_us: 258 };
        let bytes = encode(&entry).expect("bytes");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    const GOLDEN: &str = "0101ff0401000000000000010201900000000000000000000000000001016d016fcf0f03434e5900010300000103020005\
        0106010901020301019000000000000000000000000000010101077b2261223a317d010a010174";

    #[test]
    fn what_cannot_be_read_is_a_miss() {
        let view = paid();
        let task = view.task.task_id;
        let whole = encode(&Entry { view: Arc::new(view), fact_at_us: 1 }).expect("bytes");
        for length in [0, 1, HEADER - 1, HEADER, whole.len() - 1] {
            assert!(decode(task, &whole[..length]).is_none(), "{length} bytes");
        }
        let mut other_format = whole.clone();
        other_format[0] = 2;
        assert!(decode(task, &other_format).is_none());
        let mut other_version = whole.clone();
        other_version[2] = 1;
        assert!(decode(task, &other_version).is_none());
        let other_task: TaskId = "01J00000000000000000000002".parse().expect("an id");
        assert!(decode(other_task, &whole).is_none());
    }
}
