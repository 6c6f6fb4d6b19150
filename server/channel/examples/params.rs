//! What one `pay_params` and one repeated payment at the cashier cost: nanoseconds a call, for both styles
//! (`cargo run --release -p payrig-channel --example params`).

#![expect(clippy::print_stdout, reason = "an example tells what it found")]

use std::time::{Duration, Instant};

use payrig_api::{ChannelStyle, Currency};
use payrig_channel::{Ledger, MemoryLedger, Options, Order, PrepayId, Profile, SimulatedChannel, Wish};

const ROUNDS: usize = 21;
const CALLS: u32 = 20_000;

/// The best of some rounds: what the call costs when nobody else wants the core.
fn best_ns(rounds: impl Iterator<Item = Duration>) -> f64 {
    rounds.min().unwrap_or_default().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn params_round(channel: &SimulatedChannel, order: &Order<'_>, prepay: Option<&PrepayId>) -> Duration {
    let start = Instant::now();
    for _ in 0..CALLS {
        let params = channel.pay_params(order, prepay, &Wish::PLAIN);
        std::hint::black_box(params).expect("a plain order is signed");
    }
    start.elapsed()
}

async fn cashier_round(channel: &SimulatedChannel, params: &str) -> Duration {
    let start = Instant::now();
    for _ in 0..CALLS {
        let transaction = channel.cashier(params.as_bytes()).await;
        std::hint::black_box(transaction).expect("a repeat gets the same");
    }
    start.elapsed()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let options = Options { profile: Profile::quiet(), ..Options::default() };
    let ledger = Ledger::from(MemoryLedger::new());
    let (channel, _notifications) = SimulatedChannel::start(ledger, options).await.expect("memory does not fail");
    let alipay = Order {
        out_trade_no: "01JD5Q0Z7V8X9Y0A1B2C3D4E5F-1",
        merchant: "default",
        order_no: "order-0000000042",
        amount_minor: 12_345,
        currency: Currency::CNY,
        style: ChannelStyle::Alipay,
    };
    let wechat = Order { style: ChannelStyle::Wechat, ..alipay };
    let prepay = channel.prepay(&wechat, &Wish::PLAIN).await.expect("a quiet channel prepays");
    let alipay = Order { out_trade_no: "01JD5Q0Z7V8X9Y0A1B2C3D4E5F-2", ..alipay };
    for (order, prepay) in [(&alipay, None), (&wechat, Some(&prepay))] {
        let params = channel.pay_params(order, prepay, &Wish::PLAIN).expect("a plain order is signed");
        let ns = best_ns((0..ROUNDS).map(|_| params_round(&channel, order, prepay)));
        let mut cashier = Vec::new();
        for _ in 0..ROUNDS {
            cashier.push(cashier_round(&channel, &params).await);
        }
        let cashier_ns = best_ns(cashier.into_iter());
        let (style, bytes) = (order.style.name(), params.len());
        println!("{style}: pay_params {ns:.0} ns, cashier {cashier_ns:.0} ns; {bytes} bytes\n{params}");
    }
}
