//! Success messages: from a paid notice to every subscriber's effect, whatever crashes, is full or is down on the way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dispatch_support;

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex},
};

use dispatch_support::{all, all_done, awaiting, learnt, parts, payment_no};
use payrig_server::{
    dispatch::{self, Publisher, SUBSCRIBERS},
    metrics::Named,
    model::Collection,
    notice,
    store::{
        DocumentStore as _, Store,
        gate::{Gate, Touch},
        memory::MemoryStore,
    },
    sweep,
};
use tokio::sync::{oneshot, watch};

/// Lets everybody else do what they can do until there is something; on one thread with a store in memory nobody ever
/// waits for anything but others.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..10_000 {
        if is_so().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to pass: {what}");
}

async fn nothing_left(store: &Store) {
    until("no notice is left", async || all(store, Collection::Notices).await.is_empty()).await;
    until("no open task is left", async || all(store, Collection::OpenTasks).await.is_empty()).await;
}

// === a subscriber that is down ===

/// Inserts into one collection wait while it is down, and are noted.
struct Down {
    collection: Collection,
    is_down: watch::Receiver<bool>,
    inserted: Arc<Mutex<Vec<String>>>,
}

impl Gate for Down {
    fn pass(&self, touch: Touch, collection: Collection, id: &str) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if touch != Touch::Insert || collection != self.collection {
            return Box::pin(std::future::ready(()));
        }
        let (mut is_down, inserted, id) = (self.is_down.clone(), Arc::clone(&self.inserted), id.to_owned());
        Box::pin(async move {
            let _ = is_down.wait_for(|down| !down).await;
            inserted.lock().unwrap().push(id);
        })
    }
}

#[tokio::test]
async fn a_subscriber_that_is_down_catches_up_oldest_first_without_blocking_the_other() {
    const PAYMENTS: u64 = 700;
    const ROOM: usize = 32;
    for subscriber in &SUBSCRIBERS {
        let base = MemoryStore::default();
        let plain = Store::Memory(base.clone());
        let (down, is_down) = watch::channel(true);
        let inserted = Arc::new(Mutex::new(Vec::new()));
        let gate = Down { collection: subscriber.collection, is_down, inserted: Arc::clone(&inserted) };
        let (parts, announced) = parts(Store::Memory(base.gated(Arc::new(gate))), ROOM).await;
        let (_stop, stops) = oneshot::channel();
        tokio::spawn(dispatch::run(Arc::clone(&parts), announced, stops));
        let other = SUBSCRIBERS.iter().find(|other| other.name != subscriber.name).unwrap();
        for number in 0..PAYMENTS {
            awaiting(&plain, number).await;
            // It waits for nobody who is down.
            notice::take(&parts, learnt(number)).await.unwrap();
            let id = payment_no(number).payment_no();
            let is_in = async || plain.get(other.collection, &id).await.unwrap().is_some();
            until("the other subscriber goes on", is_in).await;
        }
        assert_eq!(all(&plain, subscriber.collection).await, [], "{} is down", subscriber.name);
        assert_eq!(all(&plain, Collection::Notices).await.len(), usize::try_from(PAYMENTS).unwrap());
        let left = parts.metrics.success_left.get_or_create(&Named { name: subscriber.name }).get();
        assert!(left > PAYMENTS / 2, "most found no room: {left}");
        assert_eq!(parts.metrics.success_left.get_or_create(&Named { name: other.name }).get(), 0);

        down.send_replace(false);
        nothing_left(&plain).await;
        all_done(&plain, PAYMENTS, subscriber.name).await;
        let inserted = inserted.lock().unwrap();
        assert!(inserted.is_sorted(), "{}: not oldest first: {inserted:?}", subscriber.name);
        assert_eq!(inserted.len(), usize::try_from(PAYMENTS).unwrap(), "each once");
        for each in &SUBSCRIBERS {
            let effects = parts.metrics.success_effects.get_or_create(&Named { name: each.name }).get();
            assert_eq!(effects, PAYMENTS, "{}", each.name);
        }
    }
}

// === crashes ===

/// Lets so many store operations pass and none after them; notes which one it stopped at.
struct Crash {
    left: Mutex<usize>,
    stopped_at: watch::Sender<Option<(Touch, Collection)>>,
}

impl Gate for Crash {
    fn pass(&self, touch: Touch, collection: Collection, _: &str) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut left = self.left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Box::pin(std::future::ready(()));
        }
        self.stopped_at.send_if_modified(|at| {
            let first = at.is_none();
            at.get_or_insert((touch, collection));
            first
        });
        Box::pin(std::future::pending())
    }
}

/// The whole way of one payment, up to a crash after so many store operations. Tells where it stopped, if it did not come
/// to the end.
async fn until_a_crash(base: &MemoryStore, operations: usize) -> Option<(Touch, Collection)> {
    let (stopped_at, mut stopped) = watch::channel(None);
    let gate = Crash { left: Mutex::new(operations), stopped_at };
    let (parts, announced) = parts(Store::Memory(base.gated(Arc::new(gate))), 8).await;
    let plain = Store::Memory(base.clone());
    let (_stop, stops) = oneshot::channel();
    let way = async {
        notice::take(&parts, learnt(0)).await.unwrap();
        nothing_left(&plain).await;
    };
    let running = tokio::spawn(dispatch::run(Arc::clone(&parts), announced, stops));
    let at = tokio::select! {
        biased;
        at = stopped.wait_for(Option::is_some) => *at.unwrap(),
        () = way => None,
    };
    // Subscribers are tasks of their own: with the last of the parts they hang for ever, as after a crash.
    running.abort();
    at
}

#[tokio::test]
async fn whatever_the_instant_of_a_crash_every_order_is_paid_once_and_the_totals_are_exact() {
    let mut points = Vec::new();
    for operations in 0.. {
        let base = MemoryStore::default();
        let plain = Store::Memory(base.clone());
        awaiting(&plain, 0).await;
        let Some(point) = until_a_crash(&base, operations).await else { break };
        points.push(point);
        let when = format!("after a crash before operation {operations}, {point:?}");
        // What had been written down before the crash is found again by the sweeper alone; otherwise the channel, which was
        // never answered, says it once more.
        let was_noted = plain.notice(payment_no(0)).await.unwrap().is_some()
            || !all(&plain, Collection::PaymentEnds).await.is_empty();
        let (parts, announced) = parts(plain.clone(), 8).await;
        let (stop, stops) = oneshot::channel();
        let running = tokio::spawn(dispatch::run(Arc::clone(&parts), announced, stops));
        sweep::recover(&parts, u64::MAX / 2).await;
        if !was_noted {
            notice::take(&parts, learnt(0)).await.unwrap();
        }
        nothing_left(&plain).await;
        all_done(&plain, 1, &when).await;
        let _ = stop.send(());
        running.await.unwrap();
    }
    let reached: BTreeSet<String> = points.iter().map(|point| format!("{point:?}")).collect();
    for point in [
        // Between the notice and the payment's end, and between that and the settlement.
        (Touch::Insert, Collection::PaymentEnds),
        (Touch::Insert, Collection::OrderSettlements),
        // Before the publish: the end is shown after the settlement. After it: nobody has had an effect.
        (Touch::Get, Collection::Payments),
        (Touch::Insert, Collection::OrderPaid),
        (Touch::Insert, Collection::DailyTotals),
        // Between an effect and the look at the others', and between that and the removals.
        (Touch::Get, Collection::OrderPaid),
        (Touch::Get, Collection::DailyTotals),
        (Touch::Delete, Collection::Notices),
        (Touch::Delete, Collection::OpenTasks),
    ] {
        assert!(reached.contains(&format!("{point:?}")), "no crash before {point:?}: {reached:?}");
    }
}

// === repeats, overload, the end ===

#[tokio::test]
async fn a_repeated_notice_changes_nothing() {
    let store = Store::Memory(MemoryStore::default());
    let (parts, announced) = parts(store.clone(), 8).await;
    let (_stop, stops) = oneshot::channel();
    tokio::spawn(dispatch::run(Arc::clone(&parts), announced, stops));
    awaiting(&store, 0).await;
    for _ in 0..3 {
        notice::take(&parts, learnt(0)).await.unwrap();
        notice::take(&parts, learnt(0)).await.unwrap();
        nothing_left(&store).await;
        all_done(&store, 1, "after a repeat").await;
    }
    let mut contradicts = learnt(0);
    contradicts.paid.transaction_id = "another".into();
    notice::take(&parts, contradicts).await.unwrap();
    nothing_left(&store).await;
    all_done(&store, 1, "after a notice that names another transaction").await;
    for subscriber in &SUBSCRIBERS {
        assert_eq!(parts.metrics.success_effects.get_or_create(&Named { name: subscriber.name }).get(), 1);
    }
}

#[tokio::test]
async fn what_the_publisher_had_no_room_for_is_found_in_the_store() {
    let store = Store::Memory(MemoryStore::default());
    let (parts, announced) = parts(store.clone(), 1).await;
    for number in 0..20 {
        awaiting(&store, number).await;
        notice::take(&parts, learnt(number)).await.unwrap();
    }
    assert_eq!(parts.metrics.success_left.get_or_create(&Named { name: "backlog" }).get(), 19);
    let (_stop, stops) = oneshot::channel();
    tokio::spawn(dispatch::run(Arc::clone(&parts), announced, stops));
    nothing_left(&store).await;
    all_done(&store, 20, "by catching up").await;
}

#[tokio::test]
async fn what_was_announced_is_worked_off_before_the_end() {
    let store = Store::Memory(MemoryStore::default());
    let (parts, announced) = parts(store.clone(), 64).await;
    for number in 0..20 {
        awaiting(&store, number).await;
        notice::take(&parts, learnt(number)).await.unwrap();
    }
    assert_eq!(parts.successes.waiting(), 20);
    let (stop, stops) = oneshot::channel();
    stop.send(()).unwrap();
    dispatch::run(Arc::clone(&parts), announced, stops).await;
    assert_eq!(parts.successes.waiting(), 0);
    all_done(&store, 20, "after a drain").await;
}

#[tokio::test]
async fn the_sweeper_publishes_to_whom_it_is_missing_and_ends_what_is_done() {
    let store = Store::Memory(MemoryStore::default());
    let (parts, announced) = parts(store.clone(), 8).await;
    awaiting(&store, 0).await;
    notice::take(&parts, learnt(0)).await.unwrap();
    let mut publisher = Publisher::new(Arc::clone(&parts), announced);
    publisher.publish_announced().await;
    assert!(dispatch::serve_next(&parts, 0).await);
    let waiting = || parts.successes.queues().iter().map(|queue| queue.stats().waiting).collect::<Vec<_>>();
    assert_eq!(waiting(), [0, 1]);
    let notice = store.notice(payment_no(0)).await.unwrap().unwrap();
    notice::go_on(&parts, &notice).await.unwrap();
    assert_eq!(waiting(), [0, 1], "nobody gets twice what waits for him, or what he has had");
    assert!(dispatch::serve_next(&parts, 1).await);
    all_done(&store, 1, "by hand").await;
    // A crash took the last step.
    awaiting(&store, 1).await;
    notice::take(&parts, learnt(1)).await.unwrap();
    let notice = store.notice(payment_no(1)).await.unwrap().unwrap();
    let success = dispatch::settled(&parts, payment_no(1)).await.unwrap().unwrap();
    for subscriber in &SUBSCRIBERS {
        assert!(store.insert_one((subscriber.effect)(&success, 1)).await.unwrap());
    }
    notice::go_on(&parts, &notice).await.unwrap();
    assert_eq!(waiting(), [0, 0]);
    all_done(&store, 2, "by the sweeper").await;
}
