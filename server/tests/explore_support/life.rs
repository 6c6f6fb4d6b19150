//! One life of a server: everything that a crash takes away, over a store and a ledger that stay.

use std::{
    cell::RefCell,
    future::poll_fn,
    sync::{Arc, OnceLock},
    task::{Poll, Waker},
};

use payrig_channel::{Ledger, MemoryLedger, Notification, Notifications, Options, Profile, SecretKey};
use payrig_server::{
    cache::{Cache, memory::MemoryCache},
    channel::{Channel, simulated::SimulatedChannel},
    clock::Clock,
    metrics::Metrics,
    parts::{Parts, Settings},
    queue::{
        Queue, TaskQueue as _,
        memory::{MemoryQueue, Wheel},
    },
    runner::Runner,
    store::{Store, memory::MemoryStore},
    sweep,
    sync::Synchroniser,
};

use super::actor::{Stepping, finish};

/// When everything begins.
pub(crate) const T0_US: u64 = 1_800_000_000_000_000;
/// Longer than the pay window.
pub(crate) const LATE_US: u64 = 16 * 60 * 1_000_000;

/// A running server.
pub(crate) struct Life {
    /// For what is not explored: setting up, restarting, checking.
    pub(crate) plain: Arc<Parts>,
    /// For what is: every store operation is a step.
    pub(crate) stepped: Arc<Parts>,
    /// The same after the pay window.
    pub(crate) late: Arc<Parts>,
    pub(crate) simulation: payrig_channel::SimulatedChannel,
    pub(crate) inbox: Inbox,
    _wheel: Wheel,
}

/// The channel's notifications, each of which may be delivered more than once.
pub(crate) struct Inbox {
    inner: RefCell<(Notifications, Vec<Notification>, Vec<Waker>)>,
}

impl Inbox {
    /// The first notification there ever was, once there is one.
    pub(crate) async fn first(&self) -> Notification {
        poll_fn(|context| {
            let (source, got, waiting) = &mut *self.inner.borrow_mut();
            if got.is_empty() {
                match std::pin::pin!(source.recv()).poll(context) {
                    Poll::Ready(arrived) => got.extend(arrived),
                    Poll::Pending => {
                        waiting.push(context.waker().clone());
                        return Poll::Pending;
                    }
                }
                waiting.drain(..).for_each(Waker::wake);
            }
            Poll::Ready(got.first().expect("the channel lives as long as its server").clone())
        })
        .await
    }
}

fn metrics() -> Arc<Metrics> {
    static METRICS: OnceLock<Arc<Metrics>> = OnceLock::new();
    Arc::clone(METRICS.get_or_init(|| Arc::new(Metrics::new())))
}

impl Life {
    /// Starts on what an earlier life left, at this instant.
    pub(crate) fn start(store: &MemoryStore, ledger: &MemoryLedger, gate: Arc<Stepping>, now_us: u64) -> Self {
        let options = Options {
            profile: Profile::quiet(),
            secret: Some(SecretKey::from_bytes([3; 32])),
            notification_capacity: 16,
            ..Options::default()
        };
        let started = payrig_channel::SimulatedChannel::start(Ledger::from(ledger.clone()), options);
        let (simulation, notifications) = finish(started).expect("memory does not fail");
        let (queue, wheel) = MemoryQueue::new(32);
        let plain = Parts {
            store: Store::Memory(store.clone()),
            cache: Cache::Memory(MemoryCache::new(64)),
            queue: Queue::Memory(queue),
            channel: Channel::Simulated(SimulatedChannel::new(simulation.clone())),
            clock: Clock::anchored(now_us),
            metrics: metrics(),
            settings: Settings::default(),
            locks: payrig_server::parts::Locks::default(),
        };
        let stepped = Store::Memory(store.gated(gate));
        let late = with(&plain, &stepped, now_us + LATE_US);
        let stepped = with(&plain, &stepped, now_us);
        let inbox = Inbox { inner: RefCell::new((notifications, Vec::new(), Vec::new())) };
        Self { plain: Arc::new(plain), stepped, late, simulation, inbox, _wheel: wheel }
    }

    /// Its clock goes forward to this time.
    pub(crate) fn sleep_until(&mut self, now_us: u64) {
        self.plain = with(&self.plain, &self.plain.store, now_us);
    }

    /// Runs whatever the queue delivers until it is empty.
    pub(crate) fn drain(&self) {
        let runner = runner(&self.plain);
        while self.plain.queue.stats().waiting > 0 {
            for delivery in finish(self.plain.queue.poll(16)) {
                finish(runner.handle(delivery));
            }
        }
    }

    /// What a start does, and what the sweeper does of what is old enough: all of it.
    pub(crate) fn come_to_rest(&self) {
        for _ in 0..2 {
            self.drain();
            finish(sweep::recover(&self.plain, self.plain.clock.now_us() + 1_000_000));
        }
        self.drain();
    }
}

pub(crate) fn runner(parts: &Arc<Parts>) -> Runner {
    Runner::new(Arc::clone(parts), Synchroniser::Direct(Arc::clone(parts)))
}

fn with(parts: &Parts, store: &Store, now_us: u64) -> Arc<Parts> {
    Arc::new(Parts {
        store: store.clone(),
        cache: parts.cache.clone(),
        queue: parts.queue.clone(),
        channel: parts.channel.clone(),
        clock: Clock::anchored(now_us),
        metrics: Arc::clone(&parts.metrics),
        settings: parts.settings,
        locks: payrig_server::parts::Locks::default(),
    })
}
