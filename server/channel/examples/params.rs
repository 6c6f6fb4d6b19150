//! What one `pay_params` costs: nanoseconds a call, for both styles (`cargo run --release -p payrig-channel --example params`).

#![expect(clippy::print_stdout, reason = "an example tells what it found")]

use std::time::{Duration, Instant};

use payrig_api::{ChannelStyle, Currency};
use payrig_channel::{Ledger, MemoryLedger, Options, Order, PrepayId, Profile, SimulatedChannel, Wish};

const ROUNDS: usize = 9;
const CALLS: u32 = 100_000;

fn median_ns(channel: &SimulatedChannel, order: &Order<'_>, prepay: Option<&PrepayId>) -> f64 {
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                let params = channel.pay_params(order, prepay, &Wish::PLAIN);
                std::hint::black_box(params).expect("a plain order is signed");
            }
            start.elapsed()
        })
        .collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2].as_secs_f64() * 1e9 / f64::from(CALLS)
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
    for (order, prepay) in [(&alipay, None), (&wechat, Some(&prepay))] {
        let params = channel.pay_params(order, prepay, &Wish::PLAIN).expect("a plain order is signed");
        let ns = median_ns(&channel, order, prepay);
        println!("{}: {ns:.0} ns a call, {} bytes\n{params}", order.style.name(), params.len());
    }
}
