//! A TCP stream whose peer has to take what it is sent: one that takes nothing for a while is given up.
//!
//! It also tells its connection's place when all is written.

use super::connections::Place;
use madrpc_core::numbers::later;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a peer may take nothing.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Patient {
    stream: TcpStream,
    /// Until when the peer has to have taken something, where it keeps us waiting.
    limit: Option<Pin<Box<Sleep>>>,
    place: Rc<Place>,
}

impl Patient {
    pub(super) const fn new(stream: TcpStream, place: Rc<Place>) -> Self {
        Self {
            stream,
            limit: None,
            place,
        }
    }

    /// What became of an attempt to write, or that the peer has had its time.
    fn waited<T>(
        &mut self,
        tried: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.limit = None;
            return tried;
        }
        let limit = self.limit.get_or_insert_with(|| {
            let end = later(Instant::now().into_std(), PATIENCE);
            Box::pin(sleep_until(Instant::from_std(end)))
        });
        ready!(limit.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.waited(tried, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.waited(tried, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(cx);
        if tried.is_ready() {
            self.place.has_sent();
        }
        self.waited(tried, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.waited(tried, cx)
    }
}
