//! A connection whose other side must go on reading: who takes nothing for too long is let go, and who takes so little
//! that an answer would never end, too.
//!
//! The second is a debt: it grows while a write waits and shrinks by what is taken at the least rate that a reader must
//! keep up. So an answer is bounded as a whole, by its length at that rate and the limit, and a stream of small news that
//! are read as they come never owes anything.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Slower than any line that a dashboard is read over.
const BYTES_PER_SECOND_MIN: u32 = 16 * 1_024;

/// A stream that gives up when a write has waited for the whole limit, or all writes together for it beyond the rate.
pub struct WriteLimit<S> {
    inner: S,
    limit: Duration,
    waits: Option<Pin<Box<Sleep>>>,
    waiting_since: Option<Instant>,
    debt: Duration,
}

impl<S> WriteLimit<S> {
    /// Wraps a stream.
    pub fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit, waits: None, waiting_since: None, debt: Duration::ZERO }
    }

    /// Settles the wait that ends with these bytes.
    fn settle(&mut self, bytes: usize) -> io::Result<()> {
        if let Some(since) = self.waiting_since.take() {
            self.debt += since.elapsed();
        }
        let paid = Duration::from_secs(1).mul_f64(bytes as f64 / f64::from(BYTES_PER_SECOND_MIN));
        self.debt = self.debt.saturating_sub(paid);
        if self.debt > self.limit { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    fn judge<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waits = None;
            return polled;
        }
        self.waiting_since.get_or_insert_with(Instant::now);
        let limit = self.limit;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(limit)));
        match waits.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteLimit<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteLimit<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.settle(written)?;
        }
        self.judge(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        if polled.is_ready() {
            self.settle(0)?;
        }
        self.judge(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(context);
        self.judge(polled, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// The other side reads nothing.
    struct Full;

    impl AsyncWrite for Full {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    /// The other side takes a byte at a time, after a wait.
    struct Dripping(Option<Pin<Box<Sleep>>>);

    impl AsyncWrite for Dripping {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            let wait = self.0.get_or_insert_with(|| Box::pin(sleep(Duration::from_millis(5))));
            if wait.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.0 = None;
            Poll::Ready(Ok(1))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn who_takes_a_byte_now_and_then_is_let_go_too() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // Two hundred drips long, so that a loaded machine has its second one in time.
            let mut ours = WriteLimit::new(Dripping(None), Duration::from_secs(1));
            let mut taken = 0;
            let error = loop {
                match poll_fn(|context| Pin::new(&mut ours).poll_write(context, b"xyz")).await {
                    Ok(bytes) => taken += bytes,
                    Err(error) => break error,
                }
                assert!(taken < 1_000, "never let go");
            };
            assert_eq!((error.kind(), taken > 1), (io::ErrorKind::TimedOut, true));
        });
    }

    #[test]
    fn who_takes_nothing_is_let_go() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut ours = WriteLimit::new(Full, Duration::from_millis(20));
            let error = poll_fn(|context| Pin::new(&mut ours).poll_write(context, b"x")).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }
}
