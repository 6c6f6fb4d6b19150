//! One kept-alive HTTP/1.1 connection of the paced client: a request out, a whole reply in, nothing more.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// More than any reply takes.
const REPLY_MAX: usize = 64 * 1024;

/// A connection with its buffer.
pub(super) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// A reply, as far as a payer looks at it.
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    pub(super) body: &'a str,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(4096) })
    }

    pub(super) async fn call(&mut self, request: &str) -> io::Result<Reply<'_>> {
        self.stream.write_all(request.as_bytes()).await?;
        self.read.clear();
        loop {
            if self.stream.read_buf(&mut self.read).await? == 0 || self.read.len() > REPLY_MAX {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no whole reply"));
            }
            if let Some((status, from, to)) = whole(&self.read) {
                let body = std::str::from_utf8(&self.read[from..to]).map_err(io::Error::other)?;
                return Ok(Reply { status, body });
            }
        }
    }
}

/// Status and place of the body, once all of it is there.
fn whole(bytes: &[u8]) -> Option<(u16, usize, usize)> {
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse().ok()?;
    let end = head_end + length;
    (bytes.len() >= end).then_some((status, head_end, end))
}
