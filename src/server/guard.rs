//! The stream of a connection whose peer has to do its part.
//!
//! It has to begin: until it has sent as many bytes as an HTTP/2 preface has, reading fails at a deadline and as soon as
//! the drain begins. HTTP/2 libraries wait for the preface for ever, and a connection that waits for it hears no GOAWAY.
//! An HTTP/1.1 request is longer than that too, as it names its host.
//!
//! And it has to read: writing fails once the kernel has taken no byte for [`WRITE_TIMEOUT`]. Keepalive does not see
//! such a peer as long as it sends, and its pings wait behind the answers that it does not read.
//!
//! And it has to let others have their turn: after [`READ_TURN`] bytes in one go, its connection is read on only once
//! the worker has looked after everybody else. A library that reads as long as there is something to read would, under a
//! flood of small frames, be at it for ever. Who never comes to an end is read less in each turn, down to
//! [`LEAST_READ_TURN`]: a call waits for some turns of everybody on its worker.
//!
//! And while the worker is [late](super::lateness) and has enough to do, a connection [rests](super::late_rest) once it was
//! read.

use super::{
    drain::Drain,
    keepalive::Heard,
    late_rest::{self, LateRest},
    lateness,
    limits::{LEAST_READ_TURN, READ_TURN, WRITE_TIMEOUT},
};
use futures_util::FutureExt;
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    task::yield_now,
    time::{Sleep, sleep},
};

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, RFC 9113 section 3.4.
const PREFACE_BYTES: usize = 24;

thread_local! {
    static ANOTHER_TURN: Cell<bool> = const { Cell::new(false) };
}

/// Polls a connection, which may be read for one more turn before the others have theirs.
pub(super) fn with_another_turn<R>(poll: impl FnOnce() -> R) -> R {
    ANOTHER_TURN.set(true);
    let polled = poll();
    ANOTHER_TURN.set(false);
    polled
}

/// A stream whose peer must begin in time, and read.
pub(super) struct Guarded<T> {
    stream: T,
    heard: Heard,
    // Boxed and dropped after the preface: most of a connection's life needs none of it.
    opening: Option<Box<Opening>>,
    /// When writing fails; `None` as long as the kernel takes what is written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What may be read until the others have their turn.
    turn: usize,
    /// What of it is left.
    left: usize,
    /// Why the connection is not read now.
    rest: Option<Rest>,
}

enum Rest {
    /// The others have their turn.
    Turn(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// It was read to its end by a late worker.
    Late(LateRest),
}

struct Opening {
    missing_bytes: usize,
    timeout: Pin<Box<Sleep>>,
    drain: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<T> Guarded<T> {
    pub(super) fn new(stream: T, timeout: Duration, drain: &Drain) -> Self {
        let opening =
            Opening { missing_bytes: PREFACE_BYTES, timeout: Box::pin(sleep(timeout)), drain: Box::pin(drain.begun()) };
        let opening = Some(Box::new(opening));
        let heard = Heard::default();
        Self { stream, heard, opening, stalled: None, turn: READ_TURN, left: READ_TURN, rest: None }
    }

    /// Is told whenever the peer has said something.
    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// Passes on how writing went, and fails when it has not gone on for too long.
    fn poll_written<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the peer did not read in time")))
    }
}

/// Ready once the worker has looked after everybody else and asked the driver what else there is. Not before, however
/// often it is polled: a connection is polled again for each call that came on it. What is read then has waited.
fn turn_of_others(cx: &Context<'_>) -> impl Future<Output = ()> + Send + use<> {
    struct Turn {
        is_over: AtomicBool,
        task: Waker,
    }

    impl Wake for Turn {
        fn wake(self: Arc<Self>) {
            self.is_over.store(true, Ordering::Relaxed);
            self.task.wake_by_ref();
        }
    }

    // A connection is polled by one task only, so that its waker stays good.
    let turn = Arc::new(Turn { is_over: AtomicBool::new(false), task: cx.waker().clone() });
    let _ = pin!(yield_now()).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&turn))));
    let since = Instant::now();
    poll_fn(move |_| {
        if !turn.is_over.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        lateness::calls_waited_unread_since(Some(since));
        Poll::Ready(())
    })
}

impl Rest {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Turn(_) if ANOTHER_TURN.take() => Poll::Ready(()),
            Self::Turn(others) => others.as_mut().poll(cx),
            Self::Late(rest) => rest.poll_unpin(cx),
        }
    }
}

impl Opening {
    /// Called when nothing can be read now: bytes that are there already always count.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.timeout.as_mut().poll(cx).is_ready() {
            return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the peer did not begin in time"));
        }
        self.drain.as_mut().poll(cx).map(|()| {
            io::Error::new(io::ErrorKind::ConnectionAborted, "the peer had not begun before the server's drain")
        })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.left == 0 {
            this.turn = LEAST_READ_TURN.max(this.turn / 2);
            this.left = this.turn;
            this.rest = Some(Rest::Turn(Box::pin(turn_of_others(cx))));
        }
        if let Some(rest) = &mut this.rest {
            ready!(rest.poll(cx));
            this.rest = None;
        }
        let (had, room) = (buffer.filled().len(), this.left.min(buffer.remaining()));
        let read = pin!((&mut this.stream).take(room as u64)).poll_read(cx, buffer);
        let bytes = buffer.filled().len() - had;
        if read.is_ready() {
            this.heard.note();
            this.left -= bytes;
            // That was all for now: an end, as when nothing can be read.
            if bytes < room && lateness::has_enough_to_do() {
                this.rest = Some(Rest::Late(late_rest::begin()));
                (this.turn, this.left) = (READ_TURN, READ_TURN);
            }
        } else {
            (this.turn, this.left) = (READ_TURN, READ_TURN);
        }
        let Some(opening) = &mut this.opening else { return read };
        if read.is_pending() {
            return opening.poll_over(cx).map(Err);
        }
        opening.missing_bytes = opening.missing_bytes.saturating_sub(bytes);
        if opening.missing_bytes == 0 {
            this.opening = None;
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.poll_written(cx, written)
    }

    /// HTTP/2 asks as it begins, and then before each write. Told no at first, before the preface, it copies the frames
    /// below 1 KiB into one buffer, and not only those below 256 bytes: that measured faster than handing the kernel their
    /// pieces. Told yes later it hands over a larger frame together with what stands before it, which are two writes
    /// otherwise. On the pages' listener, where the preface tells what is spoken, it is yes from the beginning.
    fn is_write_vectored(&self) -> bool {
        self.opening.is_none() && self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.poll_written(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.poll_written(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{drain::Phases, limits::LATE_REST},
        *,
    };
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// A stream whose peer has begun, and that peer.
    async fn begun(phases: &Phases) -> (DuplexStream, Guarded<DuplexStream>) {
        let (mut peer, stream) = duplex(64);
        let mut guarded = Guarded::new(stream, TIMEOUT, &phases.subscribe());
        peer.write_all(&[b'P'; PREFACE_BYTES]).await.unwrap();
        guarded.read_exact(&mut [0; PREFACE_BYTES]).await.unwrap();
        (peer, guarded)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_drips_bytes_gets_no_more_time() {
        let (mut peer, stream) = duplex(64);
        let phases = Phases::new();
        let mut guarded = Guarded::new(stream, TIMEOUT, &phases.subscribe());
        let drip = async {
            for _ in 0..PREFACE_BYTES - 1 {
                peer.write_all(b"P").await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        let read = async { guarded.read_exact(&mut [0; PREFACE_BYTES]).await };
        let error = tokio::select! { () = drip => panic!("not closed in time"), read = read => read.unwrap_err() };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_preface_a_peer_may_be_silent() {
        let phases = Phases::new();
        let (_peer, mut guarded) = begun(&phases).await;
        phases.enter(super::super::drain::Phase::Draining);
        tokio::time::timeout(TIMEOUT * 10, guarded.read_u8()).await.expect_err("still waiting");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_comes_to_an_end_is_read_less_in_each_turn_until_it_does() {
        let less = [READ_TURN, READ_TURN / 2, READ_TURN / 4, LEAST_READ_TURN, LEAST_READ_TURN];
        let all = less.iter().sum();
        let (mut peer, stream) = duplex(all);
        let phases = Phases::new();
        let mut guarded = Guarded::new(stream, TIMEOUT, &phases.subscribe());
        for round in 0..2 {
            peer.write_all(&vec![b'P'; all]).await.unwrap();
            let (mut turns, mut turn) = (Vec::new(), 0);
            while turns.iter().sum::<usize>() + turn < all {
                let mut bytes = [0; 2 * READ_TURN];
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut guarded).poll_read(cx, &mut buffer)));
                match read.await {
                    Poll::Ready(read) => read.map(|()| turn += buffer.filled().len()).unwrap(),
                    Poll::Pending => {
                        turns.push(std::mem::take(&mut turn));
                        yield_now().await;
                    }
                }
            }
            turns.push(turn);
            assert_eq!(turns, less, "round {round}");
            // Nothing is left, which is an end.
            tokio::time::timeout(TIMEOUT, guarded.read_u8()).await.expect_err("nothing was said");
        }
    }

    #[tokio::test]
    async fn a_turn_that_is_over_does_not_begin_again_however_often_it_is_polled() {
        let (mut peer, stream) = duplex(2 * READ_TURN);
        let phases = Phases::new();
        let mut guarded = Guarded::new(stream, TIMEOUT, &phases.subscribe());
        peer.write_all(&[b'P'; 2 * READ_TURN]).await.unwrap();
        guarded.read_exact(&mut [0; READ_TURN]).await.unwrap();
        poll_fn(|cx| {
            for _ in 0..100 {
                let mut byte = [0];
                assert!(Pin::new(&mut guarded).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        let other = tokio::spawn(async {});
        assert_eq!(lateness::unread_for(), Duration::ZERO);
        assert_eq!(guarded.read_u8().await.unwrap(), b'P');
        assert!(other.is_finished(), "it had its turn");
        assert_ne!(lateness::unread_for(), Duration::ZERO);
        lateness::calls_waited_unread_since(None);
        assert_eq!(lateness::unread_for(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_connection_is_read_on_within_a_turn_once_and_only_where_it_may_be() {
        let (mut peer, stream) = duplex(2 * READ_TURN);
        let phases = Phases::new();
        let mut guarded = Guarded::new(stream, TIMEOUT, &phases.subscribe());
        peer.write_all(&[b'P'; 2 * READ_TURN]).await.unwrap();
        guarded.read_exact(&mut [0; READ_TURN]).await.unwrap();
        let polled = poll_fn(|cx| {
            let mut bytes = [0; READ_TURN];
            let mut poll = || Pin::new(&mut guarded).poll_read(cx, &mut ReadBuf::new(&mut bytes)).is_ready();
            Poll::Ready(([poll(), poll()], with_another_turn(|| [poll(), poll()]), poll()))
        });
        assert_eq!(polled.await, ([false, false], [true, false], false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_worker_reads_what_came_in_a_while_together() {
        let (mut peer, stream) = duplex(READ_TURN);
        let phases = Phases::new();
        let mut guarded = Guarded::new(stream, TIMEOUT, &phases.subscribe());
        let mut bytes = [0; READ_TURN];
        for queued in [None, Some(0), Some(100)] {
            let _late = queued.map(lateness::pretend);
            peer.write_all(&[b'P'; PREFACE_BYTES]).await.unwrap();
            assert_eq!(guarded.read(&mut bytes).await.unwrap(), PREFACE_BYTES);
            let before = tokio::time::Instant::now();
            for _ in 0..3 {
                peer.write_all(&[b'P'; PREFACE_BYTES]).await.unwrap();
                yield_now().await;
            }
            assert_eq!(guarded.read(&mut bytes).await.unwrap(), 3 * PREFACE_BYTES);
            // Not when it would stand idle.
            assert_eq!(before.elapsed() >= LATE_REST, queued == Some(100));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_a_late_worker_has_read_go_on_together() {
        let phases = Phases::new();
        let (mut first, mut second) = (begun(&phases).await, begun(&phases).await);
        let _late = lateness::pretend(100);
        let began = tokio::time::Instant::now();
        for (peer, guarded) in [&mut first, &mut second] {
            peer.write_all(b"P").await.unwrap();
            // Room for more: that was all.
            assert_eq!(guarded.read(&mut [0; 2]).await.unwrap(), 1);
            peer.write_all(b"P").await.unwrap();
            tokio::time::advance(LATE_REST * 3 / 4).await;
        }
        let mut ends = Vec::new();
        for (_, guarded) in [&mut first, &mut second] {
            guarded.read_u8().await.unwrap();
            ends.push(began.elapsed());
        }
        assert!(ends[0] >= LATE_REST, "{ends:?}");
        assert_eq!(ends[0], ends[1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_gone_takes_no_rest_from_the_others() {
        let phases = Phases::new();
        let (first, second) = (begun(&phases).await, begun(&phases).await);
        let _late = lateness::pretend(100);
        // The second is the last that asks when the rest is over.
        let [first, second] = [first, second].map(|(mut peer, mut guarded)| {
            tokio::spawn(async move {
                for _ in 0..2 {
                    peer.write_all(b"P").await.unwrap();
                    assert_eq!(guarded.read(&mut [0; 2]).await.unwrap(), 1);
                }
            })
        });
        yield_now().await;
        assert!(!first.is_finished() && !second.is_finished(), "they rest");
        second.abort();
        tokio::time::timeout(LATE_REST * 10, first).await.expect("it goes on").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_a_late_worker_reads_in_parts_comes_to_an_end_each_time() {
        let (mut peer, stream) = duplex(READ_TURN);
        let phases = Phases::new();
        let mut guarded = Guarded::new(stream, TIMEOUT, &phases.subscribe());
        let _late = lateness::pretend(100);
        for _ in 0..4 {
            let mut bytes = [0; READ_TURN];
            peer.write_all(&[b'P'; READ_TURN / 2]).await.unwrap();
            assert_eq!(guarded.read(&mut bytes).await.unwrap(), READ_TURN / 2);
            assert_eq!((guarded.turn, guarded.left), (READ_TURN, READ_TURN));
        }
    }

    /// Keeps the sizes of what is written in one go, and is read as if it were a preface.
    struct Written(Vec<usize>);

    impl AsyncRead for Written {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buffer.put_slice(&[b'P'; PREFACE_BYTES]);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Written {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            parts: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.poll_write(cx, &parts.iter().flat_map(|part| part.to_vec()).collect::<Vec<_>>())
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn once_the_peer_has_begun_what_stands_in_two_places_is_one_write() {
        let phases = Phases::new();
        let mut guarded = Guarded::new(Written(Vec::new()), TIMEOUT, &phases.subscribe());
        for sizes in [vec![10, 20], vec![30]] {
            let (head, payload) = ([0; 10], [0; 20]);
            let mut frame = bytes::Buf::chain(&head[..], &payload[..]);
            guarded.write_all_buf(&mut frame).await.unwrap();
            assert_eq!(std::mem::take(&mut guarded.stream.0), sizes);
            guarded.read_exact(&mut [0; PREFACE_BYTES]).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up_and_one_that_reads_slowly_is_not() {
        let (mut peer, mut guarded) = begun(&Phases::new()).await;
        let mut frame = bytes::Buf::chain(&[0; 100][..], &[0; 900][..]);
        let write = guarded.write_all_buf(&mut frame);
        let read = async {
            for _ in 0..10 {
                sleep(WRITE_TIMEOUT - Duration::from_secs(1)).await;
                peer.read_exact(&mut [0; 64]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(tokio::time::timeout(WRITE_TIMEOUT * 11, write), read);
        assert_eq!(written.expect("failed at last").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
