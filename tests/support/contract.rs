//! The stores' contract as tests: at least one for every clause of [`waypost::store::Store`], named by its number.
//!
//! `store_contract!(open)` makes a test of each for the store whose fresh fixture the expression `open` awaits. A test
//! that is missing in its list is dead code, which the build refuses.

use super::{
    draft::{CREATED, Draft, EXPIRES, draft, ending, idempotency_key, merchant, merchant_id, next_id, recorded},
    fixture::{Fixture, Memory},
};
use serde_json::json;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::{Barrier, mpsc};
use waypost::{
    model::{Ending, Kind, Merchant, Outcome, Session, SessionId, Timestamp, limits},
    store::{Created, Imported, Loaded, Record, Replaced, Store, StoreError, postgres::SETTINGS_AGE},
};

/// Calls that race in one test.
const RACERS: usize = 32;
/// A wait this long has failed; nothing takes so long that succeeds.
const PATIENCE: Duration = Duration::from_secs(20);
const MICROSECOND: Duration = Duration::from_micros(1);

#[macro_export]
macro_rules! store_contract {
    ($open:expr) => {
        $crate::store_contract! { @ $open;
            c1_a_session_without_a_key_is_saved,
            c1_a_session_with_a_new_key_is_saved,
            c2_the_same_key_with_equal_content_returns_the_first_session,
            c2_the_first_session_is_returned_as_it_is_now,
            c3_the_same_key_with_other_content_is_refused_and_nothing_is_written,
            c4_keys_of_other_merchants_and_kinds_are_other_keys,
            c4_merchant_and_key_do_not_run_into_each_other,
            c5_racing_creates_with_one_key_make_one_session,
            c5_racing_creates_with_other_content_are_refused,
            c6_an_id_that_is_in_use_is_refused_and_nothing_is_written,
            k1_a_key_finds_its_session_as_it_is_now,
            k1_a_key_that_differs_in_anything_finds_nothing,
            l1_a_session_comes_back_equal_to_the_last_bit,
            l1_an_ended_session_comes_back_equal_to_the_last_bit,
            l1_a_session_that_was_never_saved_is_none,
            l2_a_merchant_that_was_never_written_has_the_defaults,
            l2_a_load_is_as_new_as_every_write_acknowledged_before,
            l2_settings_of_a_session_that_succeeded_are_as_new_as_every_write_acknowledged_before,
            l2_another_handle_loads_what_was_acknowledged_before,
            l2_an_outcome_that_one_handle_acknowledged_is_what_the_other_loads,
            l3_another_handle_knows_settings_in_time,
            l4_a_session_that_succeeded_and_was_removed_is_gone,
            l5_what_is_held_in_memory_is_what_would_be_loaded,
            l6_what_may_be_acknowledged_is_what_would_be_loaded,
            r1_the_state_that_stands_is_replaced,
            r1_a_state_that_does_not_stand_any_more_is_stale_and_nothing_is_written,
            r2_of_racing_replacements_exactly_one_is_done,
            r3_a_session_that_does_not_exist_is_stale,
            r4_the_key_goes_on_finding_a_replaced_session,
            m1_a_merchant_that_was_never_written_is_none,
            m1_a_merchant_comes_back_equal,
            m2_the_state_that_stands_is_replaced,
            m2_a_state_that_does_not_stand_any_more_is_stale_and_nothing_is_written,
            m3_of_racing_replacements_exactly_one_is_done,
            m4_settings_that_may_be_acknowledged_are_those_that_would_be_loaded,
            x1_a_session_that_is_not_over_stays,
            x1_a_session_that_turned_pending_stays_as_long_as_that_may_last,
            x1_a_session_that_was_replaced_meanwhile_stays,
            x2_repeated_until_0_all_that_were_over_are_gone,
            x2_a_session_that_ended_early_is_over_early,
            x3_the_key_of_a_removed_session_may_be_used_again,
            x3_creates_that_race_with_the_removal_of_their_key_leave_one_session_or_none,
            x3_a_removed_session_cannot_be_replaced,
            w1_a_replacement_wakes_every_watcher,
            w1_a_replacement_by_another_handle_wakes_the_watcher,
            w1_a_watch_on_a_session_that_does_not_exist_yet_wakes,
            t1_a_clock_of_the_stores_own_says_what_time_it_is,
            e1_an_export_has_everything_once_as_it_is,
            e1_an_export_is_of_one_moment,
            e2_writes_go_on_while_an_export_waits_for_its_receiver,
            e2_an_export_ends_when_its_receiver_is_gone,
            i1_a_session_that_does_not_exist_is_imported_as_it_is,
            i2_a_newer_state_replaces_what_stands_and_an_older_one_does_not,
            i2_an_imported_state_wakes_the_watchers,
            i3_a_key_that_another_session_has_is_a_conflict_and_nothing_is_written,
            i3_another_session_with_the_id_is_a_conflict_and_nothing_is_written,
            i4_a_newer_merchant_replaces_what_stands_and_an_older_one_does_not,
            d1_what_was_acknowledged_is_there_after_close_and_reopening,
            d1_after_reopening_everything_goes_on_as_before,
        }
    };
    (@ $open:expr; $($name:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                $crate::support::contract::$name($open.await).await;
            }
        )*
    };
}

async fn create(store: &Arc<dyn Store>, draft: &Draft) -> Session {
    let session = draft.build();
    assert_eq!(store.create(session.clone()).await.expect("created"), Created::New);
    session
}

/// By either way, which find the same (L5).
async fn load(store: &Arc<dyn Store>, id: SessionId) -> Option<Loaded> {
    let loaded = store.session(id).await.expect("loaded");
    if let Some(held) = store.session_in_memory(id) {
        let loaded = loaded.as_ref().expect("what is held is there");
        assert_eq!((&held.session, &held.merchant), (&loaded.session, &loaded.merchant));
    }
    loaded
}

/// As use cases do, while others write.
async fn load_now(store: &Arc<dyn Store>, id: SessionId) -> Loaded {
    match store.session_in_memory(id) {
        Some(held) => held,
        None => store.session(id).await.expect("loaded").expect("there"),
    }
}

async fn session(store: &Arc<dyn Store>, id: SessionId) -> Option<Session> {
    load(store, id).await.map(|loaded| (*loaded.session).clone())
}

async fn by_key(store: &Arc<dyn Store>, merchant: &str, kind: Kind, key: &str) -> Option<Session> {
    let found = store.session_by_key(&merchant_id(merchant), kind, &idempotency_key(key)).await.expect("looked up");
    found.map(|session| (*session).clone())
}

/// Makes [`RACERS`] calls at once and returns what each came to.
async fn race<T, F>(call: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(RACERS));
    let racers: Vec<_> = (0..RACERS)
        .map(|n| {
            let (start, call) = (start.clone(), call(n));
            tokio::spawn(async move {
                start.wait().await;
                call.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for racer in racers {
        results.push(racer.await.expect("no panic"));
    }
    results
}

fn count<T>(results: &[T], which: impl Fn(&T) -> bool) -> usize {
    results.iter().filter(|result| which(result)).count()
}

pub async fn c1_a_session_without_a_key_is_saved(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft()).await;
    assert_eq!(session(&store, created.id).await, Some(created));
}

pub async fn c1_a_session_with_a_new_key_is_saved(fixture: impl Fixture) {
    let store = fixture.store();
    for kind in Kind::ALL {
        let first = create(&store, &draft().kind(kind).key("k", 1)).await;
        let second = create(&store, &draft().kind(kind).key("l", 1)).await;
        assert_eq!(session(&store, first.id).await, Some(first));
        assert_eq!(session(&store, second.id).await, Some(second));
    }
}

pub async fn c2_the_same_key_with_equal_content_returns_the_first_session(fixture: impl Fixture) {
    let store = fixture.store();
    let first = create(&store, &draft().key("k", 1)).await;
    let second = draft().key("k", 1).build();
    let answer = store.create(second.clone()).await.expect("answered");
    assert_eq!(answer, Created::Before(first.clone().into()));
    assert_eq!(session(&store, second.id).await, None);
    assert_eq!(session(&store, first.id).await, Some(first));
}

pub async fn c2_the_first_session_is_returned_as_it_is_now(fixture: impl Fixture) {
    let store = fixture.store();
    let first = create(&store, &draft().key("k", 1)).await;
    let paid = recorded(&first, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    let answer = store.create(draft().key("k", 1).build()).await.expect("answered");
    // From which the first answer can be told.
    assert_eq!(paid.as_created(), first);
    assert_eq!(answer, Created::Before(paid.into()));
}

pub async fn c3_the_same_key_with_other_content_is_refused_and_nothing_is_written(fixture: impl Fixture) {
    let store = fixture.store();
    let first = create(&store, &draft().key("k", 1)).await;
    let second = draft().key("k", 2).build();
    assert_eq!(store.create(second.clone()).await.expect("answered"), Created::KeyReused);
    assert_eq!(session(&store, second.id).await, None);
    assert_eq!(session(&store, first.id).await, Some(first.clone()));
    assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await, Some(first));
}

pub async fn c4_keys_of_other_merchants_and_kinds_are_other_keys(fixture: impl Fixture) {
    let store = fixture.store();
    let mut made = Vec::new();
    for merchant in ["m1", "m2", "M1"] {
        for kind in Kind::ALL {
            // The content differs too, so that a key taken for another would be refused.
            let content = u8::try_from(made.len()).expect("few");
            made.push((merchant, kind, create(&store, &draft().of(merchant).kind(kind).key("k", content)).await));
        }
    }
    for (merchant, kind, session) in made {
        assert_eq!(by_key(&store, merchant, kind, "k").await, Some(session));
    }
}

pub async fn c4_merchant_and_key_do_not_run_into_each_other(fixture: impl Fixture) {
    let store = fixture.store();
    // Every way to cut one text in two, with the letters that a careless encoding would put between them.
    let text = "a:a-a_a.a@a";
    for at in 1..text.len() {
        let (merchant, key) = text.split_at(at);
        create(&store, &draft().of(merchant).key(key, u8::try_from(at).expect("few"))).await;
    }
    for (merchant, key) in [("m", "k"), ("m", "K"), ("m", " k"), ("m", "k "), ("m", "k' --"), ("m", "%"), ("m", "\\")] {
        create(&store, &draft().of(merchant).key(key, 0)).await;
    }
    create(&store, &draft().of(&"m".repeat(limits::MERCHANT_ID_BYTES)).key(&"k".repeat(255), 0)).await;
    create(&store, &draft().of(&"m".repeat(limits::MERCHANT_ID_BYTES)).key(&"k".repeat(254), 1)).await;
}

pub async fn c5_racing_creates_with_one_key_make_one_session(fixture: impl Fixture) {
    for round in 0..8 {
        let handles = [fixture.store(), fixture.another().await];
        let answers = race(|n| {
            let (store, session) = (handles[n % 2].clone(), draft().key(&format!("k{round}"), 1).build());
            async move { (session.id, store.create(session).await.expect("answered")) }
        })
        .await;
        let store = fixture.store();
        assert_eq!(count(&answers, |(_, answer)| *answer == Created::New), 1);
        let (winner, _) = answers.iter().find(|(_, answer)| *answer == Created::New).expect("one");
        let winner = session(&store, *winner).await.expect("saved");
        for (id, answer) in answers {
            if id != winner.id {
                assert_eq!(answer, Created::Before(winner.clone().into()));
                assert_eq!(session(&store, id).await, None);
            }
        }
        assert_eq!(by_key(&store, "m1", Kind::Checkout, &format!("k{round}")).await, Some(winner));
    }
}

pub async fn c5_racing_creates_with_other_content_are_refused(fixture: impl Fixture) {
    for round in 0..8 {
        let store = fixture.store();
        let answers = race(|n| {
            let content = u8::try_from(n % 3).expect("few");
            let (store, session) = (store.clone(), draft().key(&format!("k{round}"), content).build());
            async move { (session.id, content, store.create(session).await.expect("answered")) }
        })
        .await;
        assert_eq!(count(&answers, |(_, _, answer)| *answer == Created::New), 1);
        let (winner, sent, _) = answers.iter().find(|(_, _, answer)| *answer == Created::New).expect("one");
        let winner = session(&store, *winner).await.expect("saved");
        for (id, content, answer) in &answers {
            let expected = match (*id == winner.id, content == sent) {
                (true, _) => Created::New,
                (false, true) => Created::Before(winner.clone().into()),
                (false, false) => Created::KeyReused,
            };
            assert_eq!(*answer, expected);
        }
    }
}

pub async fn c6_an_id_that_is_in_use_is_refused_and_nothing_is_written(fixture: impl Fixture) {
    let store = fixture.store();
    let first = create(&store, &draft().key("k", 1)).await;
    for draft in [draft(), draft().key("l", 2), draft().of("m2").key("k", 1)] {
        let second = Session { id: first.id, ..draft.build() };
        let answer = store.create(second).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    assert_eq!(session(&store, first.id).await, Some(first));
    assert_eq!(by_key(&store, "m1", Kind::Checkout, "l").await, None);
    assert_eq!(by_key(&store, "m2", Kind::Checkout, "k").await, None);
}

pub async fn k1_a_key_finds_its_session_as_it_is_now(fixture: impl Fixture) {
    let store = fixture.store();
    let first = create(&store, &draft().key("k", 1)).await;
    assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await.as_ref(), Some(&first));
    let paid = recorded(&first, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await, Some(paid));
}

pub async fn k1_a_key_that_differs_in_anything_finds_nothing(fixture: impl Fixture) {
    let store = fixture.store();
    create(&store, &draft().key("key", 1)).await;
    for (merchant, kind, key) in [
        ("m2", Kind::Checkout, "key"),
        ("M1", Kind::Checkout, "key"),
        ("m", Kind::Checkout, "1key"),
        ("m1", Kind::Order, "key"),
        ("m1", Kind::Payment, "key"),
        ("m1", Kind::Checkout, "Key"),
        ("m1", Kind::Checkout, "ke"),
        ("m1", Kind::Checkout, "key "),
        ("m1", Kind::Checkout, "k%"),
        ("m1", Kind::Checkout, "k_y"),
    ] {
        assert_eq!(by_key(&store, merchant, kind, key).await, None, "{merchant} {kind:?} {key}");
    }
}

/// Metadata that a careless column or encoding would change.
fn awkward_metadata() -> serde_json::Value {
    json!({
        "ref": "a\"b\\c/d\u{0}e\u{7f}\u{2028}\u{1F600}\u{301}",
        "": "empty name",
        "number": [0, -0.0, 1e300, 0.1, 1.0, 5e-324, 9_007_199_254_740_993_i64, u64::MAX, i64::MIN],
        "deep": { "a": { "b": { "c": { "d": [null, true, false, {}, []] } } } },
        "long": "x".repeat(12_000),
        "%7B%7B": "{{id}}",
    })
}

pub async fn l1_a_session_comes_back_equal_to_the_last_bit(fixture: impl Fixture) {
    let store = fixture.store();
    for kind in Kind::ALL {
        let plain = create(&store, &draft().kind(kind).metadata(awkward_metadata())).await;
        let keyed =
            create(&store, &draft().kind(kind).metadata(awkward_metadata()).key("~ k\"'\\; --\u{20}", 255)).await;
        assert_eq!(session(&store, plain.id).await, Some(plain));
        assert_eq!(session(&store, keyed.id).await, Some(keyed));
    }
}

pub async fn l1_an_ended_session_comes_back_equal_to_the_last_bit(fixture: impl Fixture) {
    let store = fixture.store();
    let text = |text: &str| Some(text.into());
    for outcome in Outcome::ALL {
        for ending in [
            ending(outcome),
            Ending { payment_id: text(""), status: text(""), error_code: text(""), outcome },
            Ending { payment_id: text("PAY01\"\\é\u{1F600}"), status: text(" "), error_code: None, outcome },
            Ending { payment_id: None, status: None, error_code: text("card_declined"), outcome },
        ] {
            let created = create(&store, &draft()).await;
            let next = created.record(ending, CREATED.plus(MICROSECOND * 7)).expect("changed");
            assert_eq!(store.replace_session(next.clone()).await.expect("replaced"), Replaced::Done);
            assert_eq!(session(&store, created.id).await, Some(next));
        }
    }
}

pub async fn l1_a_session_that_was_never_saved_is_none(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft()).await;
    assert_eq!(session(&store, next_id(Kind::Checkout)).await, None);
    for kind in [Kind::Order, Kind::Payment] {
        assert_eq!(session(&store, SessionId::new(kind, created.id.uuid())).await, None);
    }
}

pub async fn l2_a_merchant_that_was_never_written_has_the_defaults(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft().of("m1")).await;
    let loaded = load(&store, created.id).await.expect("there");
    assert_eq!(*loaded.merchant, Merchant::default_for(merchant_id("m1")));
    assert_eq!(store.replace_merchant(merchant("m2", 1)).await.expect("replaced"), Replaced::Done);
    let loaded = load(&store, created.id).await.expect("there");
    assert_eq!(*loaded.merchant, Merchant::default_for(merchant_id("m1")));
    assert_eq!(store.replace_merchant(merchant("m1", 1)).await.expect("replaced"), Replaced::Done);
    let loaded = load(&store, created.id).await.expect("there");
    assert_eq!(*loaded.merchant, merchant("m1", 1));
}

pub async fn l2_a_load_is_as_new_as_every_write_acknowledged_before(fixture: impl Fixture) {
    const STATES: u64 = 60;
    let store = fixture.store();
    let created = create(&store, &draft()).await;
    let id = created.id;
    let acknowledged = Arc::new(AtomicU64::new(1));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (store, acknowledged) = (store.clone(), acknowledged.clone());
            tokio::spawn(async move {
                loop {
                    let before = acknowledged.load(Ordering::SeqCst);
                    let loaded = load_now(&store, id).await;
                    assert!(loaded.session.version >= before, "{} was acknowledged", before);
                    // The merchant is written first, so it is never behind.
                    assert!(loaded.merchant.version >= before - 1, "{} was acknowledged", before - 1);
                    if before == STATES {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut state = created;
    while state.version < STATES {
        assert_eq!(store.replace_merchant(merchant("m1", state.version)).await.expect("replaced"), Replaced::Done);
        let outcome = [Outcome::Failure, Outcome::Cancel][usize::try_from(state.version % 2).expect("0 or 1")];
        state = recorded(&state, outcome, CREATED.plus(MICROSECOND));
        assert_eq!(store.replace_session(state.clone()).await.expect("replaced"), Replaced::Done);
        acknowledged.store(state.version, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.expect("no panic");
    }
}

pub async fn l2_another_handle_loads_what_was_acknowledged_before(fixture: impl Fixture) {
    let (one, other) = (fixture.store(), fixture.another().await);
    let created = create(&one, &draft().key("k", 1)).await;
    assert_eq!(session(&other, created.id).await, Some(created.clone()));
    let paid = recorded(&created, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(other.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    assert_eq!(session(&one, created.id).await, Some(paid));
}

pub async fn l2_an_outcome_that_one_handle_acknowledged_is_what_the_other_loads(fixture: impl Fixture) {
    let handles = [fixture.store(), fixture.another().await];
    for outcome in [Outcome::Success, Outcome::Failure] {
        let mut state = create(&handles[0], &draft()).await;
        for (n, next) in [Outcome::Failure, Outcome::Cancel, Outcome::Pending, outcome].into_iter().enumerate() {
            // Both have looked, and looking again must not be answered from what they saw.
            for store in &handles {
                assert_eq!(session(store, state.id).await.as_ref(), Some(&state));
            }
            state = recorded(&state, next, CREATED.plus(MICROSECOND));
            assert_eq!(handles[n % 2].replace_session(state.clone()).await.expect("replaced"), Replaced::Done);
            for store in [&handles[1 - n % 2], &handles[n % 2]] {
                assert_eq!(session(store, state.id).await.as_ref(), Some(&state));
            }
        }
    }
}

pub async fn l3_another_handle_knows_settings_in_time(fixture: impl Fixture) {
    let (one, other) = (fixture.store(), fixture.another().await);
    let open = create(&one, &draft()).await;
    let paid = recorded(&create(&one, &draft()).await, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(other.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    let version = async |id| other.session(id).await.expect("loaded").expect("there").merchant.version;
    for written in 1..=3 {
        assert_eq!(version(paid.id).await, written - 1);
        assert_eq!(one.replace_merchant(merchant("m1", written)).await.expect("replaced"), Replaced::Done);
        let acknowledged = Instant::now();
        assert_eq!(version(open.id).await, written);
        loop {
            let late = acknowledged.elapsed();
            if version(paid.id).await == written {
                break;
            }
            assert!(late <= SETTINGS_AGE, "still by the old settings {late:?} after the new ones were acknowledged");
            tokio::task::yield_now().await;
        }
    }
}

pub async fn l4_a_session_that_succeeded_and_was_removed_is_gone(fixture: impl Fixture) {
    let (store, other) = (fixture.store(), fixture.another().await);
    for remover in [&store, &other] {
        let paid = recorded(&create(&store, &draft()).await, Outcome::Success, CREATED.plus(MICROSECOND));
        let open = create(&store, &draft()).await;
        assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
        for id in [paid.id, open.id] {
            assert!(session(&store, id).await.is_some() && session(&other, id).await.is_some());
        }
        assert_eq!(sweep(remover, EXPIRES).await, 2);
        assert_eq!(session(remover, paid.id).await, None);
        // The other handle may go on finding what succeeded, but nothing else.
        assert_eq!(session(&store, open.id).await, None);
        assert_eq!(session(&other, open.id).await, None);
        assert!(session(&store, paid.id).await.is_none_or(|found| found == paid));
    }
}

pub async fn l5_what_is_held_in_memory_is_what_would_be_loaded(fixture: impl Fixture) {
    let store = fixture.store();
    // Each look compares the two.
    let look = async |session: &Session, settings: u64| {
        let loaded = load(&store, session.id).await.expect("there");
        assert_eq!((&*loaded.session, loaded.merchant.version), (session, settings));
    };
    let open = create(&store, &draft()).await;
    look(&open, 0).await;
    assert_eq!(store.replace_merchant(merchant("m1", 1)).await.expect("replaced"), Replaced::Done);
    look(&open, 1).await;
    let paid = recorded(&open, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    look(&paid, 1).await;
    assert_eq!(store.replace_merchant(merchant("m1", 2)).await.expect("replaced"), Replaced::Done);
    look(&paid, 2).await;
    assert_eq!(sweep(&store, EXPIRES).await, 1);
    assert!(store.session_in_memory(paid.id).is_none());
    assert!(store.session_in_memory(SessionId::new(Kind::Order, open.id.uuid())).is_none());
}

pub async fn l2_settings_of_a_session_that_succeeded_are_as_new_as_every_write_acknowledged_before(
    fixture: impl Fixture,
) {
    const STATES: u64 = 60;
    let store = fixture.store();
    let paid = recorded(&create(&store, &draft()).await, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (store, acknowledged, id) = (store.clone(), acknowledged.clone(), paid.id);
            tokio::spawn(async move {
                loop {
                    let before = acknowledged.load(Ordering::SeqCst);
                    let loaded = load_now(&store, id).await;
                    assert!(loaded.merchant.version >= before, "{before} was acknowledged");
                    if before == STATES {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for version in 1..=STATES {
        assert_eq!(store.replace_merchant(merchant("m1", version)).await.expect("replaced"), Replaced::Done);
        acknowledged.store(version, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.expect("no panic");
    }
}

pub async fn r1_the_state_that_stands_is_replaced(fixture: impl Fixture) {
    let store = fixture.store();
    let mut state = create(&store, &draft()).await;
    for outcome in [Outcome::Failure, Outcome::Pending, Outcome::Success] {
        state = recorded(&state, outcome, CREATED.plus(MICROSECOND));
        assert_eq!(store.replace_session(state.clone()).await.expect("replaced"), Replaced::Done);
        assert_eq!(session(&store, state.id).await.as_ref(), Some(&state));
    }
}

pub async fn r1_a_state_that_does_not_stand_any_more_is_stale_and_nothing_is_written(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft()).await;
    let failed = recorded(&created, Outcome::Failure, CREATED.plus(MICROSECOND));
    let paid = recorded(&created, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(store.replace_session(failed.clone()).await.expect("replaced"), Replaced::Done);
    let ahead = Session { version: failed.version + 2, ..paid.clone() };
    let same = Session { version: failed.version, ..failed.clone() };
    for stale in [paid, created.clone(), ahead, same] {
        assert_eq!(store.replace_session(stale).await.expect("answered"), Replaced::Stale);
        assert_eq!(session(&store, created.id).await.as_ref(), Some(&failed));
    }
}

pub async fn r2_of_racing_replacements_exactly_one_is_done(fixture: impl Fixture) {
    let handles = [fixture.store(), fixture.another().await];
    let mut state = create(&handles[0], &draft()).await;
    for _ in 0..8 {
        let answers = race(|n| {
            let report = Ending { payment_id: Some(n.to_string().into()), ..ending(Outcome::Failure) };
            let next = Session { version: state.version + 1, ending: Some(report), ..state.clone() };
            let store = handles[n % 2].clone();
            async move { (store.replace_session(next.clone()).await.expect("answered"), next) }
        })
        .await;
        assert_eq!(count(&answers, |(answer, _)| *answer == Replaced::Done), 1);
        let (_, done) = answers.into_iter().find(|(answer, _)| *answer == Replaced::Done).expect("one");
        assert_eq!(session(&handles[0], state.id).await.as_ref(), Some(&done));
        state = done;
    }
}

pub async fn r3_a_session_that_does_not_exist_is_stale(fixture: impl Fixture) {
    let store = fixture.store();
    let never = draft().key("k", 1).build();
    for version in [1, 2] {
        let state = Session { version, ..never.clone() };
        assert_eq!(store.replace_session(state).await.expect("answered"), Replaced::Stale);
        assert_eq!(session(&store, never.id).await, None);
        assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await, None);
    }
}

pub async fn r4_the_key_goes_on_finding_a_replaced_session(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft().key("k", 1)).await;
    let mut state = created.clone();
    for outcome in [Outcome::Cancel, Outcome::Success] {
        state = recorded(&state, outcome, CREATED.plus(MICROSECOND));
        assert_eq!(store.replace_session(state.clone()).await.expect("replaced"), Replaced::Done);
        assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await.as_ref(), Some(&state));
    }
    assert_eq!(store.create(draft().key("k", 2).build()).await.expect("answered"), Created::KeyReused);
}

pub async fn l6_what_may_be_acknowledged_is_what_would_be_loaded(fixture: impl Fixture) {
    let store = fixture.store();
    let look = async |id| store.session_durably(id).await.expect("loaded");
    let open = create(&store, &draft()).await;
    assert_eq!(look(open.id).await.as_deref(), Some(&open));
    let paid = recorded(&open, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    // One that succeeded may be held in memory.
    assert_eq!(session(&store, open.id).await.as_ref(), Some(&paid));
    assert_eq!(look(open.id).await.as_deref(), Some(&paid));
    assert_eq!(look(draft().build().id).await, None);
}

pub async fn m4_settings_that_may_be_acknowledged_are_those_that_would_be_loaded(fixture: impl Fixture) {
    let store = fixture.store();
    let look = async || store.merchant_durably(&merchant_id("m1")).await.expect("loaded");
    assert_eq!(look().await, None);
    for version in 1..3 {
        let written = merchant("m1", version);
        assert_eq!(store.replace_merchant(written.clone()).await.expect("replaced"), Replaced::Done);
        assert_eq!(look().await.as_deref(), Some(&written));
    }
}

pub async fn m1_a_merchant_that_was_never_written_is_none(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft().of("m1")).await;
    assert_eq!(store.merchant(&merchant_id("m1")).await.expect("loaded"), None);
    // To load its defaults writes nothing.
    load(&store, created.id).await.expect("there");
    assert_eq!(store.merchant(&merchant_id("m1")).await.expect("loaded"), None);
}

pub async fn m1_a_merchant_comes_back_equal(fixture: impl Fixture) {
    let store = fixture.store();
    let plain = Merchant { version: 1, ..Merchant::default_for(merchant_id("plain")) };
    for written in [plain, merchant("m1", 1), merchant("M1", 1), merchant("a.b_c-d:e@f", 1)] {
        assert_eq!(store.replace_merchant(written.clone()).await.expect("replaced"), Replaced::Done);
        assert_eq!(store.merchant(&written.id).await.expect("loaded").as_deref(), Some(&written));
    }
}

pub async fn m2_the_state_that_stands_is_replaced(fixture: impl Fixture) {
    let store = fixture.store();
    for version in 1..5 {
        let next = merchant("m1", version);
        assert_eq!(store.replace_merchant(next.clone()).await.expect("replaced"), Replaced::Done);
        assert_eq!(store.merchant(&next.id).await.expect("loaded").as_deref(), Some(&next));
    }
}

pub async fn m2_a_state_that_does_not_stand_any_more_is_stale_and_nothing_is_written(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(store.replace_merchant(merchant("m1", 2)).await.expect("answered"), Replaced::Stale);
    assert_eq!(store.merchant(&merchant_id("m1")).await.expect("loaded"), None);
    for version in [1, 2] {
        assert_eq!(store.replace_merchant(merchant("m1", version)).await.expect("replaced"), Replaced::Done);
    }
    for version in [0, 1, 2, 4] {
        let stale = Merchant { version, ..merchant("m1", 9) };
        assert_eq!(store.replace_merchant(stale).await.expect("answered"), Replaced::Stale);
        assert_eq!(
            store.merchant(&merchant_id("m1")).await.expect("loaded").as_deref(),
            Some(&merchant("m1", 2)),
            "{version}"
        );
    }
}

pub async fn m3_of_racing_replacements_exactly_one_is_done(fixture: impl Fixture) {
    let handles = [fixture.store(), fixture.another().await];
    for version in 1..8 {
        let answers = race(|n| {
            let next = Merchant { name: n.to_string().into(), ..merchant("m1", version) };
            let store = handles[n % 2].clone();
            async move { (store.replace_merchant(next.clone()).await.expect("answered"), next) }
        })
        .await;
        assert_eq!(count(&answers, |(answer, _)| *answer == Replaced::Done), 1);
        let (_, done) = answers.into_iter().find(|(answer, _)| *answer == Replaced::Done).expect("one");
        assert_eq!(handles[0].merchant(&merchant_id("m1")).await.expect("loaded").as_deref(), Some(&done));
    }
}

/// Removes all that were over at `cutoff`, few at a time, and says how many.
async fn sweep(store: &Arc<dyn Store>, cutoff: Timestamp) -> usize {
    let mut removed = 0;
    loop {
        match store.remove_over(cutoff, 3).await.expect("removed") {
            0 => return removed,
            some => removed += some,
        }
    }
}

pub async fn x1_a_session_that_is_not_over_stays(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft().key("k", 1)).await;
    assert_eq!(sweep(&store, EXPIRES.minus(MICROSECOND)).await, 0);
    assert_eq!(session(&store, created.id).await, Some(created.clone()));
    assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await, Some(created.clone()));
    assert_eq!(sweep(&store, EXPIRES).await, 1);
    assert_eq!(session(&store, created.id).await, None);
    assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await, None);
}

pub async fn x1_a_session_that_turned_pending_stays_as_long_as_that_may_last(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft()).await;
    let pending = recorded(&created, Outcome::Pending, EXPIRES.minus(MICROSECOND));
    assert_eq!(store.replace_session(pending.clone()).await.expect("replaced"), Replaced::Done);
    assert_eq!(sweep(&store, EXPIRES).await, 0);
    assert_eq!(sweep(&store, pending.over_at().minus(MICROSECOND)).await, 0);
    assert_eq!(session(&store, created.id).await.as_ref(), Some(&pending));
    assert_eq!(sweep(&store, pending.over_at()).await, 1);
    assert_eq!(session(&store, created.id).await, None);
}

pub async fn x1_a_session_that_was_replaced_meanwhile_stays(fixture: impl Fixture) {
    let (store, sweeper) = (fixture.store(), fixture.another().await);
    for _ in 0..8 {
        let created = create(&store, &draft().key("k", 1)).await;
        let pending = recorded(&created, Outcome::Pending, EXPIRES);
        let start = Arc::new(Barrier::new(2));
        let replacing = tokio::spawn({
            let (store, pending, start) = (store.clone(), pending.clone(), start.clone());
            async move {
                start.wait().await;
                store.replace_session(pending).await.expect("answered")
            }
        });
        start.wait().await;
        let removed = sweep(&sweeper, EXPIRES).await;
        match replacing.await.expect("no panic") {
            Replaced::Done => {
                assert_eq!(removed, 0, "a session whose replacement was acknowledged was removed");
                assert_eq!(session(&store, created.id).await, Some(pending.clone()));
                assert_eq!(sweep(&store, pending.over_at()).await, 1);
            }
            Replaced::Stale => {
                assert_eq!(session(&store, created.id).await, None);
                assert_eq!(sweep(&store, EXPIRES).await + removed, 1);
            }
        }
    }
}

pub async fn x2_repeated_until_0_all_that_were_over_are_gone(fixture: impl Fixture) {
    let store = fixture.store();
    let mut made = Vec::new();
    for n in 0..20_u32 {
        let expires = CREATED.plus(Duration::from_secs(60 + u64::from(n)));
        let draft = draft().kind(Kind::ALL[n as usize % 3]).expires(expires);
        made.push(create(&store, &if n % 2 == 0 { draft } else { draft.key(&n.to_string(), 1) }).await);
    }
    assert_eq!(store.remove_over(CREATED, 100).await.expect("removed"), 0);
    let cutoff = made[11].expire_time;
    let mut answers = Vec::new();
    while answers.last() != Some(&0) {
        answers.push(store.remove_over(cutoff, 5).await.expect("removed"));
    }
    assert!(answers.iter().all(|removed| *removed <= 5), "{answers:?}");
    assert_eq!(answers.iter().sum::<usize>(), 12);
    for (n, made) in made.into_iter().enumerate() {
        assert_eq!(session(&store, made.id).await.is_none(), n < 12, "{n}");
    }
}

pub async fn x2_a_session_that_ended_early_is_over_early(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft()).await;
    let ended = CREATED.plus(MICROSECOND);
    let paid = recorded(&created, Outcome::Success, ended);
    assert_eq!(store.replace_session(paid).await.expect("replaced"), Replaced::Done);
    assert_eq!(sweep(&store, ended.minus(MICROSECOND)).await, 0);
    assert_eq!(sweep(&store, ended).await, 1);
    assert_eq!(session(&store, created.id).await, None);
    assert_eq!(sweep(&store, EXPIRES).await, 0);
}

pub async fn x3_the_key_of_a_removed_session_may_be_used_again(fixture: impl Fixture) {
    let store = fixture.store();
    create(&store, &draft().key("k", 1)).await;
    assert_eq!(sweep(&store, EXPIRES).await, 1);
    let second = create(&store, &draft().key("k", 2)).await;
    assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await, Some(second));
}

pub async fn x3_creates_that_race_with_the_removal_of_their_key_leave_one_session_or_none(fixture: impl Fixture) {
    let store = fixture.store();
    for round in 0..10 {
        let key = format!("k{round}");
        let first = create(&store, &draft().key(&key, 1)).await;
        let later: Vec<_> = (0..RACERS).map(|_| draft().key(&key, 1).expires(EXPIRES.plus(PATIENCE)).build()).collect();
        let answers = race(|n| {
            let (store, session) = (store.clone(), later[n].clone());
            async move {
                if n % 4 == 0 {
                    store.remove_over(EXPIRES, 100).await.expect("removed");
                    return None;
                }
                Some((session.id, store.create(session).await.expect("answered")))
            }
        })
        .await;
        let new = |(id, answer): &(SessionId, Created)| (*answer == Created::New).then_some(*id);
        let made: Vec<SessionId> = answers.iter().flatten().filter_map(new).collect();
        assert!(made.len() <= 1, "{made:?}");
        for (_, answer) in answers.iter().flatten() {
            let known = match answer {
                Created::New => true,
                Created::Before(session) => session.id == first.id || made.contains(&session.id),
                Created::KeyReused => false,
            };
            assert!(known, "{answer:?}");
        }
        sweep(&store, EXPIRES).await;
        assert_eq!(session(&store, first.id).await, None);
        let stands = by_key(&store, "m1", Kind::Checkout, &key).await.map(|session| session.id);
        assert_eq!(stands, made.first().copied());
        for session in &later {
            assert_eq!(load(&store, session.id).await.is_some(), made.contains(&session.id));
        }
    }
}

pub async fn x3_a_removed_session_cannot_be_replaced(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft()).await;
    assert_eq!(sweep(&store, EXPIRES).await, 1);
    let paid = recorded(&created, Outcome::Success, EXPIRES);
    assert_eq!(store.replace_session(paid).await.expect("answered"), Replaced::Stale);
    assert_eq!(session(&store, created.id).await, None);
}

async fn exported(store: &Arc<dyn Store>) -> Vec<Record> {
    let (sender, mut receiver) = mpsc::channel(1);
    let exporting = tokio::spawn({
        let store = store.clone();
        async move { store.export(sender).await }
    });
    let mut records = Vec::new();
    while let Some(record) = receiver.recv().await {
        records.push(record);
    }
    exporting.await.expect("no panic").expect("exported");
    records
}

pub async fn t1_a_clock_of_the_stores_own_says_what_time_it_is(fixture: impl Fixture) {
    let now = || Timestamp::from(SystemTime::now());
    let before = now();
    if let Some(theirs) = fixture.store().clock().await.expect("answered") {
        // Those of tests are on this machine.
        assert!((before..=now()).contains(&theirs), "{theirs:?}");
    }
}

pub async fn e1_an_export_has_everything_once_as_it_is(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(exported(&store).await, []);
    let mut expected = Vec::new();
    for (version, id) in [(1, "m1"), (1, "m2"), (2, "m1")] {
        assert_eq!(store.replace_merchant(merchant(id, version)).await.expect("replaced"), Replaced::Done);
    }
    expected.extend([merchant("m1", 2), merchant("m2", 1)].map(|merchant| Record::Merchant(merchant.into())));
    for n in 0..20_usize {
        let kind = Kind::ALL[n % 3];
        let draft = draft().kind(kind).metadata(awkward_metadata());
        let created = create(&store, &if n % 2 == 0 { draft } else { draft.key(&n.to_string(), 1) }).await;
        expected.push(Record::Session(if n % 4 < 2 {
            created.into()
        } else {
            let paid = recorded(&created, Outcome::Success, CREATED.plus(MICROSECOND));
            assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
            paid.into()
        }));
    }
    // One whose merchant was never written, which no load changes.
    let unwritten = create(&store, &draft().of("m3")).await;
    load(&store, unwritten.id).await.expect("there");
    expected.push(Record::Session(unwritten.into()));
    let records = exported(&store).await;
    let first_session = records.iter().position(|record| matches!(record, Record::Session(_)));
    assert_eq!(first_session, Some(2), "merchants come first");
    assert_eq!(records.len(), expected.len());
    for record in expected {
        assert!(records.contains(&record), "{record:?}");
    }
}

pub async fn e1_an_export_is_of_one_moment(fixture: impl Fixture) {
    let store = fixture.store();
    let mut states = Vec::new();
    for _ in 0..20 {
        states.push(create(&store, &draft()).await);
    }
    let stop = Arc::new(AtomicU64::new(0));
    // One writer, who raises the sessions' versions in turn: at any moment none is behind one that comes after it.
    let writing = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move {
            while stop.load(Ordering::SeqCst) == 0 {
                for state in &mut states {
                    let outcome = if state.version % 2 == 0 { Outcome::Failure } else { Outcome::Cancel };
                    *state = recorded(state, outcome, CREATED.plus(MICROSECOND));
                    assert_eq!(store.replace_session(state.clone()).await.expect("replaced"), Replaced::Done);
                }
            }
            states.into_iter().map(|state| state.id).collect::<Vec<_>>()
        }
    });
    let mut exports = Vec::new();
    for _ in 0..5 {
        exports.push(exported(&store).await);
    }
    stop.store(1, Ordering::SeqCst);
    let ids = writing.await.expect("no panic");
    for records in exports {
        let version = |id| {
            let of_id = |record: &Record| match record {
                Record::Session(session) if session.id == id => Some(session.version),
                Record::Session(_) | Record::Merchant(_) | Record::Unreadable(_) => None,
            };
            records.iter().find_map(of_id).expect("exported")
        };
        let versions: Vec<u64> = ids.iter().copied().map(version).collect();
        assert!(versions.is_sorted_by(|one, next| one >= next), "{versions:?}");
        assert!(versions[0] - versions[19] <= 1, "{versions:?}");
    }
}

pub async fn e2_writes_go_on_while_an_export_waits_for_its_receiver(fixture: impl Fixture) {
    let store = fixture.store();
    for _ in 0..10 {
        create(&store, &draft()).await;
    }
    let (sender, mut receiver) = mpsc::channel(1);
    let exporting = tokio::spawn({
        let store = store.clone();
        async move { store.export(sender).await }
    });
    receiver.recv().await.expect("a record");
    let during = create(&store, &draft().key("k", 1)).await;
    let paid = recorded(&during, Outcome::Success, EXPIRES.plus(MICROSECOND));
    assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    assert_eq!(store.replace_merchant(merchant("m1", 1)).await.expect("replaced"), Replaced::Done);
    assert_eq!(sweep(&store, EXPIRES).await, 10);
    let mut rest = 0;
    while receiver.recv().await.is_some() {
        rest += 1;
    }
    assert_eq!(rest, 9, "the export is of the moment at which it began");
    exporting.await.expect("no panic").expect("exported");
    assert_eq!(session(&store, paid.id).await, Some(paid));
}

pub async fn e2_an_export_ends_when_its_receiver_is_gone(fixture: impl Fixture) {
    let store = fixture.store();
    for _ in 0..10 {
        create(&store, &draft()).await;
    }
    let (sender, mut receiver) = mpsc::channel(1);
    let exporting = tokio::spawn({
        let store = store.clone();
        async move { drop(store.export(sender).await) }
    });
    receiver.recv().await.expect("a record");
    drop(receiver);
    soon(async { exporting.await.expect("no panic") }).await;
    create(&store, &draft()).await;
}

pub async fn i1_a_session_that_does_not_exist_is_imported_as_it_is(fixture: impl Fixture) {
    let store = fixture.store();
    for kind in Kind::ALL {
        let plain = draft().kind(kind).metadata(awkward_metadata()).build();
        let keyed = recorded(&draft().kind(kind).key("k", 1).build(), Outcome::Failure, CREATED.plus(MICROSECOND));
        let keyed = recorded(&keyed, Outcome::Success, CREATED.plus(MICROSECOND * 2));
        for imported in [plain, keyed] {
            assert_eq!(store.import_session(imported.clone()).await.expect("imported"), Imported::Saved);
            assert_eq!(session(&store, imported.id).await, Some(imported));
        }
        assert_eq!(by_key(&store, "m1", kind, "k").await.map(|session| session.version), Some(3));
        let answer = store.create(draft().kind(kind).key("k", 2).build()).await.expect("answered");
        assert_eq!(answer, Created::KeyReused);
    }
    // What was imported ends like everything else.
    assert_eq!(sweep(&store, CREATED.plus(MICROSECOND * 2)).await, 3);
    assert_eq!(sweep(&store, EXPIRES).await, 3);
}

pub async fn i2_a_newer_state_replaces_what_stands_and_an_older_one_does_not(fixture: impl Fixture) {
    let store = fixture.store();
    let created = draft().key("k", 1).build();
    let failed = recorded(&created, Outcome::Failure, CREATED.plus(MICROSECOND));
    let paid = recorded(&failed, Outcome::Success, CREATED.plus(MICROSECOND * 2));
    for (imported, answer, stands) in [
        (&failed, Imported::Saved, &failed),
        (&failed, Imported::Kept, &failed),
        (&created, Imported::Kept, &failed),
        (&paid, Imported::Saved, &paid),
        (&failed, Imported::Kept, &paid),
        (&created, Imported::Kept, &paid),
    ] {
        assert_eq!(store.import_session(imported.clone()).await.expect("imported"), answer);
        assert_eq!(session(&store, created.id).await.as_ref(), Some(stands));
        assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await.as_ref(), Some(stands));
    }
    assert_eq!(sweep(&store, CREATED.plus(MICROSECOND)).await, 0);
    assert_eq!(sweep(&store, CREATED.plus(MICROSECOND * 2)).await, 1);
    assert_eq!(sweep(&store, EXPIRES).await, 0);
}

pub async fn i2_an_imported_state_wakes_the_watchers(fixture: impl Fixture) {
    let store = fixture.store();
    let created = create(&store, &draft()).await;
    let mut watcher = store.changes(created.id);
    let paid = recorded(&created, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(store.import_session(paid).await.expect("imported"), Imported::Saved);
    soon(watcher.changed()).await;
}

pub async fn i3_a_key_that_another_session_has_is_a_conflict_and_nothing_is_written(fixture: impl Fixture) {
    let store = fixture.store();
    let first = create(&store, &draft().key("k", 1)).await;
    let second = draft().key("k", 1).build();
    assert_eq!(store.import_session(second.clone()).await.expect("answered"), Imported::Conflict);
    assert_eq!(session(&store, second.id).await, None);
    assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await, Some(first));
    let other = draft().of("m2").key("k", 1).build();
    assert_eq!(store.import_session(other).await.expect("imported"), Imported::Saved);
}

pub async fn i3_another_session_with_the_id_is_a_conflict_and_nothing_is_written(fixture: impl Fixture) {
    let store = fixture.store();
    let first = create(&store, &draft().key("k", 1)).await;
    for draft in [draft(), draft().key("l", 1), draft().key("k", 2), draft().of("m2").key("k", 1)] {
        let other = Session { id: first.id, version: 9, ..draft.build() };
        assert_eq!(store.import_session(other).await.expect("answered"), Imported::Conflict);
        assert_eq!(session(&store, first.id).await.as_ref(), Some(&first));
    }
    assert_eq!(by_key(&store, "m1", Kind::Checkout, "l").await, None);
    assert_eq!(by_key(&store, "m2", Kind::Checkout, "k").await, None);
}

pub async fn i4_a_newer_merchant_replaces_what_stands_and_an_older_one_does_not(fixture: impl Fixture) {
    let store = fixture.store();
    for (version, answer, stands) in
        [(3, Imported::Saved, 3), (3, Imported::Kept, 3), (1, Imported::Kept, 3), (5, Imported::Saved, 5)]
    {
        assert_eq!(store.import_merchant(merchant("m1", version)).await.expect("imported"), answer);
        let found = store.merchant(&merchant_id("m1")).await.expect("loaded");
        assert_eq!(found.as_deref(), Some(&merchant("m1", stands)));
    }
    assert_eq!(store.replace_merchant(merchant("m1", 6)).await.expect("replaced"), Replaced::Done);
}

async fn soon(future: impl Future<Output = ()>) {
    tokio::time::timeout(PATIENCE, future).await.expect("woken in time");
}

pub async fn w1_a_replacement_wakes_every_watcher(fixture: impl Fixture) {
    let store = fixture.store();
    let mut state = create(&store, &draft()).await;
    let mut watchers = [store.changes(state.id), store.changes(state.id)];
    for outcome in [Outcome::Failure, Outcome::Success] {
        state = recorded(&state, outcome, CREATED.plus(MICROSECOND));
        assert_eq!(store.replace_session(state.clone()).await.expect("replaced"), Replaced::Done);
        for watcher in &mut watchers {
            soon(watcher.changed()).await;
        }
        // Whoever is woken finds what it was woken for.
        assert_eq!(session(&store, state.id).await.as_ref(), Some(&state));
    }
}

pub async fn w1_a_replacement_by_another_handle_wakes_the_watcher(fixture: impl Fixture) {
    let (store, other) = (fixture.store(), fixture.another().await);
    let state = create(&store, &draft()).await;
    let mut watcher = store.changes(state.id);
    let paid = recorded(&state, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(other.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    // A wake-up is a hint, and one too many does no harm: look until it is there.
    soon(async {
        while session(&store, state.id).await.as_ref() != Some(&paid) {
            watcher.changed().await;
        }
    })
    .await;
}

pub async fn w1_a_watch_on_a_session_that_does_not_exist_yet_wakes(fixture: impl Fixture) {
    let store = fixture.store();
    let created = draft().build();
    let mut watcher = store.changes(created.id);
    assert_eq!(store.create(created.clone()).await.expect("created"), Created::New);
    let paid = recorded(&created, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(store.replace_session(paid).await.expect("replaced"), Replaced::Done);
    soon(watcher.changed()).await;
}

pub async fn d1_what_was_acknowledged_is_there_after_close_and_reopening(mut fixture: impl Fixture) {
    let store = fixture.store();
    let plain = create(&store, &draft().kind(Kind::Order).metadata(awkward_metadata())).await;
    let keyed = create(&store, &draft().key("k", 1)).await;
    let paid = recorded(&keyed, Outcome::Success, CREATED.plus(MICROSECOND));
    assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    for version in [1, 2] {
        assert_eq!(store.replace_merchant(merchant("m1", version)).await.expect("replaced"), Replaced::Done);
    }
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    match fixture.memory() {
        Memory::Durable => {
            assert_eq!(session(&store, plain.id).await, Some(plain));
            assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await, Some(paid.clone()));
            let loaded = load(&store, keyed.id).await.expect("there");
            assert_eq!(*loaded.session, paid);
            assert_eq!(*loaded.merchant, merchant("m1", 2));
            assert_eq!(store.merchant(&merchant_id("m1")).await.expect("loaded").as_deref(), Some(&merchant("m1", 2)));
        }
        Memory::Forgets => {
            assert_eq!(session(&store, plain.id).await, None);
            assert_eq!(by_key(&store, "m1", Kind::Checkout, "k").await, None);
            assert_eq!(store.merchant(&merchant_id("m1")).await.expect("loaded"), None);
        }
    }
}

pub async fn d1_after_reopening_everything_goes_on_as_before(mut fixture: impl Fixture) {
    if fixture.memory() == Memory::Forgets {
        // The test before this one asserts that there is nothing to go on from.
        return;
    }
    let store = fixture.store();
    let first = create(&store, &draft().key("k", 1)).await;
    let second = create(&store, &draft().key("l", 1)).await;
    assert_eq!(store.replace_merchant(merchant("m1", 1)).await.expect("replaced"), Replaced::Done);
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    let answer = store.create(draft().key("k", 1).build()).await.expect("answered");
    assert_eq!(answer, Created::Before(first.clone().into()));
    assert_eq!(store.create(draft().key("k", 2).build()).await.expect("answered"), Created::KeyReused);
    let paid = recorded(&first, Outcome::Success, EXPIRES.plus(MICROSECOND));
    assert_eq!(store.replace_session(paid.clone()).await.expect("replaced"), Replaced::Done);
    assert_eq!(store.replace_merchant(merchant("m1", 1)).await.expect("answered"), Replaced::Stale);
    assert_eq!(store.replace_merchant(merchant("m1", 2)).await.expect("replaced"), Replaced::Done);
    assert_eq!(sweep(&store, EXPIRES).await, 1);
    assert_eq!(session(&store, second.id).await, None);
    assert_eq!(session(&store, first.id).await, Some(paid));
    store.ping().await.expect("serving");
}
