//! The contract of the payment channel, on every backend: every call is idempotent by the payment's number.

mod channel_support;
mod contract_support;
mod support;

use std::sync::Arc;

use channel_support::ChannelProcess;
use contract_support::{Backend, Opened, Time, cases, in_time, task};
use payrig_api::{ChannelStyle, Simulate};
use payrig_channel::{Algorithm, CashierError, Ledger, MemoryLedger, Options, Profile};
use payrig_server::{
    channel::{
        Attempt, Channel, ChannelError, CloseAnswer, PaymentChannel as _, Trade, TradeState,
        http::{HttpChannel, Limits, Settings},
        simulated::SimulatedChannel,
    },
    clock::Clock,
    metrics::Metrics,
    model::{PayTask, RoundId},
};

const STYLES: [ChannelStyle; 2] = [ChannelStyle::Alipay, ChannelStyle::Wechat];
const AMOUNT_MINOR: u64 = 1_234;

fn main() {
    channel_support::be_the_channel_if_asked();
    let backends = [
        Backend {
            name: "simulated-memory",
            missing: None,
            open: |time| Opened::new(simulated(Ledger::Memory(MemoryLedger::new())), time, ()),
        },
        Backend {
            name: "simulated-durable",
            missing: None,
            open: |time| {
                let folder = tempfile::tempdir().expect("a folder");
                let ledger = Ledger::open(folder.path()).expect("an empty folder opens");
                Opened::new(simulated(ledger), time, folder)
            },
        },
        Backend { name: "http-rsa-sha256", missing: None, open: |time| over_http(Algorithm::RsaSha256, time) },
        Backend { name: "http-ed25519", missing: None, open: |time| over_http(Algorithm::Ed25519, time) },
        Backend { name: "http-hmac-sha256", missing: None, open: |time| over_http(Algorithm::HmacSha256, time) },
    ];
    let cases = cases![Threads:
        the_same_prepay_for_every_repeat, the_same_parameters_for_every_repeat, what_is_paid_stays_paid,
        what_is_closed_stays_closed, paid_or_closed_and_never_both, money_goes_back_once, lost_answers_are_found_again,
        failures_come_as_they_were_asked_for, rounds_do_not_meet,
    ];
    contract_support::main("channel", &backends, &cases);
}

fn simulated(ledger: Ledger) -> Channel {
    let options = Options { profile: Profile::quiet(), ..Options::default() };
    let starting = payrig_channel::SimulatedChannel::start(ledger, options);
    // Notifications are not part of the seam.
    let (simulation, _notifications) =
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(starting)).expect("an empty ledger");
    Channel::Simulated(SimulatedChannel::new(simulation))
}

/// A channel in a process of its own. Its notifications go nowhere: they are not part of the seam.
fn over_http(algorithm: Algorithm, time: Time) -> Opened<Channel> {
    let process = ChannelProcess::start(algorithm);
    let settings = Settings {
        address: process.address.to_string().parse().expect("an address"),
        keys: process.keys(),
        public_url: "http://127.0.0.1:9".to_owned(),
        limits: Limits::default(),
    };
    let channel = HttpChannel::open(settings, Clock::start(), Arc::new(Metrics::new())).expect("the keys are there");
    Opened::new(Channel::Http(channel), time, process)
}

/// Everything up to the parameters, as a runner does it.
async fn params(channel: &Channel, task: &PayTask, round: RoundId, attempt: u8) -> Result<String, ChannelError> {
    let attempt = Attempt { task, round, attempt };
    match task.channel {
        ChannelStyle::Alipay => channel.pay_params(attempt, None),
        ChannelStyle::Wechat => {
            let prepay_id = channel.prepay(attempt).await?;
            channel.pay_params(attempt, Some(prepay_id))
        }
    }
}

/// What the payer does with the parameters; whether the money was taken.
async fn pay(channel: &Channel, params: &str) -> bool {
    let Channel::Simulated(simulated) = channel else { return pay_over_http(params).await };
    match simulated.simulation().cashier(params.as_bytes()).await {
        Ok(transaction) => {
            assert_eq!(transaction.amount_minor, AMOUNT_MINOR);
            true
        }
        Err(CashierError::Closed) => false,
        Err(error) => panic!("the cashier: {error}"),
    }
}

async fn pay_over_http(params: &str) -> bool {
    let params: serde_json::Value = serde_json::from_str(params).expect("one JSON object");
    let paying = tokio::task::spawn_blocking(move || support::payer::pay(&params));
    let reply = in_time("the cashier", paying).await.expect("it answers");
    match reply.status {
        200 => {
            assert_eq!(reply.json()["amount_minor"], AMOUNT_MINOR);
            true
        }
        409 => false,
        _ => panic!("the cashier: {}", reply.text()),
    }
}

/// What the channel's books hold of a payment in the end: taken less given back.
async fn net_minor(channel: &Channel, params: &str, round: RoundId) -> u64 {
    let number = round.payment_no();
    if let Channel::Simulated(simulated) = channel {
        let rows = simulated.simulation().ledger_page(None, 100).await.expect("the ledger answers");
        return rows.into_iter().find(|row| row.out_trade_no == number).expect("its row").net_minor();
    }
    let params: serde_json::Value = serde_json::from_str(params).expect("one JSON object");
    let address = params["cashier_url"].as_str().and_then(|url| url.strip_prefix("http://")?.strip_suffix("/cashier"));
    let address = address.and_then(|address| address.parse().ok()).expect("the channel's address");
    let reading = tokio::task::spawn_blocking(move || channel_support::row_at(address, &number));
    let row = in_time("the books", reading).await.expect("it answers").expect("its row");
    let minor = |what: &str| row[what]["amount_minor"].as_u64().unwrap_or(0);
    minor("paid") - minor("refunded")
}

fn wishing(style: ChannelStyle, simulate: Simulate) -> Arc<PayTask> {
    task("o-1", style, Some(simulate))
}

async fn the_same_prepay_for_every_repeat(opened: Opened<Channel>) {
    let channel = &opened.seam;
    let task = task("o-1", ChannelStyle::Wechat, None);
    let round = task.task_id.round(1);
    let attempts = (1..=6).map(|attempt| channel.prepay(Attempt { task: &task, round, attempt }));
    let ids = futures_util::future::join_all(attempts).await;
    let first = ids[0].clone().expect("a quiet channel");
    assert!(ids.iter().all(|id| id.as_ref() == Ok(&first)), "{ids:?}");
    let other = channel.prepay(Attempt { task: &task, round: task.task_id.round(2), attempt: 1 }).await;
    assert_ne!(other, Ok(first), "another round is another payment");
}

async fn the_same_parameters_for_every_repeat(opened: Opened<Channel>) {
    for style in STYLES {
        let task = task("o-1", style, None);
        let round = task.task_id.round(1);
        let first = params(&opened.seam, &task, round, 1).await.expect("a quiet channel");
        let again = params(&opened.seam, &task, round, 2).await.expect("a quiet channel");
        assert_eq!(first, again, "{style:?}");
        let json: serde_json::Value = serde_json::from_str(&first).expect("one JSON object");
        assert!(json.is_object(), "{json}");
    }
}

async fn what_is_paid_stays_paid(opened: Opened<Channel>) {
    let channel = &opened.seam;
    for style in STYLES {
        let task = task("o-1", style, None);
        let round = task.task_id.round(1);
        assert_eq!(channel.query(Trade::of(&task, round)).await, Ok(TradeState::Unpaid), "not seen yet");
        let params_first = params(channel, &task, round, 1).await.expect("a quiet channel");
        assert_eq!(channel.query(Trade::of(&task, round)).await, Ok(TradeState::Unpaid));
        assert!(pay(channel, &params_first).await);
        let Ok(TradeState::Paid(paid)) = channel.query(Trade::of(&task, round)).await else {
            panic!("{style:?} is not paid")
        };
        assert_eq!(paid.amount_minor, AMOUNT_MINOR);
        assert!(pay(channel, &params_first).await, "paying again is answered alike");
        for _ in 0..2 {
            assert_eq!(channel.query(Trade::of(&task, round)).await, Ok(TradeState::Paid(paid.clone())));
            assert_eq!(channel.close(Trade::of(&task, round)).await, Ok(CloseAnswer::AlreadyPaid(paid.clone())));
        }
        assert_eq!(params(channel, &task, round, 2).await, Ok(params_first), "an attempt whose answer was lost");
    }
}

async fn what_is_closed_stays_closed(opened: Opened<Channel>) {
    let channel = &opened.seam;
    for (style, is_seen) in [(STYLES[0], true), (STYLES[0], false), (STYLES[1], true)] {
        let task = task("o-1", style, None);
        let round = task.task_id.round(1);
        let params_first = if is_seen { params(channel, &task, round, 1).await.ok() } else { None };
        for _ in 0..2 {
            assert_eq!(channel.close(Trade::of(&task, round)).await, Ok(CloseAnswer::Closed));
            assert_eq!(channel.query(Trade::of(&task, round)).await, Ok(TradeState::Closed));
        }
        let late = match params_first {
            Some(params) => params,
            None => params(channel, &task, round, 1).await.expect("parameters are only signed here"),
        };
        assert!(!pay(channel, &late).await, "{style:?}, seen before: {is_seen}");
        assert_eq!(channel.query(Trade::of(&task, round)).await, Ok(TradeState::Closed));
        assert!(matches!(channel.refund(Trade::of(&task, round), AMOUNT_MINOR).await, Err(ChannelError::Permanent(_))));
    }
    let task = task("o-1", ChannelStyle::Wechat, None);
    let round = task.task_id.round(1);
    assert_eq!(
        channel.close(Trade::of(&task, round)).await,
        Ok(CloseAnswer::Closed),
        "one that the channel has not seen"
    );
    assert!(matches!(params(channel, &task, round, 1).await, Err(ChannelError::Permanent(_))));
}

async fn paid_or_closed_and_never_both(opened: Opened<Channel>) {
    for number in 0..60_usize {
        let task = task("o-1", STYLES[number % 2], None);
        let round = task.task_id.round(1);
        let params = params(&opened.seam, &task, round, 1).await.expect("a quiet channel");
        let asking = |is_payer: bool| {
            let (channel, params, task) = (opened.seam.clone(), params.clone(), Arc::clone(&task));
            tokio::spawn(async move {
                if is_payer {
                    pay(&channel, &params).await
                } else {
                    channel.close(Trade::of(&task, round)).await == Ok(CloseAnswer::Closed)
                }
            })
        };
        let asked = [asking(true), asking(false), asking(true), asking(false)];
        let mut said = Vec::new();
        for asked in asked {
            said.push(in_time("a race at the channel", asked).await.expect("nobody panics"));
        }
        let (paid, closed) = (said[0], said[1]);
        assert!(paid != closed && said[2] == paid && said[3] == closed, "{said:?}");
        let state = opened.seam.query(Trade::of(&task, round)).await.expect("a quiet channel");
        assert_eq!(matches!(state, TradeState::Paid(_)), paid, "{state:?}");
        assert_eq!(matches!(state, TradeState::Closed), closed, "{state:?}");
    }
}

async fn money_goes_back_once(opened: Opened<Channel>) {
    let channel = &opened.seam;
    for style in STYLES {
        let task = task("o-1", style, None);
        let round = task.task_id.round(1);
        let params = params(channel, &task, round, 1).await.expect("a quiet channel");
        assert!(
            matches!(channel.refund(Trade::of(&task, round), AMOUNT_MINOR).await, Err(ChannelError::Permanent(_))),
            "not paid"
        );
        assert!(pay(channel, &params).await);
        for (amount_minor, is_fine) in
            [(AMOUNT_MINOR + 1, false), (0, false), (AMOUNT_MINOR, true), (AMOUNT_MINOR, true)]
        {
            assert_eq!(channel.refund(Trade::of(&task, round), amount_minor).await.is_ok(), is_fine, "{amount_minor}");
        }
        assert!(
            matches!(channel.refund(Trade::of(&task, round), AMOUNT_MINOR - 1).await, Err(ChannelError::Permanent(_))),
            "another amount"
        );
        assert!(
            matches!(channel.query(Trade::of(&task, round)).await, Ok(TradeState::Paid(_))),
            "it was paid all the same"
        );
        assert_eq!(net_minor(channel, &params, round).await, 0);
    }
}

async fn lost_answers_are_found_again(opened: Opened<Channel>) {
    let channel = &opened.seam;
    let task = wishing(ChannelStyle::Wechat, Simulate { lose_answer: 2, ..Simulate::default() });
    let round = task.task_id.round(1);
    for attempt in 1..=2 {
        assert!(matches!(params(channel, &task, round, attempt).await, Err(ChannelError::Transient(_))));
    }
    let found = params(channel, &task, round, 3).await.expect("the third answer is not lost");
    assert!(pay(channel, &found).await);
}

async fn failures_come_as_they_were_asked_for(opened: Opened<Channel>) {
    for style in STYLES {
        let task = wishing(style, Simulate { fail_first: 2, ..Simulate::default() });
        let round = task.task_id.round(1);
        for attempt in 1..=2 {
            assert!(matches!(params(&opened.seam, &task, round, attempt).await, Err(ChannelError::Transient(_))));
        }
        assert!(params(&opened.seam, &task, round, 3).await.is_ok());
        let task = wishing(style, Simulate { permanent: true, ..Simulate::default() });
        let refused = params(&opened.seam, &task, task.task_id.round(1), 1).await;
        assert!(matches!(refused, Err(ChannelError::Permanent(_))), "{refused:?}");
    }
}

async fn rounds_do_not_meet(opened: Opened<Channel>) {
    let channel = &opened.seam;
    for style in STYLES {
        let task = task("o-1", style, None);
        let (first, second) = (task.task_id.round(1), task.task_id.round(2));
        let of_first = params(channel, &task, first, 1).await.expect("a quiet channel");
        let of_second = params(channel, &task, second, 2).await.expect("a quiet channel");
        assert_ne!(of_first, of_second);
        assert_eq!(channel.close(Trade::of(&task, first)).await, Ok(CloseAnswer::Closed));
        assert!(pay(channel, &of_second).await && !pay(channel, &of_first).await);
    }
}
