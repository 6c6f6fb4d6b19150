//! The ledger on disk: what was answered is found again, whatever became of the process meanwhile.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{STYLES, options, order, params};
use payrig_api::ChannelStyle;
use payrig_channel::{
    CashierError, CloseAnswer, Ledger, LedgerRow, MemoryLedger, Notifications, Options, SimulatedChannel, TradeState,
    Wish,
};

async fn open(dir: &Path) -> (SimulatedChannel, Notifications) {
    // Without a secret of its own: the ledger's is made once and found again.
    let options = Options { secret: None, ..options("quiet") };
    SimulatedChannel::start(Ledger::open(dir).unwrap(), options).await.unwrap()
}

async fn all_rows(channel: &SimulatedChannel, page: usize) -> Vec<LedgerRow> {
    let mut rows: Vec<LedgerRow> = Vec::new();
    loop {
        let next = channel.ledger_page(rows.last().map(|row| row.out_trade_no.as_str()), page).await.unwrap();
        if next.is_empty() {
            return rows;
        }
        assert!(next.len() <= page);
        rows.extend(next);
    }
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = Vec::new();
    let (channel, mut notifications) = open(dir.path()).await;
    for (n, style) in STYLES.into_iter().cycle().take(12).enumerate() {
        let number = format!("t-{n:02}");
        let text = params(&channel, &order(&number, style), &Wish::PLAIN).await.unwrap();
        let transaction = match n / 2 % 3 {
            0 => Some(channel.cashier(text.as_bytes()).await.unwrap()),
            1 => {
                channel.close(&number, 1).await.unwrap();
                None
            }
            _ => None,
        };
        if n < 2 {
            channel.refund(&number, 1_000, 1).await.unwrap();
        }
        before.push((number, style, text, transaction));
    }
    let notification = notifications.recv().await.unwrap();
    let rows = all_rows(&channel, 100).await;
    assert_eq!(rows.iter().map(LedgerRow::net_minor).sum::<u64>(), 2 * 234 + 2 * 1_234);
    drop((channel, notifications));

    let (channel, _notifications) = open(dir.path()).await;
    assert_eq!(all_rows(&channel, 100).await, rows);
    for page in 1..5 {
        assert_eq!(all_rows(&channel, page).await, rows, "in pages of {page}");
    }
    channel.verify(&notification).expect("the keys are the same");
    for (n, (number, style, text, transaction)) in before.iter().enumerate() {
        let paid_again = channel.cashier(text.as_bytes()).await;
        match n / 2 % 3 {
            0 => assert_eq!(&paid_again.unwrap(), transaction.as_ref().unwrap()),
            1 => assert!(matches!(paid_again, Err(CashierError::Closed))),
            _ => assert_eq!(paid_again.unwrap().out_trade_no, *number),
        }
        if n / 2 % 3 != 1 {
            let again = params(&channel, &order(number, *style), &Wish::PLAIN).await.unwrap();
            assert_eq!(again, *text, "a repeat after a restart gives the same parameters");
        }
    }
}

/// The process dies with calls half-way: each has happened or not, and the repeat of each is answered as if nothing had
/// been.
#[tokio::test]
async fn calls_that_were_cut_off_are_repeated_safely() {
    let dir = tempfile::tempdir().unwrap();
    let mut texts = Vec::new();
    {
        let (channel, _notifications) = open(dir.path()).await;
        for n in 0..200 {
            let number = format!("t-{n:03}");
            let text = params(&channel, &order(&number, ChannelStyle::Alipay), &Wish::PLAIN).await.unwrap();
            let calls = (channel.clone(), text.clone(), number.clone());
            let call = tokio::spawn(async move {
                let (channel, text, number) = calls;
                // Both at once; which of them wins is open.
                let _ = tokio::join!(channel.cashier(text.as_bytes()), channel.close(&number, 1));
            });
            for _ in 0..n % 7 {
                tokio::task::yield_now().await;
            }
            call.abort();
            let _ = call.await;
            texts.push((number, text));
        }
    }
    let (channel, _notifications) = open(dir.path()).await;
    let mut paid = 0;
    for (number, text) in &texts {
        let state = channel.query(number, 1).await.unwrap();
        let answer = channel.cashier(text.as_bytes()).await;
        match (state, channel.close(number, 1).await.unwrap()) {
            (TradeState::Closed, CloseAnswer::Closed) => assert!(matches!(answer, Err(CashierError::Closed))),
            (TradeState::Paid(paid), CloseAnswer::AlreadyPaid(again)) => assert_eq!(paid, again),
            (TradeState::Unknown, CloseAnswer::AlreadyPaid(later)) => {
                assert_eq!(answer.unwrap().transaction_id, later.transaction_id);
            }
            (state, close) => panic!("{number}: {state:?}, then {close:?}"),
        }
        paid += usize::from(matches!(channel.query(number, 2).await.unwrap(), TradeState::Paid(_)));
    }
    let rows = all_rows(&channel, 64).await;
    assert_eq!(rows.len(), texts.len());
    assert_eq!(rows.iter().filter(|row| row.paid.is_some()).count(), paid);
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_both_ledgers_tell_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let error = Ledger::open(dir.path()).err().expect("it is in use").to_string();
    assert!(error.contains("in use"), "{error}");
    let (durable, _n1) = SimulatedChannel::start(ledger, options("quiet")).await.unwrap();
    let (memory, _n2) = SimulatedChannel::start(MemoryLedger::new().into(), options("quiet")).await.unwrap();
    let mut told = Vec::new();
    for channel in [durable, memory] {
        for (n, style) in STYLES.into_iter().cycle().take(20).enumerate() {
            let number = format!("t-{:02}", n * 7 % 20);
            let text = params(&channel, &order(&number, style), &Wish::PLAIN).await.unwrap();
            if n % 3 == 0 {
                channel.close(&number, 1).await.unwrap();
            }
            let _ = channel.cashier(text.as_bytes()).await;
        }
        let mut rows = all_rows(&channel, 3).await;
        for row in &mut rows {
            row.prepaid_at_us = row.prepaid_at_us.map(|_| 0);
            row.closed_at_us = row.closed_at_us.map(|_| 0);
            row.paid.as_mut().into_iter().for_each(|paid| paid.paid_at_us = 0);
        }
        told.push(rows);
    }
    assert_eq!(told[0].len(), 20);
    assert_eq!(told[0], told[1]);
}
