//! The options of a load, and its course: connect, fill, warm up, measure.

use super::{
    buyer::{Buyer, Line, Walk, Work},
    permission,
    report::{Report, Settings},
    schedule::{Pace, Schedule, Turn},
    stream,
    tally::Tally,
};
use crate::{
    cli::{
        client::Connection,
        failure::Failure,
        time::{parse_span, span},
    },
    client::Credential,
    proto::v1::{Outcome, redirect_service_client::RedirectServiceClient},
};
use clap::{Args, value_parser};
use std::{
    cell::RefCell,
    fs,
    io::{self, IsTerminal, Write},
    rc::Rc,
    time::Duration,
};
use tokio::{
    task::{JoinSet, LocalSet},
    time::{Instant, interval, sleep, timeout, timeout_at},
};
use tonic::Status;
use tonic_types::StatusExt;

/// How much load, for how long.
#[derive(Debug, Args)]
pub struct Load {
    /// Connections; servers take 1,000 of one machine.
    #[arg(long, default_value_t = 4, value_name = "NUMBER", value_parser = value_parser!(u16).range(1..=1_000), help_heading = "Load")]
    connections: u16,

    /// Calls in progress on each connection, or requests of its stream; servers take 256 calls.
    #[arg(long, default_value_t = 16, value_name = "NUMBER", value_parser = value_parser!(u16).range(1..=256), help_heading = "Load")]
    in_flight: u16,

    /// Begins so many calls a second, answered or not, and counts latencies from the moments in which they were to begin
    /// [default: each call begins when one is answered].
    #[arg(long, value_name = "CALLS", value_parser = value_parser!(u32).range(1..=1_000_000), help_heading = "Load")]
    rate: Option<u32>,

    /// Sessions that are created first, where the load needs them; at most 10,000,000.
    #[arg(long, default_value_t = 1_000, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..=10_000_000), help_heading = "Load")]
    sessions: u32,

    /// The merchant of everything that is created. Sessions stay open for an hour and are removed like any others.
    #[arg(long, default_value = "bench", value_name = "ID", help_heading = "Load")]
    merchant: String,

    /// How long is measured; at most 12h.
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = length, help_heading = "Load")]
    duration: Duration,

    /// How long the same load is made before, unmeasured; at most 12h.
    #[arg(long, default_value = "2s", value_name = "TIME", value_parser = length, help_heading = "Load")]
    warm_up: Duration,

    /// The host of --server, once more, when it is not this machine: its users will feel the load.
    #[arg(long, value_name = "HOST", help_heading = "Connection")]
    yes_load: Option<String>,

    #[command(flatten)]
    connection: Connection,

    /// Prints the report as JSON, for `waypost bench compare`.
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// The latencies' table ends at a day, which holds both times.
const LENGTH_MAX: Duration = Duration::from_secs(12 * 60 * 60);

fn length(text: &str) -> Result<Duration, String> {
    match parse_span(text)? {
        length if length <= LENGTH_MAX => Ok(length),
        _ => Err("is longer than 12h".into()),
    }
}

impl Load {
    /// Makes the load, and says how it was borne.
    pub fn run(self, work: Work) -> Result<String, Failure> {
        permission::check(&self.connection.server, self.yes_load.as_deref())?;
        if self.duration.is_zero() {
            return Err(Failure::Usage("--duration 0s measures nothing: write a time such as 10s".into()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        let report = LocalSet::new().block_on(&runtime, self.measure(work));
        // A name that is still being looked up cannot be stopped; dropping the runtime would wait for it.
        runtime.shutdown_background();
        let report = report?;
        match self.json {
            true => serde_json::to_string_pretty(&report).map_err(|error| Failure::Output(error.into())),
            false => Ok(report.describe()),
        }
    }

    async fn measure(&self, work: Work) -> Result<Report, Failure> {
        let lines =
            timeout(self.connection.timeout, self.lines()).await.map_err(|_| self.connection.out_of_time())??;
        let sessions = match work.needs_sessions() {
            true => self.fill(&lines, work).await?,
            false => Rc::from([]),
        };
        let pace = self.rate.map_or(Pace::Closed, Pace::Rate);
        let (tally, before) = (Rc::new(RefCell::new(Tally::new())), cpu());
        let schedule = Rc::new(Schedule::begin(pace, self.warm_up, self.duration));
        let mut drivers = JoinSet::new();
        let (connections, in_flight) = (lines.len(), usize::from(self.in_flight));
        for (number, line) in lines.into_iter().enumerate() {
            let walk = |number, walkers| Walk::new(Rc::clone(&sessions), number, walkers);
            if work == Work::Stream {
                let walk = walk(number, connections);
                drivers.spawn_local(stream::drive(line, walk, in_flight, Rc::clone(&schedule), Rc::clone(&tally)));
                continue;
            }
            for place in 0..in_flight {
                let walk = walk(number * in_flight + place, connections * in_flight);
                let buyer = Buyer::new(line.clone(), work, walk);
                drivers.spawn_local(drive(buyer, Rc::clone(&schedule), Rc::clone(&tally)));
            }
        }
        let progress = tokio::task::spawn_local(tell(Rc::clone(&tally)));
        // What is in progress at the end may take as long as any call of ours.
        let patience = Instant::from_std(schedule.end()) + self.connection.timeout;
        let all = async {
            while let Some(ended) = drivers.join_next().await {
                ended.map_err(|error| Failure::Failed(format!("a fault of this command: {error}")))?;
            }
            Ok(())
        };
        let ended = timeout_at(patience, all).await;
        progress.abort();
        let in_time = ended.is_ok();
        ended.unwrap_or(Ok(()))?;
        let cpu = cpu().zip(before).map(|(after, before)| after - before);
        let mut tally = tally.borrow_mut();
        tally.give_up();
        if tally.seen == 0 && !in_time {
            return Err(self.connection.out_of_time());
        }
        match &tally.first_error {
            Some(status) if tally.answered == 0 => Err(self.connection.failure_of(status)),
            _ => Ok(Report::new(self.settings(work), &tally, cpu)),
        }
    }

    /// Opens the connections.
    async fn lines(&self) -> Result<Vec<Line>, Failure> {
        let (credential, merchant_id) = (self.connection.token.credential()?, Rc::from(&*self.merchant));
        let secret = credential.as_ref().map(Credential::header);
        let mut lines = Vec::with_capacity(self.connections.into());
        for _ in 0..self.connections {
            let client = self.connection.open(None)?;
            // Connects, which is not to be measured; everybody may ask for the health.
            client.check_health("").await.map_err(|error| self.connection.failure(error))?;
            let client = RedirectServiceClient::new(client.channel());
            lines.push(Line { client, secret: secret.clone(), merchant_id: Rc::clone(&merchant_id) });
        }
        Ok(lines)
    }

    /// Creates the sessions, with as many calls at once as the load will have.
    async fn fill(&self, lines: &[Line], work: Work) -> Result<Rc<[String]>, Failure> {
        if io::stderr().is_terminal() {
            let _ = writeln!(io::stderr(), "creating {} sessions", self.sessions);
        }
        let left = Rc::new(RefCell::new(self.sessions));
        let mut creators = JoinSet::new();
        for line in lines {
            for _ in 0..self.in_flight {
                let (line, left, patience) = (line.clone(), Rc::clone(&left), self.connection.timeout);
                creators.spawn_local(async move {
                    let mut created = Vec::new();
                    while left.replace_with(|left| left.saturating_sub(1)) > 0 {
                        let late = |_| Err(Status::deadline_exceeded("a session was not created in time"));
                        created.push(timeout(patience, prepare(&line, work)).await.unwrap_or_else(late)?);
                    }
                    Ok::<_, Status>(created)
                });
            }
        }
        let mut sessions = Vec::new();
        while let Some(created) = creators.join_next().await {
            let created = created.map_err(|error| Failure::Failed(format!("cannot create sessions: {error}")))?;
            sessions.extend(created.map_err(|status| self.connection.failure_of(&status))?);
        }
        Ok(sessions.into())
    }

    fn settings(&self, work: Work) -> Settings {
        Settings {
            work,
            server: self.connection.server.to_string(),
            connections: self.connections,
            in_flight: self.in_flight,
            rate: self.rate,
            sessions: work.needs_sessions().then_some(self.sessions),
            warm_up: span(self.warm_up),
            duration_seconds: self.duration.as_secs_f64(),
        }
    }
}

/// Makes the calls of one place until the schedule is over.
async fn drive(mut buyer: Buyer, schedule: Rc<Schedule>, tally: Rc<RefCell<Tally>>) {
    loop {
        match schedule.take() {
            Turn::Begin(moment) => {
                schedule.wait(moment).await;
                tally.borrow_mut().begun(&schedule, moment);
                let result = buyer.call().await;
                tally.borrow_mut().ended(&schedule, moment, result);
            }
            Turn::Missed(moment) => tally.borrow_mut().missed(&schedule, moment),
            Turn::Over => return,
        }
    }
}

/// Tells whoever sits there how it goes, a line a second.
async fn tell(tally: Rc<RefCell<Tally>>) {
    if !io::stderr().is_terminal() {
        return;
    }
    let mut seconds = interval(Duration::from_secs(1));
    let (mut second, mut before) = (0_u32, 0);
    seconds.tick().await;
    loop {
        seconds.tick().await;
        second += 1;
        let (seen, failed) = {
            let tally = tally.borrow();
            (tally.seen, tally.failed.values().sum::<u64>())
        };
        let _ = writeln!(io::stderr(), "{second:>4} s  {:>8} calls  {failed:>6} failed so far", seen - before);
        before = seen;
    }
}

/// Seconds of processor time of this process; `None` where the system does not say it as Linux does.
fn cpu() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Fields 14 and 15 of proc(5), counted after the name; Linux counts a hundred ticks a second.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

/// Creates a session that is ready for that work.
async fn prepare(line: &Line, work: Work) -> Result<String, Status> {
    let session_id = insist(async || line.clone().create().await).await?;
    if work != Work::Record {
        insist(async || line.clone().record(&session_id, Outcome::Success).await).await?;
    }
    Ok(session_id)
}

/// Calls again when a server says that it may, which is later each time: the calls before the measurement are no part of it.
async fn insist<T>(call: impl AsyncFn() -> Result<T, Status>) -> Result<T, Status> {
    let mut times = 0;
    loop {
        let answer = call().await;
        let status = match &answer {
            Ok(_) => return answer,
            Err(status) => status,
        };
        let Some(delay) = status.get_error_details().retry_info().and_then(|retry| retry.retry_delay) else {
            return answer;
        };
        times += 1;
        sleep(delay * times).await;
    }
}
