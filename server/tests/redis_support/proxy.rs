//! A proxy that knows nothing of what it carries: it is slow, holds back, resets connections in the middle of what is
//! said, or is not there.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{broadcast, mpsc, watch},
    time::{Instant, sleep_until},
};

use super::outside;

/// Pieces that are on their way in one direction; beyond them nothing more is read.
const ON_THE_WAY: usize = 1_024;

/// How it behaves from now on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manners {
    /// What is said arrives so much later, in each direction.
    pub(crate) latency: Duration,
    /// Nothing arrives.
    pub(crate) holds_back: bool,
    /// New connections are reset.
    pub(crate) refuses: bool,
    /// After so many bytes of a client its connection is reset.
    pub(crate) resets_after: Option<usize>,
}

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    manners: watch::Sender<Manners>,
    cuts: broadcast::Sender<()>,
    resets: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) fn before(server: SocketAddr) -> Self {
        let (manners, cuts) = (watch::Sender::new(Manners::default()), broadcast::Sender::new(1));
        let resets = Arc::<AtomicUsize>::default();
        let (behave, cut, counts) = (manners.subscribe(), cuts.clone(), Arc::clone(&resets));
        let port = outside(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(async move {
                // It ends with its owner, who has the other end of the watch.
                let mut gone = behave.clone();
                loop {
                    let client = tokio::select! {
                        client = listener.accept() => client,
                        () = async { while gone.changed().await.is_ok() {} } => return,
                    };
                    let Ok((client, _)) = client else { continue };
                    let (behave, cut, counts) = (behave.clone(), cut.subscribe(), Arc::clone(&counts));
                    tokio::spawn(async move {
                        if between(client, server, behave, cut).await.is_err() {
                            counts.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
            port
        });
        Self { port, manners, cuts, resets }
    }

    pub(crate) fn behave(&self, manners: Manners) {
        self.manners.send_replace(manners);
    }

    /// Resets all connections that there are.
    pub(crate) fn cut(&self) {
        let _ = self.cuts.send(());
    }

    /// Connections that were reset.
    pub(crate) fn resets(&self) -> usize {
        self.resets.load(Ordering::SeqCst)
    }
}

async fn between(
    client: TcpStream,
    server: SocketAddr,
    manners: watch::Receiver<Manners>,
    mut cut: broadcast::Receiver<()>,
) -> io::Result<()> {
    if manners.borrow().refuses {
        client.set_zero_linger()?;
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let server = TcpStream::connect(server).await?;
    for side in [&client, &server] {
        side.set_nodelay(true)?;
        // Whatever ends it is a reset for both.
        side.set_zero_linger()?;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        ended = carry(from_client, to_server, manners.clone(), true) => ended,
        ended = carry(from_server, to_client, manners, false) => ended,
        _ = cut.recv() => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

/// Carries what one side says to the other.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut manners: watch::Receiver<Manners>,
    is_client: bool,
) -> io::Result<()> {
    let (put, mut take) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let slow = manners.clone();
    let reading = async move {
        let mut piece = vec![0; 16_384];
        loop {
            let read = from.read(&mut piece).await?;
            if read == 0 {
                return Ok(());
            }
            let due = Instant::now() + slow.borrow().latency;
            if put.send((due, piece[..read].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    };
    let writing = async move {
        let mut carried = 0;
        while let Some((due, mut piece)) = take.recv().await {
            sleep_until(due).await;
            let behaves = manners.wait_for(|manners| !manners.holds_back).await;
            let Ok(limit) = behaves.map(|manners| manners.resets_after.filter(|_| is_client)) else { return Ok(()) };
            let is_last = limit.is_some_and(|limit| carried + piece.len() > limit);
            if let Some(limit) = limit.filter(|_| is_last) {
                piece.truncate(limit.saturating_sub(carried));
            }
            carried += piece.len();
            to.write_all(&piece).await?;
            if is_last {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    }
}
