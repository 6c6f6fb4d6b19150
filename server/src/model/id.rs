//! Ids: time-ordered with 80 random bits, compact in binary documents and text everywhere else.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

/// A pay task's id: a ULID (48 bits of milliseconds, 80 random bits), 26 characters in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId(Ulid);

/// Text that is no id of this kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an id")]
pub struct NotAnId;

impl TaskId {
    /// Characters of its text.
    pub const TEXT_LEN: usize = ulid::ULID_LEN;
    /// Bytes of its binary form.
    pub const BYTES: usize = 16;

    /// Its binary form, in the same order as its text.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.to_bytes()
    }

    /// Its last byte, which is random.
    #[must_use]
    pub const fn last_byte(self) -> u8 {
        self.to_bytes()[Self::BYTES - 1]
    }

    /// A fresh id at this instant (microseconds since the epoch).
    #[must_use]
    pub fn fresh(now_us: u64) -> Self {
        Self(Ulid::from_parts(now_us / 1_000, rand::random::<u128>()))
    }

    /// The smallest id of this instant: a bound for ranges by time.
    #[must_use]
    pub const fn floor(at_us: u64) -> Self {
        Self(Ulid::from_parts(at_us / 1_000, 0))
    }

    /// The id that follows: a bound for ranges that end with this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(Ulid(self.0.0.saturating_add(1)))
    }

    /// When it was made, in microseconds since the epoch (to the millisecond).
    #[must_use]
    pub const fn made_at_us(self) -> u64 {
        self.0.timestamp_ms() * 1_000
    }

    /// The round of this task with this number.
    #[must_use]
    pub const fn round(self, round: u8) -> RoundId {
        RoundId { task: self, round }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.array_to_str(&mut [0; ulid::ULID_LEN]))
    }
}

impl FromStr for TaskId {
    type Err = NotAnId;

    /// Only the canonical form: one id, one text.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let id = Ulid::from_string(text).map_err(|_| NotAnId)?;
        if id.array_to_str(&mut [0; ulid::ULID_LEN]) == text { Ok(Self(id)) } else { Err(NotAnId) }
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.0.array_to_str(&mut [0; ulid::ULID_LEN]))
        } else {
            self.0.to_bytes().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            Ok(Self(Ulid::from_bytes(<[u8; 16]>::deserialize(deserializer)?)))
        }
    }
}

/// One round of one task. Its payment has the number `{task_id}-{round}`, which is also the `out_trade_no` towards the
/// channel; its documents have the id `{task_id}:{round}`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RoundId {
    /// The task.
    pub task: TaskId,
    /// The round, from 1.
    pub round: u8,
}

impl RoundId {
    /// The payment's number, `{task_id}-{round}`.
    #[must_use]
    pub fn payment_no(self) -> String {
        self.joined('-')
    }

    /// The documents' id, `{task_id}:{round}`.
    #[must_use]
    pub fn document_id(self) -> String {
        self.joined(':')
    }

    fn joined(self, by: char) -> String {
        let mut text = String::with_capacity(ulid::ULID_LEN + 3);
        text.push_str(self.task.0.array_to_str(&mut [0; ulid::ULID_LEN]));
        text.push(by);
        if self.round >= 10 {
            text.push_str(&self.round.to_string());
        } else {
            text.push(char::from(b'0' + self.round));
        }
        text
    }

    /// Reads a payment's number.
    ///
    /// # Errors
    /// [`NotAnId`] for anything else.
    pub fn from_payment_no(text: &str) -> Result<Self, NotAnId> {
        let (task, round) = text.split_once('-').ok_or(NotAnId)?;
        let found = Self { task: task.parse()?, round: round.parse().map_err(|_| NotAnId)? };
        if found.round > 0 && found.payment_no() == text { Ok(found) } else { Err(NotAnId) }
    }
}

/// The payment's number in text, 17 bytes in binary.
impl Serialize for RoundId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.payment_no())
        } else {
            (self.task, self.round).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for RoundId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            Self::from_payment_no(&text).map_err(de::Error::custom)
        } else {
            let (task, round) = Deserialize::deserialize(deserializer)?;
            Ok(Self { task, round })
        }
    }
}

/// An order of a merchant.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OrderKey {
    /// Whose order.
    pub merchant: Arc<str>,
    /// The merchant's number for it; without ':' (checked where it enters).
    pub order_no: Arc<str>,
}

impl OrderKey {
    /// The documents' id, `{merchant}:{order_no}`.
    #[must_use]
    pub fn document_id(&self) -> String {
        Self::id(&self.merchant, &self.order_no)
    }

    /// The id of the documents of a merchant's order of this number.
    #[must_use]
    pub fn id(merchant: &str, order_no: &str) -> String {
        format!("{merchant}:{order_no}")
    }

    /// The id of the slot of generation n; padded for every generation there can be, so that text order is generation order.
    #[must_use]
    pub fn slot_id(&self, generation: u32) -> String {
        let mut text = String::with_capacity(self.merchant.len() + self.order_no.len() + 12);
        text.push_str(&self.merchant);
        text.push(':');
        text.push_str(&self.order_no);
        text.push(':');
        // Written digit by digit: the formatting machinery costs more than the rest of an acceptance's ids.
        let digits = [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
        text.extend(digits.map(|unit| char::from_digit((generation / unit) % 10, 10).unwrap_or('0')));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_only_in_their_canonical_form() {
        let id = TaskId::fresh(1_700_000_000_123_456);
        assert_eq!(id.made_at_us(), 1_700_000_000_123_000);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_lowercase().parse::<TaskId>(), Err(NotAnId));
        let round = id.round(3);
        assert_eq!(RoundId::from_payment_no(&round.payment_no()), Ok(round));
        assert_eq!(RoundId::from_payment_no(&format!("{id}-03")), Err(NotAnId));
        assert_eq!(RoundId::from_payment_no(&format!("{id}-0")), Err(NotAnId));
        assert_eq!(id.round(12).document_id(), format!("{id}:12"));
    }

    #[test]
    fn ids_follow_time() {
        assert!(TaskId::fresh(1_000_000) < TaskId::fresh(2_000_000));
        assert!(TaskId::floor(1_000_000) <= TaskId::fresh(1_000_000));
    }

    #[test]
    fn slot_ids_are_padded_so_that_text_order_is_generation_order() {
        let order = OrderKey { merchant: "default".into(), order_no: "A-1".into() };
        assert_eq!(order.slot_id(0), "default:A-1:0000000000");
        assert_eq!(order.slot_id(120_034), "default:A-1:0000120034");
        assert!(order.slot_id(9) < order.slot_id(10));
        assert!(order.slot_id(999_999) < order.slot_id(1_000_000));
        assert_eq!(order.slot_id(u32::MAX), "default:A-1:4294967295");
    }
}
