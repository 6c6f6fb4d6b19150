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
use super::taken::Taken;

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
    /// To take an answer, from when the peer first has to be waited for.
    pub(crate) answer: Duration,
    /// How long a stop waits for answers under way.
    pub(crate) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            idle: Duration::from_secs(75),
            answer: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
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
        .serve_connection(TokioIo::new(Taken::new(stream, limits.answer)), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended badly");
        }
        drop(place);
    });
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;

    use super::super::route::Face;
    use super::*;
    use crate::ledger::{Ledger, MemoryLedger};
    use crate::metrics::Metrics;
    use crate::options::Options;
    use crate::simulated::SimulatedChannel;

    /// There is one place, and whoever has it asks on and on without ever reading.
    #[tokio::test]
    async fn whoever_takes_no_answers_loses_the_place() {
        let ledger = Ledger::from(MemoryLedger::new());
        let (channel, _notifications) = SimulatedChannel::start(ledger, Options::default()).await.unwrap();
        let app = Arc::new(App { channel, metrics: Arc::new(Metrics::new()), face: Face::Admin });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits { connections: 1, answer: Duration::from_millis(20), ..Limits::default() };
        let (_stop, stopping) = watch::channel(false);
        tokio::spawn(serve(listener, app, limits, stopping));

        let deaf = TcpSocket::new_v4().unwrap();
        deaf.set_recv_buffer_size(4_096).unwrap();
        let mut deaf = deaf.connect(address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
        deaf.write_all(request).await.unwrap();
        let asking = async { while deaf.write_all(request).await.is_ok() {} };
        let waiting = async {
            let mut next = TcpStream::connect(address).await.unwrap();
            next.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            next.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let both = async { tokio::join!(waiting, asking) };
        let (answer, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("the place was never free");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
