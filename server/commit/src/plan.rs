//! Decides what of a batch goes in, given what the database holds: the insert-once rule, without I/O of its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use fjall::Slice;

use crate::{Entry, Space};

/// The changes one commit makes, each key at most once, in the order in which the keys were first touched.
#[derive(Default)]
pub(crate) struct Plan {
    changes: Vec<Change>,
    by_key: HashMap<(Space, Slice), usize, foldhash::fast::RandomState>,
}

/// A key that the batch touches.
struct Change {
    space: Space,
    key: Slice,
    /// Is it in the database, before this commit?
    stored: bool,
    /// What the batch leaves there.
    value: Option<Slice>,
}

/// What is to be written for one key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Insert(Space, Slice, Slice),
    Delete(Space, Slice),
}

// === impl Plan ===

impl Plan {
    /// Takes up a group in order up to the first entry whose key exists; returns how many entries went in.
    /// `stored` tells whether the database holds a key.
    pub(crate) fn insert<E>(
        &mut self,
        group: Vec<Entry>,
        stored: &mut impl FnMut(Space, &[u8]) -> Result<bool, E>,
    ) -> Result<usize, E> {
        let mut taken = 0;
        for Entry { space, key, value } in group {
            match self.by_key.entry((space, Slice::from(key))) {
                Slot::Occupied(slot) => {
                    let change = &mut self.changes[*slot.get()];
                    if change.value.is_some() {
                        break;
                    }
                    change.value = Some(Slice::from(value));
                }
                Slot::Vacant(slot) => {
                    let key = slot.key().1.clone();
                    if stored(space, &key)? {
                        break;
                    }
                    slot.insert(self.changes.len());
                    self.changes.push(Change { space, key, stored: false, value: Some(Slice::from(value)) });
                }
            }
            taken += 1;
        }
        Ok(taken)
    }

    /// Takes a key out; returns whether it was there.
    pub(crate) fn delete<E>(
        &mut self,
        space: Space,
        key: Vec<u8>,
        stored: &mut impl FnMut(Space, &[u8]) -> Result<bool, E>,
    ) -> Result<bool, E> {
        match self.by_key.entry((space, Slice::from(key))) {
            Slot::Occupied(slot) => Ok(self.changes[*slot.get()].value.take().is_some()),
            Slot::Vacant(slot) => {
                let key = slot.key().1.clone();
                if !stored(space, &key)? {
                    return Ok(false);
                }
                slot.insert(self.changes.len());
                self.changes.push(Change { space, key, stored: true, value: None });
                Ok(true)
            }
        }
    }

    /// Hands out what is to be written and forgets it. A key that came and went within the batch needs no write.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Write> {
        self.by_key.clear();
        self.changes.drain(..).filter_map(|change| match change.value {
            Some(value) => Some(Write::Insert(change.space, change.key, value)),
            None if change.stored => Some(Write::Delete(change.space, change.key)),
            None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

    #[derive(Clone, Debug)]
    enum Request {
        Insert(Vec<Vec<Entry>>),
        Delete(Vec<(Space, Vec<u8>)>),
    }

    fn key() -> impl Strategy<Value = (Space, Vec<u8>)> {
        (0..2u8, 0..6u8).prop_map(|(space, key)| (Space(space), vec![b'k', key]))
    }

    fn entry() -> impl Strategy<Value = Entry> {
        (key(), any::<u8>()).prop_map(|((space, key), value)| Entry { space, key, value: vec![value] })
    }

    fn request() -> impl Strategy<Value = Request> {
        prop_oneof![vec(vec(entry(), 0..4), 1..4).prop_map(Request::Insert), vec(key(), 1..4).prop_map(Request::Delete),]
    }

    /// The rule, said as plainly as possible.
    fn model_insert(model: &mut Model, group: &[Entry]) -> usize {
        for (taken, entry) in group.iter().enumerate() {
            let key = (entry.space.0, entry.key.clone());
            if model.contains_key(&key) {
                return taken;
            }
            model.insert(key, entry.value.clone());
        }
        group.len()
    }

    proptest! {
        #[test]
        fn a_plan_decides_as_the_model_does(batches in vec(vec(request(), 1..5), 1..6)) {
            let (mut model, mut database, mut plan) = (Model::new(), Model::new(), Plan::default());
            for batch in batches {
                let mut stored = |space: Space, key: &[u8]| {
                    Ok::<_, Infallible>(database.contains_key(&(space.0, key.to_vec())))
                };
                for request in batch {
                    match request {
                        Request::Insert(groups) => for group in groups {
                            let expected = model_insert(&mut model, &group);
                            prop_assert_eq!(plan.insert(group, &mut stored), Ok(expected));
                        },
                        Request::Delete(keys) => for (space, key) in keys {
                            let expected = model.remove(&(space.0, key.clone())).is_some();
                            prop_assert_eq!(plan.delete(space, key, &mut stored), Ok(expected));
                        },
                    }
                }
                for write in plan.drain() {
                    match write {
                        Write::Insert(space, key, value) => {
                            database.insert((space.0, key.to_vec()), value.to_vec());
                        }
                        Write::Delete(space, key) => {
                            prop_assert!(database.remove(&(space.0, key.to_vec())).is_some(), "a needless delete");
                        }
                    }
                }
                prop_assert_eq!(&database, &model);
            }
        }
    }

    #[test]
    fn what_came_and_went_within_a_batch_is_not_written() {
        let mut plan = Plan::default();
        let mut stored = |_: Space, _: &[u8]| Ok::<_, Infallible>(false);
        let entry = Entry { space: Space(0), key: b"a".to_vec(), value: b"1".to_vec() };
        assert_eq!(plan.insert(vec![entry], &mut stored), Ok(1));
        assert_eq!(plan.delete(Space(0), b"a".to_vec(), &mut stored), Ok(true));
        assert_eq!(plan.delete(Space(0), b"a".to_vec(), &mut stored), Ok(false));
        assert_eq!(plan.drain().count(), 0);
    }
}
