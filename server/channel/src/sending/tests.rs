//! The pool by paused time and a server that is a function: when notifications come, how often, and what ends them.

use std::sync::Mutex;
use std::time::Duration;

use payrig_api::{ChannelStyle, Currency};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::keys::ChannelKeys;
use crate::ledger::{Ledger, MemoryLedger};
use crate::notification::News;
use crate::options::Options;
use crate::order::{Order, Paid, Wish};
use crate::params::PayParamsWriter;
use crate::sign::{Purpose, SecretKey, Signer};
use crate::{PaidNotice, SignatureError};

const URL: &str = "http://server/v1/notify";

/// A server: what it answers to each notification, and what came when.
struct Server<F> {
    answer: F,
    came: mpsc::UnboundedSender<(Instant, Notification)>,
}

impl<F: Fn(usize) -> Answered + Send + Sync + 'static> Post for (Server<F>, Mutex<usize>) {
    async fn post(&self, url: &str, notification: Notification) -> Answered {
        assert_eq!(url, URL);
        let number = {
            let mut number = self.1.lock().unwrap();
            *number += 1;
            *number - 1
        };
        let _ = self.0.came.send((Instant::now(), notification));
        (self.0.answer)(number)
    }
}

fn keys() -> (ChannelKeys, Signer) {
    let secret = SecretKey::from_bytes([5; 32]);
    let merchant = Signer::hmac_sha256(&secret, Purpose::PayParams);
    let own = Signer::hmac_sha256(&secret, Purpose::Notification);
    (ChannelKeys { merchant: merchant.checker().clone(), own }, merchant)
}

struct World {
    channel: SimulatedChannel,
    params: PayParamsWriter,
    came: mpsc::UnboundedReceiver<(Instant, Notification)>,
    stop: watch::Sender<bool>,
    pool: tokio::task::JoinHandle<()>,
}

impl World {
    async fn start(
        ledger: &MemoryLedger,
        profile: &str,
        answer: impl Fn(usize) -> Answered + Send + Sync + 'static,
    ) -> Self {
        Self::start_with_room(8, ledger, profile, answer).await
    }

    async fn start_with_room(
        notification_capacity: usize,
        ledger: &MemoryLedger,
        profile: &str,
        answer: impl Fn(usize) -> Answered + Send + Sync + 'static,
    ) -> Self {
        let (keys, merchant) = keys();
        let options = Options {
            profile: profile.parse().unwrap(),
            keys: Some(keys),
            notification_capacity,
            ..Options::default()
        };
        let (channel, notifications) = SimulatedChannel::start(Ledger::from(ledger.clone()), options).await.unwrap();
        let (sender, came) = mpsc::unbounded_channel();
        let (stop, stopping) = watch::channel(false);
        let poster = (Server { answer, came: sender }, Mutex::new(0));
        let metrics = Arc::new(Metrics::new());
        let scale = TimeScale::PUBLISHED;
        let to_send = ToSend { notifications, scale };
        let pool = run_with(poster, channel.clone(), metrics, to_send, stopping);
        let pool = tokio::spawn(pool);
        let params = PayParamsWriter::new(merchant, "http://channel/cashier", URL);
        Self { channel, params, came, stop, pool }
    }

    async fn pay(&self, style: ChannelStyle, out_trade_no: &str) {
        let order =
            Order { out_trade_no, merchant: "m", order_no: "o", amount_minor: 7, currency: Currency::CNY, style };
        let prepay = match style {
            ChannelStyle::Alipay => None,
            ChannelStyle::Wechat => Some(self.channel.prepay_notified(&order, URL, &Wish::PLAIN).await.unwrap()),
        };
        let params = self.params.pay_params(&order, prepay.as_ref(), &Wish::PLAIN).unwrap();
        self.channel.cashier(params.as_bytes()).await.unwrap();
    }

    fn verify(&self, notification: &Notification) -> Result<PaidNotice, SignatureError> {
        self.channel.verify(notification)
    }

    /// The next one. Its limit passes in paused time, also while whoever waits for room looks again on and on.
    async fn next(&mut self) -> (Instant, Notification) {
        let came = tokio::time::timeout(Duration::from_secs(60), self.came.recv()).await;
        came.expect("none came").unwrap()
    }

    /// All that came, once nothing waits any more.
    async fn all(&mut self) -> Vec<(Instant, Notification)> {
        while self.channel.notifications_pending() + self.channel.notifications_repeating() > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::iter::from_fn(|| self.came.try_recv().ok()).collect()
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.pool.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_acknowledges_is_repeated_on_schedule_and_then_given_up() {
    for (style, sendings) in [(ChannelStyle::Wechat, 16), (ChannelStyle::Alipay, 8)] {
        let mut world = World::start(&MemoryLedger::new(), "quiet", |_| Answered::Otherwise(500)).await;
        let paid_at = Instant::now();
        world.pay(style, "t-1").await;
        let came = world.all().await;
        assert_eq!(came.len(), sendings);
        let mut due = paid_at;
        let mut nonces = std::collections::BTreeSet::new();
        let first = world.verify(&came[0].1).unwrap();
        for (number, (at, notification)) in (0_u32..).zip(&came) {
            assert!(at.saturating_duration_since(due) < Duration::from_millis(50), "sending {number} of {style:?}");
            let notice = world.verify(notification).unwrap();
            assert_eq!((&notice.notify_id, &notice.paid), (&first.notify_id, &first.paid), "the same notification");
            assert!(nonces.insert(notice.nonce), "a nonce of its own");
            due = *at + wait_after(style, number, TimeScale::PUBLISHED).unwrap_or_default();
        }
        world.end().await;
    }
}

/// What waits for a repeat is not pending until its time has come; a first sending is, however late it is.
#[tokio::test(start_paused = true)]
async fn a_repeat_is_pending_only_when_it_is_due() {
    let mut world = World::start(&MemoryLedger::new(), "quiet,notify=1h", |_| Answered::Otherwise(503)).await;
    let counts = |world: &World| (world.channel.notifications_pending(), world.channel.notifications_repeating());
    world.pay(ChannelStyle::Alipay, "t-1").await;
    assert_eq!(counts(&world), (1, 0), "it was never sent");
    for repeats in 1..3 {
        world.came.recv().await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(counts(&world), (0, 1), "sent {repeats} times");
    }
    assert_eq!(world.all().await.len(), 6);
    assert_eq!(counts(&world), (0, 0));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_ends_it_even_late() {
    let answer = |number| if number < 3 { Answered::Not("busy") } else { Answered::Acknowledged };
    let mut world = World::start(&MemoryLedger::new(), "quiet", answer).await;
    world.pay(ChannelStyle::Wechat, "t-1").await;
    assert_eq!(world.all().await.len(), 4);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn more_than_there_is_room_for_is_dropped_and_counted() {
    let mut world = World::start(&MemoryLedger::new(), "quiet,notify=1h", |_| Answered::Acknowledged).await;
    for number in 0..10 {
        world.pay(ChannelStyle::Alipay, &format!("t-{number}")).await;
    }
    assert_eq!((world.channel.notifications_pending(), world.channel.notifications_dropped()), (8, 2));
    assert_eq!(world.all().await.len(), 8);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_repeats_what_was_not_acknowledged_and_nothing_else() {
    let ledger = MemoryLedger::new();
    let answer = |number| if number == 0 { Answered::Acknowledged } else { Answered::Otherwise(503) };
    let mut world = World::start(&ledger, "quiet", answer).await;
    world.pay(ChannelStyle::Alipay, "acknowledged").await;
    world.came.recv().await.unwrap();
    world.pay(ChannelStyle::Wechat, "refused").await;
    world.came.recv().await.unwrap();
    world.end().await;
    let mut world = World::start(&ledger, "quiet", |_| Answered::Acknowledged).await;
    let (_, notification) = world.came.recv().await.unwrap();
    assert_eq!(world.verify(&notification).unwrap().out_trade_no, "refused");
    assert!(world.all().await.is_empty());
    world.end().await;
}

/// The clock of the machine may have been set back since: what was paid before the start is before it all the same.
#[tokio::test(start_paused = true)]
async fn a_restart_repeats_what_was_paid_in_its_future() {
    let ledger = MemoryLedger::new();
    let mut world = World::start(&ledger, "quiet", |_| Answered::Otherwise(503)).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    world.pay(ChannelStyle::Wechat, "t-1").await;
    world.came.recv().await.unwrap();
    world.end().await;
    // It has no share in the hour that passed for the one before.
    let mut world = World::start(&ledger, "quiet", |_| Answered::Acknowledged).await;
    world.pay(ChannelStyle::Wechat, "t-2").await;
    let came = world.all().await;
    let mut numbers: Vec<_> =
        came.iter().map(|(_, notification)| world.verify(notification).unwrap().out_trade_no).collect();
    numbers.sort();
    assert_eq!(numbers, ["t-1", "t-2"], "each once");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_room_for_one_repeats_them_one_after_another() {
    let ledger = MemoryLedger::new();
    let mut world = World::start(&ledger, "quiet", |_| Answered::Otherwise(503)).await;
    for number in 0..3 {
        world.pay(ChannelStyle::Alipay, &format!("t-{number}")).await;
        world.next().await;
    }
    world.end().await;
    let mut world = World::start_with_room(1, &ledger, "quiet", |_| Answered::Acknowledged).await;
    for number in 0..3 {
        let (_, notification) = world.next().await;
        assert_eq!(world.verify(&notification).unwrap().out_trade_no, format!("t-{number}"));
    }
    world.end().await;
}

/// The server remembers nonces: of a channel that starts again within the same second it must not see one twice.
#[tokio::test(start_paused = true)]
async fn no_start_of_the_program_repeats_the_nonces_of_another() {
    let paid = Paid { transaction_id: "tx".to_owned(), paid_at_us: 1, amount_minor: 7, currency: Currency::CNY };
    let news =
        News { style: STYLES[0], out_trade_no: "t-1".to_owned(), merchant: "m".to_owned(), paid, notify_url: None };
    for speaks_http in [true, false] {
        let ledger = MemoryLedger::new();
        let mut nonces = Vec::new();
        for _ in 0..2 {
            let options = Options { keys: speaks_http.then(|| keys().0), ..Options::default() };
            let (channel, _notifications) =
                SimulatedChannel::start(Ledger::from(ledger.clone()), options).await.unwrap();
            let notification = channel.inner().sealer.seal(&news, Claim::Genuine, 1_800_000_000, 0);
            nonces.push((notification.nonce.clone(), channel.verify(&notification).unwrap().notify_id));
        }
        assert_eq!(nonces[0].1, nonces[1].1, "the id is the notification's own");
        assert_eq!(nonces[0].0 != nonces[1].0, speaks_http, "in process the same seed means the same");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_holds_notifications_back_until_it_is_over() {
    let mut world =
        World::start(&MemoryLedger::new(), "quiet,outage=10s..60s,notify=20s", |_| Answered::Acknowledged).await;
    let start = Instant::now();
    world.pay(ChannelStyle::Wechat, "t-1").await;
    let (at, _) = world.came.recv().await.unwrap();
    assert!((59..61).contains(&(at - start).as_secs()), "{:?}", at - start);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn duplicates_come_twice_lost_ones_later_and_contradictions_are_signed() {
    let mut world = World::start(&MemoryLedger::new(), "quiet,notify-duplicate=100%", |_| Answered::Acknowledged).await;
    world.pay(ChannelStyle::Wechat, "t-1").await;
    let came = world.all().await;
    let notices: Vec<_> = came.iter().map(|(_, notification)| world.verify(notification).unwrap()).collect();
    assert_eq!(notices.len(), 2);
    assert_eq!(notices[0].notify_id, notices[1].notify_id);
    assert_ne!(notices[0].nonce, notices[1].nonce);

    world.channel.set_profile("quiet,notify-lost=100%".parse().unwrap());
    world.pay(ChannelStyle::Alipay, "t-2").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((world.came.try_recv().is_err(), world.channel.notifications_repeating()), (true, 1));
    world.channel.set_profile("quiet".parse().unwrap());
    assert_eq!(world.all().await.len(), 1, "the next sending arrives");

    world.channel.set_profile("quiet,notify-contradict=100%".parse().unwrap());
    let (mut closed, mut amounts, mut transactions) = (0, 0, 0);
    for number in 0..40 {
        world.pay(STYLES[number % 2], &format!("c-{number}")).await;
        let came = world.all().await;
        assert_eq!(came.len(), 2);
        let said: Vec<_> = came.iter().map(|(_, notification)| world.verify(notification)).collect();
        match (&said[0], &said[1]) {
            (Err(SignatureError::Malformed("no news of a payment")), Ok(_))
            | (Ok(_), Err(SignatureError::Malformed("no news of a payment"))) => closed += 1,
            (Ok(one), Ok(other)) if one.paid.amount_minor != other.paid.amount_minor => amounts += 1,
            (Ok(one), Ok(other)) if one.paid.transaction_id != other.paid.transaction_id => transactions += 1,
            agreed => panic!("{agreed:?}"),
        }
    }
    assert!(closed > 0 && amounts > 0 && transactions > 0, "{closed} {amounts} {transactions}");
    world.end().await;
}

const STYLES: [ChannelStyle; 2] = [ChannelStyle::Alipay, ChannelStyle::Wechat];
