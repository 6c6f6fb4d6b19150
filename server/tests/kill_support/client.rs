//! A client of the contract that knows what it does not know: whether a request whose answer never came took effect.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

/// After this long an answer counts as never given.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the server is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Up {
    /// The number of its life.
    pub(crate) life: u64,
    /// The newest life's address.
    pub(crate) address: Option<SocketAddr>,
    /// There will be no further life.
    pub(crate) is_gone: bool,
}

/// What came back.
pub(crate) enum Answer {
    /// A whole reply.
    Reply(u16, Value),
    /// Nothing: it may have taken effect or not.
    Broken,
}

/// One connection at a time to whichever server is up.
pub(crate) struct Client {
    up: watch::Receiver<Up>,
    connection: Option<(u64, BufReader<TcpStream>)>,
}

impl Client {
    pub(crate) fn new(up: watch::Receiver<Up>) -> Self {
        Self { up, connection: None }
    }

    /// Whether there will be no server any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.up.borrow().is_gone
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.call("GET", path, None, "").await
    }

    pub(crate) async fn post(&mut self, path: &str, key: Option<&str>, body: &str) -> Answer {
        self.call("POST", path, key, body).await
    }

    async fn call(&mut self, method: &str, path: &str, key: Option<&str>, body: &str) -> Answer {
        let key = key.map_or_else(String::new, |key| format!("idempotency-key: {key}\r\n"));
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: payrig\r\ncontent-type: application/json\r\n{key}content-length: {length}\r\n\r\n{body}"
        );
        self.connect().await;
        let Some((_, stream)) = &mut self.connection else { return Answer::Broken };
        match timeout(PATIENCE, exchange(stream, request.as_bytes())).await {
            Ok(Ok((status, body, true))) => Answer::Reply(status, body),
            Ok(Ok((status, body, false))) => {
                self.connection = None;
                Answer::Reply(status, body)
            }
            _ => {
                self.connection = None;
                Answer::Broken
            }
        }
    }

    /// Has a connection to the server's present life; waits for the next life where this one takes none.
    async fn connect(&mut self) {
        loop {
            let Up { life, address, is_gone } = *self.up.borrow_and_update();
            if is_gone {
                self.connection = None;
                return;
            }
            if self.connection.as_ref().is_some_and(|(of, _)| *of == life) {
                return;
            }
            if let Some(address) = address
                && let Ok(Ok(stream)) = timeout(PATIENCE, TcpStream::connect(address)).await
            {
                let _ = stream.set_nodelay(true);
                self.connection = Some((life, BufReader::new(stream)));
                return;
            }
            // Nothing was sent: the next life will get it.
            if self.up.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Status, body, and whether the connection may be used again.
async fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) -> std::io::Result<(u16, Value, bool)> {
    let broken = || std::io::Error::other("no reply of the contract");
    stream.get_mut().write_all(request).await?;
    let (mut status, mut length, mut stays) = (None, 0, true);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match (status, line.split_once(": ")) {
            (None, _) => status = Some(line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?),
            (_, Some((name, value))) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().map_err(|_| broken())?;
            }
            (_, Some((name, value))) if name.eq_ignore_ascii_case("connection") => stays = value != "close",
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = serde_json::from_slice(&body).map_err(|_| broken())?;
    Ok((status.ok_or_else(broken)?, body, stays))
}
