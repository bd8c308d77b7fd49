//! A call on an HTTP/2 connection, from its request to the end of its answer.
//!
//! It never looks into what is asked or answered, and holds one part of an answer at most: the next is asked for when the
//! peer has let us send the last.

use super::unread::{Unread, Waiting};
use bytes::Bytes;
use h2::{Reason, SendStream, server::SendResponse};
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pin_project! {
    /// Waits for the answer of a service and sends it, as fast as the peer reads. Ends early when the peer gives the call
    /// up, and gives it up itself when dropped.
    pub(super) struct Call<F, B> {
        reply: SendResponse<Bytes>,
        unread: Unread,
        #[pin] state: State<F, B>,
    }
}

pin_project! {
    #[project = Stage]
    enum State<F, B> {
        Asked {
            #[pin] answer: F,
        },
        Answering {
            #[pin] body: B,
            to: SendStream<Bytes>,
            // What the body has given last, until the peer lets us send it.
            part: Option<Bytes>,
            // Since it does not.
            waiting: Option<Waiting>,
        },
    }
}

impl<F, B> Call<F, B>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Data = Bytes>,
{
    /// A call that was asked, and where to reply.
    pub(super) fn new(answer: F, reply: SendResponse<Bytes>, unread: Unread) -> Self {
        Self { reply, unread, state: State::Asked { answer } }
    }

    /// Ready when all of the answer is with HTTP/2, or nobody waits for it any more.
    fn poll_answered(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let mut this = self.project();
        if let Stage::Answering { to, .. } = this.state.as_mut().project() {
            // Before the body: one that reads the request would find its end there first, and take it for its own.
            if let Poll::Ready(reset) = to.poll_reset(cx) {
                return Poll::Ready(reset.map(drop));
            }
        }
        loop {
            match this.state.as_mut().project() {
                Stage::Asked { answer } => {
                    let Poll::Ready(Ok(response)) = answer.poll(cx) else {
                        return this.reply.poll_reset(cx).map_ok(drop);
                    };
                    let (head, body) = response.into_parts();
                    let is_all = body.is_end_stream();
                    let to = this.reply.send_response(Response::from_parts(head, ()), is_all)?;
                    if is_all {
                        return Poll::Ready(Ok(()));
                    }
                    this.state.set(State::Answering { body, to, part: None, waiting: None });
                }
                Stage::Answering { body, to, part, waiting } => {
                    if part.is_some() {
                        let Poll::Ready(room) = poll_room(to, cx) else {
                            waiting.get_or_insert_with(|| this.unread.begin_waiting());
                            return Poll::Pending;
                        };
                        *waiting = None;
                        let (true, Some(part)) = (room?, part.take()) else { return Poll::Ready(Ok(())) };
                        to.send_data(part, false)?;
                    }
                    let Poll::Ready(frame) = body.poll_frame(cx) else { return to.poll_reset(cx).map_ok(drop) };
                    let Some(frame) = frame else { return Poll::Ready(to.send_data(Bytes::new(), true)) };
                    // What failed is the service's to tell.
                    let Ok(frame) = frame else { return Poll::Ready(Err(Reason::INTERNAL_ERROR.into())) };
                    match frame.into_data() {
                        Ok(nothing) if nothing.is_empty() => {}
                        Ok(data) => {
                            // Room for a byte is room: a call that holds more back from the others while it waits helps nobody.
                            to.reserve_capacity(1);
                            *part = Some(data);
                        }
                        Err(frame) => {
                            if let Ok(trailers) = frame.into_trailers() {
                                return Poll::Ready(to.send_trailers(trailers));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Ready with whether the peer waits for more, once it lets us send more.
fn poll_room(to: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Result<bool, h2::Error>> {
    while to.capacity() == 0 {
        match ready!(to.poll_capacity(cx)) {
            Some(room) => room?,
            None => return Poll::Ready(Ok(false)),
        };
    }
    Poll::Ready(Ok(true))
}

impl<F, B> Future for Call<F, B>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Data = Bytes>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(error) = ready!(self.as_mut().poll_answered(cx)) {
            tracing::debug!(%error, "an answer was not sent");
            // Not if the peer has done so, or the connection is over.
            self.project().reply.send_reset(Reason::INTERNAL_ERROR);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use h2::{RecvStream, client};
    use http::{HeaderMap, Request};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use std::{
        future::ready,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };
    use tokio::{io::duplex, time::timeout};

    type Part = Result<Frame<Bytes>, &'static str>;

    /// Bytes that a peer lets us send before it has read any.
    const WINDOW: u32 = 10;

    const LONG: Duration = Duration::from_secs(600);

    fn data(bytes: &'static [u8]) -> Part {
        Ok(Frame::data(Bytes::from_static(bytes)))
    }

    fn trailers() -> HeaderMap {
        HeaderMap::from_iter([(http::header::ETAG, "last".parse().unwrap())])
    }

    /// What a peer is answered whose call has that body.
    async fn answer<B>(body: B, unread: &Unread) -> Result<RecvStream, h2::Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        let (theirs, ours) = duplex(1024);
        let (mut body, unread) = (Some(body), unread.clone());
        tokio::spawn(async move {
            let mut h2 = h2::server::handshake(ours).await.unwrap();
            while let Some(asked) = h2.accept().await {
                let answer = ready(Ok(Response::new(body.take().expect("one call"))));
                tokio::spawn(Call::new(answer, asked.unwrap().1, unread.clone()));
            }
        });
        let handshake = client::Builder::new().initial_window_size(WINDOW).handshake::<_, Bytes>(theirs);
        let (mut requests, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let (answer, _) = requests.send_request(Request::new(()), true).unwrap();
        answer.await.map(Response::into_body)
    }

    /// Reads an answer to its end.
    async fn read(mut answer: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
        let mut bytes = Vec::new();
        while let Some(part) = answer.data().await.transpose()? {
            answer.flow_control().release_capacity(part.len())?;
            bytes.extend_from_slice(&part);
        }
        Ok((bytes, answer.trailers().await?))
    }

    #[tokio::test]
    async fn an_answer_is_sent_as_its_body_gives_it() {
        for last in [None, Some(trailers())] {
            let parts = [data(b"one"), data(b""), data(b"two, which is longer than the window")];
            let parts = parts.into_iter().chain(last.clone().map(|last| Ok(Frame::trailers(last))));
            let answer = answer(StreamBody::new(stream::iter(parts)), &Unread::default()).await.unwrap();
            assert_eq!(read(answer).await.unwrap(), (b"onetwo, which is longer than the window".to_vec(), last));
        }
    }

    #[tokio::test]
    async fn an_answer_that_fails_is_reset() {
        let parts = stream::iter([data(b"one"), Err("a fault")]);
        let error = match answer(StreamBody::new(parts), &Unread::default()).await {
            Ok(answer) => read(answer).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_its_peer_once_the_window_is_full_and_is_counted() {
        let unread = Unread::default();
        // The window has room for the first of them.
        let parts = [data(b"as long as "), data(b"this")];
        let unread_answer = answer(StreamBody::new(stream::iter(parts)), &unread).await.unwrap();
        timeout(LONG, unread.too_long()).await.expect("it waits");
        assert_eq!(read(unread_answer).await.unwrap().0, b"as long as this");
        timeout(LONG, unread.too_long()).await.expect_err("nothing waits");
    }

    #[tokio::test]
    async fn an_answer_that_is_given_up_is_dropped_and_asked_no_more() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&asked);
        let silent = StreamBody::new(stream::poll_fn(move |_| {
            counts.fetch_add(1, Ordering::Relaxed);
            Poll::<Option<Part>>::Pending
        }));
        let answer = answer(silent, &Unread::default()).await.unwrap();
        let before = asked.load(Ordering::Relaxed);
        drop(answer);
        while Arc::strong_count(&asked) == 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), before);
    }
}
