//! Messages as bytes, and what their form is called. Nodes of two versions may work on one queue: a form that this version
//! does not know is left to the others, and a body that is not what it says is nobody's.

use std::sync::Arc;

use lapin::{BasicProperties, message::Delivery, types::ShortString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    model::{HistoryEntry, OpenTask, Stages, Success},
    queue::{Message, Progress},
};

/// AMQP's number for a message that survives a restart.
const PERSISTENT: u8 = 2;
/// The body is postcard's, which has no names in it: every change of a type is another form.
const CONTENT_TYPE: &str = "application/postcard";

/// A kind of message and the form that this version writes and reads.
pub(super) struct Form {
    kind: &'static str,
    version: u32,
}

/// An attempt to make.
const TASK: Form = Form { kind: "payrig.task", version: 1 };
/// A payment that was made.
const SUCCESS: Form = Form { kind: "payrig.success", version: 1 };

/// Why a message cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Unreadable {
    /// It is of a later version: another node may know it.
    Newer(String),
    /// Nobody can read it.
    Broken(String),
}

#[derive(Serialize)]
struct TaskOut<'a> {
    open: &'a OpenTask,
    attempt: u8,
    enqueued_at_us: u64,
    due_at_us: u64,
    started_at_us: Option<u64>,
    stages: Stages,
    history: &'a [HistoryEntry],
}

#[derive(Deserialize)]
struct TaskIn {
    open: OpenTask,
    attempt: u8,
    enqueued_at_us: u64,
    due_at_us: u64,
    started_at_us: Option<u64>,
    stages: Stages,
    history: Vec<HistoryEntry>,
}

/// The body and the properties of an attempt to make.
///
/// # Errors
/// Where a value has no binary form, which none of the model's has.
pub(super) fn task(message: &Message) -> Result<(Vec<u8>, BasicProperties), postcard::Error> {
    let Message { open, attempt, enqueued_at_us, due_at_us, progress } = message;
    let Progress { started_at_us, stages, history } = progress;
    let out = TaskOut {
        open,
        attempt: *attempt,
        enqueued_at_us: *enqueued_at_us,
        due_at_us: *due_at_us,
        started_at_us: *started_at_us,
        stages: *stages,
        history,
    };
    Ok((postcard::to_extend(&out, Vec::with_capacity(192))?, TASK.properties()))
}

/// The attempt to make.
pub(super) fn read_task(delivery: &Delivery) -> Result<Message, Unreadable> {
    let TaskIn { open, attempt, enqueued_at_us, due_at_us, started_at_us, stages, history } = TASK.read(delivery)?;
    let progress = Progress { started_at_us, stages, history };
    Ok(Message { open: Arc::new(open), attempt, enqueued_at_us, due_at_us, progress })
}

/// The body and the properties of a payment that was made.
///
/// # Errors
/// As [`task`].
pub(in crate::queue) fn success(success: &Success) -> Result<(Vec<u8>, BasicProperties), postcard::Error> {
    Ok((postcard::to_extend(success, Vec::with_capacity(128))?, SUCCESS.properties()))
}

/// The payment that was made.
pub(super) fn read_success(delivery: &Delivery) -> Result<Arc<Success>, Unreadable> {
    SUCCESS.read(delivery)
}

impl Form {
    fn properties(&self) -> BasicProperties {
        BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(CONTENT_TYPE.into())
            .with_type(format!("{}.{}", self.kind, self.version).into())
    }

    fn read<T: DeserializeOwned>(&self, delivery: &Delivery) -> Result<T, Unreadable> {
        self.check(delivery.properties.kind().as_ref())?;
        match postcard::take_from_bytes(&delivery.data) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(Unreadable::Broken(format!("{} bytes too many", rest.len()))),
            Err(error) => Err(Unreadable::Broken(error.to_string())),
        }
    }

    fn check(&self, kind: Option<&ShortString>) -> Result<(), Unreadable> {
        let kind = kind.map_or("", ShortString::as_str);
        let version = kind.strip_prefix(self.kind).and_then(|rest| rest.strip_prefix('.'));
        match version.and_then(|version| version.parse::<u32>().ok()) {
            Some(version) if version == self.version => Ok(()),
            Some(version) if version > self.version => Err(Unreadable::Newer(kind.to_owned())),
            _ => Err(Unreadable::Broken(format!("its type is {kind:?}, not {}.{}", self.kind, self.version))),
        }
    }
}

#[cfg(test)]
mod tests {
    use payrig_api::{ChannelStyle, Currency, Submission, TaskInfo, TaskState};

    use super::*;
    use crate::model::{PayTask, TaskId};

    fn message() -> Message {
        let submission = Submission {
            order_no: "o-1".to_owned(),
            amount_minor: 1_234,
            currency: Currency::CNY,
            channel: ChannelStyle::Wechat,
            items: None,
            task_info: TaskInfo::default(),
            simulate: None,
        };
        let task = PayTask::from_submission(TaskId::floor(1_800_000_000_000_000), "m".into(), submission);
        let open = OpenTask { task: Arc::new(task), round: 2, accepted_at_us: 5, attempts_before: 1, key: None };
        let history =
            vec![HistoryEntry { state: TaskState::Retrying, attempt: 2, at_us: 300, reason: Some("busy".to_owned()) }];
        let stages = Stages { queue_wait_us: 1, channel_us: 2, retry_wait_us: 3 };
        let progress = Progress { started_at_us: Some(4), stages, history };
        Message { open: Arc::new(open), attempt: 3, enqueued_at_us: 6, due_at_us: 7, progress }
    }

    fn delivery(data: Vec<u8>, properties: BasicProperties) -> Delivery {
        Delivery { properties, ..Delivery::mock(1, "".into(), "".into(), false, data) }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let (data, properties) = task(&message()).unwrap();
        assert_eq!(read_task(&delivery(data, properties)), Ok(message()));
    }

    /// Nodes of two versions work on one queue: where these bytes change, so must the form's version.
    #[test]
    fn the_first_form_stays_as_it_is() {
        let (data, properties) = task(&message()).unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&data), GOLDEN);
        assert_eq!(properties.kind().as_ref().map(ShortString::as_str), Some("payrig.task.1"));
        assert_eq!(properties.delivery_mode(), &Some(2));
    }

    const GOLDEN: &str = "01a3185c500000000000000000000000016d036f2d31d20903434e59010103000002050100030607010401020301020\
        2ac02010462757379";

    #[test]
    fn what_cannot_be_read_is_left_to_others_or_to_nobody() {
        let (data, properties) = task(&message()).unwrap();
        let of_type = |kind: &str| read_task(&delivery(data.clone(), properties.clone().with_type(kind.into())));
        assert_eq!(of_type("payrig.task.2"), Err(Unreadable::Newer("payrig.task.2".to_owned())));
        for kind in ["", "payrig.task.0", "payrig.task.", "payrig.task.x", "payrig.success.1", "other"] {
            assert!(matches!(of_type(kind), Err(Unreadable::Broken(_))), "{kind}");
        }
        for length in 0..data.len() {
            let short = read_task(&delivery(data[..length].to_vec(), properties.clone()));
            assert!(matches!(short, Err(Unreadable::Broken(_))), "{length} bytes: {short:?}");
        }
        let long = read_task(&delivery([data.as_slice(), &[0]].concat(), properties.clone()));
        assert!(matches!(long, Err(Unreadable::Broken(_))), "{long:?}");
        let plain = read_task(&delivery(data, BasicProperties::default()));
        assert!(matches!(plain, Err(Unreadable::Broken(_))), "{plain:?}");
    }
}
