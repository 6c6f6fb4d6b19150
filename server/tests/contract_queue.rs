//! The contract of the task queue, on every backend.
#![expect(clippy::unwrap_used, reason = "the cases are tests, of a harness of their own")]

mod contract_support;
#[cfg(feature = "rabbitmq")]
mod rabbit_support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use contract_support::{Backend, Opened, Time, cases, in_time, open, settle};
use payrig_server::queue::{Delivery, Message, Queue, QueueError, TaskQueue as _, memory::MemoryQueue};
use tokio::time::Instant;

/// How many messages the backends that are bounded are opened for.
const CAPACITY: usize = 4;

fn main() {
    let backends = [
        Backend {
            name: "memory",
            missing: None,
            open: |time| {
                let (queue, wheel) = MemoryQueue::new(CAPACITY);
                let wheel = tokio::spawn(wheel.run());
                Opened::new(Queue::Memory(queue), time, wheel)
            },
        },
        #[cfg(feature = "rabbitmq")]
        Backend {
            name: "rabbitmq",
            missing: rabbit_support::missing(),
            open: |time| {
                if time == Time::Paused {
                    // The server's clock goes on.
                    tokio::time::resume();
                }
                let place = rabbit_support::Place::fresh();
                let (queue, _) = rabbit_support::outside(rabbit_support::node(&place.url(), CAPACITY));
                Opened::new(Queue::Rabbitmq(queue), Time::Real, place)
            },
        },
    ];
    let cases = cases![
        Threads: a_message_comes_as_it_was_sent, messages_come_in_order_and_not_too_many, acknowledged_is_done_with,
            everything_comes_once_to_many, no_producer_and_no_consumer_sleeps_for_ever, what_is_closed_is_drained,
            closing_wakes_everybody;
        Clock: a_full_queue_keeps_its_producers_waiting, delayed_messages_come_when_they_are_due,
            too_many_delayed_messages_are_refused, delayed_messages_wait_for_room, a_consumer_that_left_takes_nothing_along,
            a_producer_that_left_stands_in_nobodys_way, a_closed_queue_takes_no_delayed_messages;
    ];
    contract_support::main("queue", &backends, &cases);
}

/// A message that is told by its number.
fn message(number: usize) -> Message {
    Message::first(open(&number.to_string()), u64::try_from(number).unwrap_or(0))
}

fn numbers(deliveries: &[Delivery]) -> Vec<usize> {
    let number = |delivery: &Delivery| delivery.message.open.task.order_no.parse().expect("a number");
    deliveries.iter().map(number).collect()
}

async fn take(queue: &Queue, at_most: usize) -> Vec<usize> {
    let deliveries = in_time("a poll", queue.poll(at_most)).await;
    for delivery in &deliveries {
        queue.ack(delivery.tag).await;
    }
    numbers(&deliveries)
}

/// Takes so many, in as many polls as it needs.
async fn take_all(queue: &Queue, messages: usize) -> Vec<usize> {
    let mut taken = Vec::new();
    while taken.len() < messages {
        taken.extend(take(queue, messages - taken.len()).await);
    }
    taken
}

/// Waits until something is so; in this process it is so at once.
async fn until(time: Time, what: &str, is_so: impl Fn() -> bool) {
    settle().await;
    let waiting = async {
        while time == Time::Real && !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    in_time(what, waiting).await;
    assert!(is_so(), "{what}");
}

async fn offer(queue: &Queue, numbers: std::ops::Range<usize>) {
    in_time("an offer", queue.offer(numbers.map(message).collect())).await.expect("it is open");
}

async fn a_message_comes_as_it_was_sent(opened: Opened<Queue>) {
    let queue = &opened.seam;
    let sent = Message { attempt: 3, due_at_us: 77, ..message(5) };
    queue.offer(vec![sent.clone()]).await.expect("there is room");
    let deliveries = in_time("a poll", queue.poll(1)).await;
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].message, sent);
    queue.offer(Vec::new()).await.expect("nothing is no trouble");
}

async fn messages_come_in_order_and_not_too_many(opened: Opened<Queue>) {
    let queue = &opened.seam;
    offer(queue, 0..3).await;
    offer(queue, 3..4).await;
    assert_eq!(take(queue, 1).await, [0]);
    let mut taken = Vec::new();
    while taken.len() < 3 {
        let now = take(queue, 2).await;
        assert!((1..=2).contains(&now.len()), "{now:?}");
        taken.extend(now);
    }
    assert_eq!(taken, [1, 2, 3]);
}

async fn acknowledged_is_done_with(opened: Opened<Queue>) {
    let queue = &opened.seam;
    offer(queue, 0..3).await;
    assert_eq!(queue.stats().waiting, 3);
    let deliveries = in_time("a poll", queue.poll(2)).await;
    assert_eq!(queue.stats().unacknowledged, deliveries.len());
    assert_eq!(queue.stats().waiting, 3 - deliveries.len());
    for delivery in deliveries {
        queue.ack(delivery.tag).await;
    }
    assert_eq!(queue.stats().unacknowledged, 0);
    while queue.stats().waiting > 0 {
        take(queue, 9).await;
    }
    assert_eq!(queue.stats().delivering_since_us, 2, "when the last was sent");
}

/// Producers send so many messages each, consumers take them; every message comes once, and each producer's in order. A
/// queue in process is closed before everything is taken; one that is shared would leave the rest to others.
async fn exchange(queue: &Queue, producers: usize, consumers: usize, each: usize, at_most: usize) {
    let mut producing = Vec::new();
    for producer in 0..producers {
        let queue = queue.clone();
        producing.push(tokio::spawn(async move {
            // More at a time than there is room for.
            for first in (0..each).step_by(7) {
                offer(&queue, producer * each + first..producer * each + first + 7).await;
            }
        }));
    }
    let mut consuming = Vec::new();
    let open = Arc::new(AtomicUsize::new(producers * each));
    for _ in 0..consumers {
        let (queue, open) = (queue.clone(), Arc::clone(&open));
        consuming.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            loop {
                let now = take(&queue, at_most).await;
                if now.is_empty() {
                    return taken;
                }
                if open.fetch_sub(now.len(), Ordering::SeqCst) == now.len() && !queue.dies_with_the_process() {
                    queue.close();
                }
                taken.extend(now);
            }
        }));
    }
    for producer in producing {
        in_time("a producer", producer).await.expect("no producer panics");
    }
    if queue.dies_with_the_process() {
        queue.close();
    }
    let mut met = BTreeSet::new();
    for consumer in consuming {
        let taken = in_time("a consumer", consumer).await.expect("no consumer panics");
        let mut newest: BTreeMap<usize, usize> = BTreeMap::new();
        for number in taken {
            assert!(met.insert(number), "{number} came twice");
            let before = newest.insert(number / each, number);
            assert!(before < Some(number), "{number} came after {before:?}");
        }
    }
    assert_eq!(met.len(), producers * each, "some never came");
    assert_eq!(queue.stats().unacknowledged, 0);
}

async fn everything_comes_once_to_many(opened: Opened<Queue>) {
    exchange(&opened.seam, 4, 4, 2_800, 3).await;
}

/// The same with one of each, where nobody else makes up for a wake-up that went astray, and with more consumers than
/// messages at a time.
async fn no_producer_and_no_consumer_sleeps_for_ever(opened: Opened<Queue>) {
    exchange(&opened.seam, 1, 6, 7_000, 1).await;
}

async fn what_is_closed_is_drained(opened: Opened<Queue>) {
    let queue = &opened.seam;
    offer(queue, 0..3).await;
    queue.close();
    assert!(matches!(queue.offer(vec![message(9)]).await, Err(QueueError::Closed)));
    if !queue.dies_with_the_process() {
        assert!(take(queue, 2).await.is_empty(), "it is left to others");
        return;
    }
    let mut taken = Vec::new();
    loop {
        let now = take(queue, 2).await;
        if now.is_empty() {
            break;
        }
        taken.extend(now);
    }
    assert_eq!(taken, [0, 1, 2]);
    assert!(take(queue, 2).await.is_empty(), "and stays so");
}

async fn closing_wakes_everybody(opened: Opened<Queue>) {
    let queue = &opened.seam;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn({
                let queue = queue.clone();
                async move { queue.poll(1).await.len() }
            })
        })
        .collect();
    tokio::task::yield_now().await;
    queue.close();
    for consumer in waiting {
        assert_eq!(in_time("a waiting consumer", consumer).await.unwrap(), 0);
    }
}

/// Starts an offer that has to wait, and lets it come as far as it can.
async fn waiting_offer(queue: &Queue, numbers: std::ops::Range<usize>) -> tokio::task::JoinHandle<bool> {
    let queue = queue.clone();
    let offering = tokio::spawn(async move { queue.offer(numbers.map(message).collect()).await.is_ok() });
    settle().await;
    assert!(!offering.is_finished(), "there is no room");
    offering
}

async fn a_full_queue_keeps_its_producers_waiting(opened: Opened<Queue>) {
    let queue = &opened.seam;
    assert!(queue.has_room());
    offer(queue, 0..CAPACITY).await;
    assert!(!queue.has_room());
    let (one, other) = (waiting_offer(queue, 10..11).await, waiting_offer(queue, 11..12).await);
    assert_eq!(take(queue, 1).await, [0]);
    until(opened.time, "one offer finds room", || one.is_finished() || other.is_finished()).await;
    assert_ne!(one.is_finished(), other.is_finished(), "room for one");
    assert_eq!(take_all(queue, CAPACITY).await.len(), CAPACITY);
    assert!(in_time("an offer", one).await.unwrap() && in_time("an offer", other).await.unwrap());
    assert_eq!(take_all(queue, 1).await.len(), 1);
    // Producers that wait when it is closed are told so.
    offer(queue, 0..CAPACITY).await;
    let waiting = waiting_offer(queue, 10..20).await;
    queue.close();
    assert!(!in_time("a waiting producer", waiting).await.unwrap());
}

async fn delayed_messages_come_when_they_are_due(opened: Opened<Queue>) {
    let queue = &opened.seam;
    let began = Instant::now();
    for (number, delay_s) in [(3, 3), (1, 1), (2, 2)] {
        queue.offer_after(message(number), Duration::from_secs(delay_s)).await.expect("there is room");
    }
    settle().await;
    assert_eq!((queue.stats().delayed, queue.stats().waiting), (3, 0));
    offer(queue, 0..1).await;
    assert_eq!(take(queue, 9).await, [0], "what is not delayed is not kept up");
    for number in 1..=3 {
        assert_eq!(take(queue, 9).await, [number]);
        let late = began.elapsed().checked_sub(Duration::from_secs(u64::try_from(number).unwrap()));
        let late = late.unwrap_or_else(|| panic!("{number} came after {:?}", began.elapsed()));
        assert!(opened.time == Time::Real || late < Duration::from_millis(50), "{number} came {late:?} late");
    }
    assert_eq!(queue.stats().delayed, 0);
}

async fn too_many_delayed_messages_are_refused(opened: Opened<Queue>) {
    let queue = &opened.seam;
    for number in 0..CAPACITY {
        queue.offer_after(message(number), Duration::from_secs(60)).await.expect("there is room");
    }
    settle().await;
    let refused = queue.offer_after(message(9), Duration::from_secs(1)).await;
    assert!(matches!(refused, Err(QueueError::Full)), "{refused:?}");
    assert_eq!(queue.stats().delayed, CAPACITY, "a refusal takes no place");
    offer(queue, 0..CAPACITY).await;
    assert_eq!(take_all(queue, CAPACITY).await.len(), CAPACITY, "delayed messages take no room of others");
}

async fn delayed_messages_wait_for_room(opened: Opened<Queue>) {
    let queue = &opened.seam;
    for number in 10..10 + CAPACITY {
        queue.offer_after(message(number), Duration::from_secs(1)).await.expect("there is room");
    }
    offer(queue, 0..CAPACITY).await;
    opened.pass(Duration::from_secs(5)).await;
    assert_eq!(take_all(queue, CAPACITY).await, (0..CAPACITY).collect::<Vec<_>>());
    let taken: BTreeSet<usize> = take_all(queue, CAPACITY).await.into_iter().collect();
    assert_eq!(taken, (10..10 + CAPACITY).collect(), "none is lost");
}

async fn a_consumer_that_left_takes_nothing_along(opened: Opened<Queue>) {
    let queue = &opened.seam;
    for number in 0..20 {
        let leaving = tokio::spawn({
            let queue = queue.clone();
            async move { queue.poll(1).await.len() }
        });
        let staying = tokio::spawn({
            let queue = queue.clone();
            async move { take(&queue, 1).await }
        });
        settle().await;
        leaving.abort();
        if number % 2 == 0 {
            settle().await;
        }
        offer(queue, number..number + 1).await;
        let left = leaving.await;
        if left.is_err() {
            assert_eq!(in_time("the consumer that stayed", staying).await.unwrap(), [number]);
        } else {
            staying.abort();
            let _ = staying.await;
        }
    }
}

async fn a_producer_that_left_stands_in_nobodys_way(opened: Opened<Queue>) {
    let queue = &opened.seam;
    offer(queue, 0..CAPACITY).await;
    let (leaving, staying) = (waiting_offer(queue, 10..12).await, waiting_offer(queue, 20..21).await);
    leaving.abort();
    let _ = leaving.await;
    assert_eq!(take(queue, 1).await, [0]);
    assert!(in_time("the producer that stayed", staying).await.unwrap());
    let mut left = Vec::new();
    while queue.stats().waiting > 0 {
        left.extend(take(queue, 9).await);
    }
    assert_eq!(left, [1, 2, 3, 20]);
}

async fn a_closed_queue_takes_no_delayed_messages(opened: Opened<Queue>) {
    let queue = &opened.seam;
    queue.offer_after(message(1), Duration::from_secs(1)).await.expect("there is room");
    queue.close();
    let refused = queue.offer_after(message(2), Duration::from_secs(1)).await;
    if queue.dies_with_the_process() {
        assert!(matches!(refused, Err(QueueError::Closed)), "{refused:?}");
    } else {
        // An attempt that was under way may still send its next one: another node makes it.
        refused.expect("the others are there");
    }
    assert!(
        take(queue, 1).await.is_empty(),
        "what is delayed is let go: others have it, or it stays open in the store"
    );
}
