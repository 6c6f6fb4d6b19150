//! How fast the task queue on RabbitMQ takes and gives messages, by how many are offered at a time and how many offers
//! are under way: what the constants in `queue/rabbitmq` were chosen by.
//!
//! `cargo run --release -p payrig-server --example rabbitmq_rate -- amqp://payrig:payrig@127.0.0.1:25682/%2f`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for measuring: it speaks on stdout and may stop")]

#[cfg(not(feature = "rabbitmq"))]
fn main() {
    println!("built without RabbitMQ");
}

#[cfg(feature = "rabbitmq")]
#[tokio::main(flavor = "current_thread")]
async fn main() {
    rate::main().await;
}

#[cfg(feature = "rabbitmq")]
mod rate {
    use std::{sync::Arc, time::Instant};

    use futures_util::future::join_all;
    use lapin::{Connection, ConnectionProperties, options::QueueDeleteOptions};
    use payrig_api::{ChannelStyle, Currency, Submission, TaskInfo};
    use payrig_server::{
        metrics::Metrics,
        model::{OpenTask, PayTask, TaskId},
        queue::{
            Message, TaskQueue as _,
            rabbitmq::{Limits, Rabbit, RabbitQueue, RabbitSettings, topology::DELAYS},
        },
    };

    /// Messages of one measurement.
    const MESSAGES: usize = 40_000;

    fn message(number: usize) -> Message {
        let submission = Submission {
            order_no: format!("order-{number:012}"),
            amount_minor: 1_234,
            currency: Currency::CNY,
            channel: ChannelStyle::Wechat,
            items: None,
            task_info: TaskInfo::default(),
            simulate: None,
        };
        let task = PayTask::from_submission(TaskId::fresh(1_800_000_000_000_000), "default".into(), submission);
        let open = OpenTask { task: Arc::new(task), round: 1, accepted_at_us: 1, attempts_before: 0, key: None };
        Message::first(Arc::new(open), 1)
    }

    fn per_second(since: Instant) -> u128 {
        MESSAGES as u128 * 1_000 / since.elapsed().as_millis().max(1)
    }

    pub(super) async fn main() {
        let url = std::env::args().nth(1).expect("the URL of RabbitMQ");
        let url = format!("{url}?prefix=rate-{:08x}", rand::random::<u32>());
        let settings = RabbitSettings::parse(&url).unwrap();
        let rabbit = Rabbit::connect(&settings, &[], Arc::new(Metrics::new())).await.unwrap();
        let queue = RabbitQueue::new(&rabbit, Limits { capacity: 10 * MESSAGES, in_hand: 4_096 });
        println!("{:>8} {:>14} {:>12} {:>14}", "batch", "offers at once", "offered/s", "polled+acked/s");
        for (batch, at_once) in [
            (1, 1),
            (1, 64),
            (16, 4),
            (64, 1),
            (64, 8),
            (128, 4),
            (256, 1),
            (256, 4),
            (512, 1),
            (512, 2),
            (512, 4),
            (512, 8),
        ] {
            let messages = if batch * at_once < 8 { MESSAGES / 16 } else { MESSAGES };
            let scale = (MESSAGES / messages) as u128;
            let began = Instant::now();
            let offers = (0..at_once).map(|_| async {
                for _ in 0..messages / at_once / batch {
                    queue.offer((0..batch).map(message).collect()).await.unwrap();
                }
            });
            join_all(offers).await;
            let offered = per_second(began) / scale;
            let began = Instant::now();
            let mut left = messages / at_once / batch * batch * at_once;
            while left > 0 {
                let taken = queue.poll(64).await;
                left -= taken.len();
                for delivery in taken {
                    queue.ack(delivery.tag).await;
                }
            }
            println!("{batch:>8} {at_once:>14} {offered:>12} {:>14}", per_second(began) / scale);
        }
        queue.finish().await;
        remove(&url, settings.prefix()).await;
    }

    async fn remove(url: &str, prefix: &str) {
        let bare = url.split_once('?').map_or(url, |(bare, _)| bare);
        let connection = Connection::connect(bare, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let delays = DELAYS.map(|delay| format!("{prefix}.tasks.delay.{}s", delay.as_secs()));
        for name in delays.into_iter().chain([format!("{prefix}.tasks"), format!("{prefix}.parked")]) {
            channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        let _ = channel.exchange_delete(format!("{prefix}.success").into(), Default::default()).await;
    }
}
