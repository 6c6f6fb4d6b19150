//! Notifications of a channel that is a program of its own: what is refused, and what is not. Nothing here asks the
//! channel anything, so that none runs; what it would send is written and signed here, by another hand than its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod notify_support;
mod support;

use notify_support::{News, Request, Rig, now_s};
use payrig_api::ChannelStyle::{Alipay, Wechat};
use payrig_channel::{Algorithm, Purpose, Signer, keys};
use serde_json::json;
use support::{Server, payer::submission, until};

#[test]
fn a_notification_is_stored_and_the_payment_is_paid() {
    for (algorithm, style) in [(Algorithm::RsaSha256, Alipay), (Algorithm::RsaSha256, Wechat)] {
        let rig = Rig::new(algorithm);
        let news = rig.payment();
        let reply = rig.send(&rig.signed(style, &news));
        match style {
            Wechat => assert_eq!(reply.ok(200), json!({"code": "SUCCESS"})),
            Alipay => assert_eq!((reply.status, reply.text().as_str()), (200, "success")),
        }
        let paid = rig.server.wait_for_payment(news.task_id(), "paid");
        assert_eq!(paid["payment"]["transaction_id"], news.transaction_id);
        assert!(rig.is_worked_off());
    }
}

/// Every byte of the body and of each header, with one bit flipped: another bit for each byte, and the one that makes
/// small letters of large ones.
fn every_flipped_byte(algorithm: Algorithm) {
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let rig = Rig::new(algorithm);
    for style in [Alipay, Wechat] {
        let news = rig.payment();
        let genuine = rig.signed(style, &news);
        let mut flips = 0;
        for at in 0..genuine.flippable() {
            let drawn = (seed.rotate_left(u32::try_from(at % 64).unwrap()) ^ at as u64) % 8;
            for bit in [u32::try_from(drawn).unwrap(), 5] {
                let reply = rig.try_send(&genuine.flipped(at, 1 << bit));
                // What is no HTTP any more is refused before it is read.
                let status = reply.map_or(0, |reply| reply.status);
                assert!([0, 400, 401].contains(&status), "{style:?}: byte {at}, bit {bit}: {status}");
                flips += 1;
            }
        }
        assert!(flips > 800, "{flips}");
        assert_eq!(rig.server.task(news.task_id())["payment"]["state"], "awaiting_payer");
        assert!(
            rig.server.book("/admin/books/notices").is_empty()
                && rig.server.book("/admin/books/payment_ends").len() <= 1
        );
        assert_eq!(rig.send(&genuine).status, 200, "as it was sent it is believed");
        rig.server.wait_for_payment(news.task_id(), "paid");
    }
    assert!(rig.rejected("bad_signature") > 100.0);
}

#[test]
fn every_flipped_byte_is_refused_rsa_sha256() {
    every_flipped_byte(Algorithm::RsaSha256);
}

#[test]
fn every_flipped_byte_is_refused_ed25519() {
    every_flipped_byte(Algorithm::Ed25519);
}

#[test]
fn every_flipped_byte_is_refused_hmac_sha256() {
    every_flipped_byte(Algorithm::HmacSha256);
}

#[test]
fn only_the_time_stamps_of_now_are_believed() {
    let rig = Rig::new(Algorithm::Ed25519);
    for style in [Alipay, Wechat] {
        // Far enough from the edge that a slow machine does not cross it, and near enough that it is the right one.
        for (offset_s, is_fine) in
            [(-3_600, false), (-301, false), (360, false), (86_400, false), (-240, true), (290, true)]
        {
            let news = rig.payment();
            let request =
                rig.sign(style, &news, &rig.key, now_s().saturating_add_signed(offset_s), &notify_support::nonce());
            let reply = rig.send(&request);
            if is_fine {
                assert_eq!(reply.status, 200, "{style:?} {offset_s}");
                rig.server.wait_for_payment(news.task_id(), "paid");
            } else {
                rig.refuses(&reply, &news);
            }
        }
    }
    assert!(rig.rejected("not_of_now") >= 8.0);
}

#[test]
fn a_nonce_is_believed_once_and_a_repeat_brings_its_own() {
    let rig = Rig::new(Algorithm::Ed25519);
    for style in [Alipay, Wechat] {
        let (news, other) = (rig.payment(), rig.payment());
        let nonce = notify_support::nonce();
        let first = rig.sign(style, &news, &rig.key, now_s(), &nonce);
        assert_eq!(rig.send(&first).status, 200);
        rig.server.wait_for_payment(news.task_id(), "paid");
        // The very same again, and something else under the same nonce, each signed by the channel.
        assert_eq!(rig.send(&first).problem(401, "unauthorized")["detail"], json!(null));
        rig.refuses(&rig.send(&rig.sign(style, &other, &rig.key, now_s(), &nonce)), &other);
        // What the channel sends again has a nonce of its own, and is answered alike, however often it comes.
        for _ in 0..3 {
            assert_eq!(rig.send(&rig.signed(style, &news)).status, 200);
        }
        assert_eq!(rig.server.task(news.task_id())["payment"]["state"], "paid");
    }
    assert_eq!(rig.rejected("replayed"), 4.0);
    assert!(rig.is_worked_off());
}

#[test]
fn only_known_keys_are_believed_and_a_new_one_is_found_by_itself() {
    let rig = Rig::new(Algorithm::Ed25519);
    for style in [Alipay, Wechat] {
        let news = rig.payment();
        let stranger = Signer::random(Algorithm::Ed25519, Purpose::Notification).unwrap();
        rig.refuses(&rig.send(&rig.sign(style, &news, &stranger, now_s(), &notify_support::nonce())), &news);
        // The serial of a known key over the signature of another, and the merchant's own key.
        let genuine = rig.signed(style, &news);
        rig.refuses(&rig.send(&genuine.with_serial(&rig.key, stranger.serial())), &news);
        let forged = rig.sign(style, &news, &stranger, now_s(), &notify_support::nonce());
        rig.refuses(&rig.send(&forged.with_serial(&stranger, rig.key.serial())), &news);
        rig.refuses(&rig.send(&genuine.unsigned()), &news);
        assert_eq!(rig.send(&genuine).status, 200);
    }
    assert!(
        rig.rejected("unknown_serial") >= 2.0
            && rig.rejected("bad_signature") >= 2.0
            && rig.rejected("malformed") >= 2.0
    );
    // Another channel key, made while the server runs. It looks at the folder once a second at most.
    keys::rotate(&rig.keys(), None).unwrap();
    let fresh = keys::ChannelKeys::load(&rig.keys()).unwrap().own;
    let news = rig.payment();
    until("the new key to be found", || {
        let reply = rig.send(&rig.sign(Wechat, &news, &fresh, now_s(), &notify_support::nonce()));
        (reply.status == 200).then_some(())
    });
    // The old one is still believed.
    assert_eq!(rig.send(&rig.signed(Alipay, &rig.payment())).status, 200);
}

#[test]
fn another_amount_currency_or_merchant_is_refused() {
    let rig = Rig::new(Algorithm::HmacSha256);
    for style in [Alipay, Wechat] {
        let news = rig.payment();
        let wrongs = [
            News { amount_minor: news.amount_minor + 1, ..news.clone() },
            News { amount_minor: news.amount_minor - 1, ..news.clone() },
            News { currency: "USD".to_owned(), ..news.clone() },
            News { merchant: "another".to_owned(), ..news.clone() },
            News { out_trade_no: "01JZZZZZZZZZZZZZZZZZZZZZZZ-1".to_owned(), ..news.clone() },
            News { out_trade_no: "nonsense".to_owned(), ..news.clone() },
        ];
        for wrong in wrongs {
            rig.refuses(&rig.send(&rig.signed(style, &wrong)), &news);
        }
        assert_eq!(rig.send(&rig.signed(style, &news)).status, 200);
        rig.server.wait_for_payment(news.task_id(), "paid");
    }
    for (reason, times) in [
        ("wrong_amount", 4.0),
        ("wrong_currency", 2.0),
        ("wrong_merchant", 2.0),
        ("unknown_payment", 2.0),
        ("no_payment_number", 2.0),
    ] {
        assert_eq!(rig.rejected(reason), times, "{reason}");
    }
}

#[test]
fn there_are_two_channels_and_one_that_is_in_process_sends_nothing_here() {
    let rig = Rig::new(Algorithm::HmacSha256);
    let genuine = rig.signed(Wechat, &rig.payment());
    for path in ["/v1/notify/paypal", "/v1/notify/", "/v1/notify/wechat/", "/v1/notify/WECHAT"] {
        rig.send(&Request { path: path.to_owned(), ..genuine.clone() }).problem(404, "not-found");
    }
    assert_eq!(rig.server.get("/v1/notify/wechat").status, 405);
    rig.server.post("/simulated/cashier").problem(404, "not-found");
    rig.server.admin("/admin/ledger").problem(404, "not-found");
    let in_process = Server::start(&[]);
    for style in [Alipay, Wechat] {
        let request = rig.signed(style, &rig.payment());
        notify_support::send(&mut in_process.connect(), &request).unwrap().problem(404, "not-found");
    }
}

#[test]
fn money_for_a_cancelled_task_is_taken_note_of_and_stays_on_the_refund_list() {
    let rig = Rig::new(Algorithm::HmacSha256);
    let body = submission("wechat");
    // Nobody answers its attempts: there is no payment, and a cancellation closes what they may have left.
    let id = rig.server.accepted(&body);
    assert!([200, 202].contains(&rig.server.post_to(&id, "cancel").status));
    let news = News::of(&id, &body);
    assert_eq!(rig.send(&rig.signed(Wechat, &news)).status, 200);
    until("the refund to be owed", || (rig.metric("payrig_refunds_open") >= 1.0).then_some(()));
    assert_eq!(rig.server.book("/admin/books/refunds").len(), 1);
    assert!(rig.server.book("/admin/books/refunded").is_empty());
    assert_eq!(rig.server.task(&id)["task"]["state"], "cancelled");
}
