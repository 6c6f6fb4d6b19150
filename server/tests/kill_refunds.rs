//! Money for what has ended unpaid: payments that are closed in the server's books and rounds that were cancelled before
//! there was a payment. The channel takes it all the same, and all of it goes back, once, while server and channel are
//! killed (`kill -9`) at random instants.
//!
//! An honest channel refuses to take money for what it has closed. This one forgets: its ledger goes between the close and
//! the payers, who come with the parameters that they were shown. For the cancelled rounds somebody signs parameters with
//! the platform's own key; the server never showed any.
//!
//! `PAYRIG_KILLS` sets how many of each (`server/scripts/kill-many.sh kill_refunds 20` is the long run), `PAYRIG_PAYERS` how
//! many payments of each kind there are, `PAYRIG_SEED` repeats a run's choices.

mod kill_support;

use std::{net::SocketAddr, thread, time::Duration};

use kill_support::{
    channel::{Place, free},
    client::{Answer, Client, Up},
    journey::shown,
    load::Told,
    number, seed,
    server::{Server, command_on},
    verdict::{Judge, judge},
};
use payrig_api::{ChannelStyle, Currency};
use payrig_audit::{Cashier, Submitted};
use payrig_channel::{Order, PayParamsWriter, Wish, keys::PlatformKeys};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, sync::watch, task::JoinSet, time::sleep};

/// Between two polls, and between two tries to pay.
const AGAIN: Duration = Duration::from_millis(10);

/// Calls fail, answers are lost, and notifications come as they like. (Lost ones are repeated 8 s later at this scale.)
fn profile(seed: u64) -> String {
    let seed = seed % 1_000_000;
    format!(
        "latency=lognormal(p50=4ms,p99=80ms),transient=20%,lost-answer=20%,notify=lognormal(p50=10ms,p99=300ms),\
         notify-duplicate=20%,notify-lost=5%,notify-reorder=10%/1s,seed={seed}"
    )
}

/// A submission whose payer is still to come, and what he brings to the cashier.
struct Late {
    submitted: Submitted,
    params: String,
}

/// Makes submissions and ends them.
struct Maker {
    client: Client,
    params: PayParamsWriter,
    seed: u64,
}

impl Maker {
    fn body(&self, order: &str, amount_minor: u64) -> Value {
        let order_no = format!("{order}-{:x}", self.seed);
        json!({"order_no": order_no, "amount_minor": amount_minor, "currency": "CNY", "channel": "alipay"})
    }

    async fn submit(&mut self, body: &Value, key: &str) -> Submitted {
        let answer = self.client.post("/v1/pay-tasks", Some(key), &body.to_string()).await;
        let Answer::Reply(202, reply) = answer else { panic!("{body} was not accepted") };
        Submitted {
            order_no: body["order_no"].as_str().expect("a text").to_owned(),
            amount_minor: body["amount_minor"].as_u64().expect("a number"),
            currency: "CNY".to_owned(),
            key: Some(key.to_owned()),
            accepted: vec![reply["task"]["task_id"].as_str().expect("a text").to_owned()],
            shown: shown(&reply).into_iter().collect(),
            ..Submitted::default()
        }
    }

    /// Polls until it is shown in this state.
    async fn until(&mut self, submitted: &mut Submitted, state: &str) -> Value {
        let path = format!("/v1/pay-tasks/{}", submitted.accepted[0]);
        loop {
            let Answer::Reply(200, reply) = self.client.get(&path).await else { panic!("{path} is not shown") };
            submitted.shown.extend(shown(&reply));
            if reply["task"]["state"] == state {
                return reply;
            }
            sleep(AGAIN).await;
        }
    }

    async fn cancel(&mut self, submitted: &mut Submitted) {
        let path = format!("/v1/pay-tasks/{}/cancel", submitted.accepted[0]);
        let Answer::Reply(200, reply) = self.client.post(&path, None, "").await else { panic!("{path} failed") };
        submitted.shown.extend(shown(&reply));
    }

    async fn succeeded(&mut self, body: &Value, key: &str) -> Late {
        let mut submitted = self.submit(body, key).await;
        let reply = self.until(&mut submitted, "succeeded").await;
        Late { submitted, params: reply["payment"]["pay_params"].to_string() }
    }

    /// A payment that was closed after its parameters had been shown.
    async fn closed(&mut self, number: u64) -> Late {
        let body = self.body(&format!("closed-{number}"), 1_000 + number);
        let mut late = self.succeeded(&body, &format!("closed-{number}")).await;
        self.cancel(&mut late.submitted).await;
        late
    }

    /// A round that was cancelled between two attempts, and another task that pays its order.
    async fn cancelled(&mut self, number: u64) -> [Late; 2] {
        let mut body = self.body(&format!("cancelled-{number}"), 2_000_000 + number);
        body["simulate"] = json!({"fail_first": 5});
        let mut submitted = self.submit(&body, &format!("cancelled-{number}")).await;
        self.until(&mut submitted, "retrying").await;
        self.cancel(&mut submitted).await;
        let params = self.signed_here(&submitted);
        body["simulate"] = json!(null);
        let second = self.succeeded(&body, &format!("again-{number}")).await;
        [Late { submitted, params }, second]
    }

    fn signed_here(&self, submitted: &Submitted) -> String {
        let out_trade_no = format!("{}-1", submitted.accepted[0]);
        let order = Order {
            out_trade_no: &out_trade_no,
            merchant: "default",
            order_no: &submitted.order_no,
            amount_minor: submitted.amount_minor,
            currency: Currency::CNY,
            style: ChannelStyle::Alipay,
        };
        self.params.pay_params(&order, None, &Wish::PLAIN).expect("Alipay style needs no prepay")
    }
}

/// Pays after so long, however often the channel is killed meanwhile.
async fn pay(mut cashier: Client, mut late: Late, after: Duration) -> Submitted {
    sleep(after).await;
    loop {
        match cashier.post("/cashier", None, &late.params).await {
            Answer::Reply(200, reply) => {
                late.submitted.cashier.push(Cashier {
                    payment_no: reply["out_trade_no"].as_str().expect("a text").to_owned(),
                    transaction_id: reply["transaction_id"].as_str().expect("a text").to_owned(),
                    amount_minor: reply["amount_minor"].as_u64().expect("a number"),
                });
                return late.submitted;
            }
            Answer::Reply(503, _) | Answer::Broken => sleep(AGAIN).await,
            Answer::Reply(status, problem) => panic!("the cashier answered {status}: {problem}"),
        }
    }
}

fn up(address: SocketAddr) -> Up {
    Up { life: 1, address: Some(address), is_gone: false }
}

#[test]
fn money_for_what_has_ended_unpaid_goes_back_once() {
    let seed = seed();
    let (kills, each) = (number("PAYRIG_KILLS", 4), number("PAYRIG_PAYERS", 25));
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let (data, place, listen) = (folder.path().join("data"), Place::new(folder.path()), free().to_string());
    let start = |more: &[&str]| {
        let mut command = command_on(&listen, &data, more);
        command.args(place.flags());
        command
    };
    let mut channel = place.start("quiet");
    let mut server = Server::start(start(&[]));
    let runtime = Runtime::new().expect("a runtime");
    let lates = runtime.block_on(async {
        let signer = PlatformKeys::load(&place.keys()).expect("keys").merchant;
        let notify_url = format!("http://{listen}/v1/notify/alipay");
        let params = PayParamsWriter::new(signer, &format!("http://{}/cashier", place.address()), &notify_url);
        let (_up, is_up) = watch::channel(up(server.address));
        let mut maker = Maker { client: Client::new(is_up), params, seed };
        let mut lates = Vec::new();
        for number in 0..each {
            lates.push(maker.closed(number).await);
            lates.extend(maker.cancelled(number).await);
        }
        lates
    });

    channel.kill();
    place.forget();
    channel = place.start(&profile(seed));
    let (channel_up, cashier) = watch::channel(up(channel.address));
    let mut payers = JoinSet::new();
    for late in lates {
        let after = Duration::from_millis(random.random_range(0..400 * (1 + 2 * kills)));
        payers.spawn_on(pay(Client::new(cashier.clone()), late, after), runtime.handle());
    }
    let (mut servers, mut channels) = (0, 0);
    while servers < kills || channels < kills {
        // The instant of the kill is what is random here.
        thread::sleep(Duration::from_millis(random.random_range(20..800)));
        if channels >= kills || (servers < kills && random.random_bool(0.5)) {
            servers += 1;
            server.kill();
            server = Server::start(start(&[]));
        } else {
            channels += 1;
            channel.kill();
            channel = place.start(&profile(seed.wrapping_add(channels)));
            channel_up.send_modify(|up| up.life += 1);
        }
    }
    let mut told = Told::default();
    told.seen.merchant = "default".to_owned();
    told.seen.is_complete = true;
    told.seen.submissions = runtime.block_on(payers.join_all());
    server.kill();
    channel.kill();

    let quiet = place.start("quiet");
    let books = Judge { start: &|more| start(more), channel: Some(place.admin_url()) };
    let figures = judge(&books, &mut told);
    quiet.kill();
    println!("kills of each {kills}, seed {seed}, findings 0: {figures:?}");
    let each = usize::try_from(each).expect("a few");
    // Of the cancelled rounds both tasks of the order were paid, and one of them was given back.
    assert_eq!((figures.closed, figures.paid, figures.refunded), (each, 2 * each, 2 * each), "{figures:?}");
}
