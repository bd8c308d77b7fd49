//! The layers around the router, in their one order.

use super::{
    Limits, Router,
    auth::Authentication,
    layers::{
        authenticate::Authenticate, deadline::LimitTime, foreign::Foreign, observe::Observe, panic::CatchPanic,
        shed::Shed,
    },
};

/// What a connection calls: from the outside in, calls are observed, errors explained, panics caught, calls counted and refused,
/// bounded in time, and authenticated. Panics are caught outside the others, so that a fault in a layer ends one call as
/// well.
pub type Edge<R, M> = Observe<Foreign<CatchPanic<Shed<LimitTime<Authenticate<Router<R, M>>>>>>>;

/// Puts the layers around `router`. Clones of the edge count their calls together.
pub fn edge<R, M>(router: Router<R, M>, limits: &Limits, authentication: Authentication) -> Edge<R, M> {
    let timed = LimitTime::new(Authenticate::new(router, authentication), limits);
    Observe(Foreign(CatchPanic(Shed::new(timed, limits.max_calls))))
}
