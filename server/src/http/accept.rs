//! Accepting connections on one socket and dealing them out to the runtimes in turn.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
};

/// A pause after an accept that failed for want of file handles or memory.
const BREATH: Duration = Duration::from_millis(50);
/// Connections on their way to a runtime.
const ON_THE_WAY: usize = 1_024;

/// A connection with its place among those that may be open.
pub struct Handed {
    /// Not yet known to any runtime's reactor.
    pub stream: std::net::TcpStream,
    /// Given back when the connection ends.
    pub place: OwnedSemaphorePermit,
}

/// A bound socket.
pub struct Listening {
    socket: std::net::TcpListener,
    /// Where it is bound.
    pub address: SocketAddr,
}

impl Listening {
    /// Binds. There is one socket for all runtimes and no `SO_REUSEPORT`, so that a second server on the same port fails.
    ///
    /// # Errors
    /// Where the address is in use or not ours.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// A way from the acceptor to a runtime.
    #[must_use]
    pub fn way() -> (mpsc::Sender<Handed>, mpsc::Receiver<Handed>) {
        mpsc::channel(ON_THE_WAY)
    }

    /// Accepts and deals out until told to stop; over `at_most` open connections new ones wait in the kernel.
    ///
    /// # Errors
    /// Where the socket cannot be used at all.
    pub async fn deal(
        self,
        runtimes: Vec<mpsc::Sender<Handed>>,
        at_most: usize,
        mut stop: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(self.socket)?;
        let places = Arc::new(Semaphore::new(at_most.min(Semaphore::MAX_PERMITS)));
        let mut turn = 0_usize;
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                accepted = accept(&listener, &places) => accepted,
            };
            match accepted {
                Ok(Some(handed)) => {
                    turn = (turn + 1) % runtimes.len().max(1);
                    if let Some(runtime) = runtimes.get(turn) {
                        let _ = runtime.send(handed).await;
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Option<Handed>> {
    let Ok(place) = Arc::clone(places).acquire_owned().await else { return Ok(None) };
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(Some(Handed { stream: TcpStream::into_std(stream)?, place }))
}
