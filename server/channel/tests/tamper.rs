//! Whatever is changed in what was signed, by one bit or by a whole member, is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{STYLES, channel, order, params};
use payrig_api::{ChannelStyle, Simulate};
use payrig_channel::{CashierError, Ledger, MemoryLedger, Notification, SecretKey, SimulatedChannel, Wish};
use serde_json::Value;

/// The text with one bit flipped, for every bit.
fn flips(text: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..text.len() * 8).map(|bit| {
        let mut flipped = text.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

/// The same, where a text must remain one.
fn text_flips(text: &str) -> impl Iterator<Item = String> + '_ {
    flips(text.as_bytes()).filter_map(|flipped| String::from_utf8(flipped).ok())
}

fn refused(result: &Result<payrig_channel::Transaction, CashierError>) -> bool {
    matches!(result, Err(CashierError::Malformed(_) | CashierError::Tampered(_)))
}

#[tokio::test]
async fn every_flipped_bit_of_pay_params_is_refused() {
    for (n, style) in STYLES.into_iter().enumerate() {
        for drop_notification in [false, true] {
            let (channel, _notifications) = channel("quiet").await;
            let wish = Wish { attempt: 1, simulate: Some(Simulate { drop_notification, ..Simulate::default() }) };
            let number = format!("t-{n}");
            let text = params(&channel, &order(&number, style), &wish).await.unwrap();
            for flipped in flips(text.as_bytes()) {
                let result = channel.cashier(&flipped).await;
                assert!(refused(&result), "{} gave {result:?}", String::from_utf8_lossy(&flipped));
            }
            assert_eq!(channel.ledger_page(None, 10).await.unwrap().iter().filter(|row| row.paid.is_some()).count(), 0);
            channel.cashier(text.as_bytes()).await.expect("the untouched ones are good");
        }
    }
}

#[tokio::test]
async fn members_can_move_and_nothing_else() {
    for style in STYLES {
        let (channel, _notifications) = channel("quiet").await;
        let text = params(&channel, &order("t-1", style), &Wish::PLAIN).await.unwrap();
        let members: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
        for name in ["out_trade_no", "amount_minor", "currency", "merchant", "order_no", "sign", "cashier_url"] {
            assert!(members.contains_key(name), "{name} in {text}");
        }
        let reordered: Vec<_> = members.iter().rev().map(|(name, value)| format!("\t\"{name}\" : {value}\n")).collect();
        let reordered = format!(" {{{}}} ", reordered.join(","));
        let transaction = channel.cashier(reordered.as_bytes()).await.expect("order and space do not matter");
        assert_eq!(transaction.out_trade_no, "t-1");
        for name in members.keys() {
            let mut fewer = members.clone();
            fewer.remove(name);
            assert!(refused(&channel.cashier(&serde_json::to_vec(&fewer).unwrap()).await), "without {name}");
            let mut other = members.clone();
            other.insert(name.clone(), Value::from("other"));
            assert!(refused(&channel.cashier(&serde_json::to_vec(&other).unwrap()).await), "another {name}");
        }
        let mut more = members.clone();
        more.insert("extra".to_owned(), Value::from(1));
        assert!(refused(&channel.cashier(&serde_json::to_vec(&more).unwrap()).await));
        let twice = text.replacen('{', "{\"amount_minor\":1234,", 1);
        assert!(refused(&channel.cashier(twice.as_bytes()).await), "a member that stands there twice");
        for nonsense in ["", "{}", "[]", "null", "{\"a\":{}}", "{\"a\":1.5}", "{\"a\":-1}", "{\"sign\":1}", "\u{0}"] {
            assert!(
                matches!(channel.cashier(nonsense.as_bytes()).await, Err(CashierError::Malformed(_))),
                "{nonsense}"
            );
        }
    }
}

/// Values must not run into each other: what is signed for one set of members is good for no other.
#[tokio::test]
async fn a_value_cannot_pose_as_another_member() {
    let (channel, _notifications) = channel("quiet").await;
    let bait = payrig_channel::Order {
        merchant: "m\",\"method\":\"alipay.trade.page.pay\",\"order_no\":\"o",
        order_no: "o&amount_minor=1",
        ..order("t-1", ChannelStyle::Alipay)
    };
    let text = channel.pay_params(&bait, None, &Wish::PLAIN).unwrap();
    let members: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(members["merchant"], bait.merchant);
    channel.cashier(text.as_bytes()).await.unwrap();
    let row = channel.ledger_page(None, 1).await.unwrap().remove(0);
    assert_eq!((row.merchant.as_deref(), row.order_no.as_deref()), (Some(bait.merchant), Some(bait.order_no)));
}

async fn notification(style: ChannelStyle) -> (SimulatedChannel, Notification) {
    let (channel, mut notifications) = channel("quiet").await;
    let text = params(&channel, &order("t-1", style), &Wish::PLAIN).await.unwrap();
    channel.cashier(text.as_bytes()).await.unwrap();
    let notification = notifications.recv().await.unwrap();
    (channel, notification)
}

#[tokio::test]
async fn every_flipped_bit_of_a_notification_is_refused() {
    for style in STYLES {
        let (channel, good) = notification(style).await;
        let verifier = channel.verifier();
        verifier.verify(&good).expect("the untouched one is good");
        for body in flips(&good.body) {
            let bad = Notification { body, ..good.clone() };
            assert!(verifier.verify(&bad).is_err(), "{}", String::from_utf8_lossy(&bad.body));
        }
        for bit in 0..64 {
            let bad = Notification { timestamp_s: good.timestamp_s ^ (1 << bit), ..good.clone() };
            assert!(verifier.verify(&bad).is_err(), "time stamp {}", bad.timestamp_s);
        }
        for nonce in text_flips(&good.nonce) {
            assert!(verifier.verify(&Notification { nonce, ..good.clone() }).is_err());
        }
        for serial in text_flips(&good.serial) {
            assert!(verifier.verify(&Notification { serial, ..good.clone() }).is_err());
        }
        for signature in text_flips(&good.signature) {
            assert!(verifier.verify(&Notification { signature, ..good.clone() }).is_err());
        }
    }
}

#[tokio::test]
async fn what_others_signed_is_refused() {
    for style in STYLES {
        let (channel, good) = notification(style).await;
        let options = payrig_channel::Options { secret: Some(SecretKey::random()), ..common::options("quiet") };
        let (other, _notifications) =
            SimulatedChannel::start(Ledger::from(MemoryLedger::new()), options).await.unwrap();
        assert!(other.verify(&good).is_err());
        let text = params(&other, &order("t-2", style), &Wish::PLAIN).await.unwrap();
        assert!(matches!(channel.cashier(text.as_bytes()).await, Err(CashierError::Tampered(_))));
        // A body of one style under the other's name.
        for other_style in STYLES.into_iter().filter(|other| *other != style) {
            assert!(channel.verify(&Notification { style: other_style, ..good.clone() }).is_err());
        }
        // Line feeds separate the signed parts: a nonce that swallows some of the body is refused.
        let swallowed = Notification { nonce: format!("{}\nx", good.nonce), ..good };
        assert!(channel.verify(&swallowed).is_err());
    }
}
