//! The result cache from write to query, in process and on Redis, with so many of them under way at once: each operation
//! keeps a view and asks for it, as a task's end and its client's next query do.
//!
//! Redis is where `PAYRIG_TEST_REDIS_URL` says, else where `make services` starts it; without one its part is left out.
#![expect(clippy::print_stderr, reason = "says what it leaves out")]

use std::{hint::black_box, sync::Arc, time::Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use payrig_server::{
    cache::{
        Cache, Entry, ResultCache as _,
        memory::MemoryCache,
        redis::{RedisCache, RedisConfig},
    },
    clock::Clock,
    metrics::Metrics,
    model::TaskView,
};
use tokio::runtime::{Builder, Runtime};

mod common;

/// Write-and-query pairs under way at once: how deep a connection is pipelined.
const DEPTHS: [u64; 5] = [1, 16, 64, 256, 1_024];

fn memory(_: &Runtime) -> Option<Cache> {
    Some(Cache::Memory(MemoryCache::new(1_000_000)))
}

fn redis(runtime: &Runtime) -> Option<Cache> {
    let url = std::env::var("PAYRIG_TEST_REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:26390".to_owned());
    let config = RedisConfig::parse(&format!("{url}?prefix=bench")).expect("an address");
    match runtime.block_on(RedisCache::connect(config, Clock::start(), Arc::new(Metrics::new()))) {
        Ok(cache) => Some(Cache::Redis(cache)),
        Err(error) => {
            eprintln!("left out: {error}");
            None
        }
    }
}

/// One pair after the other in each of so many lines.
async fn pairs(cache: &Cache, first: u64, depth: u64, each: u64) {
    join_all((0..depth).map(|line| async move {
        for number in 0..each {
            let open = common::open_task(first + line * each + number);
            let view = Arc::new(TaskView::queued(&open));
            cache.put(Entry { view, fact_at_us: open.accepted_at_us }).await.expect("it answers");
            black_box(cache.get(open.task.task_id).await.expect("it answers").expect("it is there"));
        }
    }))
    .await;
}

fn write_to_query(criterion: &mut Criterion, name: &str, open: fn(&Runtime) -> Option<Cache>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let Some(cache) = open(&runtime) else { return };
    let mut group = criterion.benchmark_group("cache write to query");
    let mut first = 0;
    for depth in DEPTHS {
        group.throughput(Throughput::Elements(depth));
        group.bench_function(BenchmarkId::new(name, depth), |bencher| {
            bencher.iter_custom(|iterations| {
                let began = Instant::now();
                runtime.block_on(pairs(&cache, first, depth, iterations));
                first += depth * iterations;
                began.elapsed()
            });
        });
    }
}

fn embedded(criterion: &mut Criterion) {
    write_to_query(criterion, "memory", memory);
}

fn elsewhere(criterion: &mut Criterion) {
    write_to_query(criterion, "redis", redis);
}

criterion_group! {
    name = benches;
    config = common::short();
    targets = embedded, elsewhere
}
criterion_main!(benches);
