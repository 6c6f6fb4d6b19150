//! A proxy before a server: it can hold everything, break connections, and lose the answer of a command that the server
//! has done.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::{broadcast, watch},
    task::JoinHandle,
};

/// What it does with what comes.
struct Rules {
    /// Nothing passes, in neither direction, and nobody is told.
    held: watch::Receiver<bool>,
    /// Everybody's connection is broken.
    broken: broadcast::Sender<()>,
    /// Answers of commands of this name that are still to be lost, with their connections.
    lose: watch::Receiver<&'static str>,
    to_lose: AtomicUsize,
    lost: watch::Sender<usize>,
}

/// The proxy; it goes with this.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    hold: watch::Sender<bool>,
    lose: watch::Sender<&'static str>,
    rules: Arc<Rules>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before this server.
    pub(crate) async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (hold, held) = watch::channel(false);
        let (lose, losing) = watch::channel("");
        let rules = Arc::new(Rules {
            held,
            broken: broadcast::channel(4).0,
            lose: losing,
            to_lose: AtomicUsize::new(0),
            lost: watch::channel(0).0,
        });
        let used = Arc::clone(&rules);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server.clone(), Arc::clone(&used)));
            }
        });
        Self { address, hold, lose, rules, accepting }
    }

    /// From now on nothing passes.
    pub(crate) fn hold(&self) {
        self.hold.send_replace(true);
    }

    /// What was held passes.
    pub(crate) fn let_pass(&self) {
        self.hold.send_replace(false);
    }

    /// Every connection is reset.
    pub(crate) fn break_all(&self) {
        let _ = self.rules.broken.send(());
    }

    /// The server does the next so many commands of this name, and their answers are lost with their connections.
    pub(crate) fn lose_answers(&self, command: &'static str, times: usize) {
        self.lose.send_replace(command);
        self.rules.to_lose.store(times, Ordering::SeqCst);
    }

    /// Answers that were lost so far.
    pub(crate) fn lost(&self) -> usize {
        *self.rules.lost.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.break_all();
    }
}

async fn carry(client: TcpStream, server: String, rules: Arc<Rules>) {
    let mut broken = rules.broken.subscribe();
    let Ok(server) = TcpStream::connect(&server).await else { return };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
        // What ends here is reset and not closed in order.
        let _ = stream.set_zero_linger();
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (asked, asking) = watch::channel(false);
    tokio::select! {
        () = requests(from_client, to_server, &rules, &asked) => {}
        () = answers(from_server, to_client, &rules, &asking) => {}
        _ = broken.recv() => {}
    }
}

/// A command begins with its name as the first field of its body.
fn names(message: &[u8], command: &str) -> bool {
    let field = [&[2][..], command.as_bytes(), &[0]].concat();
    !command.is_empty() && message.windows(field.len()).any(|window| window == field.as_slice())
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rules: &Rules, asked: &watch::Sender<bool>) {
    let mut held = rules.held.clone();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let part = &buffer[..length];
        if rules.to_lose.load(Ordering::SeqCst) > 0 && names(part, *rules.lose.borrow()) {
            asked.send_replace(true);
        }
        let _ = held.wait_for(|held| !*held).await;
        if to.write_all(part).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, rules: &Rules, asked: &watch::Receiver<bool>) {
    let mut held = rules.held.clone();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if *asked.borrow() {
            let take = |left: usize| left.checked_sub(1);
            if rules.to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
                rules.lost.send_modify(|lost| *lost += 1);
                return;
            }
        }
        let _ = held.wait_for(|held| !*held).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
