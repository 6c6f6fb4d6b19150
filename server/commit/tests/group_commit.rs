//! What the crate promises to its callers, through its public API.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use payrig_commit::{BadEntry, CommitError, Entry, GroupCommit, Options, Space};
use proptest::prelude::*;

const SPACES: [&str; 2] = ["tasks", "slots"];

fn open(dir: &Path) -> GroupCommit {
    GroupCommit::open(dir, &SPACES, Options::default()).expect("opens")
}

fn entry(space: u8, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Entry {
    Entry { space: Space(space), key: key.as_ref().to_vec(), value: value.as_ref().to_vec() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[tokio::test]
async fn a_group_goes_in_up_to_the_first_that_exists() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let groups = vec![
        vec![entry(0, "a", "1"), entry(1, "a", "2")],
        vec![entry(0, "b", "3"), entry(1, "a", "4"), entry(0, "c", "5")],
        vec![],
        vec![entry(0, "c", "6")],
    ];
    assert_eq!(store.insert(groups).await.expect("inserts"), [2, 1, 0, 1]);
    assert_eq!(store.insert(vec![vec![entry(0, "c", "7"), entry(0, "d", "8")]]).await.expect("inserts"), [0]);
    let all = store.range(Space(0), Bound::Unbounded, Bound::Unbounded, 10).expect("reads");
    let all: Vec<_> = all.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(all, [(&b"a"[..], &b"1"[..]), (b"b", b"3"), (b"c", b"6")]);
    assert_eq!(store.get(Space(1), b"a").expect("reads").as_deref(), Some(&b"2"[..]));
    let page = store.range(Space(0), Bound::Excluded(b"a"), Bound::Included(b"c"), 1).expect("reads");
    assert_eq!(page.len(), 1);
    assert_eq!(&*page[0].0, b"b");
    assert!(store.range(Space(0), Bound::Excluded(b"b"), Bound::Excluded(b"a"), 9).expect("reads").is_empty());
    let keys = vec![(Space(0), b"a".to_vec()), (Space(0), b"a".to_vec()), (Space(1), b"z".to_vec())];
    assert_eq!(store.delete(keys).await.expect("deletes"), [true, false, false]);
    assert!(store.get(Space(0), b"a").expect("reads").is_none());
    assert_eq!(store.insert(vec![vec![entry(0, "a", "again")]]).await.expect("inserts"), [1]);
}

#[tokio::test]
async fn entries_that_cannot_be_stored_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for (bad, expected) in [
        (entry(2, "a", ""), BadEntry::Space(2)),
        (entry(0, "", ""), BadEntry::Key(0)),
        (entry(0, vec![1; 65_536], ""), BadEntry::Key(65_536)),
        (entry(0, "a", vec![0; (16 << 20) + 1]), BadEntry::Value((16 << 20) + 1)),
    ] {
        let refused = store.insert(vec![vec![entry(0, "good", ""), bad]]).await;
        assert!(matches!(refused, Err(CommitError::BadEntry(found)) if found == expected), "{refused:?}");
    }
    assert!(store.get(Space(0), b"good").expect("reads").is_none());
    let largest = entry(0, vec![1; Entry::MAX_KEY_BYTES], vec![7; Entry::MAX_VALUE_BYTES]);
    assert_eq!(store.insert(vec![vec![largest]]).await.expect("inserts"), [1]);
    assert!(matches!(store.get(Space(9), b"a"), Err(CommitError::BadEntry(BadEntry::Space(9)))));
}

/// More documents wait than the inbox has places, and each key is wanted by many.
#[tokio::test]
async fn of_racing_inserters_and_deleters_exactly_one_wins() {
    const RACERS: usize = 40;
    const KEYS: usize = 50;
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options { inbox: 64, max_batch: 32, ..Options::default() };
    let store = GroupCommit::open(dir.path(), &SPACES, options).expect("opens");
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..RACERS {
        let store = store.clone();
        racers.spawn(async move {
            let mut won = Vec::new();
            for key in 0..KEYS {
                let key = (key + racer) % KEYS;
                let group =
                    vec![entry(0, key.to_be_bytes(), racer.to_be_bytes()), entry(1, format!("{racer}/{key}"), "x")];
                let taken = store.insert(vec![group]).await.expect("inserts");
                if taken == [2] {
                    won.push((key, racer));
                } else {
                    assert_eq!(taken, [0]);
                }
            }
            won
        });
    }
    let won = racers.join_all().await.concat();
    let winners: BTreeMap<_, _> = won.iter().copied().collect();
    assert_eq!((won.len(), winners.len()), (KEYS, KEYS));
    for (key, racer) in &winners {
        let stored = store.get(Space(0), &key.to_be_bytes()).expect("reads").expect("is there");
        assert_eq!(*stored, racer.to_be_bytes());
    }
    assert_eq!(store.range(Space(1), Bound::Unbounded, Bound::Unbounded, 9999).expect("reads").len(), KEYS);

    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..RACERS {
        let store = store.clone();
        racers.spawn(async move {
            let keys = (0..KEYS).map(|key| (Space(0), key.to_be_bytes().to_vec())).collect();
            store.delete(keys).await.expect("deletes").iter().filter(|there| **there).count()
        });
    }
    assert_eq!(racers.join_all().await.iter().sum::<usize>(), KEYS);
    let stats = store.stats();
    assert_eq!((stats.documents, stats.deleted), (2 * KEYS as u64, KEYS as u64));
    assert_eq!(stats.batch_size.sum, 3 * KEYS as u64);
    assert_eq!(stats.commits, stats.commit_time_us.count());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Through the real database, over reopens and memtables that are written out.
    #[test]
    fn decides_as_a_map_would(rounds in proptest::collection::vec(
        proptest::collection::vec(proptest::collection::vec((0..2u8, 0..40u8, 0..3u8), 1..6), 1..8), 1..12,
    )) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut model = BTreeMap::new();
        for round in rounds {
            let store = open(dir.path());
            runtime().block_on(async {
                for group in round {
                    if group[0].2 == 0 {
                        let keys = group.iter().map(|(space, key, _)| (Space(*space), vec![*key])).collect();
                        let there = store.delete(keys).await.expect("deletes");
                        for ((space, key, _), there) in group.iter().zip(there) {
                            assert_eq!(model.remove(&(*space, vec![*key])).is_some(), there);
                        }
                    } else {
                        let entries = group.iter().map(|(space, key, value)| entry(*space, [*key], [*value])).collect();
                        let taken = store.insert(vec![entries]).await.expect("inserts");
                        let mut expected = 0;
                        for (space, key, value) in &group {
                            if model.contains_key(&(*space, vec![*key])) { break; }
                            model.insert((*space, vec![*key]), vec![*value]);
                            expected += 1;
                        }
                        assert_eq!(taken, [expected]);
                    }
                }
            });
            for space in 0..2u8 {
                let found = store.range(Space(space), Bound::Unbounded, Bound::Unbounded, 999).expect("reads");
                let found: Vec<_> = found.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
                let expected = model.iter().filter(|((s, _), _)| *s == space);
                let expected: Vec<_> = expected.map(|((_, key), value)| (key.clone(), value.clone())).collect();
                assert_eq!(found, expected);
            }
        }
    }
}

#[tokio::test]
async fn reopens_after_close_and_after_a_plain_drop() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let other = store.clone();
    store.insert(vec![vec![entry(0, "a", "1")]]).await.expect("inserts");
    store.close().await.expect("closes");
    assert!(matches!(other.insert(vec![vec![entry(0, "b", "2")]]).await, Err(CommitError::Closed)));
    assert!(other.get(Space(0), b"a").expect("reads").is_some());
    drop(other);

    // What is handed in is finished, whoever still waits for it.
    let store = open(dir.path());
    let waiting: Vec<_> = (0..100u8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.insert(vec![vec![entry(0, [b'n', n], "3")]]).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await.expect("closes");
    for waiting in waiting {
        assert!(matches!(waiting.await.expect("ends"), Ok(taken) if taken == [1]));
    }
    let store = open(dir.path());
    assert_eq!(store.range(Space(0), Bound::Unbounded, Bound::Unbounded, 999).expect("reads").len(), 101);
    drop(store);
    // Spaces are found by name, in any order, and new ones may come.
    let store = GroupCommit::open(dir.path(), &["new", "tasks"], Options::default()).expect("opens");
    assert!(store.get(Space(1), b"a").expect("reads").is_some());
    assert!(store.get(Space(0), b"a").expect("reads").is_none());
}
