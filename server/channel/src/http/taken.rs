//! A connection's stream on which every answer has to be taken within a time: whoever asks and never reads would keep
//! his place for ever.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The stream. Its time runs while something that was written waits for the peer, and ends when all of it is out: a body
/// that comes slowly from our side takes none of it.
pub(super) struct Taken<S> {
    stream: S,
    within: Duration,
    late: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    pub(super) const fn new(stream: S, within: Duration) -> Self {
        Self { stream, within, late: None }
    }

    fn in_time<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            return written;
        }
        let within = self.within;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(within)));
        late.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.in_time(cx, written)
    }

    /// hyper comes here when nothing is left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.late = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.in_time(cx, written)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_counts_from_the_first_wait_and_ends_with_the_whole() {
        let (ours, mut theirs) = duplex(8);
        let mut stream = Taken::new(ours, Duration::from_secs(30));
        let began = Instant::now();
        // Taken piece by piece, all of it in time; what comes after it has a time of its own.
        for _ in 0..3 {
            let reading = async {
                for _ in 0..4 {
                    tokio::time::sleep(Duration::from_secs(7)).await;
                    theirs.read_exact(&mut [0; 8]).await.unwrap();
                }
            };
            let writing = async {
                stream.write_all(&[0; 32]).await.unwrap();
                stream.flush().await.unwrap();
            };
            tokio::join!(reading, writing);
        }
        let began_again = Instant::now();
        assert_eq!(began_again - began, Duration::from_secs(3 * 28));
        let late = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            theirs.read_exact(&mut [0; 8]).await.unwrap();
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            () = late => None,
            written = stream.write_all(&[0; 32]) => written.err(),
        };
        assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
        assert_eq!(began_again.elapsed().as_secs(), 30);
    }
}
