//! The pay task as it was accepted: what never changes in its life.

use std::sync::Arc;

use payrig_api::{ChannelStyle, Currency, Item, Simulate, Submission, TaskInfo};
use serde::{Deserialize, Serialize};

use super::id::{OrderKey, TaskId};

/// Whose task it is.
pub type MerchantId = Arc<str>;

/// One request to pay, as it was accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PayTask {
    /// Its id.
    pub task_id: TaskId,
    /// Whose it is.
    pub merchant: MerchantId,
    /// The order that it pays.
    pub order_no: Arc<str>,
    /// In minor units.
    pub amount_minor: u64,
    /// ISO 4217.
    pub currency: Currency,
    /// Which channel style pays.
    pub channel: ChannelStyle,
    /// Retry settings.
    pub task_info: TaskInfo,
    /// What is bought.
    #[serde(with = "as_json")]
    pub items: Option<Vec<Item>>,
    /// What the simulated channel shall do.
    #[serde(with = "as_json")]
    pub simulate: Option<Simulate>,
}

impl PayTask {
    /// The task that a checked submission asks for.
    #[must_use]
    pub fn from_submission(task_id: TaskId, merchant: MerchantId, submission: Submission) -> Self {
        Self {
            task_id,
            merchant,
            order_no: submission.order_no.into(),
            amount_minor: submission.amount_minor,
            currency: submission.currency,
            channel: submission.channel,
            task_info: submission.task_info,
            items: submission.items,
            simulate: submission.simulate,
        }
    }

    /// The order that it pays.
    #[must_use]
    pub fn order(&self) -> OrderKey {
        OrderKey { merchant: Arc::clone(&self.merchant), order_no: Arc::clone(&self.order_no) }
    }
}

/// Members that leave fields out in JSON would break a binary format that has no field names, so there they are kept as
/// JSON text. They are rare.
pub(super) mod as_json {
    use serde::{
        Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _, ser::Error as _,
    };

    pub(in crate::model) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return value.serialize(serializer);
        }
        let text = value.as_ref().map(serde_json::to_string).transpose().map_err(S::Error::custom)?;
        text.serialize(serializer)
    }

    pub(in crate::model) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        if deserializer.is_human_readable() {
            return Option::<T>::deserialize(deserializer);
        }
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(D::Error::custom)
    }
}
