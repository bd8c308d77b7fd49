//! What each method asks of its caller, in one table, and who the caller of a request is.
//!
//! A method without a line in the table is not there for anybody once authentication is on; a test holds that every RPC
//! of `waypost.v1` has its line. [`Authenticate`](super::layers::authenticate::Authenticate) applies the table to a call
//! and puts its [`Caller`] into the request's extensions, where [`tenants`] finds it.

use super::status;
use crate::{
    callers::{Caller, Credentials, Scope},
    followed::Followed,
    model::Tenants,
    proto::v1::ErrorReason,
};
use std::{
    convert::Infallible,
    future::{Future, pending},
    sync::Arc,
};
use tonic::{Code, Request, Status};

/// How calls are authenticated.
#[derive(Clone)]
pub enum Authentication {
    /// Not at all: everybody who reaches the server may do everything.
    Off,
    /// By these credentials.
    By(Arc<Followed<Credentials>>),
}

impl Authentication {
    /// Looks after the credentials' file for as long as it is polled.
    pub async fn follow(&self) -> Infallible {
        match self {
            Self::Off => pending().await,
            Self::By(credentials) => credentials.follow().await,
        }
    }
}

/// What a method asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: everybody may call it.
    Nothing,
    /// A valid credential, whatever it allows.
    Credential,
    /// A credential with one of these scopes.
    OneOf(&'static [Scope]),
}

/// Every method by its path, busiest first.
pub const METHODS: [(&str, Needs); 16] = [
    ("/waypost.v1.RedirectService/ResolveRedirect", Needs::OneOf(&[Scope::Read])),
    ("/waypost.v1.RedirectService/ResolveRedirects", Needs::OneOf(&[Scope::Read])),
    ("/waypost.v1.RedirectService/GetSession", Needs::OneOf(&[Scope::Read])),
    ("/waypost.v1.RedirectService/RecordOutcome", Needs::OneOf(&[Scope::Record])),
    ("/waypost.v1.RedirectService/CreateCheckout", Needs::OneOf(&[Scope::Create])),
    ("/waypost.v1.RedirectService/CreateOrder", Needs::OneOf(&[Scope::Create])),
    ("/waypost.v1.RedirectService/CreatePayment", Needs::OneOf(&[Scope::Create])),
    ("/waypost.v1.RedirectService/WatchSession", Needs::OneOf(&[Scope::Read])),
    ("/waypost.v1.RedirectService/VerifyReturn", Needs::OneOf(&[Scope::Read])),
    // With `create`, of what is not created only: the service asks again once it has read what is previewed.
    ("/waypost.v1.RedirectService/PreviewRedirects", Needs::OneOf(&[Scope::Read, Scope::Create])),
    ("/waypost.v1.MerchantService/GetMerchant", Needs::OneOf(&[Scope::Merchant, Scope::Read])),
    ("/waypost.v1.MerchantService/UpdateMerchant", Needs::OneOf(&[Scope::Merchant])),
    // Balancers and container platforms have no credential, and are told nothing but whether the server is well.
    ("/grpc.health.v1.Health/Check", Needs::Nothing),
    ("/grpc.health.v1.Health/Watch", Needs::Nothing),
    // Tells no secret, but nobody needs it who may not call.
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Needs::Credential),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Needs::Credential),
];

/// What the method at that path asks of its caller; `None` when it has no line in the table.
pub fn needs(path: &str) -> Option<Needs> {
    METHODS.iter().find(|(method, _)| *method == path).map(|(_, needs)| *needs)
}

/// The merchants that the caller of a request acts for. All of them when authentication is off, which is when there is
/// no caller: [`edge`](super::edge()) lets no other call without one come to a service of ours.
pub fn tenants<T>(request: &Request<T>) -> Tenants {
    caller(request).map_or(Tenants::All, |caller| caller.tenants().clone())
}

/// Refuses a request whose caller has not that scope, for what the table cannot tell by the method alone.
pub fn require<T>(request: &Request<T>, scope: Scope) -> Result<(), Box<Status>> {
    if may(request, scope) { Ok(()) } else { Err(Box::new(scope_missing(&[scope]))) }
}

/// Whether the caller of a request has that scope. Without authentication everybody has all of them.
pub fn may<T>(request: &Request<T>, scope: Scope) -> bool {
    caller(request).is_none_or(|caller| caller.may(scope))
}

/// Ready once the credential of a request's caller does not stand any more, for answers that last.
pub fn revoked<T>(request: &Request<T>) -> impl Future<Output = ()> + Send + use<T> {
    let revoked = caller(request).map(|caller| caller.revoked());
    async move {
        match revoked {
            Some(revoked) => revoked.await,
            None => pending().await,
        }
    }
}

fn caller<T>(request: &Request<T>) -> Option<&Arc<Caller>> {
    request.extensions().get()
}

/// No credential, an unknown one, an expired one: which of them is not told.
pub(super) fn unauthenticated() -> Status {
    let text = "the call came without a valid credential: send `authorization: Bearer` and the secret that the operator \
                gave you";
    status::error(Code::Unauthenticated, ErrorReason::Unauthenticated, text)
}

/// A credential that has none of the scopes that were asked for.
pub(super) fn scope_missing(one_of: &[Scope]) -> Status {
    let names: Vec<_> = one_of.iter().map(|scope| format!("`{}`", scope.as_str())).collect();
    let text = format!("the credential lacks the scope {}: ask the operator for it", names.join(" or "));
    status::error(Code::PermissionDenied, ErrorReason::PermissionDenied, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::FILE_DESCRIPTOR_SET;
    use prost_reflect::DescriptorPool;
    use std::collections::BTreeSet;

    /// The paths of every RPC of some descriptors.
    fn methods(descriptors: &[u8]) -> BTreeSet<String> {
        let pool = DescriptorPool::decode(descriptors).unwrap();
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name())).collect()
    }

    #[test]
    fn every_rpc_of_ours_has_its_line_and_asks_for_a_scope() {
        for method in methods(FILE_DESCRIPTOR_SET) {
            assert!(matches!(needs(&method), Some(Needs::OneOf([_, ..]))), "{method} asks {:?}", needs(&method));
        }
    }

    #[test]
    fn every_line_is_that_of_a_method_that_this_server_has() {
        let descriptors =
            [FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET];
        let mut known: BTreeSet<_> = descriptors.into_iter().flat_map(methods).collect();
        known.extend(methods(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET));
        let listed: BTreeSet<_> = METHODS.iter().map(|(method, _)| (*method).to_owned()).collect();
        assert_eq!(listed, known);
        assert_eq!(listed.len(), METHODS.len(), "a method has two lines");
    }
}
