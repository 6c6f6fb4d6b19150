//! Ctrl-c and SIGTERM: the first ends the run in order, the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether somebody asked the run to end.
#[derive(Default, Debug)]
pub struct Interrupt {
    is_set: AtomicBool,
    wake: Notify,
}

impl Interrupt {
    /// Takes over SIGINT, SIGTERM and SIGHUP for this process.
    ///
    /// Goose installs a handler of its own when it starts, whose second ctrl-c exits with code 1 and writes nothing; it
    /// goes through the same crate, which keeps the first handler, so this one has to come first.
    ///
    /// # Errors
    /// Another handler is installed already.
    pub fn install(at_once_exit_code: i32) -> Result<Arc<Self>, ctrlc::Error> {
        let interrupt = Arc::new(Self::default());
        let shared = Arc::clone(&interrupt);
        ctrlc::set_handler(move || {
            if shared.is_set.swap(true, Ordering::SeqCst) {
                // The server of this run is tied to this process and gets SIGTERM from the kernel.
                eprintln!("\nstopped at once: the results of this run are not complete");
                std::process::exit(at_once_exit_code);
            }
            shared.wake.notify_waiters();
        })?;
        Ok(interrupt)
    }

    /// Whether a signal came.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// Waits for a signal.
    pub async fn wait(&self) {
        let wake = self.wake.notified();
        tokio::pin!(wake);
        // Registered before the flag is read, so that a signal between the two is not missed.
        wake.as_mut().enable();
        if !self.is_set() {
            wake.await;
        }
    }
}
