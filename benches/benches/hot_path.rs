//! What the server itself does a payment: offer to poll, cache write to query, acceptance by batch size on both stores.

use std::{hint::black_box, path::Path, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use payrig_channel::{Ledger, MemoryLedger, Options};
use payrig_server::{
    cache::{Cache, Entry, ResultCache as _, memory::MemoryCache},
    channel::{Channel, simulated::SimulatedChannel},
    clock::Clock,
    dispatch,
    metrics::Metrics,
    model::TaskView,
    parts::{Locks, Parts, Settings},
    queue::{Message, Queue, TaskQueue as _, memory::MemoryQueue},
    refund::Desk,
    service::Backlog,
    store::{Store, embedded::EmbeddedStore, memory::MemoryStore},
};
use tokio::{runtime::Runtime, task::JoinSet};

mod common;

/// Submissions that travel together.
const BATCHES: [u64; 4] = [1, 16, 64, 512];
const CACHE_CAPACITY: usize = 10_000;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A batch offered, polled and acknowledged.
fn queue(criterion: &mut Criterion) {
    let runtime = runtime();
    let (queue, _wheel) = MemoryQueue::new(100_000);
    let open = common::open_task(0);
    let mut group = criterion.benchmark_group("MemoryQueue offer to ack");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let messages = (0..batch).map(|_| Message::first(Arc::clone(&open), 1)).collect();
                queue.offer(messages).await.expect("room");
                drain(&queue).await;
            });
        });
    }
}

async fn drain(queue: &impl DrainableQueue) {
    while queue.waiting() > 0 {
        for delivery in queue.poll(64).await {
            queue.ack(black_box(delivery).tag).await;
        }
    }
}

/// The queue by itself and behind its enum alike.
trait DrainableQueue: payrig_server::queue::TaskQueue {
    fn waiting(&self) -> usize;
}

impl DrainableQueue for MemoryQueue {
    fn waiting(&self) -> usize {
        self.stats().waiting
    }
}

impl DrainableQueue for Queue {
    fn waiting(&self) -> usize {
        self.stats().waiting
    }
}

/// The views of a payment written, and two queries.
fn cache(criterion: &mut Criterion) {
    let runtime = runtime();
    let cache = runtime.block_on(async { MemoryCache::new(CACHE_CAPACITY) });
    let mut number = 0;
    let mut next = move || {
        number += 1;
        common::open_task(number)
    };
    let mut group = criterion.benchmark_group("MemoryCache");
    group.bench_function("put three views, get two", |bencher| {
        bencher.to_async(&runtime).iter_batched(
            || {
                let open = next();
                let working = |state| TaskView::working(&open, state, 1, 2, None);
                [
                    TaskView::queued(&open),
                    working(payrig_api::TaskState::Running),
                    working(payrig_api::TaskState::Retrying),
                ]
                .map(Arc::new)
            },
            |views| async {
                let task = views[0].task.task_id;
                for (at, view) in (1..).zip(views) {
                    cache.put(Entry { view, fact_at_us: at }).await.expect("a cache in memory");
                }
                black_box(cache.get(task).await.expect("a cache in memory"));
                black_box(cache.get(task).await.expect("a cache in memory"))
            },
            criterion::BatchSize::SmallInput,
        );
    });
    let known = common::open_task(u64::MAX >> 20);
    let entry = Entry { view: Arc::new(TaskView::queued(&known)), fact_at_us: 1 };
    runtime.block_on(cache.put(entry)).expect("a cache in memory");
    group.bench_function("get", |bencher| {
        bencher.to_async(&runtime).iter(|| async { black_box(cache.get(known.task.task_id).await) });
    });
}

/// Submissions handed in together, until each has its answer; the queue is emptied as runners would.
fn acceptance(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("acceptance");
    let _ = std::fs::remove_dir_all(&folder);
    for (name, embedded) in [("memory store", false), ("embedded store", true)] {
        let runtime = runtime();
        let store = if embedded {
            Store::Embedded(EmbeddedStore::open(&folder).expect("a store"))
        } else {
            Store::Memory(MemoryStore::default())
        };
        let (parts, backlog) = runtime.block_on(async {
            let parts = parts(store).await;
            let (backlog, publisher) = Backlog::new(Arc::clone(&parts), 16_384);
            tokio::spawn(publisher.run());
            (parts, backlog)
        });
        let mut number = 0;
        let mut group = criterion.benchmark_group(format!("acceptance, {name}"));
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
                bencher.to_async(&runtime).iter_batched(
                    || {
                        number += batch;
                        (number..number + batch).map(common::open_task).collect::<Vec<_>>()
                    },
                    |opens| accept_all(&parts, &backlog, opens),
                    criterion::BatchSize::PerIteration,
                );
            });
        }
        drop(group);
    }
    let _ = std::fs::remove_dir_all(&folder);
}

async fn accept_all(parts: &Parts, backlog: &Backlog, opens: Vec<Arc<payrig_server::model::OpenTask>>) {
    let mut waiting = JoinSet::new();
    for open in opens {
        let backlog = backlog.clone();
        waiting.spawn(async move { backlog.accept(open).await.expect("accepted") });
    }
    waiting.join_all().await;
    drain(&parts.queue).await;
}

async fn parts(store: Store) -> Arc<Parts> {
    let ledger = Ledger::Memory(MemoryLedger::new());
    let started = payrig_channel::SimulatedChannel::start(ledger, Options::default()).await;
    let (channel, _notifications) = started.expect("a channel in memory");
    let (queue, _wheel) = MemoryQueue::new(100_000);
    Arc::new(Parts {
        store,
        cache: Cache::Memory(MemoryCache::new(CACHE_CAPACITY)),
        queue: Queue::Memory(queue),
        successes: dispatch::in_process(64).0,
        channel: Channel::Simulated(SimulatedChannel::new(channel)),
        clock: Clock::start(),
        metrics: Arc::new(Metrics::new()),
        settings: Settings::default(),
        refunds: Desk::default(),
        locks: Locks::default(),
    })
}

criterion_group! {
    name = benches;
    config = common::short();
    targets = queue, cache, acceptance
}
criterion_main!(benches);
