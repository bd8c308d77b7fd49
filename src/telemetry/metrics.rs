//! Every metric, in one list: what is counted, by what, and under which name.
//!
//! No label holds anything that callers choose: the values of all labels stand here, or in the enum that they come from,
//! so that a metric has never more lines than it had when it was written. `docs/metrics.md` is made from this list, and
//! `deploy/` may only name what is in it; `tests/metrics.rs` holds both.

use super::{
    cells::{Counter, Histogram, Level, Moments, PIECES, Reading, SECONDS},
    exposition::{About, Label, Metric},
    process,
};
use crate::{
    grpc::auth::METHODS,
    model::{Kind, Outcome},
    redirect::{Decision, Refusal},
};
use tonic::Code;

/// All of them, in the order in which they are told.
pub static ALL: [&dyn Metric; 39] = [
    &CALLS,
    &CALL_DURATION,
    &STREAMS_OPEN,
    &STREAMED_RESOLVES,
    &SHEDS,
    &PANICS,
    &DECISIONS,
    &UNRESOLVED_PLACEHOLDERS,
    &REFUSED_URLS,
    &PAGE_REQUESTS,
    &PAGE_DURATION,
    &STORE_OPERATION_DURATION,
    &STORE_ERRORS,
    &STORE_SESSIONS,
    &STORE_SESSION_MEMORY,
    &STORE_BYTES_PER_SESSION,
    &STORE_QUEUED_WRITES,
    &STORE_COMMIT_DURATION,
    &STORE_COMMIT_WRITES,
    &STORE_CACHE,
    &STORE_CONNECTIONS,
    &STORE_WAITING,
    &SWEEPS,
    &SESSIONS_REMOVED,
    &CONNECTIONS_OPEN,
    &CONNECTIONS_ACCEPTED,
    &CONNECTIONS_REFUSED,
    &CONNECTIONS_ENDED,
    &CERTIFICATE_NOT_AFTER,
    &CREDENTIALS_EXPIRE_TIME,
    &UNUSABLE_FILES,
    &LOG_LINES_DROPPED,
    &READY,
    &BUILD_INFO,
    &PROCESS_START_TIME,
    &PROCESS_CPU,
    &PROCESS_MEMORY,
    &PROCESS_FILES,
    &PROCESS_MAX_FILES,
];

// Calls.

/// Calls that were answered or given up.
pub static CALLS: Counter<{ METHODS_COUNTED * CODES.len() }> = Counter::new(About {
    name: "waypost_calls_total",
    help: "gRPC calls that have ended, by method and status code. A call that its caller gave up counts as CANCELLED.",
    labels: &[METHOD, Label { name: "code", values: &CODES }],
});

/// How long they took.
pub static CALL_DURATION: Histogram<METHODS_COUNTED> = Histogram::new(
    &SECONDS,
    About {
        name: "waypost_call_duration_seconds",
        help: "Time from the head of a gRPC call to its answer, or to the end of its stream. Includes the time that \
               ResolveRedirect was asked to wait.",
        labels: &[METHOD],
    },
);

/// Calls whose answer is a stream, while it lasts.
pub static STREAMS_OPEN: Level<METHODS_COUNTED> = Level::new(About {
    name: "waypost_streams_open",
    help: "gRPC calls whose stream of answers is open: watches of sessions, streams of resolves, watches of the health.",
    labels: &[METHOD],
});

/// Requests within streams of resolves.
pub static STREAMED_RESOLVES: Counter<{ CODES.len() }> = Counter::new(About {
    name: "waypost_streamed_resolves_total",
    help: "Requests within ResolveRedirects streams that were answered, by the status code of the one answer.",
    labels: &[Label { name: "code", values: &CODES }],
});

/// What was refused for want of room.
pub static SHEDS: Counter<{ SHED_REASONS.len() }> = Counter::new(About {
    name: "waypost_sheds_total",
    help: "What was refused with RESOURCE_EXHAUSTED: because as much was in progress as the server takes (calls of all \
           kinds, calls that wait for an outcome, waiting requests of one stream, watches, streams of resolves), because \
           its worker was late, because more was asked of the store than it can do, or because its merchant had made as many calls as it may.",
    labels: &[Label { name: "reason", values: &SHED_REASONS }],
});

/// Faults.
pub static PANICS: Counter<1> = Counter::new(About {
    name: "waypost_panics_total",
    help: "Panics: faults of Waypost, each of which ended one call or request. The log says where.",
    labels: &[],
});

// Decisions.

/// Where buyers were sent.
pub static DECISIONS: Counter<{ KINDS.len() * OUTCOMES.len() * SOURCES.len() }> = Counter::new(About {
    name: "waypost_decisions_total",
    help: "Decisions where a buyer goes, over gRPC and by pages, by the kind of the session, the outcome answered for, \
           and whose URL it was; hosted_page is none.",
    labels: &[KIND, Label { name: "outcome", values: &OUTCOMES }, Label { name: "source", values: &SOURCES }],
});

/// Placeholders that named nothing.
pub static UNRESOLVED_PLACEHOLDERS: Counter<{ KINDS.len() }> = Counter::new(About {
    name: "waypost_unresolved_placeholders_total",
    help: "Placeholders in answered URLs that named nothing their session has, and so stayed as they were written.",
    labels: &[KIND],
});

/// URLs that failed the final check.
pub static REFUSED_URLS: Counter<{ Refusal::WORDS.len() }> = Counter::new(About {
    name: "waypost_refused_urls_total",
    help: "Decisions whose URL failed the final check, so that the buyer was sent to the hosted page, by what was wrong.",
    labels: &[Label { name: "reason", values: &Refusal::WORDS }],
});

// Pages.

/// Requests to the page listener.
pub static PAGE_REQUESTS: Counter<{ ROUTES.len() * STATUSES.len() }> = Counter::new(About {
    name: "waypost_page_requests_total",
    help: "Requests to the page listener that were answered, by route and HTTP status.",
    labels: &[ROUTE, Label { name: "status", values: &STATUSES }],
});

/// How long they took.
pub static PAGE_DURATION: Histogram<{ ROUTES.len() }> = Histogram::new(
    &SECONDS,
    About {
        name: "waypost_page_duration_seconds",
        help: "Time from the head of a page's request to the head of its answer.",
        labels: &[ROUTE],
    },
);

// The store.

/// How long the store took.
pub static STORE_OPERATION_DURATION: Histogram<{ OPERATIONS.len() }> = Histogram::new(
    &SECONDS,
    About {
        name: "waypost_store_operation_duration_seconds",
        help: "Time that the store took for an operation, successful or not, its queue and its retries included; 0 for a session that it holds in memory.",
        labels: &[OPERATION],
    },
);

/// How often it failed.
pub static STORE_ERRORS: Counter<{ OPERATIONS.len() }> = Counter::new(About {
    name: "waypost_store_errors_total",
    help: "Operations in which the store failed: it did not answer, or holds something unreadable.",
    labels: &[OPERATION],
});

static STORE_SESSIONS: Reading = Reading::gauge(
    |scrape, _| scrape.store.sessions.map(|sessions| sessions as f64),
    About {
        name: "waypost_store_sessions",
        help: "Sessions in the store. PostgreSQL is not asked: counting would read all of them.",
        labels: &[],
    },
);

static STORE_SESSION_MEMORY: Reading = Reading::gauge(
    |scrape, _| scrape.store.session_memory_bytes.map(|bytes| bytes as f64),
    About {
        name: "waypost_store_session_memory_bytes",
        help: "Memory of the sessions in the memory store, with the tables in which they are found.",
        labels: &[],
    },
);

static STORE_BYTES_PER_SESSION: Reading = Reading::gauge(
    |scrape, _| {
        Some(scrape.store.session_memory_bytes? as f64 / scrape.store.sessions.filter(|count| *count > 0)? as f64)
    },
    About {
        name: "waypost_store_bytes_per_session",
        help: "Memory of one session in the memory store, on average.",
        labels: &[],
    },
);

static STORE_QUEUED_WRITES: Reading = Reading::gauge(
    |scrape, _| scrape.store.queued_writes.map(|writes| writes as f64),
    About {
        name: "waypost_store_queued_writes",
        help: "Writes that wait for the writer of the embedded store.",
        labels: &[],
    },
);

/// The embedded store's transactions.
pub static STORE_COMMIT_DURATION: Histogram<1> = Histogram::new(
    &SECONDS,
    About {
        name: "waypost_store_commit_duration_seconds",
        help: "Time of a transaction of the embedded store, from its first write to its sync to the disk.",
        labels: &[],
    },
);

/// How much each of them took along.
pub static STORE_COMMIT_WRITES: Histogram<1> = Histogram::new(
    &PIECES,
    About {
        name: "waypost_store_commit_writes",
        help: "Writes that one transaction of the embedded store made durable together.",
        labels: &[],
    },
);

/// Reads of the stores that keep sessions in memory besides.
pub static STORE_CACHE: Counter<2> = Counter::new(About {
    name: "waypost_store_cache_reads_total",
    help: "Sessions that a durable store was asked for, by whether they were in memory or read from the file or database.",
    labels: &[Label { name: "result", values: &["hit", "miss"] }],
});

static STORE_CONNECTIONS: Reading = Reading::gauge(
    |scrape, row| scrape.store.connections.map(|connections| connections[row] as f64),
    About {
        name: "waypost_store_connections",
        help: "Connections to PostgreSQL, by whether a call uses them, and how many there may be.",
        labels: &[Label { name: "state", values: &["used", "idle", "max"] }],
    },
);

static STORE_WAITING: Reading = Reading::gauge(
    |scrape, _| scrape.store.waiting_for_connection.map(|calls| calls as f64),
    About {
        name: "waypost_store_calls_waiting_for_connection",
        help: "Calls that wait for a connection to PostgreSQL.",
        labels: &[],
    },
);

/// Looks for sessions that are over.
pub static SWEEPS: Counter<3> = Counter::new(About {
    name: "waypost_sweeps_total",
    help: "How often it was looked for sessions to remove. `error`: the store failed. `clock`: nothing was removed, as the clock \
           has not gone on steadily for ten minutes, or is not the database's.",
    labels: &[Label { name: "result", values: &["ok", "error", "clock"] }],
});

/// What they removed.
pub static SESSIONS_REMOVED: Counter<1> = Counter::new(About {
    name: "waypost_sessions_removed_total",
    help: "Sessions that were removed because they had been over for as long as --retention says.",
    labels: &[],
});

// Connections.

/// Connections now.
pub static CONNECTIONS_OPEN: Level<{ LISTENERS.len() }> =
    Level::new(About { name: "waypost_connections_open", help: "Open connections, by listener.", labels: &[LISTENER] });

/// Connections so far.
pub static CONNECTIONS_ACCEPTED: Counter<{ LISTENERS.len() }> = Counter::new(About {
    name: "waypost_connections_accepted_total",
    help: "Connections that were accepted, by listener.",
    labels: &[LISTENER],
});

/// Connections that were closed at once.
pub static CONNECTIONS_REFUSED: Counter<{ LISTENERS.len() }> = Counter::new(About {
    name: "waypost_connections_refused_total",
    help: "Connections that were closed at once, as their address had as many as one may, by listener.",
    labels: &[LISTENER],
});

/// How connections ended.
pub static CONNECTIONS_ENDED: Counter<{ LISTENERS.len() * ENDS.len() }> = Counter::new(About {
    name: "waypost_connections_ended_total",
    help: "Connections that ended, by listener and how: closed by agreement, failed (the handshake, the protocol, the \
           network, or a peer that did not begin or did not read), or cut at the grace limit.",
    labels: &[LISTENER, Label { name: "end", values: &ENDS }],
});

/// When they begin to fail, if nobody does anything.
pub static CERTIFICATE_NOT_AFTER: Moments<{ LISTENERS.len() }> = Moments::new(About {
    name: "waypost_tls_certificate_not_after_seconds",
    help: "Until when the certificate in use is valid, in seconds since 1970, by listener. A listener without one has none.",
    labels: &[LISTENER],
});

/// When a caller is refused, if nobody does anything.
pub static CREDENTIALS_EXPIRE_TIME: Moments<1> = Moments::new(About {
    name: "waypost_credentials_expire_time_seconds",
    help: "When the first of the credentials expires, in seconds since 1970, those left out that had expired when their \
           file was last read. None if no other expires.",
    labels: &[],
});

/// Files that changed and are not what they should be.
pub static UNUSABLE_FILES: Level<{ FOLLOWED_FILES.len() }> = Level::new(About {
    name: "waypost_unusable_files",
    help: "1 while what an option names was changed to something that cannot be used, so that what was read before holds; \
           else 0.",
    labels: &[Label { name: "option", values: &FOLLOWED_FILES }],
});

// The process.

/// What the log lost.
pub static LOG_LINES_DROPPED: Counter<1> = Counter::new(About {
    name: "waypost_log_lines_dropped_total",
    help: "Log lines that were dropped, as standard error took no more.",
    labels: &[],
});

static READY: Reading = Reading::gauge(
    |scrape, row| scrape.ready.get(row).map(|ready| f64::from(*ready)),
    About {
        name: "waypost_ready",
        help: "1 for each component that is ready, else 0, as in /readyz. The server is ready when all are.",
        labels: &[Label { name: "component", values: &COMPONENTS }],
    },
);

static BUILD_INFO: Reading = Reading::gauge(
    |_, _| Some(1.0),
    About {
        name: "waypost_build_info",
        help: "1, with the version that runs.",
        labels: &[Label { name: "version", values: &[env!("CARGO_PKG_VERSION")] }],
    },
);

static PROCESS_START_TIME: Reading = Reading::gauge(
    |_, _| process::start_time(),
    About { name: "process_start_time_seconds", help: "When the process started, in seconds since 1970.", labels: &[] },
);

static PROCESS_CPU: Reading = Reading::counter(
    |_, _| process::cpu_seconds(),
    About { name: "process_cpu_seconds_total", help: "Processor time of the process.", labels: &[] },
);

static PROCESS_MEMORY: Reading = Reading::gauge(
    |_, _| process::resident_bytes(),
    About { name: "process_resident_memory_bytes", help: "Memory of the process that is in use.", labels: &[] },
);

static PROCESS_FILES: Reading = Reading::gauge(
    |_, _| process::open_files(),
    About { name: "process_open_fds", help: "Open files and connections of the process.", labels: &[] },
);

static PROCESS_MAX_FILES: Reading = Reading::gauge(
    |_, _| process::max_files(),
    About { name: "process_max_fds", help: "The most files and connections that the process may open.", labels: &[] },
);

// What tells numbers apart.

const METHOD: Label = Label { name: "method", values: &METHOD_NAMES };
const KIND: Label = Label { name: "kind", values: &KINDS };
const OPERATION: Label = Label { name: "operation", values: &OPERATIONS };
const ROUTE: Label = Label { name: "route", values: &ROUTES };
const LISTENER: Label = Label { name: "listener", values: &LISTENERS };

/// The methods of [`METHODS`], and one place for everything else that is called.
const METHODS_COUNTED: usize = METHODS.len() + 1;
const OTHER_METHOD: usize = METHODS.len();

const METHOD_NAMES: [&str; METHODS_COUNTED] = {
    let mut names = ["other"; METHODS_COUNTED];
    let mut at = 0;
    while at < METHODS.len() {
        names[at] = METHODS[at].0.split_at(1).1;
        at += 1;
    }
    names
};

const STREAMING: [&str; 5] = [
    "waypost.v1.RedirectService/ResolveRedirects",
    "waypost.v1.RedirectService/WatchSession",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const KINDS: [&str; Kind::ALL.len()] = [Kind::ALL[0].as_str(), Kind::ALL[1].as_str(), Kind::ALL[2].as_str()];

const OUTCOMES: [&str; Outcome::ALL.len()] = [
    Outcome::ALL[0].as_str(),
    Outcome::ALL[1].as_str(),
    Outcome::ALL[2].as_str(),
    Outcome::ALL[3].as_str(),
    Outcome::ALL[4].as_str(),
];

const SOURCES: [&str; 3] = ["settings", "request", "hosted_page"];

const SHED_REASONS: [&str; 8] =
    ["calls", "waiting", "waiting_in_stream", "watches", "resolve_streams", "late", "store", "merchant_rate"];

const ROUTES: [&str; 7] = ["return", "events", "checkout", "shop", "assets", "jwks", "other"];

const STATUSES: [&str; 13] =
    ["200", "303", "304", "400", "404", "405", "413", "415", "422", "500", "503", "504", "other"];

const OPERATIONS: [&str; 10] = [
    "create",
    "session_by_key",
    "session",
    "session_durably",
    "replace_session",
    "merchant",
    "merchant_durably",
    "replace_merchant",
    "remove_over",
    "ping",
];

const LISTENERS: [&str; 3] = ["grpc", "pages", "ops"];

const ENDS: [&str; 3] = ["closed", "failed", "cut"];

/// The options whose files are read again when they change.
pub const FOLLOWED_FILES: [&str; 4] = ["credentials_file", "tls_cert", "page_tls_cert", "ops_tls_cert"];

/// What has to be ready for the server to be.
pub const COMPONENTS: [&str; 3] = ["listeners", "store", "drain"];

/// A method as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method(usize);

impl Method {
    /// The method at that path.
    pub fn at(path: &str) -> Self {
        Self(METHODS.iter().position(|(method, _)| *method == path).unwrap_or(OTHER_METHOD))
    }

    /// Its name with its service's; `other` stands for whatever this server does not have.
    pub const fn as_str(self) -> &'static str {
        METHOD_NAMES[self.0]
    }

    /// Whether its answer is a stream.
    pub fn is_stream(self) -> bool {
        STREAMING.contains(&self.as_str())
    }

    /// Whether it asks for the health.
    pub fn is_health(self) -> bool {
        self.as_str().starts_with("grpc.health.v1.")
    }

    /// Its place among the methods.
    pub const fn number(self) -> usize {
        self.0
    }
}

/// The name of a status code as gRPC writes it.
pub const fn code_name(code: Code) -> &'static str {
    CODES[code as usize]
}

/// Why something was refused for want of room.
#[derive(Debug, Clone, Copy)]
pub enum Shed {
    /// As many calls are in progress as the server takes.
    Calls,
    /// As many calls and pages wait for an outcome.
    Waiting,
    /// As many requests of the stream do.
    WaitingInStream,
    /// As many sessions are watched.
    Watches,
    /// As many streams of resolves are open.
    ResolveStreams,
    /// The worker has not the time for it.
    Late,
    /// More is asked of the store than it can do.
    Store,
    /// The merchant has made as many calls as it may.
    MerchantRate,
}

impl Shed {
    /// Counts one.
    pub fn count(self) {
        SHEDS.add([self as usize], 1);
    }
}

/// Counts a decision.
pub fn decided(kind: Kind, outcome: Outcome, decision: &Decision) {
    let source = match &decision.redirect {
        Some(redirect) => redirect.level as usize,
        None => SOURCES.len() - 1,
    };
    DECISIONS.add([kind as usize, outcome as usize, source], 1);
    if let Some(redirect) = &decision.redirect
        && !redirect.unresolved.is_empty()
    {
        UNRESOLVED_PLACEHOLDERS.add([kind as usize], redirect.unresolved.len() as u64);
    }
    if let Some(refusal) = &decision.refusal {
        REFUSED_URLS.add([refusal.number()], 1);
    }
}

/// What a store is asked to do.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // They are the methods of `Store`.
pub enum Operation {
    Create,
    SessionByKey,
    Session,
    SessionDurably,
    ReplaceSession,
    Merchant,
    MerchantDurably,
    ReplaceMerchant,
    RemoveOver,
    Ping,
}

/// What answers at the page listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // They are the first parts of paths.
pub enum Route {
    Return,
    Events,
    Checkout,
    Shop,
    Assets,
    Jwks,
    Other,
}

impl Route {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        ROUTES[self as usize]
    }

    /// Which one a path leads to.
    pub fn of(path: &str) -> Self {
        let mut parts = path.split('/').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            (Some("r"), Some(_), None) => Self::Return,
            (Some("r"), Some(_), Some("events")) => Self::Events,
            (Some("c"), Some(_), None | Some("done")) => Self::Checkout,
            (Some("shop"), ..) => Self::Shop,
            (Some("assets"), Some(_), None) => Self::Assets,
            (Some(".well-known"), Some("jwks.json"), None) => Self::Jwks,
            _ => Self::Other,
        }
    }
}

/// The place of an HTTP status among those that are told apart.
pub fn status_number(status: http::StatusCode) -> usize {
    STATUSES.iter().position(|known| *known == status.as_str()).unwrap_or(STATUSES.len() - 1)
}

/// A listener whose connections are counted.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // They are the options `--grpc-addr`, `--page-addr` and `--ops-addr`.
pub enum Listener {
    Grpc,
    Pages,
    Ops,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Level;

    #[test]
    fn what_is_counted_by_the_number_of_a_variant_has_its_name() {
        assert!(Kind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
        assert!(Outcome::ALL.iter().enumerate().all(|(at, outcome)| *outcome as usize == at));
        assert!(Level::ALL.iter().enumerate().all(|(at, level)| *level as usize == at));
        assert_eq!(SOURCES[Level::Settings as usize], "settings");
        assert_eq!(SHED_REASONS[Shed::MerchantRate as usize], "merchant_rate");
        assert_eq!(OPERATIONS[Operation::Ping as usize], "ping");
        assert_eq!(ROUTES[Route::Other as usize], "other");
        assert_eq!(LISTENERS[Listener::Ops as usize], "ops");
        assert_eq!(code_name(Code::Unauthenticated), "UNAUTHENTICATED");
        assert_eq!(code_name(Code::DeadlineExceeded), "DEADLINE_EXCEEDED");
    }

    #[test]
    fn a_path_is_counted_by_what_answers_it_and_never_by_itself() {
        for (path, route) in [
            ("/r/abc", Route::Return),
            ("/r/abc/events", Route::Events),
            ("/c/abc", Route::Checkout),
            ("/c/abc/done", Route::Checkout),
            ("/shop", Route::Shop),
            ("/shop/success", Route::Shop),
            ("/assets/page.css", Route::Assets),
            ("/.well-known/jwks.json", Route::Jwks),
            ("/", Route::Other),
            ("/r", Route::Other),
            ("/r/abc/other", Route::Other),
            ("", Route::Other),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn the_methods_whose_answer_is_a_stream_are_those_of_the_descriptors() {
        let descriptors = [
            crate::proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        for pool in descriptors.map(|set| prost_reflect::DescriptorPool::decode(set).unwrap()) {
            for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
                let counted = Method::at(&format!("/{}/{}", method.parent_service().full_name(), method.name()));
                assert_eq!(counted.is_stream(), method.is_server_streaming(), "{}", method.full_name());
            }
        }
    }

    #[test]
    fn methods_are_known_by_their_paths() {
        let resolve = Method::at("/waypost.v1.RedirectService/ResolveRedirect");
        assert_eq!(resolve.as_str(), "waypost.v1.RedirectService/ResolveRedirect");
        assert_eq!(Method::at("/waypost.v1.RedirectService/Guess").as_str(), "other");
        assert_eq!(Method::at("").as_str(), "other");
    }
}
