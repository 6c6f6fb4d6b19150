//! A future that is polled by hand, one step at a time, and the gate that tells what its next step is.

use std::{
    hash::{DefaultHasher, Hasher as _},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use payrig_server::{
    model::Collection,
    store::gate::{Gate, Touch},
};

/// A store operation that somebody is about to make.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Step {
    pub(crate) touch: Touch,
    pub(crate) collection: Collection,
    pub(crate) id: String,
}

/// Every store operation is pending once before it happens: whoever polls decides when that is.
#[derive(Default)]
pub(crate) struct Stepping {
    next: Arc<Mutex<Option<Step>>>,
}

struct Announced {
    step: Option<Step>,
    next: Arc<Mutex<Option<Step>>>,
}

impl Stepping {
    /// What was announced since the last call.
    pub(crate) fn take(&self) -> Option<Step> {
        self.next.lock().expect("nobody panics with it").take()
    }
}

impl Gate for Stepping {
    fn pass(&self, touch: Touch, collection: Collection, id: &str) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let step = Step { touch, collection, id: id.to_owned() };
        Box::pin(Announced { step: Some(step), next: Arc::clone(&self.next) })
    }
}

impl Future for Announced {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(step) = self.step.take() else { return Poll::Ready(()) };
        *self.next.lock().expect("nobody panics with it") = Some(step);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether somebody may go on; the thread that polls is told, should it wait for that.
pub(crate) struct Woken(AtomicBool, Thread);

impl Woken {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true), thread::current()))
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
        self.1.unpark();
    }
}

pub(crate) type Work = Pin<Box<dyn Future<Output = ()>>>;

/// One operation under way: the request, and the publisher behind it, which goes on where the client has gone.
pub(crate) struct Actor {
    call: Option<Work>,
    behind: Option<Work>,
    woken: Arc<Woken>,
    /// Its next store operation; nothing before its first step and where it is about to use the channel.
    pub(crate) next: Option<Step>,
}

impl Actor {
    pub(crate) fn new(call: Work, behind: Option<Work>) -> Self {
        Self { call: Some(call), behind, woken: Woken::new(), next: None }
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.call.is_some() || self.behind.is_some()
    }

    pub(crate) fn may_step(&self) -> bool {
        self.is_under_way() && self.woken.0.load(Ordering::SeqCst)
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.call.is_none()
    }

    /// Makes the announced step and goes on until the next is announced.
    pub(crate) fn step(&mut self, stepping: &Stepping) {
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        for work in [&mut self.call, &mut self.behind] {
            if work.as_mut().is_some_and(|work| work.as_mut().poll(&mut context).is_ready()) {
                *work = None;
            }
        }
        self.next = stepping.take();
    }

    /// The client goes away; what was handed in goes on.
    pub(crate) fn abandon(&mut self) {
        self.call = None;
    }
}

/// Polls one future to its end; waits only for other threads, such as a store's.
pub(crate) fn finish<T>(future: impl Future<Output = T>) -> T {
    let woken = Woken::new();
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if woken.0.swap(false, Ordering::SeqCst) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
        } else {
            wait_for_a_wake(|| woken.0.load(Ordering::SeqCst));
        }
    }
}

/// Waits until another thread has woken somebody.
pub(crate) fn wait_for_a_wake(is_woken: impl Fn() -> bool) {
    const LONG: Duration = Duration::from_secs(60);
    let began = Instant::now();
    while !is_woken() {
        thread::park_timeout(LONG);
        assert!(is_woken() || began.elapsed() < LONG, "it waits for something that never comes");
    }
}

/// Tells things apart.
pub(crate) fn number(of: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
