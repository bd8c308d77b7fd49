//! Writers that keep a ledger of what the server acknowledged to them, and the comparison of the ledger with a server.
//!
//! A writer is a careful caller: what was not answered it sends again, unchanged, until it is. Nobody else writes to its
//! sessions and to its merchant, so every answer is known beforehand; only the tally, a merchant that all of them count
//! up, sees them race.

use crate::{PATIENCE, process::run};
use futures_util::future::join_all;
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use waypost::proto::v1::{
    merchant_service_client::MerchantServiceClient, redirect_service_client::RedirectServiceClient, *,
};

/// How many write at once.
pub const WRITERS: usize = 32;
/// The merchant that everybody changes: its name is how often that happened.
const TALLY: &str = "tally";
/// Calls of a comparison that are under way together.
const CHECKS_AT_ONCE: usize = 64;
/// 30 days: no session of a long run expires.
const TTL: Option<prost_types::Duration> = Some(prost_types::Duration { seconds: 30 * 86_400, nanos: 0 });

/// Writers at work. Dropping it ends them.
pub struct Ledger {
    shared: Arc<Shared>,
    writers: JoinSet<()>,
}

struct Shared {
    gate: watch::Sender<Gate>,
    /// Writers that wait at the gate.
    parked: watch::Sender<usize>,
    acknowledged: watch::Sender<u64>,
    pages: Mutex<Pages>,
    /// Calls that ended without the server's word on what came of them.
    unanswered: AtomicU64,
}

/// Which server is written to, if any now.
#[derive(Clone, Default)]
struct Gate {
    server: Option<Channel>,
    /// Counts the times that the gate was opened.
    opened: u64,
}

#[derive(Default)]
struct Pages {
    sessions: HashMap<Key, Entry>,
    merchants: HashMap<usize, Settings>,
    tally: Tally,
    /// What was written since the last comparison.
    recent: HashSet<Key>,
    /// Creates that were repeated, by the writers and by comparisons.
    repeated: u64,
}

/// Stands for a create request: the same one whenever it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    writer: usize,
    n: usize,
}

/// What is known of a session.
#[derive(Clone)]
struct Entry {
    /// The first response.
    created: Session,
    /// The last acknowledged state.
    now: Session,
    /// A report that was sent and not answered yet.
    sent: Option<RecordOutcomeRequest>,
    /// States so far, those acknowledged only.
    version: u64,
}

/// What is known of a writer's own merchant.
#[derive(Clone)]
struct Settings {
    now: Merchant,
    /// The name in a change that was sent and not answered yet.
    sent: Option<String>,
    version: u64,
}

#[derive(Default, Clone, Copy)]
struct Tally {
    acknowledged: u64,
    /// Changes of which nobody knows whether they were made.
    unknown: u64,
}

/// Whether a call was answered the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tries {
    One,
    More,
}

impl Ledger {
    /// Sets the writers to work on that server.
    pub fn keep(server: Channel) -> Self {
        let shared = Arc::new(Shared {
            gate: watch::Sender::new(Gate { server: Some(server), opened: 1 }),
            parked: watch::Sender::new(0),
            acknowledged: watch::Sender::new(0),
            pages: Mutex::default(),
            unanswered: AtomicU64::new(0),
        });
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let shared = Arc::clone(&shared);
            writers.spawn(async move { shared.write(writer).await });
        }
        Self { shared, writers }
    }

    /// Waits until that many more writes are acknowledged.
    pub async fn wait_for_writes(&mut self, more: u64) {
        let target = *self.shared.acknowledged.borrow() + more;
        let mut acknowledged = self.shared.acknowledged.subscribe();
        self.unless_one_failed(acknowledged.wait_for(|writes| *writes >= target)).await;
    }

    /// Gives the writers nothing more to write to, and waits until none is in the middle of a call: what was not
    /// answered by then never will be.
    pub async fn shut(&mut self) {
        self.shared.gate.send_modify(|gate| gate.server = None);
        let mut parked = self.shared.parked.subscribe();
        self.unless_one_failed(parked.wait_for(|parked| *parked == WRITERS)).await;
    }

    /// Gives them that server.
    pub fn open(&self, server: Channel) {
        self.shared.gate.send_modify(|gate| *gate = Gate { server: Some(server), opened: gate.opened + 1 });
    }

    /// Compares what was written since the last comparison. The gate is shut meanwhile.
    pub async fn check_recent(&self, server: &Channel) {
        let recent = mem::take(&mut self.shared.pages().recent);
        self.shared.check(recent.into_iter().collect(), server).await;
    }

    /// Compares everything, with the export of the store too: nothing is there that nobody was told of, and each state
    /// was reached by exactly the writes in the ledger. The gate is shut, and every call was answered.
    pub async fn check_all(&self, server: &Channel, store: &str) {
        let all = self.shared.pages().sessions.keys().copied().collect();
        self.shared.check(all, server).await;
        self.shared.pages().compare_with_export(&run(&["store", "export", "-", "--store", store]));
    }

    /// What happened, in a line.
    pub fn summary(&self) -> String {
        let pages = self.shared.pages();
        format!(
            "{} writes acknowledged, {} calls unanswered and sent again, {} sessions, {} creates repeated",
            *self.shared.acknowledged.borrow(),
            self.shared.unanswered.load(Ordering::Relaxed),
            pages.sessions.len(),
            pages.repeated,
        )
    }

    /// Writers never end by themselves: one that does has failed, and so has this.
    async fn unless_one_failed<T>(&mut self, reached: impl Future<Output = T>) {
        tokio::select! {
            reached = timeout(PATIENCE, reached) => drop(reached.expect("the writers get on")),
            Some(ended) = self.writers.join_next() => panic!("a writer failed: {:?}", ended.err()),
        }
    }
}

impl Shared {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().expect("no panic")
    }

    fn acknowledge(&self, note: impl FnOnce(&mut Pages)) {
        note(&mut self.pages());
        self.acknowledged.send_modify(|writes| *writes += 1);
    }

    async fn write(&self, writer: usize) {
        for n in 0.. {
            let key = Key { writer, n };
            self.create(key).await;
            for turn in 0..n % 4 {
                self.record(key, turn).await;
            }
            if n % 2 == 0 {
                self.rename(writer).await;
            }
            if n % 3 == 0 {
                self.count().await;
            }
            if n % 5 == 0 {
                self.repeat(key).await;
            }
        }
    }

    async fn create(&self, key: Key) {
        let (created, tries) = self.insist(|server| key.create(server)).await;
        let (session, replayed) = created.unwrap_or_else(|status| panic!("{key:?}: {status}"));
        assert!(!replayed || tries == Tries::More, "nobody else has the key of {key:?}");
        self.acknowledge(|pages| {
            pages.sessions.insert(key, Entry { created: session.clone(), now: session, sent: None, version: 1 });
            pages.recent.insert(key);
        });
    }

    async fn record(&self, key: Key, turn: usize) {
        let request = RecordOutcomeRequest {
            session_id: self.pages().sessions[&key].created.session_id.clone(),
            // Two failures and then success; each report says something new.
            outcome: if turn == 2 { Outcome::Success } else { Outcome::Failure }.into(),
            payment_id: format!("payment-{turn}"),
            ..RecordOutcomeRequest::default()
        };
        self.pages().sessions.get_mut(&key).expect("it was created").sent = Some(request.clone());
        let (recorded, tries) = self.insist(|server| record(server, request.clone())).await;
        let recorded = recorded.unwrap_or_else(|status| panic!("{key:?}: {status}"));
        assert!(recorded.applied || tries == Tries::More, "{key:?}: the report says something new");
        let now = recorded.session.expect("a session");
        assert!(says(&now, &request), "{key:?}: {now:?} after {request:?}");
        self.acknowledge(|pages| {
            let entry = pages.sessions.get_mut(&key).expect("it was created");
            *entry = Entry { created: entry.created.clone(), now, sent: None, version: entry.version + 1 };
            pages.recent.insert(key);
        });
    }

    /// Changes the writer's own merchant.
    async fn rename(&self, writer: usize) {
        let before = self.pages().merchants.get(&writer).cloned();
        let version = before.as_ref().map_or(0, |before| before.version) + 1;
        let name = format!("Shop {version} of {writer}");
        let merchant = Merchant {
            merchant_id: merchant_of(writer),
            name: name.clone(),
            etag: before.map(|before| before.now.etag).unwrap_or_default(),
            ..Merchant::default()
        };
        if let Some(settings) = self.pages().merchants.get_mut(&writer) {
            settings.sent = Some(name.clone());
        }
        let (updated, tries) = self.insist(|server| update(server, merchant.clone())).await;
        let now = match updated {
            Ok(now) => now,
            // The first call made the change, and its answer was lost.
            Err(status) if tries == Tries::More && reason(&status) == Some("ETAG_MISMATCH") => {
                let (found, _) = self.insist(|server| get(server, merchant_of(writer))).await;
                found.expect("a merchant always answers")
            }
            Err(status) => panic!("nobody else changes the merchant of {writer}: {status}"),
        };
        assert_eq!(now.name, name);
        self.acknowledge(|pages| drop(pages.merchants.insert(writer, Settings { now, sent: None, version })));
    }

    /// Counts the tally up, or finds that somebody else was faster.
    async fn count(&self) {
        let (found, _) = self.insist(|server| get(server, TALLY.into())).await;
        let found = found.expect("a merchant always answers");
        let merchant = Merchant { name: (counted(&found) + 1).to_string(), ..found };
        let (updated, tries) = self.insist(|server| update(server, merchant.clone())).await;
        match updated {
            // The etag still stood: it was made once, however often it was sent.
            Ok(_) => self.acknowledge(|pages| pages.tally.acknowledged += 1),
            Err(status) if reason(&status) == Some("ETAG_MISMATCH") => {
                self.pages().tally.unknown += u64::from(tries == Tries::More);
            }
            Err(status) => panic!("{status}"),
        }
    }

    /// Sends a create again that was answered.
    async fn repeat(&self, key: Key) {
        let (again, _) = self.insist(|server| key.create(server)).await;
        let mut pages = self.pages();
        pages.repeated += 1;
        assert_eq!(again.expect("a repeated call"), (pages.sessions[&key].created.clone(), true), "{key:?}");
    }

    /// Calls until the server has said what came of it.
    async fn insist<T, F>(&self, call: impl Fn(Channel) -> F) -> (Result<T, Status>, Tries)
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut tries = Tries::One;
        let mut gate = self.pass(0).await;
        loop {
            let answer = call(gate.server.clone().expect("it was open")).await;
            let Err(status) = answer else { return (answer, tries) };
            match reason(&status) {
                // The server lives and cannot tell, or has too much to do.
                Some("STORE_UNAVAILABLE" | "DEADLINE_EXCEEDED" | "OVERLOADED") => {
                    let advised = status.get_error_details().retry_info().and_then(|retry| retry.retry_delay);
                    assert!(advised.is_some(), "nothing says when to come again: {status}");
                }
                Some(_) => return (Err(status), tries),
                // The server is gone.
                None => gate = self.pass(gate.opened).await,
            }
            self.unanswered.fetch_add(1, Ordering::Relaxed);
            tries = Tries::More;
        }
    }

    /// Waits until the gate is open and leads to another server than the one that failed.
    async fn pass(&self, failed: u64) -> Gate {
        let mut gate = self.gate.subscribe();
        let leads_on = |gate: &Gate| gate.server.is_some() && gate.opened > failed;
        if !leads_on(&gate.borrow()) {
            self.parked.send_modify(|parked| *parked += 1);
            drop(gate.wait_for(leads_on).await.expect("the ledger lives"));
            self.parked.send_modify(|parked| *parked -= 1);
        }
        gate.borrow().clone()
    }

    async fn check(&self, keys: Vec<Key>, server: &Channel) {
        for together in keys.chunks(CHECKS_AT_ONCE) {
            join_all(together.iter().map(|key| self.check_session(*key, server.clone()))).await;
        }
        join_all((0..WRITERS).map(|writer| self.check_merchant(writer, server.clone()))).await;
        let tally = answered(async || get(server.clone(), TALLY.into()).await).await;
        let counted = counted(&tally.expect("a merchant always answers"));
        let Tally { acknowledged, unknown } = self.pages().tally;
        // As many as are in flight at the kill may have been made too.
        let most = acknowledged + unknown + WRITERS as u64;
        assert!(
            (acknowledged..=most).contains(&counted),
            "{counted} counted, {acknowledged} acknowledged, {unknown} unknown"
        );
    }

    async fn check_session(&self, key: Key, server: Channel) {
        let entry = self.pages().sessions[&key].clone();
        let id = GetSessionRequest { session_id: entry.created.session_id.clone() };
        let found = answered(async || RedirectServiceClient::new(server.clone()).get_session(id.clone()).await).await;
        let found = found.unwrap_or_else(|status| panic!("{key:?} is lost: {status}")).into_inner();
        let found = found.session.expect("a session");
        let stands = found == entry.now || entry.sent.is_some_and(|sent| says(&found, &sent));
        assert!(stands, "{key:?} lost its last write {:?}: {found:?}", entry.now);
        let again = answered(async || key.create(server.clone()).await).await;
        let (again, replayed) = again.unwrap_or_else(|status| panic!("{key:?}: {status}"));
        assert!(replayed, "{key:?} was created twice");
        assert_eq!(again, entry.created, "{key:?}: the first response");
        self.pages().repeated += 1;
    }

    async fn check_merchant(&self, writer: usize, server: Channel) {
        let Some(settings) = self.pages().merchants.get(&writer).cloned() else { return };
        let found = answered(async || get(server.clone(), merchant_of(writer)).await).await;
        let found = found.expect("a merchant always answers");
        let stands = found == settings.now || settings.sent.is_some_and(|sent| sent == found.name);
        assert!(stands, "the merchant of {writer} lost its last change {:?}: {found:?}", settings.now);
    }
}

/// Calls until it is answered: a database that has just come back on a busy machine may take longer than a call does, and
/// a server that is asked many things at once may refuse some.
async fn answered<T>(call: impl AsyncFn() -> Result<T, Status>) -> Result<T, Status> {
    let began = Instant::now();
    loop {
        match call().await {
            Err(status)
                if (matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted)
                    // The connection broke; one that leads to no server any more runs out of patience.
                    || reason(&status).is_none())
                    && began.elapsed() < PATIENCE => {}
            answer => return answer,
        }
    }
}

/// What is read of the lines of an export.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Export(serde::de::IgnoredAny),
    Session { session_id: String, version: u64 },
    Merchant { merchant_id: String, version: u64 },
    End(serde::de::IgnoredAny),
}

impl Pages {
    fn compare_with_export(&self, export: &str) {
        let mut sessions = HashMap::new();
        let mut merchants = HashMap::new();
        for line in export.lines() {
            let before = match serde_json::from_str(line).expect("a line of an export") {
                Line::Session { session_id, version } => sessions.insert(session_id, version),
                Line::Merchant { merchant_id, version } => merchants.insert(merchant_id, version),
                Line::Export(_) | Line::End(_) => None,
            };
            assert_eq!(before, None, "twice: {line}");
        }
        let counted = merchants.remove(TALLY).unwrap_or(0);
        let Tally { acknowledged, unknown } = self.tally;
        assert!((acknowledged..=acknowledged + unknown).contains(&counted), "{counted}: {acknowledged}, {unknown}");
        let kept = self.sessions.values().map(|entry| (entry.created.session_id.clone(), entry.version));
        assert_differ_nowhere(&sessions, &kept.collect());
        let kept = self.merchants.iter().map(|(writer, settings)| (merchant_of(*writer), settings.version));
        assert_differ_nowhere(&merchants, &kept.collect());
    }
}

/// Names what differs, of many thousands.
fn assert_differ_nowhere(there: &HashMap<String, u64>, kept: &HashMap<String, u64>) {
    for (id, version) in kept {
        assert_eq!(there.get(id), Some(version), "{id}: the version in the store, and the one by the ledger");
    }
    let unknown = there.keys().find(|id| !kept.contains_key(*id));
    assert_eq!(unknown, None, "nobody was told of it");
}

impl Key {
    /// Sends the create request; the session, and whether it is the first response over again.
    async fn create(self, server: Channel) -> Result<(Session, bool), Status> {
        let Self { writer, n } = self;
        let (merchant_id, idempotency_key) = (merchant_of(writer), format!("{writer}-{n}"));
        let mut client = RedirectServiceClient::new(server);
        let (session, replayed) = match n % 3 {
            0 => {
                let line = LineItem { name: "Hat".into(), price: 2_500, unit_qty: 1, ..LineItem::default() };
                let request = CreateCheckoutRequest {
                    merchant_id,
                    idempotency_key,
                    ttl: TTL,
                    customer: Some(Customer { email: "ana@example.com".into(), ..Customer::default() }),
                    redirect_urls: Some(ReturnUrls {
                        success: "https://shop.example.com/paid?s={CHECKOUT_SESSION_ID}".into(),
                        ..ReturnUrls::default()
                    }),
                    shopping_cart: Some(ShoppingCart { line_items: vec![line] }),
                    ..CreateCheckoutRequest::default()
                };
                let answer = client.create_checkout(request).await?.into_inner();
                (answer.session, answer.replayed)
            }
            1 => {
                let request = CreateOrderRequest {
                    merchant_id,
                    idempotency_key,
                    ttl: TTL,
                    r#type: "online".into(),
                    total_amount: "1000.00".into(),
                    external_reference: format!("reference_{n}"),
                    payer: Some(Payer { email: "ana@example.com".into() }),
                    transactions: Some(Transactions { payments: vec![OrderPayment { amount: "1000.00".into() }] }),
                    ..CreateOrderRequest::default()
                };
                let answer = client.create_order(request).await?.into_inner();
                (answer.session, answer.replayed)
            }
            _ => {
                let answer = client.create_payment(payment(merchant_id, idempotency_key)).await?.into_inner();
                (answer.session, answer.replayed)
            }
        };
        Ok((session.expect("a session"), replayed))
    }
}

/// A payment with a placeholder in its URL.
pub fn payment(merchant_id: String, idempotency_key: String) -> CreatePaymentRequest {
    CreatePaymentRequest {
        merchant_id,
        idempotency_key,
        ttl: TTL,
        customer_email: "ana@example.com".into(),
        items: vec![PaymentItem { r#type: "PAYMENT_INTENT".into(), price: "50".into(), currency: "USD".into() }],
        redirect_url: "https://shop.example.com/paid?id={{id}}".into(),
        ..CreatePaymentRequest::default()
    }
}

/// What the server itself gave as the reason; `None` when it was not the server that failed the call.
pub fn reason(status: &Status) -> Option<&'static str> {
    let info = status.get_details_error_info()?;
    Some(
        ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))?
            .as_str_name()
            .trim_start_matches("ERROR_REASON_"),
    )
}

/// Whether a session is in the state that a report asks for.
fn says(session: &Session, report: &RecordOutcomeRequest) -> bool {
    (session.outcome, &session.payment_id) == (report.outcome, &report.payment_id)
}

fn merchant_of(writer: usize) -> String {
    format!("m{writer}")
}

fn counted(tally: &Merchant) -> u64 {
    if tally.name.is_empty() { 0 } else { tally.name.parse().expect("a number") }
}

async fn record(server: Channel, request: RecordOutcomeRequest) -> Result<RecordOutcomeResponse, Status> {
    Ok(RedirectServiceClient::new(server).record_outcome(request).await?.into_inner())
}

async fn get(server: Channel, merchant_id: String) -> Result<Merchant, Status> {
    let answer = MerchantServiceClient::new(server).get_merchant(GetMerchantRequest { merchant_id }).await?;
    Ok(answer.into_inner().merchant.expect("a merchant"))
}

async fn update(server: Channel, merchant: Merchant) -> Result<Merchant, Status> {
    let update_mask = Some(prost_types::FieldMask { paths: vec!["name".into()] });
    let request = UpdateMerchantRequest { merchant: Some(merchant), update_mask, validate_only: false };
    let answer = MerchantServiceClient::new(server).update_merchant(request).await?;
    Ok(answer.into_inner().merchant.expect("a merchant"))
}
