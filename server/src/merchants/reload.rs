//! SIGHUP: the file is read again.

use std::{io, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Merchants;
use crate::metrics::{Metrics, Named};

/// Reads the merchants' file again whenever it is asked to.
pub struct Reloading {
    merchants: Arc<Merchants>,
    metrics: Arc<Metrics>,
    asked: Signal,
}

impl Reloading {
    /// Listens for SIGHUP from now on. Nothing where there is no file: the signal then does what it always does.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn listen(merchants: &Arc<Merchants>, metrics: &Arc<Metrics>) -> io::Result<Option<Self>> {
        if !merchants.have_keys() {
            return Ok(None);
        }
        let asked = signal(SignalKind::hangup())?;
        Ok(Some(Self { merchants: Arc::clone(merchants), metrics: Arc::clone(metrics), asked }))
    }

    /// Runs for as long as it is polled. A file that is not as expected leaves everything as it was.
    pub async fn run(mut self) {
        while self.asked.recv().await.is_some() {
            let merchants = Arc::clone(&self.merchants);
            let Ok(read) = tokio::task::spawn_blocking(move || merchants.reload()).await else { continue };
            let name = match read {
                Ok(table) => {
                    tracing::info!(merchants = table.merchants(), keys = table.keys(), "merchants were read again");
                    "done"
                }
                Err(error) => {
                    tracing::error!(%error, "the merchants' file was not taken; those read before stay");
                    "refused"
                }
            };
            self.metrics.merchants_reloads.get_or_create(&Named { name }).inc();
        }
    }
}
