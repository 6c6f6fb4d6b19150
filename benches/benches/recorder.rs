//! The harness's recorder: what one request costs it, alone and while another thread records too.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use payrig::recorder::{Drain, Ending, Instants, Recorder, histogram};
use payrig_scenarios::Step;

mod common;

/// Latencies that fall into many cells, as real ones do.
fn latency_us(number: u64) -> u64 {
    80 + number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 5_000
}

fn recorder(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recorder");
    let mut alone = histogram();
    let mut number = 0;
    group.bench_function("one value into an HdrHistogram", |bencher| {
        bencher.iter(|| {
            number += 1;
            alone.saturating_record(latency_us(number));
        });
    });
    for threads in [1, 2] {
        let recorder = Recorder::new(threads);
        let threads = threads as u64;
        group.throughput(Throughput::Elements(threads));
        group.bench_function(BenchmarkId::new("a request with its three spans, threads", threads), |bencher| {
            bencher.iter_custom(|iterations| {
                common::on_threads(threads, iterations, |_, mine| {
                    for number in 0..mine {
                        let sent_us = 1_000 + number;
                        let done_us = sent_us + latency_us(number);
                        let at = Instants { scheduled_us: sent_us - 30, sent_us, done_us };
                        recorder.request(Step::Query, at, Ending::Done, true);
                    }
                })
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    let recorder = Recorder::new(2);
    let mut drain = Drain::default();
    group.bench_function("the swap once a second", |bencher| {
        bencher.iter(|| {
            drain.take(&recorder);
        });
    });
}

criterion_group! {
    name = benches;
    config = common::short();
    targets = recorder
}
criterion_main!(benches);
