//! A connection's stream, which tells its phase and lets the client hear the last answer.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead as _, ReadBuf},
    net::TcpStream,
};

use super::connections::Phase;

/// How much of what a client still sends is thrown away before its connection is cut.
const UNHEARD_MAX: usize = 2 * 1024 * 1024;

/// A connection's stream.
pub(super) struct Watched {
    stream: TokioIo<TcpStream>,
    phase: Arc<Phase>,
    /// Our side is closed; how much came since.
    unheard: Option<usize>,
    /// The others that are ready in this turn have been let go first.
    gave_way: bool,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, phase: Arc<Phase>) -> Self {
        Self { stream: TokioIo::new(stream), phase, unheard: None, gave_way: false }
    }

    /// Answers of one turn go out together, after all of the turn's requests are handled: one wake-up of the peer then
    /// serves many answers, where each would cost one if they went out one by one.
    fn poll_give_way(&mut self, cx: &Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.gave_way, true) {
            return Poll::Ready(());
        }
        // Behind everything that is ready now.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn wrote<T>(&mut self, written: Poll<T>) -> Poll<T> {
        self.gave_way = written.is_pending();
        written
    }
}

impl Read for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.phase.bytes_arrived();
        }
        read
    }
}

impl Write for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_give_way(cx));
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(written)
    }

    /// hyper comes here when nothing is left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.phase.written();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Closes our side and waits for the client to close its own: a socket that is closed with unread bytes in it (of a
    /// body that was refused, say) is reset, and the client might lose the answer that tells why.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut unheard = match self.unheard {
            Some(unheard) => unheard,
            None => {
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                self.phase.leaving();
                0
            }
        };
        let mut room = [0; 4096];
        loop {
            self.unheard = Some(unheard);
            let mut room = ReadBuf::new(&mut room);
            let read = ready!(Pin::new(self.stream.inner_mut()).poll_read(cx, &mut room));
            unheard += room.filled().len();
            if read.is_err() || room.filled().is_empty() || unheard > UNHEARD_MAX {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_give_way(cx));
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }
}
