//! A subscriber's queue in process: bounded, in order, each message once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use payrig_api::Currency;
use payrig_server::{
    model::{Success, TaskId},
    queue::success::{Polled, SubscriberQueue, SuccessQueue as _, memory::MemorySuccesses},
};

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

#[tokio::test]
async fn a_queue_gives_each_message_once_in_order_and_says_when_it_had_no_room() {
    let queue = SubscriberQueue::Memory(MemorySuccesses::new(3));
    let messages: Vec<Arc<Success>> = (0..6).map(message).collect();
    let polled = |range: std::ops::Range<usize>| Polled::Messages(messages[range].to_vec());
    let acked = |range: std::ops::Range<usize>| messages[range].iter().map(|one| one.payment_no).collect::<Vec<_>>();
    assert_eq!(queue.offer(&messages[..2]).await, 0);
    assert_eq!(queue.offer(&messages[..2]).await, 0, "they are there");
    assert_eq!(queue.poll(1).await, polled(0..1));
    assert_eq!(queue.offer(&messages[..1]).await, 0, "it is in hand");
    assert_eq!(queue.stats().waiting, 1);
    assert_eq!(queue.offer(&messages[2..6]).await, 2, "there is room for two more");
    queue.ack(&acked(0..1)).await;
    assert_eq!(queue.poll(9).await, polled(1..4));
    assert_eq!(queue.offer(&messages[5..]).await, 1, "what was left out is not overtaken");
    queue.ack(&acked(1..4)).await;
    assert_eq!(queue.poll(9).await, Polled::Behind);
    assert_eq!(queue.offer(&messages[5..]).await, 0, "it is told of it, and takes again");
    assert_eq!(queue.offer(&messages[4..5]).await, 0);
    queue.close();
    assert_eq!(queue.offer(&messages[..1]).await, 1, "it is closed");
    assert_eq!(queue.poll(9).await, Polled::Messages(vec![Arc::clone(&messages[5]), Arc::clone(&messages[4])]));
    assert_eq!(queue.poll(9).await, Polled::Closed);
    queue.closed().await;
}

#[tokio::test]
async fn a_poll_waits_for_an_offer_for_falling_behind_and_for_the_end() {
    let queue = SubscriberQueue::Memory(MemorySuccesses::new(3));
    let poll = |queue: &SubscriberQueue| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.poll(9).await })
    };
    let waiting = poll(&queue);
    tokio::task::yield_now().await;
    queue.offer(&[message(0)]).await;
    assert_eq!(waiting.await.unwrap(), Polled::Messages(vec![message(0)]));
    let waiting = poll(&queue);
    tokio::task::yield_now().await;
    queue.fall_behind();
    assert_eq!(waiting.await.unwrap(), Polled::Behind);
    let waiting = poll(&queue);
    tokio::task::yield_now().await;
    queue.close();
    assert_eq!(waiting.await.unwrap(), Polled::Closed);
}
