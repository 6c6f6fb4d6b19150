//! The ways of one order through the channel, in both styles, on a quiet profile.

mod common;

use std::time::Duration;

use common::{STYLES, channel, order, params};
use payrig_api::{ChannelStyle, Simulate};
use payrig_channel::{CashierError, ChannelError, CloseAnswer, TradeState, Wish};
use tokio::time::Instant;

fn asking(simulate: Simulate) -> impl Fn(u8) -> Wish {
    move |attempt| Wish { attempt, simulate: Some(simulate) }
}

fn code(error: &ChannelError) -> &'static str {
    match error {
        ChannelError::Transient { code, .. } | ChannelError::Permanent { code, .. } => code,
        other => panic!("no code in {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_is_paid_once_and_told_and_refunded() {
    for style in STYLES {
        let (channel, mut notifications) = channel("quiet").await;
        let order = order("t-1", style);
        assert_eq!(channel.query("t-1", 1).await.unwrap(), TradeState::Unknown);
        let text = params(&channel, &order, &Wish::PLAIN).await.unwrap();
        assert_eq!(params(&channel, &order, &Wish::PLAIN).await.unwrap(), text, "a repeat gives the same");
        let before = channel.query("t-1", 1).await.unwrap();
        let expected = if style == ChannelStyle::Wechat { TradeState::AwaitingPayer } else { TradeState::Unknown };
        assert_eq!(before, expected);

        let transaction = channel.cashier(text.as_bytes()).await.unwrap();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(channel.cashier(text.as_bytes()).await.unwrap(), transaction, "paying twice is paying once");
        let TradeState::Paid(paid) = channel.query("t-1", 1).await.unwrap() else { panic!("not paid") };
        assert_eq!((paid.amount_minor, &paid.transaction_id), (1_234, &transaction.transaction_id));
        assert_eq!(channel.close("t-1", 1).await.unwrap(), CloseAnswer::AlreadyPaid(paid.clone()));

        let notification = notifications.recv().await.unwrap();
        let notice = channel.verify(&notification).unwrap();
        assert_eq!((notice.out_trade_no.as_str(), notice.merchant.as_str()), ("t-1", order.merchant));
        assert_eq!(notice.paid, paid);
        assert_eq!(channel.notifications_pending(), 0);

        for amount_minor in [0, 1_235] {
            assert_eq!(code(&channel.refund("t-1", amount_minor, 1).await.unwrap_err()), "PARAM_ERROR");
        }
        for repeat in 1..=2 {
            channel.refund("t-1", 1_234, repeat).await.unwrap();
        }
        assert_eq!(code(&channel.refund("t-1", 1, 1).await.unwrap_err()), "INVALID_REQUEST");
        let rows = channel.ledger_page(None, 10).await.unwrap();
        assert_eq!((rows.len(), rows[0].net_minor(), rows[0].style), (1, 0, Some(style)));
        assert_eq!(rows[0].prepaid_at_us.is_some(), style == ChannelStyle::Wechat);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_order_is_closed_for_good_seen_before_or_not() {
    for style in STYLES {
        let (channel, mut notifications) = channel("quiet").await;
        let text = params(&channel, &order("t-1", style), &Wish::PLAIN).await.unwrap();
        for repeat in 1..=2 {
            assert_eq!(channel.close("t-1", repeat).await.unwrap(), CloseAnswer::Closed);
        }
        assert!(matches!(channel.cashier(text.as_bytes()).await, Err(CashierError::Closed)));
        assert_eq!(channel.query("t-1", 1).await.unwrap(), TradeState::Closed);
        assert_eq!(code(&channel.refund("t-1", 1_234, 1).await.unwrap_err()), "ORDER_NOT_EXIST");
        assert_eq!(channel.close("never-seen", 1).await.unwrap(), CloseAnswer::Closed);
        let unseen = channel.prepay(&order("never-seen", ChannelStyle::Wechat), &Wish::PLAIN).await;
        assert_eq!(code(&unseen.unwrap_err()), "ORDER_CLOSED");
        drop(channel);
        assert_eq!(notifications.recv().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn one_number_stands_for_one_order() {
    let (channel, _notifications) = channel("quiet").await;
    let first = order("t-1", ChannelStyle::Wechat);
    let prepay = channel.prepay(&first, &Wish::PLAIN).await.unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(channel.prepay(&first, &Wish::PLAIN).await.unwrap(), prepay);
    let other = payrig_channel::Order { amount_minor: 1, ..first };
    assert_eq!(code(&channel.prepay(&other, &Wish::PLAIN).await.unwrap_err()), "OUT_TRADE_NO_USED");
    let bait = channel.pay_params(&other, Some(&prepay), &Wish::PLAIN).unwrap();
    assert!(matches!(channel.cashier(bait.as_bytes()).await, Err(CashierError::Malformed(_))));
    assert_eq!(code(&channel.pay_params(&first, None, &Wish::PLAIN).unwrap_err()), "PARAM_ERROR");
    for number in ["", "a b", "ä", &"x".repeat(65)] {
        assert_eq!(code(&channel.query(number, 1).await.unwrap_err()), "PARAM_ERROR", "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn wishes_come_true_in_both_styles() {
    for style in STYLES {
        let (channel, _notifications) = channel("quiet").await;
        let order = order("t-1", style);
        let wish = asking(Simulate { fail_first: 2, lose_answer: 1, ..Simulate::default() });
        for attempt in 1..=2 {
            let error = params(&channel, &order, &wish(attempt)).await.unwrap_err();
            assert!(matches!(error, ChannelError::Transient { .. }), "{error}");
        }
        assert_eq!(channel.query("t-1", 1).await.unwrap(), TradeState::Unknown, "a failed call has no effect");
        assert!(matches!(params(&channel, &order, &wish(3)).await, Err(ChannelError::NoAnswer)));
        if style == ChannelStyle::Wechat {
            assert_eq!(channel.query("t-1", 1).await.unwrap(), TradeState::AwaitingPayer, "a lost answer has one");
        }
        params(&channel, &order, &wish(4)).await.unwrap();
        let wish = asking(Simulate { permanent: true, ..Simulate::default() });
        let error = params(&channel, &order, &wish(1)).await.unwrap_err();
        assert!(matches!(error, ChannelError::Permanent { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn latencies_are_waited_for_and_no_latency_is_no_wait() {
    let (slow, _notifications) = channel("quiet,latency=40ms").await;
    let order = order("t-1", ChannelStyle::Wechat);
    let start = Instant::now();
    slow.prepay(&order, &Wish::PLAIN).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(40));
    let wish = asking(Simulate { latency_ms: Some(500), ..Simulate::default() });
    slow.prepay(&order, &wish(1)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(540));
    let (fast, mut notifications) = channel("quiet").await;
    let text = params(&fast, &order, &Wish::PLAIN).await.unwrap();
    fast.cashier(text.as_bytes()).await.unwrap();
    notifications.recv().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(540));
}

#[tokio::test(start_paused = true)]
async fn notifications_come_in_the_order_of_their_times() {
    let (channel, mut notifications) = channel("quiet,notify=lognormal(p50=80ms,p99=1s)").await;
    let start = Instant::now();
    let numbers: Vec<String> = (0..50).map(|n| format!("t-{n}")).collect();
    for (n, number) in numbers.iter().enumerate() {
        let text = params(&channel, &order(number, STYLES[n % 2]), &Wish::PLAIN).await.unwrap();
        channel.cashier(text.as_bytes()).await.unwrap();
    }
    assert_eq!(channel.notifications_pending(), 50);
    let keeper = channel.clone();
    drop(channel);
    let mut seen = Vec::new();
    for _ in 0..50 {
        let notification = notifications.recv().await.unwrap();
        seen.push((start.elapsed(), keeper.verify(&notification).unwrap().out_trade_no));
    }
    assert!(seen.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    assert!(seen[25].0 > Duration::from_millis(40) && seen[25].0 < Duration::from_millis(160), "{:?}", seen[25]);
    let mut told: Vec<_> = seen.into_iter().map(|(_, number)| number).collect();
    told.sort();
    let mut numbers = numbers;
    numbers.sort();
    assert_eq!(told, numbers);
}

#[tokio::test(start_paused = true)]
async fn a_notification_is_left_out_if_so_wished_and_dropped_if_too_many_wait() {
    let drop_it = asking(Simulate { drop_notification: true, ..Simulate::default() });
    for style in STYLES {
        let (channel, mut notifications) = channel("quiet").await;
        let text = params(&channel, &order("t-1", style), &drop_it(1)).await.unwrap();
        channel.cashier(text.as_bytes()).await.unwrap();
        assert_eq!((channel.notifications_pending(), channel.notifications_dropped()), (0, 0));
        drop(channel);
        assert_eq!(notifications.recv().await, None);
    }
    let options = payrig_channel::Options { notification_capacity: 2, ..common::options("quiet,notify=1s") };
    let ledger = payrig_channel::MemoryLedger::new().into();
    let (channel, mut notifications) = payrig_channel::SimulatedChannel::start(ledger, options).await.unwrap();
    for number in ["a", "b", "c", "d"] {
        let text = params(&channel, &order(number, ChannelStyle::Alipay), &Wish::PLAIN).await.unwrap();
        channel.cashier(text.as_bytes()).await.unwrap();
    }
    assert_eq!((channel.notifications_pending(), channel.notifications_dropped()), (2, 2));
    drop(channel);
    assert!(notifications.recv().await.is_some() && notifications.recv().await.is_some());
    assert_eq!(notifications.recv().await, None, "what waits is delivered after the channel has gone, and no more");
}

#[tokio::test(start_paused = true)]
async fn an_outage_stops_calls_cashier_and_notifications() {
    let (channel, mut notifications) = channel("quiet,notify=2s,outage=1s..5s").await;
    let start = Instant::now();
    let text = params(&channel, &order("t-1", ChannelStyle::Wechat), &Wish::PLAIN).await.unwrap();
    channel.cashier(text.as_bytes()).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(matches!(channel.query("t-1", 1).await, Err(ChannelError::Transient { .. })));
    assert!(matches!(channel.close("t-2", 1).await, Err(ChannelError::Transient { .. })));
    assert!(matches!(channel.cashier(text.as_bytes()).await, Err(CashierError::Unavailable)));
    notifications.recv().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(5), "news due in the outage go out when it is over");
    assert!(channel.cashier(text.as_bytes()).await.is_ok());
}
