//! The cases.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use lapin::{
    BasicProperties,
    options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use payrig_server::{
    metrics::Metrics,
    queue::{
        Message, QueueError, TaskQueue as _,
        rabbitmq::{Rabbit, RabbitError, RabbitQueue, RabbitSettings},
    },
};

use super::{
    contract_support::{self, Backend, Opened, cases, in_time, open},
    rabbit_support::{Place, SUBSCRIBERS, counted, missing, node, proxy::Proxy, until, url},
};

/// Room for everything that the cases send.
const ROOM: usize = 100_000;

pub(crate) fn main() -> ! {
    let backends =
        [Backend { name: "rabbitmq", missing: missing(), open: |time| Opened::new(Place::fresh(), time, ()) }];
    let cases = cases![
        Threads: what_a_closed_node_has_not_taken_goes_to_the_next, what_a_lost_node_has_not_acknowledged_comes_again,
            nodes_see_each_others_messages, nothing_is_lost_where_connections_are_reset,
            nothing_is_lost_where_the_server_closes_connections, a_blocked_connection_takes_nothing_until_it_is_free,
            what_is_refused_is_full, a_server_that_is_not_heard_is_not_available, deleted_queues_come_back,
            what_cannot_be_read_is_parked_with_its_reason, what_a_later_version_sent_is_not_lost_at_once,
            late_acknowledgements_do_no_harm, wrong_configurations_are_told_apart;
    ];
    contract_support::main("rabbit", &backends, &cases);
}

fn message(number: usize) -> Message {
    Message::first(open(&number.to_string()), 1)
}

fn number(message: &Message) -> usize {
    message.open.task.order_no.parse().unwrap()
}

async fn offer(queue: &RabbitQueue, numbers: std::ops::Range<usize>) -> Result<(), QueueError> {
    in_time("an offer", queue.offer(numbers.map(message).collect())).await
}

/// Takes and acknowledges messages until all of these have come.
async fn take_until_all(queue: &RabbitQueue, mut wanted: BTreeSet<usize>) {
    while !wanted.is_empty() {
        for delivery in in_time("a poll", queue.poll(64)).await {
            wanted.remove(&number(&delivery.message));
            queue.ack(delivery.tag).await;
        }
    }
}

/// A node behind a proxy.
async fn behind_proxy(place: &Place) -> (RabbitQueue, Arc<Metrics>, Proxy) {
    let address = RabbitSettings::parse(&url()).unwrap().address();
    let address: SocketAddr = tokio::net::lookup_host(address).await.unwrap().next().unwrap();
    let proxy = Proxy::before(address).await;
    let (queue, metrics) = node(&place.url_through(proxy.port), ROOM).await;
    assert_eq!(proxy.connections(), 2, "one to publish and one to consume");
    (queue, metrics, proxy)
}

async fn what_a_closed_node_has_not_taken_goes_to_the_next(opened: Opened<Place>) {
    let url = opened.seam.url();
    let ((first, _), (next, metrics)) = (node(&url, ROOM).await, node(&url, ROOM).await);
    offer(&first, 0..10).await.unwrap();
    let taken = in_time("a poll", first.poll(1)).await;
    // An attempt that is under way sends its next one, and is acknowledged, after the closing.
    first.close();
    assert!(in_time("a poll", first.poll(1)).await.is_empty());
    first.offer_after(message(10), Duration::from_secs(1)).await.unwrap();
    first.ack(taken[0].tag).await;
    in_time("the end", first.finish()).await;
    let rest = (0..=10).filter(|other| *other != number(&taken[0].message)).collect();
    take_until_all(&next, rest).await;
    until("everything is acknowledged", || next.stats().waiting == 0).await;
    assert_eq!(counted(&metrics, "rabbitmq_deliveries", "stale"), 0);
}

async fn what_a_lost_node_has_not_acknowledged_comes_again(opened: Opened<Place>) {
    let (first, _, proxy) = behind_proxy(&opened.seam).await;
    offer(&first, 0..5).await.unwrap();
    let held = in_time("a poll", first.poll(2)).await;
    assert!(!held.is_empty());
    let (next, metrics) = node(&opened.seam.url(), ROOM).await;
    // For good: the node is dead.
    proxy.hear(false);
    proxy.cut();
    drop(first);
    take_until_all(&next, (0..5).collect()).await;
    assert!(counted(&metrics, "rabbitmq_deliveries", "redelivered") >= 1);
}

async fn nodes_see_each_others_messages(opened: Opened<Place>) {
    let url = opened.seam.url();
    let ((one, _), (other, _)) = (node(&url, 50).await, node(&url, 50).await);
    offer(&one, 0..40).await.unwrap();
    for delayed in 0..20 {
        one.offer_after(message(100 + delayed), Duration::from_secs(60)).await.unwrap();
    }
    until("it sees them", || other.stats().waiting == 40 && other.stats().delayed == 20).await;
    offer(&other, 40..50).await.unwrap();
    assert!(!other.has_room());
    until("it sees them too", || !one.has_room()).await;
    take_until_all(&other, (0..50).collect()).await;
    until("there is room again", || one.has_room() && other.has_room()).await;
}

/// Sends and takes messages while something goes on; all come.
async fn under_load(queue: &RabbitQueue, trouble: impl AsyncFn(usize)) {
    const MESSAGES: usize = 6_000;
    let taking = tokio::spawn({
        let queue = queue.clone();
        async move { take_until_all(&queue, (0..MESSAGES).collect()).await }
    });
    for (round, first) in (0..MESSAGES).step_by(500).enumerate() {
        let offers = (0..5).map(|part| offer(queue, first + part * 100..first + (part + 1) * 100));
        let (offered, ()) = tokio::join!(futures_util::future::join_all(offers), trouble(round));
        for offered in offered {
            offered.expect("it is there again in time");
        }
    }
    in_time("everything", taking).await.unwrap();
}

async fn nothing_is_lost_where_connections_are_reset(opened: Opened<Place>) {
    let (queue, metrics, proxy) = behind_proxy(&opened.seam).await;
    let found = |metrics: &Metrics| {
        counted(metrics, "rabbitmq_links", "publishing_found").min(counted(
            metrics,
            "rabbitmq_links",
            "consuming_found",
        ))
    };
    under_load(&queue, async |round| {
        if round % 4 == 1 {
            let before = found(&metrics);
            proxy.cut();
            until("both connections are found again", || found(&metrics) > before).await;
        }
    })
    .await;
    assert!(counted(&metrics, "rabbitmq_links", "publishing_lost") >= 3);
}

async fn nothing_is_lost_where_the_server_closes_connections(opened: Opened<Place>) {
    let (queue, metrics, proxy) = behind_proxy(&opened.seam).await;
    under_load(&queue, async |round| match round {
        2 => proxy.force_closed(0),
        6 => proxy.force_closed(1),
        _ => {}
    })
    .await;
    let lost = ["publishing_lost", "consuming_lost"].map(|name| counted(&metrics, "rabbitmq_links", name));
    assert_eq!(lost, [1, 1]);
}

async fn a_blocked_connection_takes_nothing_until_it_is_free(opened: Opened<Place>) {
    let (queue, metrics, proxy) = behind_proxy(&opened.seam).await;
    offer(&queue, 0..10).await.unwrap();
    proxy.block();
    until("it is blocked", || !queue.has_room()).await;
    assert!(!queue.is_available());
    let refused = offer(&queue, 10..11).await;
    assert!(matches!(&refused, Err(QueueError::Unavailable(why)) if why.contains("low on memory")), "{refused:?}");
    // The other connection goes on.
    take_until_all(&queue, (0..10).collect()).await;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { offer(&queue, 11..12).await }
    });
    proxy.unblock();
    in_time("the offer", waiting).await.unwrap().expect("it waits for a while");
    assert!(queue.has_room());
    take_until_all(&queue, BTreeSet::from([11])).await;
    let counts = ["blocked", "unblocked"].map(|name| counted(&metrics, "rabbitmq_links", name));
    assert_eq!(counts, [1, 1]);
}

async fn what_is_refused_is_full(opened: Opened<Place>) {
    let (queue, metrics, proxy) = behind_proxy(&opened.seam).await;
    proxy.refuse(true);
    let refused = in_time("an offer", queue.offer_after(message(0), Duration::from_secs(60))).await;
    assert!(matches!(refused, Err(QueueError::Full)), "{refused:?}");
    assert!(counted(&metrics, "rabbitmq_published", "refused") >= 2, "it was tried again");
    // Where that ends in time, nobody hears of it.
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { offer(&queue, 1..3).await }
    });
    let before = counted(&metrics, "rabbitmq_published", "refused");
    until("it is tried", || counted(&metrics, "rabbitmq_published", "refused") > before).await;
    proxy.refuse(false);
    in_time("the offer", waiting).await.unwrap().unwrap();
    take_until_all(&queue, BTreeSet::from([1, 2])).await;
}

async fn a_server_that_is_not_heard_is_not_available(opened: Opened<Place>) {
    let (queue, metrics, proxy) = behind_proxy(&opened.seam).await;
    proxy.hear(false);
    let lost = offer(&queue, 0..1).await;
    assert!(matches!(lost, Err(QueueError::Unavailable(_))), "{lost:?}");
    // Two heartbeats of two seconds are missed.
    until("it is given up", || counted(&metrics, "rabbitmq_links", "publishing_lost") > 0).await;
    assert!(!queue.has_room());
    proxy.hear(true);
    until("it is found again", || queue.has_room()).await;
    offer(&queue, 1..2).await.unwrap();
    take_until_all(&queue, BTreeSet::from([1])).await;
}

async fn deleted_queues_come_back(opened: Opened<Place>) {
    let place = &opened.seam;
    let (queue, metrics) = node(&place.url(), ROOM).await;
    let (_connection, channel) = place.look().await;
    offer(&queue, 0..2).await.unwrap();
    let held = in_time("a poll", queue.poll(1)).await;
    for name in ["tasks", "tasks.delay.2s"] {
        channel.queue_delete(place.name(name).into(), QueueDeleteOptions::default()).await.unwrap();
    }
    // What was in it is lost; what comes is not.
    let (offered, delayed) =
        tokio::join!(offer(&queue, 2..12), queue.offer_after(message(12), Duration::from_millis(1_500)));
    offered.unwrap();
    delayed.unwrap();
    take_until_all(&queue, (2..13).collect()).await;
    queue.ack(held[0].tag).await;
    let seen = counted(&metrics, "rabbitmq_published", "returned")
        + counted(&metrics, "rabbitmq_links", "publishing_lost")
        + counted(&metrics, "rabbitmq_links", "consuming_lost");
    assert!(seen >= 1, "somebody noticed");
}

/// Puts a message into the tasks' queue.
async fn publish(place: &Place, kind: Option<&str>, body: &[u8]) {
    let (connection, channel) = place.look().await;
    let properties = BasicProperties::default().with_delivery_mode(2);
    let properties = kind.map_or(properties.clone(), |kind| properties.with_type(kind.into()));
    let queue = place.name("tasks").into();
    channel.basic_publish("".into(), queue, BasicPublishOptions::default(), body, properties).await.unwrap();
    connection.close(200, "done".into()).await.unwrap();
}

/// Takes a parked message: its body, and a header of it.
async fn parked(place: &Place, header: &str) -> (Vec<u8>, String) {
    let (_connection, channel) = place.look().await;
    let getting = async {
        loop {
            let queue = place.name("parked").into();
            if let Some(message) = channel.basic_get(queue, BasicGetOptions { no_ack: true }).await.unwrap() {
                return message.delivery;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let delivery = in_time("a parked message", getting).await;
    let headers = delivery.properties.headers().clone().unwrap_or_default();
    let value = match headers.inner().get(header) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{header}: {other:?}"),
    };
    (delivery.data, value)
}

async fn what_cannot_be_read_is_parked_with_its_reason(opened: Opened<Place>) {
    let place = &opened.seam;
    let (queue, metrics) = node(&place.url(), ROOM).await;
    for (kind, body, reason) in [
        (None, "hello", "its type is \"\""),
        (Some("payrig.success.1"), "", "its type is \"payrig.success.1\""),
        (Some("payrig.task.1"), "\u{1}", "Hit the end of buffer"),
    ] {
        publish(place, kind, body.as_bytes()).await;
        offer(&queue, 0..1).await.unwrap();
        take_until_all(&queue, BTreeSet::from([0])).await;
        until("it is seen", || queue.parked() == 1).await;
        let (data, why) = parked(place, "x-payrig-reason").await;
        assert_eq!(data, body.as_bytes());
        assert!(why.contains(reason), "{why}");
        until("it is gone", || queue.parked() == 0).await;
    }
    assert_eq!(counted(&metrics, "rabbitmq_deliveries", "parked"), 3);
    until("nothing is left", || queue.stats().waiting == 0).await;
}

async fn what_a_later_version_sent_is_not_lost_at_once(opened: Opened<Place>) {
    let place = &opened.seam;
    let (queue, metrics) = node(&place.url(), ROOM).await;
    publish(place, Some("payrig.task.2"), b"of tomorrow").await;
    offer(&queue, 0..1).await.unwrap();
    take_until_all(&queue, BTreeSet::from([0])).await;
    // Nobody here knows it: after so many tries the server parks it.
    let (data, why) = parked(place, "x-first-death-reason").await;
    assert_eq!((data.as_slice(), why.as_str()), (b"of tomorrow".as_slice(), "delivery_limit"));
    let tries = counted(&metrics, "rabbitmq_deliveries", "newer");
    assert!(tries >= 20, "{tries} tries");
}

async fn late_acknowledgements_do_no_harm(opened: Opened<Place>) {
    let (queue, metrics, proxy) = behind_proxy(&opened.seam).await;
    offer(&queue, 0..3).await.unwrap();
    let held = in_time("a poll", queue.poll(1)).await;
    proxy.cut();
    until("it is lost", || counted(&metrics, "rabbitmq_links", "consuming_lost") == 1).await;
    // It is of another connection, where tags begin anew.
    queue.ack(held[0].tag).await;
    until("it comes too late", || counted(&metrics, "rabbitmq_deliveries", "stale") >= 1).await;
    take_until_all(&queue, (0..3).collect()).await;
    assert_eq!(queue.stats().unacknowledged, 0);
}

async fn refusal(url: &str) -> RabbitError {
    let settings = RabbitSettings::parse(url).unwrap();
    let connected = in_time("a start", Rabbit::connect(&settings, &SUBSCRIBERS, Arc::new(Metrics::new()))).await;
    let error = connected.err().unwrap_or_else(|| panic!("{settings:?} can be used"));
    assert!(!error.to_string().contains("s3cret"), "{error}");
    error
}

async fn wrong_configurations_are_told_apart(opened: Opened<Place>) {
    let place = &opened.seam;
    let address = RabbitSettings::parse(&url()).unwrap().address();
    let user = "nobody:s3cret";
    let error = refusal(&format!("amqp://{user}@{address}")).await;
    assert!(matches!(&error, RabbitError::Refused { user, .. } if user == "nobody"), "{error}");
    let login = url().strip_prefix("amqp://").and_then(|rest| Some(rest.rsplit_once('@')?.0.to_owned())).unwrap();
    let error = refusal(&format!("amqp://{login}@{address}/no-such-host")).await;
    assert!(matches!(&error, RabbitError::NoVhost { vhost, .. } if vhost == "no-such-host"), "{error}");
    // A port that nobody listens on any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refusal(&format!("amqp://{user}@127.0.0.1:{port}")).await;
    assert!(matches!(&error, RabbitError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    // One that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = refusal(&format!("amqp://{user}@{}", silent.local_addr().unwrap())).await;
    assert!(matches!(&error, RabbitError::Unreachable { .. }), "{error}");
    let (_connection, channel) = place.look().await;
    let tasks = place.name("tasks");
    let durable = QueueDeclareOptions::durable();
    channel.queue_declare(tasks.as_str().into(), durable, FieldTable::default()).await.unwrap();
    let error = refusal(&place.url()).await;
    assert!(matches!(&error, RabbitError::OtherArguments { name, .. } if *name == tasks), "{error}");
    // Which of the arguments it names is the server's choice.
    assert!(error.to_string().contains("inequivalent arg"), "{error}");
}
