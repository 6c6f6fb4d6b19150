//! What signing and checking costs, by algorithm: microseconds a signature over a notification's text, and what that
//! makes for a whole payment (`cargo run --release -p payrig-channel --example signatures`).

#![expect(clippy::print_stdout, reason = "an example tells what it found")]

use std::time::{Duration, Instant};

use payrig_channel::{Algorithm, Purpose, Signer};

const ROUNDS: usize = 15;
const CALLS: u32 = 200;
/// About as long as a prepay, a notification or a set of parameters.
const MESSAGE: [u8; 400] = [b'x'; 400];

/// The best of some rounds: what the call costs when nobody else wants the core.
fn best_us(mut call: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        best = best.min(start.elapsed());
    }
    best.as_secs_f64() * 1e6 / f64::from(CALLS)
}

fn main() {
    // WeChat style. Server: the call of prepay, the parameters; checks the answer and the notification. Channel: the
    // answer, the notification; checks the call and the parameters.
    const EACH_SIGNS: f64 = 2.0;
    const EACH_CHECKS: f64 = 2.0;
    println!("algorithm      sign us   check us   signature bytes   a payment costs each side us");
    for algorithm in Algorithm::ALL {
        let signer = Signer::random(algorithm, Purpose::PayParams).expect("the system has random bytes");
        let mut signature = String::new();
        signer.sign_into(&[&MESSAGE], &mut signature);
        let sign = best_us(|| {
            let mut out = String::with_capacity(350);
            signer.sign_into(&[std::hint::black_box(&MESSAGE)], &mut out);
            std::hint::black_box(out);
        });
        let check = best_us(|| {
            let checked = signer.checker().check(&[std::hint::black_box(&MESSAGE)], &signature);
            std::hint::black_box(checked).expect("its own signature");
        });
        let payment = EACH_SIGNS * sign + EACH_CHECKS * check;
        println!("{:<12} {sign:>9.2} {check:>10.2} {:>17} {payment:>30.1}", algorithm.flag(), signature.len());
    }
}
