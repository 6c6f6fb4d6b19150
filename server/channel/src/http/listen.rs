//! Accepting and serving connections, within limits, until told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::route::App;

/// The largest head of a request, in bytes (hyper's own limit on the number of headers is 100).
const HEAD_MAX: usize = 16 * 1024;
/// A pause after an accept that failed for want of file handles or memory.
const BREATH: Duration = Duration::from_millis(50);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many may be open; more wait in the kernel.
    pub(crate) connections: usize,
    /// From the end of an answer to the end of the next request's headers: rest and slow headers alike, because hyper
    /// counts them together.
    pub(crate) idle: Duration,
    /// How long a stop waits for answers under way.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4_096, idle: Duration::from_secs(75), drain: Duration::from_secs(10) }
    }
}

/// Serves until told to stop and every answer under way is given, or the time for that is over.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, limits: Limits, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok(Some((stream, place))) => open(stream, place, &app, limits, &graceful),
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still busy when the time to drain was over");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<Option<(TcpStream, OwnedSemaphorePermit)>> {
    let Ok(place) = Arc::clone(places).acquire_owned().await else { return Ok(None) };
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(Some((stream, place)))
}

fn open(stream: TcpStream, place: OwnedSemaphorePermit, app: &Arc<App>, limits: Limits, graceful: &GracefulShutdown) {
    let app = Arc::clone(app);
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { app.handle(request).await }
    });
    // A request whose client goes away is answered to the end, so that nothing stops half-way.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(HEAD_MAX)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended badly");
        }
        drop(place);
    });
}
