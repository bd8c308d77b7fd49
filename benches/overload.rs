//! More load than a server can bear, as ratios of one run: `cargo bench --bench overload`.
//!
//! The server has one worker on one core, the load the other. The load never sleeps, as waking another core of one's own
//! machine costs more than a write, and callers are on others. What the server can do is measured with some calls always
//! in progress; then ten times as many calls a second begin at fixed moments, answered or not, on 16 connections,
//! while somebody else asks for its health; and so on in turn. Each overload is compared with the capacity before
//! and after it, as a machine that is shared is never the same for long. A refusal has to be much cheaper than a call for
//! this to be borne, so it is measured with calls of different cost: `PreviewRedirects`, which is the most expensive one
//! with a small request, of a checkout and a merchant with five URLs of the greatest length each; the same of such a checkout
//! alone; and the cheapest, `ResolveRedirect`, under as much load as one core can make. `WAYPOST_BENCH_SECONDS` is the
//! length of a measurement (default 2), `WAYPOST_BENCH_ROUNDS` their number (default 7).

mod support {
    #[allow(dead_code, reason = "shared with benchmarks that need other parts of it")]
    pub mod h2_client;
    pub mod process;
}

use bytes::Bytes;
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use prost::Message;
use std::{
    cell::RefCell,
    env,
    rc::Rc,
    time::{Duration, Instant},
};
use support::{
    h2_client::{Refused, call, connect, frame, try_call},
    process::{LOAD_CORE, Server, pin},
};
use tokio::{
    task::{LocalSet, yield_now},
    time::sleep,
};
use waypost::proto::v1::{
    CreateCheckoutRequest, CreateCheckoutResponse, Customer, LineItem, Merchant, PreviewRedirectsRequest,
    PreviewRedirectsResponse, ResolveRedirectRequest, ReturnUrls, ShoppingCart, Source as UrlSource,
    UpdateMerchantRequest, preview_redirects_request::Source,
};

const CONNECTIONS: usize = 16;
const IN_FLIGHT_AT_CAPACITY: usize = 16;

const CREATE: &str = "/waypost.v1.RedirectService/CreateCheckout";
const UPDATE: &str = "/waypost.v1.MerchantService/UpdateMerchant";
const RESOLVE: &str = "/waypost.v1.RedirectService/ResolveRedirect";
const PREVIEW: &str = "/waypost.v1.RedirectService/PreviewRedirects";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

fn main() {
    let tests = !env::args().any(|arg| arg == "--bench");
    let number = |name: &str, default| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seconds, rounds) = if tests {
        (0.1, 1)
    } else {
        (number("WAYPOST_BENCH_SECONDS", 2.0), (number("WAYPOST_BENCH_ROUNDS", 7.0) as usize).max(1))
    };
    let length = Duration::from_secs_f64(seconds);
    let server = Server::waypost("warn");
    pin(0, &[LOAD_CORE]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        // The load does not sleep.
        tokio::task::spawn_local(async {
            loop {
                yield_now().await;
            }
        });
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(connect(server.addr).await);
        }
        let health = connect(server.addr).await;
        let works = works(&mut connections[0]).await;
        let load = Load { server: &server, connections, health, length };
        for (name, work) in works {
            // Unmeasured at first.
            load.at_capacity(&work, length).await;
            let mut before = load.at_capacity(&work, length).await;
            let mut ratios = Vec::new();
            for round in 0..rounds {
                let rate = 10.0 * before.answered.len() as f64 / length.as_secs_f64();
                let overload = load.at_rate(&work, rate).await;
                let after = load.at_capacity(&work, length).await;
                if round == 0 {
                    before.tell(&format!("{name}, {IN_FLIGHT_AT_CAPACITY} in progress"), length);
                    overload.tell(&format!("{name}, ten times as many offered"), length);
                }
                ratios.push(overload.beside(&before, &after));
                before = after;
            }
            println!("{name}, medians of {rounds} rounds (least to most), beside the capacity before and after");
            let told = [
                "offered, times the capacity",
                "answered, % of those at capacity",
                "the same for the server's processor time, %",
                "p99 of the answered, times that at capacity",
                "refusals within 5 ms, %",
                "p99 of health, ms",
            ];
            for (at, what) in told.into_iter().enumerate() {
                let mut values: Vec<f64> = ratios.iter().map(|round| round[at]).collect();
                values.sort_by(f64::total_cmp);
                println!("  {what:<44} {:>7.2} ({:.2} to {:.2})", values[rounds / 2], values[0], values[rounds - 1]);
            }
        }
    });
}

/// A call to make.
#[derive(Clone)]
struct Work {
    path: &'static str,
    message: Bytes,
}

struct Load<'s> {
    server: &'s Server,
    connections: Vec<SendRequest<Bytes>>,
    health: SendRequest<Bytes>,
    length: Duration,
}

/// Microseconds, by what came of the calls.
struct Seen {
    answered: Histogram<u64>,
    refused: Histogram<u64>,
    health: Histogram<u64>,
    /// Refused without being told when to come again, or for another reason.
    untold: u64,
    /// How late calls began, which is the load's own fault.
    lag: Histogram<u64>,
    /// Calls that could not begin, as connections had as many as they may.
    held_back: u64,
    server_cpu: f64,
}

impl Seen {
    fn new() -> Self {
        let micros = || Histogram::new(3).expect("a histogram");
        Self {
            answered: micros(),
            refused: micros(),
            health: micros(),
            untold: 0,
            lag: micros(),
            held_back: 0,
            server_cpu: 0.0,
        }
    }

    fn add(&mut self, began: Instant, result: &Result<Bytes, Refused>) {
        let micros = began.elapsed().as_micros() as u64;
        match result {
            Ok(_) => self.answered.record(micros),
            Err(refused) => {
                // RESOURCE_EXHAUSTED, and the type of the detail that says when to come again, as base64 has it.
                let told = refused.code == "8" && is_told_when(&refused.details);
                self.untold += u64::from(!told);
                self.refused.record(micros)
            }
        }
        .expect("a latency");
    }

    fn tell(&self, name: &str, length: Duration) {
        let rate = |histogram: &Histogram<u64>| histogram.len() as f64 / length.as_secs_f64();
        println!("{name}");
        for (what, seen) in [("answered", &self.answered), ("refused", &self.refused), ("health", &self.health)] {
            let at = |quantile| seen.value_at_quantile(quantile) as f64 / 1_000.0;
            println!(
                "  {what:<10} {:>9.0}/s   p50 {:>8.2} ms   p99 {:>8.2} ms   p99.9 {:>8.2} ms",
                rate(seen),
                at(0.5),
                at(0.99),
                at(0.999)
            );
        }
        println!(
            "  refused otherwise {}, held back {}, begun late by {:.2} ms at p99, server's core {:.0} %",
            self.untold,
            self.held_back,
            self.lag.value_at_quantile(0.99) as f64 / 1_000.0,
            100.0 * self.server_cpu / length.as_secs_f64()
        );
    }

    /// In the order in which they are told.
    fn beside(&self, before: &Self, after: &Self) -> [f64; 6] {
        let mean = |of: &dyn Fn(&Self) -> f64| (of(before) + of(after)) / 2.0;
        let answered = |seen: &Self| seen.answered.len() as f64;
        let capacity = mean(&answered);
        // For a second of its core: neither what others took of that counts, nor what it was idle for.
        let for_its_time = |seen: &Self| answered(seen) / seen.server_cpu;
        let p99 = |seen: &Self| seen.answered.value_at_quantile(0.99) as f64;
        [
            (self.answered.len() + self.refused.len() + self.held_back) as f64 / capacity,
            100.0 * answered(self) / capacity,
            100.0 * for_its_time(self) / mean(&for_its_time),
            p99(self) / mean(&p99),
            100.0 * self.refused.quantile_below(5_000),
            self.health.value_at_quantile(0.99) as f64 / 1_000.0,
        ]
    }
}

/// Whether the details of an error hold a `google.rpc.RetryInfo`.
fn is_told_when(details: &str) -> bool {
    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
    let bytes = STANDARD_NO_PAD.decode(details.trim_end_matches('=')).unwrap_or_default();
    bytes.windows(20).any(|window| window == b"google.rpc.RetryInfo")
}

impl Load<'_> {
    /// With so many calls in progress that the server always has one, and no queue to speak of.
    async fn at_capacity(&self, work: &Work, length: Duration) -> Seen {
        let seen = Rc::new(RefCell::new(Seen::new()));
        let (began, cpu) = (Instant::now(), self.server.cpu());
        let callers = (0..IN_FLIGHT_AT_CAPACITY).map(|number| {
            let (mut connection, work) = (self.connections[number % CONNECTIONS].clone(), work.clone());
            let seen = Rc::clone(&seen);
            async move {
                while began.elapsed() < length {
                    let began = Instant::now();
                    let result = try_call(&mut connection, work.path, work.message.clone()).await;
                    seen.borrow_mut().add(began, &result);
                }
            }
        });
        futures_util::future::join_all(callers).await;
        let mut seen = seen.replace(Seen::new());
        seen.server_cpu = self.server.cpu() - cpu;
        seen
    }

    /// With calls that begin at so many moments a second, whatever is answered.
    async fn at_rate(&self, work: &Work, rate: f64) -> Seen {
        let seen = Rc::new(RefCell::new(Seen::new()));
        let in_flight = Rc::new(RefCell::new([0_usize; CONNECTIONS]));
        // The first second is not measured: that is how long it takes to be noticed.
        let from = Instant::now();
        let measured_from = from + self.length.min(Duration::from_secs(1));
        let end = measured_from + self.length;
        let mut cpu = None;
        tokio::task::spawn_local(ask_for_health(self.health.clone(), measured_from, end, Rc::clone(&seen)));
        let mut number = 0_u64;
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            if now >= measured_from && cpu.is_none() {
                cpu = Some(self.server.cpu());
            }
            while from + Duration::from_secs_f64(number as f64 / rate) <= now {
                let due = from + Duration::from_secs_f64(number as f64 / rate);
                let at = number as usize % CONNECTIONS;
                number += 1;
                if in_flight.borrow()[at] >= 256 {
                    if due >= measured_from {
                        seen.borrow_mut().held_back += 1;
                    }
                    continue;
                }
                in_flight.borrow_mut()[at] += 1;
                let (mut connection, work) = (self.connections[at].clone(), work.clone());
                let (seen, in_flight) = (Rc::clone(&seen), Rc::clone(&in_flight));
                tokio::task::spawn_local(async move {
                    let began = Instant::now();
                    let result = try_call(&mut connection, work.path, work.message).await;
                    in_flight.borrow_mut()[at] -= 1;
                    if due >= measured_from && Instant::now() < end + Duration::from_secs(1) {
                        let seen = &mut *seen.borrow_mut();
                        seen.add(began, &result);
                        seen.lag.record((began - due).as_micros() as u64).expect("a lag");
                    }
                });
            }
            yield_now().await;
        }
        let cpu = self.server.cpu() - cpu.unwrap_or_default();
        // Until what is in progress is over.
        while in_flight.borrow().iter().any(|calls| *calls > 0) {
            sleep(Duration::from_millis(1)).await;
        }
        let mut seen = seen.replace(Seen::new());
        seen.server_cpu = cpu;
        seen
    }
}

async fn ask_for_health(mut connection: SendRequest<Bytes>, from: Instant, end: Instant, seen: Rc<RefCell<Seen>>) {
    while Instant::now() < end {
        let began = Instant::now();
        call(&mut connection, HEALTH, frame(&[])).await;
        if began >= from {
            seen.borrow_mut().health.record(began.elapsed().as_micros() as u64).expect("a latency");
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// The calls that are measured, the most expensive first.
async fn works(connection: &mut SendRequest<Bytes>) -> [(&'static str, Work); 3] {
    let merchant = Some(Merchant {
        merchant_id: "long".into(),
        return_urls: Some(longest_urls("merchant")),
        ..Merchant::default()
    });
    let update = UpdateMerchantRequest { merchant, ..UpdateMerchantRequest::default() };
    call(connection, UPDATE, frame(&update.encode_to_vec())).await;
    let of_both = preview(connection, "long", UrlSource::MerchantSettings).await;
    let of_the_checkout = preview(connection, "none", UrlSource::Request).await;
    let success = "https://shop.example/paid?order={{id}}".into();
    let session_id = create(connection, "none", ReturnUrls { success, ..ReturnUrls::default() }).await;
    let resolve = ResolveRedirectRequest { session_id, ..ResolveRedirectRequest::default() };
    let resolve = Work { path: RESOLVE, message: frame(&resolve.encode_to_vec()) };
    [
        ("PreviewRedirects of a checkout's and a merchant's URLs", of_both),
        ("PreviewRedirects of a checkout's URLs", of_the_checkout),
        ("ResolveRedirect", resolve),
    ]
}

/// `PreviewRedirects` of a checkout with the longest URLs, for every outcome of which these have to be chosen.
async fn preview(connection: &mut SendRequest<Bytes>, merchant_id: &str, chosen: UrlSource) -> Work {
    let source = Some(Source::SessionId(create(connection, merchant_id, longest_urls("checkout")).await));
    let work = Work { path: PREVIEW, message: frame(&PreviewRedirectsRequest { source }.encode_to_vec()) };
    let answer = call(connection, PREVIEW, work.message.clone()).await;
    let redirects = PreviewRedirectsResponse::decode(answer).expect("an answer").redirects;
    assert_eq!(redirects.len(), 5);
    for redirect in redirects {
        assert_eq!(redirect.source(), chosen);
        assert!((4_050..=4_096).contains(&redirect.url.len()), "{} bytes", redirect.url.len());
    }
    work
}

/// URLs with as many placeholders as may be, which [`create`] fills to the greatest length.
fn longest_urls(whose: &str) -> ReturnUrls {
    let placeholders = "{{shopping_cart.line_items[0].name}}&p={{customer.first_name}}";
    let url = |slot: &str| format!("https://shop.example/{whose}/{slot}?p={}", [placeholders; 16].join("&p="));
    ReturnUrls {
        success: url("success"),
        failure: url("failure"),
        cancel: url("cancel"),
        pending: url("pending"),
        expired: url("expired"),
    }
}

async fn create(connection: &mut SendRequest<Bytes>, merchant_id: &str, redirect_urls: ReturnUrls) -> String {
    let create = CreateCheckoutRequest {
        merchant_id: merchant_id.into(),
        customer: Some(Customer { first_name: "x y".repeat(20), ..Customer::default() }),
        redirect_urls: Some(redirect_urls),
        shopping_cart: Some(ShoppingCart {
            line_items: vec![LineItem { name: "a b".repeat(29), unit_qty: 1, ..LineItem::default() }],
        }),
        ..CreateCheckoutRequest::default()
    };
    let created = call(connection, CREATE, frame(&create.encode_to_vec())).await;
    CreateCheckoutResponse::decode(created).expect("an answer").session.expect("a session").session_id
}
