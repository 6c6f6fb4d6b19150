//! Names of rounds and orders, as they stand in every book.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One round of one task; its payment has the number `{task_id}-{round}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Round {
    /// The task.
    pub task_id: String,
    /// From 1.
    pub round: u8,
}

/// Text that names no round.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` names no round: expected TASK-ROUND")]
pub struct NoRound(String);

impl Round {
    /// The round of this task with this number.
    #[must_use]
    pub fn new(task_id: impl Into<String>, round: u8) -> Self {
        Self { task_id: task_id.into(), round }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.task_id, self.round)
    }
}

impl FromStr for Round {
    type Err = NoRound;

    fn from_str(text: &str) -> Result<Self, NoRound> {
        let no_round = || NoRound(text.to_owned());
        let (task_id, round) = text.rsplit_once('-').ok_or_else(no_round)?;
        Ok(Self { task_id: task_id.to_owned(), round: round.parse().map_err(|_| no_round())? })
    }
}

impl Serialize for Round {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Round {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// An order of a merchant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OrderId {
    /// Whose order.
    pub merchant: String,
    /// The merchant's number for it.
    pub order_no: String,
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.merchant, self.order_no)
    }
}
