//! A future that is polled by hand, one step at a time, and the gate that tells what its next step is.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use payrig_server::{
    model::Collection,
    store::memory::{Gate, Touch},
};

/// A store operation that somebody is about to make.
#[derive(Clone, PartialEq, Eq, Debug)]
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

/// Whether somebody may go on.
pub(crate) struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
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
    /// All that it has learnt so far, as a number.
    pub(crate) learnt: u64,
}

impl Actor {
    pub(crate) fn new(call: Work, behind: Option<Work>) -> Self {
        Self { call: Some(call), behind, woken: Arc::new(Woken(AtomicBool::new(true))), next: None, learnt: 0 }
    }

    pub(crate) fn may_step(&self) -> bool {
        (self.call.is_some() || self.behind.is_some()) && self.woken.0.load(Ordering::SeqCst)
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

/// Polls one future to its end, which never waits for anything but its turn.
pub(crate) fn finish<T>(future: impl Future<Output = T>) -> T {
    const ENOUGH: usize = 100_000;
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..ENOUGH {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("it waits for something that never comes");
}
