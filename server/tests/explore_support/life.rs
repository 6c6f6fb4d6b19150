//! One life of a server: everything that a crash takes away, over a store and a ledger that stay.

use std::{
    cell::RefCell,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use payrig_channel::{Ledger, Notification, Notifications, Options, Profile, SecretKey};
use payrig_server::{
    cache::{Cache, memory::MemoryCache},
    channel::{Channel, simulated::SimulatedChannel},
    clock::Clock,
    dispatch::{self, Publisher, SUBSCRIBERS},
    metrics::Metrics,
    parts::{Locks, Parts, Settings},
    queue::{
        Queue, TaskQueue as _,
        memory::{MemoryQueue, Wheel},
        success::{SubscriberQueue, memory::MemorySuccesses},
    },
    refund::Desk,
    runner::Runner,
    store::Store,
    sweep,
    sync::Synchroniser,
};
use tokio::runtime::Runtime;

use super::{
    actor::{finish, number},
    ops::{TASKS, task},
};

/// When everything begins.
pub(crate) const T0_US: u64 = 1_800_000_000_000_000;
/// Longer than the pay window.
pub(crate) const LATE_US: u64 = 16 * 60 * 1_000_000;

/// Success messages that one subscriber may have waiting: few, so that there is not always room.
const SUCCESSES: usize = 1;

/// A running server.
pub(crate) struct Life {
    /// For what is not explored: setting up, restarting, checking.
    pub(crate) plain: Arc<Parts>,
    /// For what is: every store operation is a step.
    pub(crate) stepped: Arc<Parts>,
    pub(crate) simulation: payrig_channel::SimulatedChannel,
    pub(crate) inbox: Inbox,
    publisher: RefCell<Publisher>,
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

    /// One of all that have arrived, once there are any.
    pub(crate) async fn any(&self, number: usize) -> Notification {
        self.first().await;
        self.take_in();
        let got = &self.inner.borrow().1;
        got[number % got.len()].clone()
    }

    /// All that ever arrived here.
    pub(crate) fn all(&self) -> Vec<Notification> {
        self.take_in();
        self.inner.borrow().1.clone()
    }

    /// What came to an earlier life may come again, or late.
    pub(crate) fn remember(&self, earlier: Vec<Notification>) {
        self.inner.borrow_mut().1.extend(earlier);
    }

    fn take_in(&self) {
        let (source, got, _) = &mut *self.inner.borrow_mut();
        while let Poll::Ready(Some(arrived)) =
            std::pin::pin!(source.recv()).poll(&mut Context::from_waker(Waker::noop()))
        {
            got.push(arrived);
        }
    }
}

thread_local! {
    static RUNTIME: Runtime = paused_runtime();
    // Making them anew takes longer than everything else; each thread explores by itself.
    static METRICS: Arc<Metrics> = Arc::new(Metrics::new());
}

fn paused_runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}

/// Runs where the clocks stand still.
pub(crate) fn with_clocks_stopped<T>(run: impl FnOnce() -> T) -> T {
    RUNTIME.with(|runtime| {
        let _within = runtime.enter();
        run()
    })
}

impl Life {
    /// Starts on what an earlier life left, at this instant.
    pub(crate) fn start(plain: &Store, stepped: &Store, ledger: Ledger, now_us: u64) -> Self {
        let options = Options {
            profile: Profile::quiet(),
            // A durable ledger keeps its own, by which what was signed in an earlier life is known again.
            secret: matches!(ledger, Ledger::Memory(_)).then(|| SecretKey::from_bytes([3; 32])),
            notification_capacity: 16,
            ..Options::default()
        };
        let started = payrig_channel::SimulatedChannel::start(ledger, options);
        let (simulation, notifications) = finish(started).expect("the ledger answers");
        let (queue, wheel) = MemoryQueue::new(32);
        let (successes, announced) = dispatch::in_process(SUCCESSES);
        let plain = Parts {
            store: plain.clone(),
            cache: Cache::Memory(MemoryCache::new(64)),
            queue: Queue::Memory(queue),
            successes,
            channel: Channel::Simulated(SimulatedChannel::new(simulation.clone())),
            clock: Clock::anchored(now_us),
            metrics: METRICS.with(Arc::clone),
            settings: Settings::default(),
            refunds: Desk::default(),
            locks: Locks::default(),
        };
        let stepped = with(&plain, stepped, now_us);
        let inbox = Inbox { inner: RefCell::new((notifications, Vec::new(), Vec::new())) };
        let plain = Arc::new(plain);
        let publisher = RefCell::new(Publisher::new(Arc::clone(&plain), announced));
        Self { plain, stepped, simulation, inbox, publisher, _wheel: wheel }
    }

    /// Its clock goes forward to this time.
    pub(crate) fn sleep_until(&mut self, now_us: u64) {
        self.plain = with(&self.plain, &self.plain.store, now_us);
        self.stepped = with(&self.stepped, &self.stepped.store, now_us);
    }

    /// Who holds a lock of the process, as a number.
    pub(crate) fn locks(&self) -> u64 {
        let locks = &self.stepped.locks;
        let deciding = (0..TASKS).map(|number| locks.deciding(task(number)).try_lock().is_err());
        let all = deciding.chain([locks.replacing_key.try_lock().is_err()]);
        all.fold(0, |locked, one| locked << 1 | u64::from(one))
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

    /// What was announced is in the subscribers' queues: nobody else has to do with it on the way.
    pub(crate) fn publish(&self) {
        finish(self.publisher.borrow_mut().publish_announced());
    }

    /// Every subscriber does all that it has to do.
    pub(crate) fn serve_all(&self) {
        self.publish();
        for which in 0..SUBSCRIBERS.len() {
            while self.has_work(which) {
                finish(dispatch::serve_next(&self.plain, which));
            }
        }
    }

    /// Whether the subscriber has something to do now.
    fn has_work(&self, which: usize) -> bool {
        let stats = self.plain.successes.queues()[which].stats();
        stats.waiting > 0 || stats.behind
    }

    /// What the subscribers' queues hold, as a number.
    pub(crate) fn published(&self) -> u64 {
        let queues = self.plain.successes.queues().iter();
        let held = |queue: &SubscriberQueue| match queue {
            SubscriberQueue::Memory(queue) => (queue.waiting(), in_hand(queue)),
            #[allow(unreachable_patterns, reason = "without features there is no other")]
            _ => unreachable!("the explorer's queues are in process"),
        };
        number(&queues.map(held).collect::<Vec<_>>())
    }

    /// What a start does, and what the sweeper does of what is old enough: all of it.
    pub(crate) fn come_to_rest(&self) {
        for _ in 0..2 {
            self.drain();
            let recover = sweep::recover(&self.plain, self.plain.clock.now_us() + 1_000_000);
            // It takes its time between pages; the runtime's clock goes on by itself where nobody has anything to do.
            RUNTIME.with(|runtime| runtime.block_on(recover));
            self.serve_all();
        }
        self.drain();
        self.serve_all();
    }
}

fn in_hand(queue: &MemorySuccesses) -> (usize, bool) {
    (queue.stats().unacknowledged, queue.stats().behind)
}

pub(crate) fn runner(parts: &Arc<Parts>) -> Runner {
    Runner::new(Arc::clone(parts), Synchroniser::Direct(Arc::clone(parts)))
}

fn with(parts: &Parts, store: &Store, now_us: u64) -> Arc<Parts> {
    Arc::new(Parts {
        store: store.clone(),
        cache: parts.cache.clone(),
        queue: parts.queue.clone(),
        successes: parts.successes.clone(),
        channel: parts.channel.clone(),
        clock: Clock::anchored(now_us),
        metrics: Arc::clone(&parts.metrics),
        settings: parts.settings,
        refunds: Desk::default(),
        locks: Locks::default(),
    })
}
