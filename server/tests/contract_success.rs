//! The contract of a subscriber's queue of success messages, on every backend.
#![expect(clippy::unwrap_used, reason = "the cases are tests, of a harness of their own")]

mod contract_support;
#[cfg(feature = "rabbitmq")]
mod rabbit_support;

use std::sync::Arc;

use contract_support::{Backend, Opened, cases, in_time};
use payrig_api::Currency;
use payrig_server::{
    model::{RoundId, Success, TaskId},
    queue::success::{Polled, SubscriberQueue, SuccessQueue as _, Successes, memory::MemorySuccesses},
};

fn main() {
    let backends = [
        Backend {
            name: "memory",
            missing: None,
            open: |time| {
                let queues = [0, 1].map(|_| SubscriberQueue::Memory(MemorySuccesses::new(1_000)));
                Opened::new(Successes::new(queues.into(), 8).0, time, ())
            },
        },
        #[cfg(feature = "rabbitmq")]
        Backend { name: "rabbitmq", missing: rabbit_support::missing(), open: on_rabbitmq },
    ];
    let cases = cases![
        Threads: each_subscriber_gets_each_message_in_order, what_is_offered_to_one_is_the_ones_alone,
            a_poll_waits_for_an_offer_for_falling_behind_and_for_the_end, messages_go_before_falling_behind,
            a_closed_queue_takes_nothing;
    ];
    contract_support::main("success", &backends, &cases);
}

#[cfg(feature = "rabbitmq")]
fn on_rabbitmq(time: contract_support::Time) -> Opened<Successes> {
    use payrig_server::queue::success::{
        SuccessExchange,
        rabbitmq::{RabbitExchange, RabbitSuccesses},
    };
    let place = rabbit_support::Place::fresh();
    let (rabbit, _) = rabbit_support::outside(rabbit_support::connect(&place.url()));
    let queues = rabbit_support::SUBSCRIBERS.map(|name| SubscriberQueue::Rabbitmq(RabbitSuccesses::new(&rabbit, name)));
    let exchange = SuccessExchange::Rabbitmq(RabbitExchange::new(&rabbit));
    Opened::new(Successes::through(exchange, queues.into(), 8).0, time, place)
}

fn message(number: u64) -> Arc<Success> {
    Arc::new(Success {
        payment_no: TaskId::floor(1_800_000_000_000_000 + number * 1_000).round(1),
        merchant: "default".into(),
        order_no: "o".into(),
        transaction_id: format!("tx-{number}").into(),
        paid_at_us: number,
        amount_minor: 1_000,
        currency: Currency::CNY,
    })
}

fn messages(numbers: std::ops::Range<u64>) -> Vec<Arc<Success>> {
    numbers.map(message).collect()
}

/// Takes so many messages and acknowledges them.
async fn take(queue: &SubscriberQueue, wanted: usize) -> Vec<Arc<Success>> {
    let mut taken = Vec::new();
    while taken.len() < wanted {
        let polled = in_time("a poll", queue.poll(wanted - taken.len())).await;
        let Polled::Messages(messages) = polled else { panic!("{polled:?} after {} messages", taken.len()) };
        let payment_nos: Vec<RoundId> = messages.iter().map(|success| success.payment_no).collect();
        assert_eq!(queue.stats().unacknowledged, payment_nos.len());
        queue.ack(&payment_nos).await;
        assert_eq!(queue.stats().unacknowledged, 0);
        taken.extend(messages);
    }
    taken
}

async fn each_subscriber_gets_each_message_in_order(opened: Opened<Successes>) {
    let successes = &opened.seam;
    // More than one batch.
    for first in [0, 300] {
        assert_eq!(successes.publish(&messages(first..first + 300)).await, [0, 0]);
    }
    for queue in successes.queues() {
        assert_eq!(take(queue, 600).await, messages(0..600));
    }
    assert_eq!(successes.publish(&[]).await, [0, 0]);
}

async fn what_is_offered_to_one_is_the_ones_alone(opened: Opened<Successes>) {
    let [one, other] = opened.seam.queues() else { panic!("two queues") };
    assert_eq!(other.offer(&messages(7..8)).await, 0);
    assert_eq!(opened.seam.publish(&messages(8..9)).await, [0, 0]);
    assert_eq!(take(one, 1).await, messages(8..9));
    assert_eq!(take(other, 2).await, messages(7..9));
}

async fn a_poll_waits_for_an_offer_for_falling_behind_and_for_the_end(opened: Opened<Successes>) {
    let queue = &opened.seam.queues()[0];
    let poll = || {
        let queue = queue.clone();
        tokio::spawn(async move { queue.poll(9).await })
    };
    let waiting = poll();
    tokio::task::yield_now().await;
    queue.offer(&messages(0..1)).await;
    assert_eq!(in_time("a poll", waiting).await.unwrap(), Polled::Messages(messages(0..1)));
    let waiting = poll();
    tokio::task::yield_now().await;
    queue.fall_behind();
    assert_eq!(in_time("a poll", waiting).await.unwrap(), Polled::Behind);
    let waiting = poll();
    tokio::task::yield_now().await;
    queue.close();
    assert_eq!(in_time("a poll", waiting).await.unwrap(), Polled::Closed);
    in_time("the end", queue.closed()).await;
}

async fn messages_go_before_falling_behind(opened: Opened<Successes>) {
    let queue = &opened.seam.queues()[0];
    queue.offer(&messages(0..1)).await;
    assert_eq!(take(queue, 1).await, messages(0..1));
    queue.fall_behind();
    assert!(queue.stats().behind);
    assert_eq!(in_time("a poll", queue.poll(9)).await, Polled::Behind);
    assert!(!queue.stats().behind, "it is told once");
    assert_eq!(queue.offer(&messages(1..2)).await, 0, "and takes again");
    assert_eq!(take(queue, 1).await, messages(1..2));
}

async fn a_closed_queue_takes_nothing(opened: Opened<Successes>) {
    let queue = &opened.seam.queues()[0];
    queue.close();
    assert_eq!(queue.offer(&messages(0..2)).await, 2);
    assert_eq!(in_time("a poll", queue.poll(9)).await, Polled::Closed);
}
