//! The contract of the document store, on every backend.
#![expect(clippy::unwrap_used, reason = "the cases are tests, of a harness of their own")]

mod contract_support;
#[cfg(feature = "mongodb")]
mod mongo_support;

use std::{collections::BTreeSet, sync::Arc};

use contract_support::{Backend, Opened, cases, documents::one_of_each, in_time, open};
use payrig_server::{
    model::{Closing, Collection, Document, OpenTask, OrderKey, OrderSlot, PayTask, Refund, Refunded, TaskId},
    store::{DocumentStore as _, Key, Store, embedded::EmbeddedStore, memory::MemoryStore},
};

fn main() {
    let backends = [
        Backend {
            name: "memory",
            missing: None,
            open: |time| Opened::new(Store::Memory(MemoryStore::default()), time, ()),
        },
        Backend {
            name: "embedded",
            missing: None,
            open: |time| {
                let folder = tempfile::tempdir().expect("a folder");
                let store = EmbeddedStore::open(folder.path()).expect("an empty folder opens");
                Opened::new(Store::Embedded(store), time, folder)
            },
        },
        #[cfg(feature = "mongodb")]
        mongodb(mongo_support::main_server(), |time| on_mongodb(&mongo_support::main_server(), time)),
        #[cfg(feature = "mongodb")]
        mongodb(mongo_support::second_server(), |time| on_mongodb(&mongo_support::second_server(), time)),
    ];
    let cases = cases![Threads:
        groups_go_in_up_to_the_first_that_exists, each_of_many_groups_has_its_own_answer, nothing_is_asked_and_answered,
        one_of_many_inserts_is_first, groups_that_meet_in_the_middle, a_delete_is_told_once, what_is_deleted_can_come_back,
        every_document_comes_back_as_it_was, collections_do_not_meet, ranges_are_ordered_and_exclusive,
        ranges_by_time, pages_meet_everything_once, an_answered_write_is_seen_by_all,
    ];
    contract_support::main("store", &backends, &cases);
}

#[cfg(feature = "mongodb")]
fn mongodb(server: mongo_support::Server, open: fn(contract_support::Time) -> Opened<Store>) -> Backend<Store> {
    Backend { name: server.name, missing: server.missing, open }
}

#[cfg(feature = "mongodb")]
fn on_mongodb(server: &mongo_support::Server, time: contract_support::Time) -> Opened<Store> {
    let place = mongo_support::Place::fresh(server);
    let store = mongo_support::store_now(&place.url());
    Opened::new(Store::Mongodb(store), time, place)
}

/// A document that tells who wrote it.
fn closing(number: u64, by: u64) -> Document {
    let payment_no = TaskId::floor(number * 1_000).round(1);
    Document::Closing(Closing { payment_no, reason: by.to_string(), at_us: by })
}

fn key(document: &Document) -> Key {
    Key::new(document.collection(), document.id())
}

async fn get(store: &Store, document: &Document) -> Option<Document> {
    store.get(document.collection(), &document.id()).await.expect("the store answers")
}

async fn insert(store: &Store, groups: Vec<Vec<Document>>) -> Vec<usize> {
    store.insert(groups).await.expect("the store answers")
}

async fn all(store: &Store, collection: Collection) -> Vec<Document> {
    store.range(collection, None, None, 100_000).await.expect("the store answers")
}

async fn groups_go_in_up_to_the_first_that_exists(opened: Opened<Store>) {
    let store = &opened.seam;
    assert_eq!(insert(store, vec![vec![closing(2, 0)]]).await, [1]);
    let group = vec![closing(1, 1), closing(2, 1), closing(3, 1)];
    assert_eq!(insert(store, vec![group.clone()]).await, [1]);
    assert_eq!(get(store, &group[0]).await, Some(closing(1, 1)));
    assert_eq!(get(store, &group[1]).await, Some(closing(2, 0)), "the first stays");
    assert_eq!(get(store, &group[2]).await, None, "what stands behind is not tried");
    assert_eq!(insert(store, vec![group]).await, [0], "a repeat finds the first");
}

async fn each_of_many_groups_has_its_own_answer(opened: Opened<Store>) {
    let store = &opened.seam;
    insert(store, vec![(0..1_000).step_by(3).map(|number| closing(number, 0)).collect()]).await;
    let groups = (0..1_000).map(|number| vec![closing(5_000 + number, 1), closing(number, 1)]).collect();
    let expected: Vec<usize> = (0..1_000).map(|number| if number % 3 == 0 { 1 } else { 2 }).collect();
    assert_eq!(insert(store, groups).await, expected);
    // Groups of one call meet each other in their order.
    let meeting = vec![vec![closing(9_000, 1)], vec![closing(9_000, 2), closing(9_001, 2)], vec![closing(9_001, 3)]];
    assert_eq!(insert(store, meeting).await, [1, 0, 1]);
    assert_eq!(insert(store, vec![vec![closing(9_002, 1), closing(9_002, 2)]]).await, [1], "also within a group");
    assert_eq!(get(store, &closing(9_002, 0)).await, Some(closing(9_002, 1)));
}

async fn nothing_is_asked_and_answered(opened: Opened<Store>) {
    let store = &opened.seam;
    assert_eq!(insert(store, Vec::new()).await, [0; 0]);
    assert_eq!(insert(store, vec![Vec::new(), vec![closing(1, 1)], Vec::new()]).await, [0, 1, 0]);
    assert_eq!(store.delete(Vec::new()).await.expect("the store answers"), [false; 0]);
    assert_eq!(get(store, &closing(2, 1)).await, None);
    assert!(store.range(Collection::Notices, None, None, 10).await.expect("the store answers").is_empty());
}

async fn one_of_many_inserts_is_first(opened: Opened<Store>) {
    const WRITERS: u64 = 8;
    const ROUNDS: u64 = 60;
    let mut writers = Vec::new();
    for by in 0..WRITERS {
        let store = opened.seam.clone();
        writers.push(tokio::spawn(async move {
            let mut won = Vec::new();
            for round in 0..ROUNDS {
                if store.insert_one(closing(round, by)).await.expect("the store answers") {
                    won.push((round, by));
                }
                let stands = get(&store, &closing(round, by)).await;
                assert!(stands.is_some(), "after a lost insert the winner's document is there");
            }
            won
        }));
    }
    let mut won = Vec::new();
    for writer in writers {
        won.extend(in_time("a race of inserts", writer).await.expect("no writer panics"));
    }
    won.sort_unstable();
    let rounds: Vec<u64> = won.iter().map(|(round, _)| *round).collect();
    assert_eq!(rounds, (0..ROUNDS).collect::<Vec<_>>(), "each has one winner");
    for (round, by) in won {
        assert_eq!(get(&opened.seam, &closing(round, 0)).await, Some(closing(round, by)), "and it is the winner's");
    }
}

async fn groups_that_meet_in_the_middle(opened: Opened<Store>) {
    const ROUNDS: u64 = 60;
    let group =
        |round: u64, by: u64| vec![closing(10_000 * by + round, by), closing(round, by), closing(90_000 + round, by)];
    let write = |by: u64| {
        let store = opened.seam.clone();
        tokio::spawn(async move {
            let mut inserted = Vec::new();
            for round in 0..ROUNDS {
                inserted.extend(insert(&store, vec![group(round, by)]).await);
            }
            inserted
        })
    };
    let (one, other) = (write(1), write(2));
    let (one, other) = (in_time("one writer", one).await.unwrap(), in_time("another", other).await.unwrap());
    for (round, (one, other)) in (0..ROUNDS).zip(one.into_iter().zip(other)) {
        assert!(
            matches!((one, other), (3, 1) | (1, 3)),
            "one goes in whole, of the other what came before: {one}, {other}"
        );
        let winner = if one == 3 { 1 } else { 2 };
        for document in group(round, winner) {
            assert_eq!(get(&opened.seam, &document).await.as_ref(), Some(&document));
        }
    }
}

async fn a_delete_is_told_once(opened: Opened<Store>) {
    const ROUNDS: u64 = 60;
    let store = &opened.seam;
    insert(store, vec![(0..ROUNDS).map(|number| closing(number, 0)).collect()]).await;
    let mut deleters = Vec::new();
    for _ in 0..4 {
        let store = store.clone();
        deleters.push(tokio::spawn(async move {
            let mut told = Vec::new();
            for number in 0..ROUNDS {
                told.extend(store.delete(vec![key(&closing(number, 0))]).await.expect("the store answers"));
            }
            told
        }));
    }
    let mut told = vec![0; usize::try_from(ROUNDS).unwrap()];
    for deleter in deleters {
        let answers = in_time("a race of deletes", deleter).await.unwrap();
        answers.into_iter().zip(&mut told).for_each(|(was_there, told)| *told += u32::from(was_there));
    }
    assert!(told.iter().all(|times| *times == 1), "{told:?}");
    assert!(all(store, Collection::Closings).await.is_empty());
    insert(store, vec![vec![closing(1, 0), closing(2, 0)]]).await;
    let keys = [1, 7, 1, 2].map(|number| key(&closing(number, 0))).to_vec();
    assert_eq!(
        store.delete(keys).await.expect("the store answers"),
        [true, false, false, true],
        "in order, each by itself"
    );
}

async fn what_is_deleted_can_come_back(opened: Opened<Store>) {
    let store = &opened.seam;
    for by in 0..20 {
        assert_eq!(insert(store, vec![vec![closing(1, by)]]).await, [1]);
        assert_eq!(get(store, &closing(1, 0)).await, Some(closing(1, by)));
        assert!(store.delete_one(Collection::Closings, closing(1, 0).id()).await.expect("the store answers"));
        assert_eq!(get(store, &closing(1, 0)).await, None);
    }
}

async fn every_document_comes_back_as_it_was(opened: Opened<Store>) {
    let documents = one_of_each();
    let kinds: BTreeSet<Collection> = documents.iter().map(Document::collection).collect();
    assert_eq!(kinds.len(), Collection::ALL.len(), "no kind is left out");
    assert_eq!(insert(&opened.seam, vec![documents.clone()]).await, [documents.len()]);
    for document in &documents {
        assert_eq!(get(&opened.seam, document).await.as_ref(), Some(document));
    }
    for collection in Collection::ALL {
        let expected = documents.iter().filter(|document| document.collection() == collection).count();
        assert_eq!(all(&opened.seam, collection).await.len(), expected, "{}", collection.name());
    }
}

async fn collections_do_not_meet(opened: Opened<Store>) {
    let store = &opened.seam;
    let payment_no = TaskId::floor(1_000).round(1);
    let refund = Document::Refund(Refund { payment_no, amount_minor: 1, reason: String::new(), at_us: 1 });
    let refunded = Document::Refunded(Refunded { payment_no, amount_minor: 2, at_us: 2 });
    assert_eq!(refund.id(), refunded.id());
    assert_eq!(insert(store, vec![vec![refund.clone(), refunded.clone()]]).await, [2]);
    assert!(store.delete_one(Collection::Refunds, refund.id()).await.expect("the store answers"));
    assert_eq!(get(store, &refunded).await, Some(refunded));
}

async fn ranges_are_ordered_and_exclusive(opened: Opened<Store>) {
    let store = &opened.seam;
    // Not in their order, and with neighbours on both sides in other collections.
    insert(store, [5, 1, 4, 2, 3].map(|number| vec![closing(number, 0)]).to_vec()).await;
    insert(
        store,
        vec![one_of_each().into_iter().filter(|document| document.collection() != Collection::Closings).collect()],
    )
    .await;
    let id = |number: u64| closing(number, 0).id();
    for (after, before, limit, expected) in [
        (None, None, 9, vec![1, 2, 3, 4, 5]),
        (None, None, 3, vec![1, 2, 3]),
        (None, None, 0, vec![]),
        (Some(2), None, 9, vec![3, 4, 5]),
        (None, Some(3), 9, vec![1, 2]),
        (Some(1), Some(5), 9, vec![2, 3, 4]),
        (Some(1), Some(5), 1, vec![2]),
        (Some(0), Some(9), 9, vec![1, 2, 3, 4, 5]),
        (Some(3), Some(4), 9, vec![]),
        (Some(3), Some(3), 9, vec![]),
        (Some(4), Some(2), 9, vec![]),
        (Some(5), None, 9, vec![]),
        (None, Some(1), 9, vec![]),
    ] {
        let (after_id, before_id) = (after.map(id), before.map(id));
        let found = store.range(Collection::Closings, after_id.as_deref(), before_id.as_deref(), limit).await;
        let found: Vec<String> = found.expect("the store answers").iter().map(Document::id).collect();
        assert_eq!(found, expected.into_iter().map(id).collect::<Vec<_>>(), "{after:?} {before:?} {limit}");
    }
    let order = OrderKey { merchant: "default".into(), order_no: "many".into() };
    let slot = |generation| {
        Document::OrderSlot(OrderSlot {
            merchant: order.merchant.clone(),
            order_no: order.order_no.clone(),
            generation,
            holder: TaskId::floor(0).round(1),
        })
    };
    insert(store, vec![(0..120).rev().map(slot).collect()]).await;
    let slots = store.range(Collection::OrderSlots, Some(&order.document_id()), Some("default:mbny"), 1_000).await;
    let slots = slots.expect("the store answers");
    assert_eq!(slots, (0..120).map(slot).collect::<Vec<_>>(), "generations are in order");
}

async fn ranges_by_time(opened: Opened<Store>) {
    let store = &opened.seam;
    let made = |at_ms: u64| OpenTask {
        task: Arc::new(PayTask { task_id: TaskId::fresh(at_ms * 1_000), ..PayTask::clone(&open("o").task) }),
        ..OpenTask::clone(&open("o"))
    };
    let opens: Vec<Document> = (100..200).map(|at_ms| Document::OpenTask(Arc::new(made(at_ms)))).collect();
    insert(store, opens.iter().rev().map(|open| vec![open.clone()]).collect()).await;
    for (from_ms, before_ms) in [(0, 1_000), (120, 130), (120, 121), (199, 300), (150, 150), (0, 100)] {
        let bound = |at_ms: u64| TaskId::floor(at_ms * 1_000).to_string();
        let found = store.range(Collection::OpenTasks, Some(&bound(from_ms)), Some(&bound(before_ms)), 1_000).await;
        let within = (100..200).zip(&opens).filter(|(at_ms, _)| (from_ms..before_ms).contains(at_ms));
        let within: Vec<Document> = within.map(|(_, open)| open.clone()).collect();
        assert_eq!(found.expect("the store answers"), within, "from {from_ms} ms, before {before_ms} ms");
    }
}

async fn pages_meet_everything_once(opened: Opened<Store>) {
    let store = &opened.seam;
    insert(store, vec![(0..257).map(|number| closing(number, 0)).collect()]).await;
    for size in [1, 7, 64, 257, 300] {
        let (mut after, mut met) = (None::<String>, Vec::new());
        loop {
            let page =
                store.range(Collection::Closings, after.as_deref(), None, size).await.expect("the store answers");
            let Some(last) = page.last() else { break };
            assert!(page.len() <= size);
            after = Some(last.id());
            met.extend(page);
        }
        assert_eq!(met, (0..257).map(|number| closing(number, 0)).collect::<Vec<_>>(), "pages of {size}");
    }
}

async fn an_answered_write_is_seen_by_all(opened: Opened<Store>) {
    for number in 0..100 {
        let document = closing(number, 0);
        insert(&opened.seam, vec![vec![document.clone()]]).await;
        let (store, looked_for) = (opened.seam.clone(), document.clone());
        let seen = tokio::spawn(async move {
            let last = closing(number + 1, 0).id();
            let range = store.range(Collection::Closings, None, Some(&last), 1_000).await.expect("the store answers");
            (get(&store, &looked_for).await, range.last().cloned())
        });
        assert_eq!(seen.await.unwrap(), (Some(document.clone()), Some(document)));
    }
}
