//! The load of one connection as one stream of resolves.

use super::{
    buyer::{Line, Walk, resolve, result},
    schedule::{Schedule, Turn},
    tally::Tally,
};
use crate::proto::v1::{ResolveRedirectsRequest, ResolveRedirectsResponse};
use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration, time::Instant};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, Streaming};

/// After a stream has ended, the time to the next: a server that refuses streams is not asked for them in a loop.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks over one stream, and over another one when it ends, until the schedule is over and everything is answered.
pub async fn drive(line: Line, walk: Walk, in_flight: usize, schedule: Rc<Schedule>, tally: Rc<RefCell<Tally>>) {
    let mut asking = Asking { line, walk, in_flight, schedule, tally, open: HashMap::new(), asked: 0 };
    while asking.converse().await.is_err() {
        sleep(PAUSE).await;
    }
}

struct Asking {
    line: Line,
    walk: Walk,
    in_flight: usize,
    schedule: Rc<Schedule>,
    tally: Rc<RefCell<Tally>>,
    /// By correlation id: the moments of requests without an answer.
    open: HashMap<u64, Instant>,
    asked: u64,
}

/// Whether there is more to ask.
enum More {
    /// At that moment, which has not come.
    At(Instant),
    /// When something is answered.
    Answered,
    /// No.
    No,
}

impl Asking {
    /// One stream. An error when it ended before its time; what it left unanswered has failed then.
    async fn converse(&mut self) -> Result<(), ()> {
        // Never holds more than may be in progress.
        let (requests, asked) = mpsc::unbounded_channel();
        let call = self.line.request(UnboundedReceiverStream::new(asked));
        let ended = match self.line.client.resolve_redirects(call).await {
            Ok(answers) => self.ask(requests, answers.into_inner()).await,
            Err(status) => Err(status),
        };
        let Err(status) = ended else { return Ok(()) };
        let (schedule, mut tally) = (&self.schedule, self.tally.borrow_mut());
        if self.open.is_empty() {
            let (Turn::Begin(moment) | Turn::Missed(moment)) = schedule.take() else { return Ok(()) };
            tally.begun(schedule, moment);
            tally.ended(schedule, moment, Err(status.clone()));
        }
        for (_, moment) in self.open.drain() {
            tally.ended(schedule, moment, Err(status.clone()));
        }
        Err(())
    }

    async fn ask(
        &mut self,
        requests: mpsc::UnboundedSender<ResolveRedirectsRequest>,
        mut answers: Streaming<ResolveRedirectsResponse>,
    ) -> Result<(), Status> {
        let mut requests = Some(requests);
        let mut next = None;
        loop {
            let more = match &requests {
                Some(requests) => self.ask_what_is_due(requests, &mut next),
                None => More::Answered,
            };
            if matches!(more, More::No) {
                // The stream ends well once everything is answered.
                requests = None;
            }
            let answer = match more {
                More::At(moment) => tokio::select! {
                    biased;
                    answer = answers.message() => answer?,
                    () = self.schedule.wait(moment) => continue,
                },
                More::Answered | More::No => answers.message().await?,
            };
            let Some(ResolveRedirectsResponse { correlation_id, answer }) = answer else {
                return if requests.is_none() { Ok(()) } else { Err(Status::unavailable("the stream ended")) };
            };
            if let Some(moment) = self.open.remove(&correlation_id) {
                self.tally.borrow_mut().ended(&self.schedule, moment, result(answer));
            }
        }
    }

    /// Sends whatever may be sent now. `next` keeps a moment that was taken and has not come.
    fn ask_what_is_due(
        &mut self,
        requests: &mpsc::UnboundedSender<ResolveRedirectsRequest>,
        next: &mut Option<Instant>,
    ) -> More {
        while self.open.len() < self.in_flight {
            let turn = next.take().map_or_else(|| self.schedule.take(), Turn::Begin);
            match turn {
                Turn::Begin(moment) if moment > Instant::now() => {
                    *next = Some(moment);
                    return More::At(moment);
                }
                Turn::Begin(moment) => {
                    let (session, _) = self.walk.next();
                    self.tally.borrow_mut().begun(&self.schedule, moment);
                    self.open.insert(self.asked, moment);
                    let request =
                        ResolveRedirectsRequest { correlation_id: self.asked, resolve: Some(resolve(&session)) };
                    self.asked += 1;
                    // A stream that is gone says why when its answers are read.
                    let _ = requests.send(request);
                }
                Turn::Missed(moment) => self.tally.borrow_mut().missed(&self.schedule, moment),
                Turn::Over => return More::No,
            }
        }
        More::Answered
    }
}
