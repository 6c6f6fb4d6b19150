//! The result cache's map: dashmap beside papaya, scc and moka, under one, two and four threads.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foldhash::fast::RandomState;
use payrig_server::model::TaskView;

mod common;

/// Entries that are there while entries come and go: half a minute at some thousands a second.
const STANDING: u64 = 100_000;
const THREADS: [u64; 3] = [1, 2, 4];

type View = Arc<TaskView>;

/// What the result cache asks of a map.
trait Map: Sync {
    const NAME: &str;
    fn new() -> Self;
    fn get(&self, key: u128) -> Option<View>;
    fn insert(&self, key: u128, view: View);
    fn remove(&self, key: u128);
}

struct Dash(dashmap::DashMap<u128, View, RandomState>);

impl Map for Dash {
    const NAME: &str = "dashmap";
    fn new() -> Self {
        Self(dashmap::DashMap::with_hasher(RandomState::default()))
    }
    fn get(&self, key: u128) -> Option<View> {
        self.0.get(&key).map(|view| Arc::clone(&view))
    }
    fn insert(&self, key: u128, view: View) {
        self.0.insert(key, view);
    }
    fn remove(&self, key: u128) {
        self.0.remove(&key);
    }
}

struct Papaya(papaya::HashMap<u128, View, RandomState>);

impl Map for Papaya {
    const NAME: &str = "papaya";
    fn new() -> Self {
        Self(papaya::HashMap::builder().hasher(RandomState::default()).build())
    }
    fn get(&self, key: u128) -> Option<View> {
        self.0.pin().get(&key).cloned()
    }
    fn insert(&self, key: u128, view: View) {
        self.0.pin().insert(key, view);
    }
    fn remove(&self, key: u128) {
        self.0.pin().remove(&key);
    }
}

struct Scc(scc::HashMap<u128, View, RandomState>);

impl Map for Scc {
    const NAME: &str = "scc";
    fn new() -> Self {
        Self(scc::HashMap::with_hasher(RandomState::default()))
    }
    fn get(&self, key: u128) -> Option<View> {
        self.0.read_sync(&key, |_, view| Arc::clone(view))
    }
    fn insert(&self, key: u128, view: View) {
        self.0.upsert_sync(key, view);
    }
    fn remove(&self, key: u128) {
        self.0.remove_sync(&key);
    }
}

struct Moka(moka::sync::Cache<u128, View, RandomState>);

impl Map for Moka {
    const NAME: &str = "moka";
    fn new() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(10 * STANDING).build_with_hasher(RandomState::default()))
    }
    fn get(&self, key: u128) -> Option<View> {
        self.0.get(&key)
    }
    fn insert(&self, key: u128, view: View) {
        self.0.insert(key, view);
    }
    fn remove(&self, key: u128) {
        self.0.invalidate(&key);
    }
}

/// Spreads numbers as the random bits of ids do.
fn key(number: u64) -> u128 {
    u128::from(number).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
}

fn filled<M: Map>(view: &View) -> M {
    let map = M::new();
    (0..STANDING).for_each(|number| map.insert(key(number), Arc::clone(view)));
    map
}

/// Each operation reads one of the standing entries.
fn get<M: Map>(criterion: &mut Criterion) {
    let view = Arc::new(TaskView::queued(&common::open_task(0)));
    let map = filled::<M>(&view);
    let mut group = criterion.benchmark_group("cache get");
    for threads in THREADS {
        group.throughput(Throughput::Elements(threads));
        group.bench_function(BenchmarkId::new(M::NAME, threads), |bencher| {
            bencher.iter_custom(|iterations| {
                common::on_threads(threads, iterations, |thread, mine| {
                    for number in 0..mine {
                        black_box(map.get(key((number * 7 + thread * 7919) % STANDING)));
                    }
                })
            });
        });
    }
}

/// Each operation is an entry's life: it comes, is replaced as the task settles, is shown twice, and goes.
fn life<M: Map>(criterion: &mut Criterion) {
    let view = Arc::new(TaskView::queued(&common::open_task(0)));
    let map = filled::<M>(&view);
    let mut group = criterion.benchmark_group("cache entry's life");
    for threads in THREADS {
        group.throughput(Throughput::Elements(threads));
        group.bench_function(BenchmarkId::new(M::NAME, threads), |bencher| {
            bencher.iter_custom(|iterations| {
                common::on_threads(threads, iterations, |thread, mine| {
                    let first = STANDING + (thread << 40);
                    for number in first..first + mine {
                        map.insert(key(number), Arc::clone(&view));
                        map.insert(key(number), Arc::clone(&view));
                        black_box(map.get(key(number)));
                        black_box(map.get(key(number)));
                        map.remove(key(number));
                    }
                })
            });
        });
    }
}

fn both<M: Map>(criterion: &mut Criterion) {
    get::<M>(criterion);
    life::<M>(criterion);
}

criterion_group! {
    name = benches;
    config = common::short();
    targets = both::<Dash>, both::<Papaya>, both::<Scc>, both::<Moka>
}
criterion_main!(benches);
