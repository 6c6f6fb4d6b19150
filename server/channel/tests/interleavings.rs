//! Every order in which the ledger operations of several calls for one order can happen, with a crash at every point:
//! paid and closed exclude each other, and no answer is ever taken back.

mod common;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use common::{options, order};
use payrig_api::ChannelStyle;
use payrig_channel::{
    CashierError, ChannelError, CloseAnswer, Ledger, LedgerRow, MemoryLedger, Notifications, SimulatedChannel,
    TradeState, Wish,
};

/// What somebody asks of the channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    Prepay,
    Pay,
    Close,
    Query,
    Refund,
}

/// What was answered, as far as it binds the channel.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Said {
    PrepayId(String),
    Paid(String),
    Closed,
    Unpaid,
    Refunded,
    NotRefunded,
}

/// An answer, with the steps in which its call began and ended.
#[derive(Clone, Debug)]
struct Answer {
    began: usize,
    ended: usize,
    said: Said,
}

const NUMBER: &str = "t-1";
const AMOUNT_MINOR: u64 = 1_234;

async fn ask(channel: &SimulatedChannel, ask: Ask, params: &str) -> Said {
    match ask {
        Ask::Prepay => match channel.prepay(&order(NUMBER, ChannelStyle::Wechat), &Wish::PLAIN).await {
            Ok(prepay) => Said::PrepayId(prepay.to_string()),
            Err(ChannelError::Permanent { code: "ORDER_CLOSED", .. }) => Said::Closed,
            Err(error) => panic!("prepay: {error}"),
        },
        Ask::Pay => match channel.cashier(params.as_bytes()).await {
            Ok(transaction) => Said::Paid(format!("{} {}", transaction.transaction_id, transaction.paid_at_us)),
            Err(CashierError::Closed) => Said::Closed,
            Err(error) => panic!("pay: {error}"),
        },
        Ask::Close => match channel.close(NUMBER, 1).await {
            Ok(CloseAnswer::Closed) => Said::Closed,
            Ok(CloseAnswer::AlreadyPaid(paid)) => Said::Paid(format!("{} {}", paid.transaction_id, paid.paid_at_us)),
            Err(error) => panic!("close: {error}"),
        },
        Ask::Query => match channel.query(NUMBER, 1).await {
            Ok(TradeState::Paid(paid)) => Said::Paid(format!("{} {}", paid.transaction_id, paid.paid_at_us)),
            Ok(TradeState::Closed) => Said::Closed,
            Ok(TradeState::Unknown | TradeState::AwaitingPayer) => Said::Unpaid,
            Err(error) => panic!("query: {error}"),
        },
        Ask::Refund => match channel.refund(NUMBER, AMOUNT_MINOR, 1).await {
            Ok(()) => Said::Refunded,
            Err(ChannelError::Permanent { .. }) => Said::NotRefunded,
            Err(error) => panic!("refund: {error}"),
        },
    }
}

/// Which call makes the next step, in the order of the steps; then a crash, if there are calls left.
type Schedule = Vec<usize>;

/// One life of a channel: polls the calls as the schedule says. Returns what was said, which calls were still open after
/// the schedule, and the notifications sent.
fn live(ledger: &MemoryLedger, asks: &[Ask], params: &str, schedule: &[usize]) -> (Vec<Answer>, Vec<usize>, usize) {
    let (channel, mut notifications) = start(ledger);
    let mut context = Context::from_waker(Waker::noop());
    let mut calls: Vec<Option<Pin<Box<dyn Future<Output = Said> + '_>>>> =
        asks.iter().map(|asked| Some(Box::pin(ask(&channel, *asked, params)) as _)).collect();
    let mut said = Vec::new();
    for (ended, at) in schedule.iter().enumerate() {
        let call = calls[*at].as_mut().expect("the schedule polls open calls");
        if let Poll::Ready(answer) = call.as_mut().poll(&mut context) {
            calls[*at] = None;
            let began = schedule.iter().position(|polled| polled == at).expect("it was just polled");
            said.push(Answer { began, ended, said: answer });
        }
    }
    let open = (0..calls.len()).filter(|at| calls[*at].is_some()).collect();
    drop(calls);
    let mut told = 0;
    drop(channel);
    while let Poll::Ready(Some(_)) = std::pin::pin!(notifications.recv()).poll(&mut context) {
        told += 1;
    }
    (said, open, told)
}

fn start(ledger: &MemoryLedger) -> (SimulatedChannel, Notifications) {
    finish(SimulatedChannel::start(Ledger::from(ledger.clone()), options("quiet"))).expect("memory does not fail")
}

/// Polls one future to its end, which never waits for anything but its turn.
fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// The promises, over all that was ever said and what stands in the ledger.
fn check(answers: &[Answer], rows: &[LedgerRow], told: usize, history: &str) {
    let row = rows.first().cloned().unwrap_or_default();
    assert!(rows.len() <= 1 && !(row.paid.is_some() && row.closed_at_us.is_some()), "paid and closed: {history}");
    assert!(told <= 1, "told {told} times: {history}");
    assert!(told == 0 || row.paid.is_some(), "told what is not paid: {history}");
    let paid = row.paid.as_ref().map(|paid| format!("{} {}", paid.transaction_id, paid.paid_at_us));
    // What was said before this call began binds it; what happens meanwhile may come before or after it.
    let said_before = |answer: &Answer, binds: fn(&Said) -> bool| {
        answers.iter().any(|other| other.ended < answer.began && binds(&other.said))
    };
    for answer in answers {
        match &answer.said {
            Said::Paid(answer) => assert_eq!(paid.as_ref(), Some(answer), "{history}"),
            Said::Closed => assert!(row.closed_at_us.is_some(), "said closed: {history}"),
            Said::Refunded => assert!(row.refunded.is_some() && row.net_minor() == 0, "said refunded: {history}"),
            Said::Unpaid => {
                let ended = said_before(answer, |said| matches!(said, Said::Paid(_) | Said::Closed | Said::Refunded));
                assert!(!ended, "an end was taken back: {history}");
            }
            Said::NotRefunded => {
                let was_paid = said_before(answer, |said| matches!(said, Said::Paid(_)));
                assert!(!was_paid, "a refund of a paid order was refused: {history}");
            }
            Said::PrepayId(_) => {}
        }
    }
    let mut ids = answers.iter().map(|answer| &answer.said).filter(|said| matches!(said, Said::PrepayId(_)));
    let first = ids.next();
    assert!(ids.all(|id| Some(id) == first), "two prepay ids: {history}");
}

/// Runs the schedule, then (in a second life on the same ledger) whatever was left open, one after the other.
fn run(asks: &[Ask], style: ChannelStyle, schedule: &Schedule) -> Vec<usize> {
    let ledger = MemoryLedger::stepped();
    let params = {
        let (channel, _notifications) = start(&ledger);
        finish(common::params(&channel, &order(NUMBER, style), &Wish::PLAIN)).expect("a quiet channel")
    };
    let (mut said, open, told) = live(&ledger, asks, &params, schedule);
    let (channel, mut notifications) = start(&ledger);
    let history = format!("{style:?} {asks:?} {schedule:?} then {open:?}");
    let rows = finish(channel.ledger_page(None, 10)).expect("memory does not fail");
    check(&said, &rows, told, &format!("{history}, at the crash"));
    for (n, at) in open.iter().enumerate() {
        let step = schedule.len() + n;
        said.push(Answer { began: step, ended: step, said: finish(ask(&channel, asks[*at], &params)) });
    }
    let rows = finish(channel.ledger_page(None, 10)).expect("memory does not fail");
    drop(channel);
    let mut context = Context::from_waker(Waker::noop());
    let told_later = std::pin::pin!(notifications.recv()).poll(&mut context);
    let told = told + usize::from(matches!(told_later, Poll::Ready(Some(_))));
    check(&said, &rows, told, &history);
    open
}

/// All schedules that begin with this one, each also as the last before a crash. Returns how many there were.
fn explore(asks: &[Ask], style: ChannelStyle, schedule: &mut Schedule) -> usize {
    let open = run(asks, style, schedule);
    let mut schedules = 1;
    for at in open {
        schedule.push(at);
        schedules += explore(asks, style, schedule);
        schedule.pop();
    }
    schedules
}

#[test]
fn every_interleaving_of_two_and_three_calls_with_a_crash_anywhere() {
    use Ask::{Close, Pay, Prepay, Query, Refund};
    let mut schedules = 0;
    for asks in [
        &[Pay, Close][..],
        &[Pay, Pay],
        &[Close, Close],
        &[Prepay, Close],
        &[Pay, Refund],
        &[Refund, Refund, Pay],
        &[Pay, Pay, Close],
        &[Pay, Close, Query],
        &[Pay, Close, Refund],
        &[Prepay, Pay, Close],
        &[Prepay, Prepay, Query],
    ] {
        // The cashier takes the same steps in both styles: three calls in one of them meet all the races.
        let prepaid = asks.contains(&Prepay);
        for style in common::STYLES {
            let is_needed = match style {
                ChannelStyle::Wechat => prepaid || asks.len() == 2,
                ChannelStyle::Alipay => !prepaid,
            };
            if is_needed {
                schedules += explore(asks, style, &mut Schedule::new());
            }
        }
    }
    println!("{schedules} schedules");
    assert!(schedules > 1_000);
}
