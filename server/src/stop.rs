//! Stopping: the first signal drains, a second one or the deadline stops at once.

use std::{sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::parts::Parts;

/// The two signals that stop the server.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// How a stop ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// Everything that could be ended was.
    Drained,
    /// The deadline passed; what is open is taken up by the next start.
    OutOfTime,
    /// A second signal.
    AtOnce,
}

impl Signals {
    /// Listens for them from now on.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs until the first signal, then drains for as long as it may. `drained` resolves when nothing is left to do.
pub async fn until_stopped(
    mut signals: Signals,
    stop: watch::Sender<bool>,
    drained: impl Future<Output = ()>,
    deadline: Duration,
    parts: &Arc<Parts>,
) -> Stopped {
    signals.next().await;
    tracing::info!("stopping: draining for at most {} s", deadline.as_secs());
    stop.send_replace(true);
    let stopped = tokio::select! {
        () = drained => Stopped::Drained,
        () = tokio::time::sleep(deadline) => Stopped::OutOfTime,
        () = signals.next() => Stopped::AtOnce,
    };
    if stopped != Stopped::Drained {
        report(parts, stopped);
    }
    stopped
}

/// Says what is left: it is in the store, and the next start takes it up.
#[expect(clippy::print_stderr, reason = "a person who stops the server hard has to see it whatever the log level")]
fn report(parts: &Parts, stopped: Stopped) {
    let stats = parts.queue.stats();
    let why = if stopped == Stopped::AtOnce { "stopped at once" } else { "the time to drain is over" };
    eprintln!(
        "payrig-server: {why}; left: {} queued, {} waiting for a retry, {} attempts under way, {} success messages. \
         All of them are in the store and are taken up by the next start.",
        stats.waiting,
        stats.delayed,
        stats.unacknowledged,
        parts.successes.waiting()
    );
}
