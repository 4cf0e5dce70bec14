//! The content of a request, sent at once or at a pace.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Interval, interval};

/// How often a piece of paced content is sent.
const BEAT: Duration = Duration::from_millis(100);

/// Bytes with an announced length.
pub(super) struct Content {
    data: Bytes,
    piece: usize,
    pace: Option<Interval>,
    heard: Option<Box<dyn FnMut(usize) + Send>>,
}

impl Content {
    /// Everything in one piece.
    pub(super) fn whole(data: Bytes) -> Self {
        Self { piece: data.len(), data, pace: None, heard: None }
    }

    /// Equal pieces over a time, each told to `heard` as it is handed to the connection; needs a runtime.
    pub(super) fn paced(
        data: Bytes,
        over: Duration,
        heard: impl FnMut(usize) + Send + 'static,
    ) -> Self {
        let beats = (over.as_millis() / BEAT.as_millis()).max(1);
        let beats = usize::try_from(beats).unwrap_or(usize::MAX);
        let piece = data.len().div_ceil(beats).max(1);
        Self { data, piece, pace: Some(interval(BEAT)), heard: Some(Box::new(heard)) }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.data.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(pace) = &mut self.pace {
            ready!(pace.poll_tick(context));
        }
        let piece = self.piece.min(self.data.len());
        let data = self.data.split_to(piece);
        if let Some(heard) = &mut self.heard {
            heard(piece);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.len() as u64)
    }
}
