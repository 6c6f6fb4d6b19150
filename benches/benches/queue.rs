//! The task queue's core: crossbeam's queues and channel beside tokio's mpsc and flume, within a thread and across two.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use payrig_server::queue::Message;

mod common;

/// Messages that are sent before any is taken, as a publisher sends a batch.
const BATCH: usize = 64;
const CAPACITY: usize = 100_000;

/// What the task queue asks of its core: neither end waits.
trait Core: Sync {
    const NAME: &str;
    fn new() -> Self;
    /// Whether there was room.
    fn send(&self, message: Message) -> bool;
    fn take(&self) -> Option<Message>;
}

struct Array(crossbeam_queue::ArrayQueue<Message>);

impl Core for Array {
    const NAME: &str = "crossbeam ArrayQueue";
    fn new() -> Self {
        Self(crossbeam_queue::ArrayQueue::new(CAPACITY))
    }
    fn send(&self, message: Message) -> bool {
        self.0.push(message).is_ok()
    }
    fn take(&self) -> Option<Message> {
        self.0.pop()
    }
}

/// Unbounded, so it would need a count beside it.
struct Segmented(crossbeam_queue::SegQueue<Message>);

impl Core for Segmented {
    const NAME: &str = "crossbeam SegQueue (unbounded)";
    fn new() -> Self {
        Self(crossbeam_queue::SegQueue::new())
    }
    fn send(&self, message: Message) -> bool {
        self.0.push(message);
        true
    }
    fn take(&self) -> Option<Message> {
        self.0.pop()
    }
}

struct Channel(crossbeam_channel::Sender<Message>, crossbeam_channel::Receiver<Message>);

impl Core for Channel {
    const NAME: &str = "crossbeam channel";
    fn new() -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
        Self(sender, receiver)
    }
    fn send(&self, message: Message) -> bool {
        self.0.try_send(message).is_ok()
    }
    fn take(&self) -> Option<Message> {
        self.1.try_recv().ok()
    }
}

/// Its one receiver is behind a lock, as several runtimes take from the queue.
struct Tokio(tokio::sync::mpsc::Sender<Message>, std::sync::Mutex<tokio::sync::mpsc::Receiver<Message>>);

impl Core for Tokio {
    const NAME: &str = "tokio mpsc (receiver locked)";
    fn new() -> Self {
        let (sender, receiver) = tokio::sync::mpsc::channel(CAPACITY);
        Self(sender, std::sync::Mutex::new(receiver))
    }
    fn send(&self, message: Message) -> bool {
        self.0.try_send(message).is_ok()
    }
    fn take(&self) -> Option<Message> {
        self.1.lock().expect("nobody panics with it").try_recv().ok()
    }
}

struct Flume(flume::Sender<Message>, flume::Receiver<Message>);

impl Core for Flume {
    const NAME: &str = "flume";
    fn new() -> Self {
        let (sender, receiver) = flume::bounded(CAPACITY);
        Self(sender, receiver)
    }
    fn send(&self, message: Message) -> bool {
        self.0.try_send(message).is_ok()
    }
    fn take(&self) -> Option<Message> {
        self.1.try_recv().ok()
    }
}

/// A runtime's own publisher sends a batch and its own runner takes it.
fn within_a_thread<C: Core>(criterion: &mut Criterion) {
    let (core, open) = (C::new(), common::open_task(0));
    let mut group = criterion.benchmark_group("queue within a thread");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function(C::NAME, |bencher| {
        bencher.iter(|| {
            for _ in 0..BATCH {
                assert!(core.send(Message::first(Arc::clone(&open), 1)));
            }
            while let Some(message) = core.take() {
                black_box(message);
            }
        });
    });
}

/// Two threads, each sending and taking batches: several runtimes share the queue.
fn across_threads<C: Core>(criterion: &mut Criterion) {
    let (core, open) = (C::new(), common::open_task(0));
    let mut group = criterion.benchmark_group("queue shared by two threads");
    group.throughput(Throughput::Elements(2 * BATCH as u64));
    group.bench_function(C::NAME, |bencher| {
        bencher.iter_custom(|iterations| {
            common::on_threads(2, iterations, |_, mine| {
                for _ in 0..mine {
                    for _ in 0..BATCH {
                        assert!(core.send(Message::first(Arc::clone(&open), 1)));
                    }
                    for _ in 0..BATCH {
                        black_box(core.take());
                    }
                }
            })
        });
    });
}

fn both<C: Core>(criterion: &mut Criterion) {
    within_a_thread::<C>(criterion);
    across_threads::<C>(criterion);
}

criterion_group! {
    name = benches;
    config = common::short();
    targets = both::<Array>, both::<Segmented>, both::<Channel>, both::<Tokio>, both::<Flume>
}
criterion_main!(benches);
