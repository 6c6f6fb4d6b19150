//! Which deliveries of a channel can be acknowledged together. Pure.

use std::collections::BTreeSet;

/// What is settled of a channel's deliveries. Tags count up from 1.
#[derive(Debug)]
pub(super) struct Settled {
    /// Everything below is settled.
    low: u64,
    /// Settled out of turn.
    above: BTreeSet<u64>,
}

/// One acknowledgement to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ack {
    /// The delivery, which is not settled yet.
    pub(super) tag: u64,
    /// Whether it stands for all deliveries before it too.
    pub(super) multiple: bool,
}

impl Default for Settled {
    fn default() -> Self {
        Self { low: 1, above: BTreeSet::new() }
    }
}

impl Settled {
    /// A delivery was settled by other means.
    pub(super) fn note(&mut self, tag: u64) {
        if tag >= self.low {
            self.above.insert(tag);
        }
        self.advance();
    }

    /// The acknowledgements that settle these: one for all that leave no gap, and one each for the rest. The one that
    /// stands for several names a delivery that is not settled yet, as RabbitMQ wants it.
    pub(super) fn ack(&mut self, tags: impl IntoIterator<Item = u64>) -> Vec<Ack> {
        let mut fresh: Vec<u64> = tags.into_iter().filter(|tag| *tag >= self.low && self.above.insert(*tag)).collect();
        fresh.sort_unstable();
        self.advance();
        let together = fresh.partition_point(|tag| *tag < self.low);
        let (first, rest) = fresh.split_at(together);
        let mut acks = Vec::with_capacity(rest.len() + 1);
        if let Some(last) = first.last() {
            acks.push(Ack { tag: *last, multiple: first.len() > 1 });
        }
        acks.extend(rest.iter().map(|tag| Ack { tag: *tag, multiple: false }));
        acks
    }

    fn advance(&mut self) {
        while self.above.first() == Some(&self.low) {
            self.above.pop_first();
            self.low += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_leaves_no_gap_goes_together() {
        let mut settled = Settled::default();
        assert_eq!(settled.ack([2]), [Ack { tag: 2, multiple: false }]);
        assert_eq!(settled.ack([1]), [Ack { tag: 1, multiple: false }]);
        let acks = settled.ack([5, 3, 8, 4]);
        assert_eq!(acks, [Ack { tag: 5, multiple: true }, Ack { tag: 8, multiple: false }]);
        settled.note(6);
        assert_eq!(settled.ack([7, 9]), [Ack { tag: 9, multiple: true }]);
        assert_eq!(settled.ack([9, 1]), [], "they are settled");
        assert!(settled.above.is_empty());
    }

    proptest! {
        /// As RabbitMQ takes them: every acknowledgement names an open delivery, and in the end just those are open that
        /// were never acknowledged.
        #[test]
        fn every_delivery_is_settled_once(order in Just((1_u64..=200).collect::<Vec<_>>()).prop_shuffle(),
                                          cuts in prop::collection::vec(1_usize..20, 1..60)) {
            let mut open: BTreeSet<u64> = (1..=200).collect();
            let mut told: BTreeSet<u64> = BTreeSet::new();
            let (mut settled, mut rest) = (Settled::default(), order.as_slice());
            for cut in cuts {
                let (batch, later) = rest.split_at(cut.min(rest.len()));
                rest = later;
                told.extend(batch);
                for ack in settled.ack(batch.iter().copied()) {
                    prop_assert!(open.contains(&ack.tag), "{:?}", ack);
                    if ack.multiple {
                        prop_assert!(open.range(..=ack.tag).all(|tag| told.contains(tag)), "{:?}", ack);
                        open.retain(|tag| *tag > ack.tag);
                    } else {
                        open.remove(&ack.tag);
                    }
                }
            }
            prop_assert!(open.iter().all(|tag| !told.contains(tag)));
            prop_assert_eq!(open.len() + told.len(), 200);
        }
    }
}
