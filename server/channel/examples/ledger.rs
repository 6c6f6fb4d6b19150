//! What the durable ledger takes: prepays and payments a second with so many in flight, on one runtime thread
//! (`cargo run --release -p payrig-channel --example ledger [FOLDER]`).

#![expect(clippy::print_stdout, reason = "an example tells what it found")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use payrig_api::{ChannelStyle, Currency};
use payrig_channel::{Ledger, MemoryLedger, Options, Order, Profile, SimulatedChannel, Wish};

const ORDERS: usize = 40_000;

fn order(out_trade_no: &str) -> Order<'_> {
    Order {
        out_trade_no,
        merchant: "default",
        order_no: "order-0000000042",
        amount_minor: 12_345,
        currency: Currency::CNY,
        style: ChannelStyle::Wechat,
    }
}

/// Prepays, then pays, one order after the other; the numbers are time-ordered, as the server's are.
async fn payer(channel: SimulatedChannel, first: usize, step: usize, run: String, pays: bool) {
    for n in (first..ORDERS).step_by(step) {
        let number = format!("{run}{n:08}-1");
        let order = order(&number);
        let prepay = channel.prepay(&order, &Wish::PLAIN).await.expect("a quiet channel prepays");
        if pays {
            let text = channel.pay_params(&order, Some(&prepay), &Wish::PLAIN).expect("it signs");
            channel.cashier(text.as_bytes()).await.expect("it takes money");
        }
    }
}

async fn rate(channel: &SimulatedChannel, in_flight: usize, pays: bool) -> f64 {
    let start = Instant::now();
    let run = format!("{in_flight:05}-{}-", u8::from(pays));
    let payers: Vec<_> =
        (0..in_flight).map(|first| tokio::spawn(payer(channel.clone(), first, in_flight, run.clone(), pays))).collect();
    for payer in payers {
        payer.await.expect("no payer panics");
    }
    ORDERS as f64 / start.elapsed().as_secs_f64()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from);
    let ledgers = [
        ("memory", Ledger::from(MemoryLedger::new())),
        ("durable", Ledger::open(&dir.unwrap_or_else(|| PathBuf::from("./ledger-example-data")))?),
    ];
    for (name, ledger) in ledgers {
        let options = Options { profile: Profile::quiet(), ..Options::default() };
        let (channel, notifications) = SimulatedChannel::start(ledger, options).await?;
        // Nobody listens: the notifications are counted as dropped, and cost nothing here.
        drop(notifications);
        for in_flight in [64, 256, 1_024] {
            let prepaid = rate(&channel, in_flight, false).await;
            let paid = rate(&channel, in_flight, true).await;
            println!("{name}, {in_flight} in flight: {prepaid:.0} prepays/s; {paid:.0} prepaid and paid/s");
        }
    }
    Ok(())
}
