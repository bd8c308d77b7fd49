//! `GET /r/{token}/events?seen=...`: tells a waiting page that its session turned, once (server-sent events).
//!
//! The event says nothing about the session: the page loads itself again and is shown what it may see.

use super::{
    Pages,
    limits::{WAITING_AGE, WAITING_KEEPALIVE},
    opened::ReturnLink,
    problem,
};
use crate::{app::State as Seen, model::Tenants};
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{StreamExt, stream};
use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};
use tokio::time::sleep;

/// When a browser asks again after its stream ended without an event: a server that drains, or a stream of old age.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Streams until the session is in another state than the page has seen.
pub async fn stream(
    State(pages): State<Pages>,
    ReturnLink(id): ReturnLink,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    // The page's script loads the page again after a while.
    let Ok(place) = Arc::clone(&pages.waiting).try_acquire_owned() else {
        return problem::unavailable(&pages, &headers);
    };
    let seen = query.as_deref().and_then(|query| Seen::from_text(query.strip_prefix("seen=")?));
    let mut watch = pages.app.watch_session_after(id, seen, &Tenants::All);
    let drained = pages.drain.streams_end();
    let turned = async move {
        let _place = place;
        tokio::select! {
            // A store that fails ends the stream, and the browser asks again.
            next = watch.next() => next.ok().flatten().map(|_| Ok::<_, Infallible>(turned_event())),
            () = drained => None,
            () = sleep(WAITING_AGE) => None,
        }
    };
    let hello = stream::once(async { Ok(Event::default().retry(ASK_AGAIN)) });
    let events = hello.chain(stream::once(turned).filter_map(ready));
    let no_buffering = [(HeaderName::from_static("x-accel-buffering"), "no")];
    (no_buffering, Sse::new(events).keep_alive(KeepAlive::new().interval(WAITING_KEEPALIVE))).into_response()
}

/// Browsers drop an event without data.
fn turned_event() -> Event {
    Event::default().event("turned").data("now")
}
