//! Notifications of the program, as a server sees them: signed, repeated, sent again after a crash, and by a new key.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod http_support;

use http_support::receiver::Receiver;
use http_support::{MERCHANT, Platform, Program, STYLES};
use payrig_api::ChannelStyle;
use payrig_channel::keys::{self, PlatformKeys};
use payrig_channel::{Algorithm, Notification};
use rustix::process::Signal;

async fn start(arguments: &[&str]) -> (tempfile::TempDir, Program, Receiver) {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&dir.path().join("data"), arguments);
    (dir, program, Receiver::start().await)
}

fn platform(program: &Program, receiver: &Receiver, style: ChannelStyle) -> Platform {
    Platform::of(program, &format!("{}{}", receiver.url, style.name()))
}

/// Both styles by every algorithm: the news come, and every flipped byte of them is refused.
#[tokio::test]
async fn the_news_of_a_payment_come_and_every_flipped_byte_is_refused() {
    for algorithm in Algorithm::ALL {
        let (_dir, program, mut receiver) = start(&["--profile", "quiet", "--signature", algorithm.flag()]).await;
        for style in STYLES {
            let platform = platform(&program, &receiver, style);
            let number = format!("{}-1", style.name());
            let transaction = platform.pay(style, &number).await;
            let came = receiver.next().await;
            let good = came.notification.clone();
            let verifier = &platform.keys.channel;
            let notice = verifier.verify(&good).unwrap();
            assert_eq!((notice.out_trade_no.as_str(), notice.merchant.as_str()), (number.as_str(), MERCHANT));
            assert_eq!(notice.paid.transaction_id, transaction.transaction_id);
            assert!(notice.timestamp_s.abs_diff(http_support::now_s()) < 60);
            for at in 0..good.body.len() {
                let mut body = good.body.clone();
                body[at] ^= 1 << (at % 8);
                assert!(verifier.verify(&Notification { body, ..good.clone() }).is_err(), "{algorithm} body at {at}");
            }
            // What travels in headers, as a server reads it.
            let headers = good.headers();
            for (name, value) in &headers {
                for at in 0..value.len() {
                    let mut flipped = value.clone().into_bytes();
                    flipped[at] ^= 1 << (at % 8);
                    let Ok(flipped) = String::from_utf8(flipped) else { continue };
                    let header = |wanted: &str| {
                        if wanted == *name {
                            return Some(flipped.as_str());
                        }
                        headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
                    };
                    let read = Notification::from_http(style, header, good.body.clone());
                    let believed = read.and_then(|notification| verifier.verify(&notification));
                    assert!(believed.is_err(), "{algorithm} {name} {flipped}");
                }
            }
            came.acknowledge();
        }
        program.quiesced().await;
        assert!(receiver.next_now().is_none());
    }
}

/// Style by style: what is no acknowledgement is repeated, with the same id and a nonce of its own, until one comes.
#[tokio::test]
async fn a_repeat_is_the_same_notification_until_it_is_acknowledged() {
    let arguments = ["--profile", "quiet", "--signature", "ed25519", "--time-scale", "10000"];
    let (_dir, program, mut receiver) = start(&arguments).await;
    for style in STYLES {
        let platform = platform(&program, &receiver, style);
        platform.pay(style, style.name()).await;
        let first = receiver.next().await;
        let id = platform.keys.channel.verify(&first.notification).unwrap().notify_id;
        let mut nonces = vec![first.notification.nonce.clone()];
        match style {
            ChannelStyle::Alipay => first.answer(200, "Success"),
            ChannelStyle::Wechat => first.answer(503, "success"),
        }
        for answer in [(500, ""), (404, "success"), (302, "success")] {
            let next = receiver.next().await;
            let notice = platform.keys.channel.verify(&next.notification).unwrap();
            assert_eq!(notice.notify_id, id);
            assert!(!nonces.contains(&notice.nonce));
            nonces.push(notice.nonce);
            next.answer(answer.0, answer.1);
        }
        receiver.next().await.acknowledge();
        program.quiesced().await;
        assert!(receiver.next_now().is_none());
    }
    let metrics = http_support::send(http::Request::get(format!("{}/metrics", program.admin)), Vec::new()).await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains(r#"notification_sendings_total{outcome="NotAcknowledged"} 8"#), "{text}");
}

/// At the published pace nothing would be repeated within this test: what comes is what the restart sends.
#[tokio::test]
async fn what_a_killed_channel_had_not_delivered_comes_after_its_restart() {
    let (dir, program, mut receiver) = start(&["--profile", "quiet", "--signature", "ed25519"]).await;
    let (wechat, alipay) =
        (platform(&program, &receiver, ChannelStyle::Wechat), platform(&program, &receiver, ChannelStyle::Alipay));
    wechat.pay(ChannelStyle::Wechat, "w-1").await;
    receiver.next().await.answer(500, "");
    // It waits for a repeat 15 s away, which is told apart from what is about to be sent.
    let counts = |books: &serde_json::Value| {
        (books["notifications_pending"].as_u64(), books["notifications_repeating"].as_u64())
    };
    while counts(&program.admin("/admin/books").await) != (Some(0), Some(1)) {
        tokio::task::yield_now().await;
    }
    alipay.pay(ChannelStyle::Alipay, "a-1").await;
    let unanswered = receiver.next().await;
    let verifier = wechat.keys.channel.clone();
    program.kill();
    drop(unanswered);
    let program = Program::start(&dir.path().join("data"), &["--profile", "quiet"]);
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let came = receiver.next().await;
        numbers.push(verifier.verify(&came.notification).unwrap().out_trade_no);
        came.acknowledge();
    }
    numbers.sort();
    assert_eq!(numbers, ["a-1", "w-1"]);
    // A clean stop writes down what was acknowledged.
    program.quiesced().await;
    assert_eq!(program.stop(), Some(0));
    let program = Program::start(&dir.path().join("data"), &["--profile", "quiet"]);
    let platform = platform(&program, &receiver, ChannelStyle::Alipay);
    platform.pay(ChannelStyle::Alipay, "a-2").await;
    let came = receiver.next().await;
    assert_eq!(verifier.verify(&came.notification).unwrap().out_trade_no, "a-2", "nothing else is sent again");
    came.acknowledge();
}

#[tokio::test]
async fn a_new_key_takes_over_and_the_old_one_is_still_believed() {
    let (_dir, program, mut receiver) = start(&["--profile", "quiet"]).await;
    let folder = program.data.join("keys");
    let platform = platform(&program, &receiver, ChannelStyle::Alipay);
    platform.pay(ChannelStyle::Alipay, "a-1").await;
    let old = receiver.next().await;
    let old_notification = old.notification.clone();
    old.acknowledge();
    let serial = keys::rotate(&folder, Some(Algorithm::Ed25519)).unwrap();
    program.signal(Signal::HUP);
    // The program says nothing to whoever sent the signal: payments show when it has taken the key.
    let mut number = 1;
    let new_notification = loop {
        number += 1;
        platform.pay(ChannelStyle::Alipay, &format!("a-{number}")).await;
        let came = receiver.next().await;
        let notification = came.notification.clone();
        came.acknowledge();
        if notification.serial == serial {
            break notification;
        }
        assert_eq!(notification.serial, old_notification.serial);
    };
    assert!(!platform.keys.channel.knows(&serial), "read before there was such a key");
    let reread = PlatformKeys::load(&folder).unwrap();
    for notification in [&old_notification, &new_notification] {
        reread.channel.verify(notification).unwrap();
    }
}

#[tokio::test]
async fn sendings_that_the_profile_loses_are_made_up_for() {
    let words = "quiet,notify-lost=50%,notify-duplicate=20%,seed=11";
    let arguments = ["--profile", words, "--signature", "hmac-sha256", "--time-scale", "100000"];
    let (_dir, program, mut receiver) = start(&arguments).await;
    let platform = platform(&program, &receiver, ChannelStyle::Wechat);
    let mut missing = std::collections::BTreeSet::new();
    for number in 0..50 {
        let name = format!("w-{number}");
        platform.pay(ChannelStyle::Wechat, &name).await;
        missing.insert(name);
    }
    while !missing.is_empty() {
        let came = receiver.next().await;
        missing.remove(&platform.keys.channel.verify(&came.notification).unwrap().out_trade_no);
        came.acknowledge();
    }
}
