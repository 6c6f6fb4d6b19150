//! A proxy before RabbitMQ: cuts connections, keeps back what the server says, and says what it does not say. It knows just
//! enough of AMQP to know where a frame ends.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::{broadcast, watch},
};
use tokio_util::task::AbortOnDropHandle;

/// What is done to all connections at once.
#[derive(Clone, Debug)]
enum Deed {
    /// They are reset.
    Cut,
    /// The server says this between two frames, over the connection that was made so many before.
    Say(usize, Vec<u8>),
}

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    deeds: broadcast::Sender<Deed>,
    /// Whether the server's frames go through.
    open: watch::Sender<bool>,
    connections: Arc<AtomicUsize>,
    refuses: Arc<AtomicBool>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (deeds, open) = (broadcast::Sender::new(16), watch::Sender::new(true));
        let connections = Arc::<AtomicUsize>::default();
        let refuses = Arc::<AtomicBool>::default();
        let (says, opens, counts) = (deeds.clone(), open.clone(), Arc::clone(&connections));
        let refusing = Arc::clone(&refuses);
        let accepting = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = counts.fetch_add(1, Ordering::SeqCst);
                let (deeds, open, refuses) = (says.subscribe(), opens.subscribe(), Arc::clone(&refusing));
                // Whatever ends it ends both sides.
                tokio::spawn(between(client, server, Told { number, deeds, open, refuses }));
            }
        }));
        Self { port, deeds, open, connections, refuses, _accepting: accepting }
    }

    /// Resets all connections.
    pub(crate) fn cut(&self) {
        let _ = self.deeds.send(Deed::Cut);
    }

    /// Connections that were ever made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The server is not heard any more, or again.
    pub(crate) fn hear(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// The server refuses every message that is published, or no longer. In truth it has them.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// The server takes no messages any more over the first connection, which is the one for publishing.
    pub(crate) fn block(&self) {
        let mut arguments = short_string("low on memory");
        arguments.splice(0..0, [0, 10, 0, 60]);
        let _ = self.deeds.send(Deed::Say(0, method(&arguments)));
    }

    /// It takes them again.
    pub(crate) fn unblock(&self) {
        let _ = self.deeds.send(Deed::Say(0, method(&[0, 10, 0, 61])));
    }

    /// The server closes a connection, as an operator makes it do.
    pub(crate) fn force_closed(&self, number: usize) {
        let mut arguments = vec![0, 10, 0, 50];
        arguments.extend(320_u16.to_be_bytes());
        arguments.extend(short_string("CONNECTION_FORCED - as a test wants it"));
        arguments.extend([0, 0, 0, 0]);
        let _ = self.deeds.send(Deed::Say(number, method(&arguments)));
    }
}

fn short_string(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend(text.as_bytes());
    bytes
}

/// A method frame on channel 0.
fn method(arguments: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, 0, 0];
    frame.extend(u32::try_from(arguments.len()).unwrap().to_be_bytes());
    frame.extend(arguments);
    frame.push(0xCE);
    frame
}

/// What a connection is told.
struct Told {
    number: usize,
    deeds: broadcast::Receiver<Deed>,
    open: watch::Receiver<bool>,
    refuses: Arc<AtomicBool>,
}

async fn between(client: TcpStream, server: SocketAddr, told: Told) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    for side in [&client, &server] {
        side.set_nodelay(true)?;
    }
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    tokio::select! {
        done = tokio::io::copy(&mut from_client, &mut to_server) => done.map(drop),
        done = from_server_to(from_server, to_client, told) => done,
    }
}

/// Passes on the server's frames, and says more between them.
async fn from_server_to(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, told: Told) -> io::Result<()> {
    let Told { number, mut deeds, mut open, refuses } = told;
    let (mut buffer, mut piece) = (Vec::new(), vec![0; 65_536]);
    loop {
        tokio::select! {
            deed = deeds.recv() => match deed {
                Ok(Deed::Say(to, frame)) if to == number => client.write_all(&frame).await?,
                Ok(Deed::Say(..)) => {}
                Ok(Deed::Cut) | Err(_) => return Ok(()),
            },
            read = server.read(&mut piece) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                buffer.extend_from_slice(&piece[..read]);
                let whole = whole_frames(&mut buffer, refuses.load(Ordering::SeqCst));
                tokio::select! {
                    _ = open.wait_for(|open| *open) => {}
                    _ = deeds.recv() => return Ok(()),
                }
                client.write_all(&buffer[..whole]).await?;
                buffer.drain(..whole);
            }
        }
    }
}

/// How many bytes from the start are whole frames: type, channel, size, so many bytes, end. Where it refuses, each
/// `basic.ack` becomes a `basic.nack`, which has the same arguments.
fn whole_frames(bytes: &mut [u8], refuses: bool) -> usize {
    let mut whole = 0;
    while let Some(size) = bytes.get(whole + 3..whole + 7) {
        let size = u32::from_be_bytes(size.try_into().unwrap()) as usize;
        let end = whole + 8 + size;
        if end > bytes.len() {
            break;
        }
        let frame = &mut bytes[whole..end];
        if refuses && frame[0] == 1 && frame[7..11] == [0, 60, 0, 80] {
            frame[10] = 120;
        }
        whole = end;
    }
    whole
}
