//! Lets a call go on only if its caller has shown a credential that allows its method.
//!
//! The secret comes as `authorization: Bearer ...` (RFC 6750) and goes no further than this layer. A call without that
//! header is that of its connection's client certificate, if there is one. Without authentication this layer does
//! nothing at all, and the request has no [`Caller`].

use super::{Passed, Response, refuse};
use crate::{
    callers::{Caller, Credentials},
    grpc::{
        auth::{self, Authentication, Needs},
        status,
    },
    proto::v1::ErrorReason,
    server::PeerNames,
    telemetry::call,
};
use futures_util::future::Either;
use http::{HeaderMap, Request, header};
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};
use tonic::{Code, Status};
use tower::Service;

/// The layer.
#[derive(Clone)]
pub struct Authenticate<S> {
    inner: S,
    authentication: Authentication,
}

impl<S> Authenticate<S> {
    /// Authenticates that way.
    pub const fn new(inner: S, authentication: Authentication) -> Self {
        Self { inner, authentication }
    }
}

impl<S, B> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Passed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Authentication::By(credentials) = &self.authentication else {
            return Either::Right(self.inner.call(request));
        };
        match admit(&request, &credentials.current()) {
            Ok(caller) => {
                request.headers_mut().remove(header::AUTHORIZATION);
                if let Some(caller) = caller {
                    call::made_by(caller.name());
                    request.extensions_mut().insert(caller);
                }
                Either::Right(self.inner.call(request))
            }
            Err(status) => refuse(*status),
        }
    }
}

/// Who makes the call, if its method may be called by them; `None` where the method does not ask.
fn admit<B>(request: &Request<B>, credentials: &Credentials) -> Result<Option<Arc<Caller>>, Box<Status>> {
    let method = request.uri().path();
    let needs = auth::needs(method);
    if needs == Some(Needs::Nothing) {
        return Ok(None);
    }
    // Looked for before the method is judged, so that a stranger does not learn which methods there are.
    let caller = match request.headers().contains_key(header::AUTHORIZATION) {
        // A secret that is wrong is not made good by a certificate: whoever sends one means to be its owner.
        true => bearer(request.headers()).and_then(|secret| credentials.by_secret(secret)),
        false => request.extensions().get::<PeerNames>().and_then(|names| credentials.by_certificate(names)),
    };
    let Some(caller) = caller else { return Err(Box::new(auth::unauthenticated())) };
    match needs {
        Some(Needs::Nothing | Needs::Credential) => {}
        Some(Needs::OneOf(scopes)) if scopes.iter().any(|scope| caller.may(*scope)) => {}
        Some(Needs::OneOf(scopes)) => {
            tracing::debug!(credential = caller.name(), method, "refused: the credential lacks the scope");
            return Err(Box::new(auth::scope_missing(scopes)));
        }
        None => {
            let text = "this server has no such method";
            return Err(Box::new(status::error(Code::Unimplemented, ErrorReason::MethodNotFound, text)));
        }
    }
    Ok(Some(Arc::clone(caller)))
}

/// The secret of the one `authorization` header; `None` when there is none, or several, or one of another scheme.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
    let (scheme, secret) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| secret.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_secret_is_what_follows_the_scheme_in_the_only_header() {
        for (values, expected) in [
            (vec!["Bearer abc"], Some("abc")),
            (vec!["bearer abc"], Some("abc")),
            (vec!["BEARER   abc "], Some("abc")),
            (vec!["Bearer "], Some("")),
            (vec!["Bearer"], None),
            (vec!["Basic abc"], None),
            (vec!["Bearerabc"], None),
            (vec!["abc"], None),
            (vec![], None),
            (vec!["Bearer abc", "Bearer abc"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            assert_eq!(bearer(&headers), expected.map(str::as_bytes), "{values:?}");
        }
    }
}
