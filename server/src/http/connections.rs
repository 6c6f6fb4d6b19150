//! The open connections of one runtime and their deadlines.
//!
//! hyper's own header timeout starts with the wait for a request, so that it cannot tell a kept-alive connection that
//! rests from one that sends its headers too slowly, and it arms a timer for every request. Here a connection notes its
//! phase in two plain stores, and one look at all of them, four times a second, closes what is late.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::AbortHandle,
    time::{Instant, MissedTickBehavior},
};

use crate::metrics::{Metrics, Named};

/// From the first byte of a request (or from the connection's start) to the end of its headers.
const HEAD: Duration = Duration::from_secs(10);
/// Without a request.
const IDLE: Duration = Duration::from_secs(75);
/// Between two looks.
const TICK: Duration = Duration::from_millis(250);
/// Between two looks while stopping.
const STOPPING_TICK: Duration = Duration::from_millis(10);

const IN_HEAD: u8 = 0;
const BUSY: u8 = 1;
const AT_REST: u8 = 2;

/// Where a connection stands, and since when.
pub struct Phase {
    phase: AtomicU8,
    since_us: AtomicU64,
    epoch: Instant,
}

impl Phase {
    fn new(epoch: Instant) -> Self {
        let phase = Self { phase: AtomicU8::new(IN_HEAD), since_us: AtomicU64::new(0), epoch };
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
    pub fn busy(&self) {
        self.phase.store(BUSY, Relaxed);
    }

    /// The answer is given; the next request is waited for.
    pub fn at_rest(&self) {
        self.enter(AT_REST);
    }

    fn bytes_arrived(&self) {
        if self.phase.load(Relaxed) == AT_REST {
            self.enter(IN_HEAD);
        }
    }

    /// The deadline that it has missed.
    fn late(&self, now: Instant) -> Option<&'static str> {
        let waited = Duration::from_micros(self.elapsed_us(now).saturating_sub(self.since_us.load(Relaxed)));
        match self.phase.load(Relaxed) {
            IN_HEAD if waited > HEAD => Some("headers"),
            AT_REST if waited > IDLE => Some("idle"),
            _ => None,
        }
    }
}

/// A connection's stream, which tells its phase when bytes arrive.
pub struct Watched {
    stream: TokioIo<TcpStream>,
    phase: Arc<Phase>,
}

impl Read for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.phase.bytes_arrived();
        }
        read
    }
}

impl Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

/// The open connections of one runtime.
#[derive(Clone)]
pub struct Connections {
    open: Arc<Mutex<Open>>,
    metrics: Arc<Metrics>,
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
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { open: Arc::default(), metrics, epoch: Instant::now() }
    }

    /// The stream of a new connection and its phase.
    #[must_use]
    pub fn watch(&self, stream: TcpStream) -> (Watched, Arc<Phase>) {
        let phase = Arc::new(Phase::new(self.epoch));
        (Watched { stream: TokioIo::new(stream), phase: Arc::clone(&phase) }, phase)
    }

    /// Runs a connection until it ends or misses a deadline.
    pub fn spawn(&self, phase: Arc<Phase>, connection: impl Future<Output = ()> + Send + 'static) {
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
    pub fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes connections that miss their deadlines, for as long as it is polled.
    pub async fn keep_deadlines(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = tick.tick().await;
            for (abort, phase) in self.lock().connections.values() {
                if let Some(deadline) = phase.late(now) {
                    self.metrics.connection_timeouts.get_or_create(&Named { name: deadline }).inc();
                    abort.abort();
                }
            }
        }
    }

    /// Closes connections at rest until none is left.
    pub async fn drain(&self) {
        while !self.is_empty() {
            for (abort, phase) in self.lock().connections.values() {
                if phase.phase.load(Relaxed) != BUSY {
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
