//! The open connections of one runtime and their deadlines.
//!
//! hyper's own header timeout starts with the wait for a request, so that it cannot tell a kept-alive connection that
//! rests from one that sends its headers too slowly, and it arms a timer for every request. Here a connection notes its
//! phase in plain stores, and one look at all of them, four times a second, closes what is late. The stream itself
//! (`watched.rs`) tells when bytes come and when an answer has gone out.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::TcpStream,
    task::AbortHandle,
    time::{Instant, MissedTickBehavior},
};

use super::watched::Watched;
use crate::metrics::{Metrics, Named};

/// Between two looks.
const TICK: Duration = Duration::from_millis(250);
/// Between two looks while stopping.
const STOPPING_TICK: Duration = Duration::from_millis(10);
/// How long connections at rest may still send a request while stopping, to be told in the answer that it was the last.
const LAST_CALL: Duration = Duration::from_millis(500);
/// How long an answer may take beyond its request's own deadlines. Whatever it waits for has deadlines of its own; this
/// one only keeps a fault in them from holding its connection's place for ever.
const STUCK: Duration = Duration::from_secs(60);
/// How long a client that was told goodbye may take to hear it.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a client may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadlines {
    /// From the first byte of a request (or from the connection's start) to the end of its headers.
    pub head: Duration,
    /// From there to the end of its body; kept by whoever reads the body.
    pub body: Duration,
    /// To take an answer.
    pub answer: Duration,
    /// Without a request.
    pub idle: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(75),
        }
    }
}

/// A request's headers are awaited, some bytes of them are there (or none yet, on a new connection).
const IN_HEAD: u8 = 0;
/// A request is being answered.
const BUSY: u8 = 1;
/// The answer is on its way out.
const ANSWERED: u8 = 2;
/// The answer is out, and there is no byte of another request.
const AT_REST: u8 = 3;
/// Our side is closed; the client may hear what was said last.
const LEAVING: u8 = 4;

/// Where a connection stands, and since when.
pub(super) struct Phase {
    phase: AtomicU8,
    /// The connection ends with the next answer.
    last_call: AtomicBool,
    since_us: AtomicU64,
    epoch: Instant,
}

impl Phase {
    fn new(epoch: Instant) -> Self {
        let phase = AtomicU8::new(IN_HEAD);
        let phase = Self { phase, last_call: AtomicBool::new(false), since_us: AtomicU64::new(0), epoch };
        phase.enter(IN_HEAD);
        phase
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Relaxed);
        self.since_us.store(self.elapsed_us(Instant::now()), Relaxed);
    }

    fn elapsed_us(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX)
    }

    /// The headers are there: from now on the handler keeps its own deadlines.
    pub(super) fn busy(&self) {
        self.phase.store(BUSY, Relaxed);
    }

    /// The answer is made.
    pub(super) fn answered(&self) {
        self.enter(ANSWERED);
    }

    /// Whether this answer is to be the connection's last.
    #[must_use]
    pub(super) fn is_last_call(&self) -> bool {
        self.last_call.load(Relaxed)
    }

    /// Everything that was written is out. Rest counts from the answer, which spares another look at the clock.
    pub(super) fn written(&self) {
        if self.phase.load(Relaxed) == ANSWERED {
            self.phase.store(AT_REST, Relaxed);
        }
    }

    pub(super) fn bytes_arrived(&self) {
        if self.phase.load(Relaxed) == AT_REST {
            self.enter(IN_HEAD);
        }
    }

    pub(super) fn leaving(&self) {
        self.enter(LEAVING);
    }

    /// The deadline that it has missed.
    fn late(&self, now: Instant, deadlines: &Deadlines) -> Option<&'static str> {
        let waited = Duration::from_micros(self.elapsed_us(now).saturating_sub(self.since_us.load(Relaxed)));
        match self.phase.load(Relaxed) {
            IN_HEAD if waited > deadlines.head => Some("headers"),
            // A request counts from its first byte: another look at the clock for its handler's sake is spared.
            BUSY if waited > deadlines.head + deadlines.body + STUCK => Some("stuck"),
            ANSWERED if waited > deadlines.answer => Some("answer"),
            AT_REST if waited > deadlines.idle => Some("idle"),
            LEAVING if waited > GOODBYE => Some("goodbye"),
            _ => None,
        }
    }

    /// Whether nobody waits for an answer here.
    fn is_free(&self) -> bool {
        !matches!(self.phase.load(Relaxed), BUSY | ANSWERED)
    }
}

/// The open connections of one runtime.
#[derive(Clone)]
pub(super) struct Connections {
    open: Arc<Mutex<Open>>,
    metrics: Arc<Metrics>,
    deadlines: Deadlines,
    epoch: Instant,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, (AbortHandle, Arc<Phase>)>,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub(super) fn new(metrics: Arc<Metrics>, deadlines: Deadlines) -> Self {
        Self { open: Arc::default(), metrics, deadlines, epoch: Instant::now() }
    }

    /// The stream of a new connection and its phase.
    #[must_use]
    pub(super) fn watch(&self, stream: TcpStream) -> (Watched, Arc<Phase>) {
        let phase = Arc::new(Phase::new(self.epoch));
        (Watched::new(stream, Arc::clone(&phase)), phase)
    }

    /// Runs a connection until it ends or misses a deadline.
    pub(super) fn spawn(&self, phase: Arc<Phase>, connection: impl Future<Output = ()> + Send + 'static) {
        let mut open = self.lock();
        let id = open.next;
        open.next += 1;
        let gone = Gone { id, open: Arc::clone(&self.open), metrics: Arc::clone(&self.metrics) };
        self.metrics.connections.inc();
        let task = tokio::spawn(async move {
            // Dropped when the connection ends and when it is aborted alike.
            let _gone = gone;
            connection.await;
        });
        open.connections.insert(id, (task.abort_handle(), phase));
    }

    /// How many there are.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// Whether there is none.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes connections that miss their deadlines, for as long as it is polled.
    pub(super) async fn keep_deadlines(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = tick.tick().await;
            for (abort, phase) in self.lock().connections.values() {
                if let Some(deadline) = phase.late(now, &self.deadlines) {
                    self.metrics.connection_timeouts.get_or_create(&Named { name: deadline }).inc();
                    abort.abort();
                }
            }
        }
    }

    /// Closes every connection as soon as it is free: at once after its next answer, which says so, or after a while
    /// at rest, so that a request that is on its way is not cut off.
    pub(super) async fn drain(&self) {
        for (_, phase) in self.lock().connections.values() {
            phase.last_call.store(true, Relaxed);
        }
        let last_call = Instant::now() + LAST_CALL;
        while !self.is_empty() {
            if Instant::now() >= last_call {
                for (abort, _) in self.lock().connections.values().filter(|(_, phase)| phase.is_free()) {
                    abort.abort();
                }
            }
            tokio::time::sleep(STOPPING_TICK).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Strikes the connection off when it ends.
struct Gone {
    id: u64,
    open: Arc<Mutex<Open>>,
    metrics: Arc<Metrics>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).connections.remove(&self.id);
        self.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        head: Duration::from_secs(1),
        body: Duration::from_secs(2),
        answer: Duration::from_secs(3),
        idle: Duration::from_secs(4),
    };

    fn late(phase: &Phase) -> Option<&'static str> {
        phase.late(Instant::now(), &DEADLINES)
    }

    /// The phase has exactly so long.
    async fn has(phase: &Phase, seconds: u64, then: &'static str) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(late(phase), None, "{then}");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(late(phase), Some(then));
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_deadline() {
        let phase = Phase::new(Instant::now());
        phase.bytes_arrived();
        has(&phase, 1, "headers").await;
        phase.busy();
        phase.answered();
        has(&phase, 3, "answer").await;
        phase.answered();
        phase.written();
        has(&phase, 4, "idle").await;
        phase.bytes_arrived();
        phase.busy();
        has(&phase, 63, "stuck").await;
        phase.leaving();
        has(&phase, 2, "goodbye").await;
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_byte_of_a_request_starts_its_clock() {
        let phase = Phase::new(Instant::now());
        for _ in 0..10 {
            tokio::time::advance(Duration::from_millis(100)).await;
            phase.bytes_arrived();
        }
        has(&phase, 0, "headers").await;
        // Bytes of a body, and of a next request while an answer goes out, change nothing either.
        phase.busy();
        phase.bytes_arrived();
        assert!(!phase.is_free());
        phase.answered();
        phase.bytes_arrived();
        assert!(!phase.is_free());
        phase.written();
        assert!(phase.is_free());
        assert_eq!(late(&phase), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_before_the_answer_is_none() {
        let phase = Phase::new(Instant::now());
        phase.busy();
        // `100 Continue`.
        phase.written();
        assert!(!phase.is_free());
    }
}
