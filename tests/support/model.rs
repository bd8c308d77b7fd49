//! The plainest store there could be, and random histories that hold a real one to it.
//!
//! Every call of a history is made on both, and the answers are compared; then everything that can be read is. Few
//! merchants, keys and contents, so that histories collide often.

use super::{
    draft::{CREATED, draft, ending, idempotency_key, merchant, merchant_id},
    fixture::{Fixture, Memory},
};
use proptest::{prelude::*, sample::Index};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use std::{collections::BTreeMap, future::Future, marker::PhantomData, time::Duration};
use tokio::runtime::Runtime;
use uuid::Uuid;
use waypost::{
    model::{IdempotencyKey, Kind, Merchant, MerchantId, Outcome, Session, SessionId, Timestamp},
    store::{Created, Imported, Record, Replaced, Store},
};

const MERCHANTS: [&str; 2] = ["m1", "m2"];
const KEYS: [&str; 3] = ["k", "k2", "K"];

/// What a history may do next.
#[derive(Debug, Clone)]
pub enum Step {
    Create {
        merchant: usize,
        kind: usize,
        key: Option<usize>,
        content: u8,
        life_s: u64,
    },
    /// Any state ever made may be the base, so that many are stale.
    Record {
        base: Index,
        outcome: usize,
        at_s: u64,
    },
    ReplaceMerchant {
        merchant: usize,
        version: u64,
    },
    Sweep {
        cutoff_s: u64,
        limit: usize,
    },
    /// Any state ever made.
    ImportSession {
        state: Index,
    },
    ImportMerchant {
        merchant: usize,
        version: u64,
    },
    Reopen,
}

/// A call of the store, and what it must answer.
#[derive(Debug, Clone)]
enum Call {
    Create(Session, Created),
    ReplaceSession(Session, Replaced),
    ReplaceMerchant(Merchant, Replaced),
    Sweep { cutoff: Timestamp, limit: usize, removed: usize },
    ImportSession(Session, Imported),
    ImportMerchant(Merchant, Imported),
    Reopen,
    Nothing,
}

/// The model.
#[derive(Debug, Clone, Default)]
pub struct Model {
    sessions: BTreeMap<SessionId, Session>,
    keys: BTreeMap<(MerchantId, Kind, IdempotencyKey), SessionId>,
    merchants: BTreeMap<MerchantId, Merchant>,
    /// Every state of a session that was ever made, saved or not.
    made: Vec<Session>,
    last: Option<Call>,
}

fn seconds(s: u64) -> Timestamp {
    CREATED.plus(Duration::from_secs(s))
}

fn key_of(session: &Session) -> Option<(MerchantId, Kind, IdempotencyKey)> {
    let key = IdempotencyKey::try_from(Box::from(session.key()?)).expect("a key");
    Some((session.merchant_id.clone(), session.id.kind(), key))
}

impl Model {
    fn save(&mut self, session: &Session) {
        self.keys.extend(key_of(session).map(|key| (key, session.id)));
        self.sessions.insert(session.id, session.clone());
    }

    fn create(&mut self, session: Session) -> Call {
        let owner = key_of(&session).and_then(|key| self.keys.get(&key)).map(|id| &self.sessions[id]);
        let created = match owner {
            None => {
                self.save(&session);
                Created::New
            }
            Some(first) if (first.key(), first.fingerprint()) == (session.key(), session.fingerprint()) => {
                Created::Before(first.clone().into())
            }
            Some(_) => Created::KeyReused,
        };
        Call::Create(session, created)
    }

    fn replace_session(&mut self, session: Session) -> Call {
        let stands = self.sessions.get(&session.id).map(|stands| stands.version);
        if stands.is_some_and(|version| version + 1 == session.version) {
            self.save(&session);
            Call::ReplaceSession(session, Replaced::Done)
        } else {
            Call::ReplaceSession(session, Replaced::Stale)
        }
    }

    fn merchant_version(&self, id: &MerchantId) -> u64 {
        self.merchants.get(id).map_or(0, |merchant| merchant.version)
    }

    fn sweep(&mut self, cutoff: Timestamp, limit: usize) -> Call {
        let before = self.sessions.len();
        self.sessions.retain(|_, session| session.over_at() > cutoff);
        self.keys.retain(|_, id| self.sessions.contains_key(id));
        Call::Sweep { cutoff, limit, removed: before - self.sessions.len() }
    }

    fn import_session(&mut self, session: Session) -> Call {
        let stands = self.sessions.get(&session.id).map(|stands| stands.version);
        let owner = key_of(&session).and_then(|key| self.keys.get(&key));
        let imported = if owner.is_some_and(|owner| *owner != session.id) {
            Imported::Conflict
        } else if stands.is_some_and(|version| version >= session.version) {
            Imported::Kept
        } else {
            self.save(&session);
            Imported::Saved
        };
        Call::ImportSession(session, imported)
    }

    fn step(&mut self, step: &Step) -> Call {
        match *step {
            Step::Create { merchant, kind, key, content, life_s } => {
                let draft = draft().of(MERCHANTS[merchant]).kind(Kind::ALL[kind]).expires(seconds(life_s));
                let draft = key.map_or(draft.clone(), |key| draft.key(KEYS[key], content));
                // The same history makes the same ids, so that it can be shrunk.
                let uuid = Uuid::from_u128(self.made.len() as u128);
                let session = draft.build_as(SessionId::new(Kind::ALL[kind], uuid));
                self.made.push(session.clone());
                self.create(session)
            }
            Step::Record { base, outcome, at_s } => {
                let Some(base) = self.pick(base) else { return Call::Nothing };
                let Some(next) = base.record(ending(Outcome::ALL[outcome]), seconds(at_s)) else {
                    return Call::Nothing;
                };
                self.made.push(next.clone());
                self.replace_session(next)
            }
            Step::ReplaceMerchant { merchant: index, version } => {
                let next = merchant(MERCHANTS[index], version);
                let replaced = if self.merchant_version(&next.id) + 1 == version {
                    self.merchants.insert(next.id.clone(), next.clone());
                    Replaced::Done
                } else {
                    Replaced::Stale
                };
                Call::ReplaceMerchant(next, replaced)
            }
            Step::Sweep { cutoff_s, limit } => self.sweep(seconds(cutoff_s), limit),
            Step::ImportSession { state } => {
                let Some(state) = self.pick(state) else { return Call::Nothing };
                self.import_session(state)
            }
            Step::ImportMerchant { merchant: index, version } => {
                let next = merchant(MERCHANTS[index], version);
                let imported = if self.merchant_version(&next.id) < version {
                    self.merchants.insert(next.id.clone(), next.clone());
                    Imported::Saved
                } else {
                    Imported::Kept
                };
                Call::ImportMerchant(next, imported)
            }
            Step::Reopen => Call::Reopen,
        }
    }

    fn pick(&self, index: Index) -> Option<Session> {
        (!self.made.is_empty()).then(|| index.get(&self.made).clone())
    }
}

/// Histories for stores that remember what `MEMORY` says.
pub struct Histories<const FORGETS: bool>;

impl<const FORGETS: bool> ReferenceStateMachine for Histories<FORGETS> {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Step> {
        let key = prop::option::weighted(0.7, 0..KEYS.len());
        prop_oneof![
            8 => (0..2_usize, 0..3_usize, key, 0..2_u8, 60..90_u64).prop_map(|(merchant, kind, key, content, life_s)| {
                Step::Create { merchant, kind: kind % 2, key, content, life_s }
            }),
            8 => (any::<Index>(), 0..5_usize, 0..90_u64)
                .prop_map(|(base, outcome, at_s)| Step::Record { base, outcome, at_s }),
            2 => (0..2_usize, 0..5_u64).prop_map(|(merchant, version)| Step::ReplaceMerchant { merchant, version }),
            2 => (0..90_u64, 1..4_usize).prop_map(|(cutoff_s, limit)| Step::Sweep { cutoff_s, limit }),
            4 => any::<Index>().prop_map(|state| Step::ImportSession { state }),
            1 => (0..2_usize, 1..5_u64).prop_map(|(merchant, version)| Step::ImportMerchant { merchant, version }),
            1 => Just(Step::Reopen),
        ]
        .boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        let call = model.step(step);
        if FORGETS && matches!(call, Call::Reopen) {
            return Model { made: model.made, last: Some(call), ..Model::default() };
        }
        model.last = Some(call);
        model
    }
}

/// How a fresh store is had.
pub trait Fresh: 'static {
    type Fixture: Fixture;

    fn fresh() -> impl Future<Output = Self::Fixture>;
}

/// A store under test, and the runtime that its calls run on.
pub struct Tested<F> {
    fixture: F,
    runtime: Runtime,
}

/// Holds the store of `F` to the model.
pub struct Against<F, const FORGETS: bool>(PhantomData<F>);

impl<F: Fresh, const FORGETS: bool> StateMachineTest for Against<F, FORGETS> {
    type SystemUnderTest = Tested<F::Fixture>;
    type Reference = Histories<FORGETS>;

    fn init_test(_: &Model) -> Tested<F::Fixture> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let fixture = runtime.block_on(F::fresh());
        assert_eq!(fixture.memory() == Memory::Forgets, FORGETS);
        Tested { fixture, runtime }
    }

    fn apply(mut tested: Tested<F::Fixture>, model: &Model, _: Step) -> Tested<F::Fixture> {
        let call = model.last.clone().expect("a call");
        tested.runtime.block_on(make(&mut tested.fixture, call));
        tested
    }

    fn check_invariants(tested: &Tested<F::Fixture>, model: &Model) {
        tested.runtime.block_on(compare(&*tested.fixture.store(), model));
    }
}

async fn make(fixture: &mut impl Fixture, call: Call) {
    let store = fixture.store();
    match call {
        Call::Create(session, created) => assert_eq!(store.create(session).await.expect("answered"), created),
        Call::ReplaceSession(session, replaced) => {
            assert_eq!(store.replace_session(session).await.expect("answered"), replaced);
        }
        Call::ReplaceMerchant(merchant, replaced) => {
            assert_eq!(store.replace_merchant(merchant).await.expect("answered"), replaced);
        }
        Call::Sweep { cutoff, limit, removed } => {
            let mut all = 0;
            loop {
                match store.remove_over(cutoff, limit).await.expect("answered") {
                    0 => break,
                    some => all += some,
                }
            }
            assert_eq!(all, removed);
        }
        Call::ImportSession(session, imported) => {
            assert_eq!(store.import_session(session).await.expect("answered"), imported);
        }
        Call::ImportMerchant(merchant, imported) => {
            assert_eq!(store.import_merchant(merchant).await.expect("answered"), imported);
        }
        Call::Reopen => {
            drop(store);
            fixture.reopen().await;
        }
        Call::Nothing => {}
    }
}

/// Reads everything in every way there is.
async fn compare(store: &dyn Store, model: &Model) {
    for state in &model.made {
        let loaded = store.session(state.id).await.expect("loaded");
        assert_eq!(loaded.as_ref().map(|loaded| &*loaded.session), model.sessions.get(&state.id));
        if let Some(loaded) = loaded {
            let id = &state.merchant_id;
            let merchant = model.merchants.get(id).cloned().unwrap_or_else(|| Merchant::default_for(id.clone()));
            assert_eq!(*loaded.merchant, merchant);
        }
    }
    for merchant in MERCHANTS.map(merchant_id) {
        let found = store.merchant(&merchant).await.expect("loaded");
        assert_eq!(found.as_deref(), model.merchants.get(&merchant));
        for kind in Kind::ALL {
            for key in KEYS.map(idempotency_key) {
                let found = store.session_by_key(&merchant, kind, &key).await.expect("looked up");
                let owner = model.keys.get(&(merchant.clone(), kind, key)).map(|id| &model.sessions[id]);
                assert_eq!(found.as_deref(), owner);
            }
        }
    }
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let receive = async {
        let (mut sessions, mut merchants) = (BTreeMap::new(), BTreeMap::new());
        while let Some(record) = receiver.recv().await {
            let again = match record {
                Record::Session(session) => sessions.insert(session.id, (*session).clone()).is_some(),
                Record::Merchant(merchant) => merchants.insert(merchant.id.clone(), (*merchant).clone()).is_some(),
                Record::Unreadable(unreadable) => panic!("{unreadable:?}"),
            };
            assert!(!again, "exported twice");
        }
        (sessions, merchants)
    };
    let (exported, (sessions, merchants)) = tokio::join!(store.export(sender), receive);
    exported.expect("exported");
    assert_eq!((&sessions, &merchants), (&model.sessions, &model.merchants));
}
