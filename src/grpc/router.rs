//! Finds the service of a call by the path's prefix and hands the call over. A path of no service is `UNIMPLEMENTED`.
//!
//! The generated services are called as they are: no routing table, and no allocation beside the future that they
//! allocate themselves.

use super::{
    Health,
    layers::{Response, foreign::explain_at_the_end},
    limits::MAX_REQUEST_BYTES,
    status,
};
use crate::{
    proto::{
        self,
        v1::{
            ErrorReason,
            merchant_service_server::{MerchantService, MerchantServiceServer},
            redirect_service_server::{RedirectService, RedirectServiceServer},
        },
    },
    server::RequestBody,
};
use http::Request;
use std::{
    convert::Infallible,
    future::ready,
    task::{Context, Poll},
};
use tonic::{Code, codegen::BoxFuture};
use tonic_health::{pb::health_server::HealthServer, server::HealthService};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

/// The services of this server.
pub struct Router<R, M> {
    redirect: RedirectServiceServer<R>,
    merchant: MerchantServiceServer<M>,
    health: HealthServer<HealthService>,
    /// Version 1 and its predecessor; `None` when descriptors are not told.
    reflection: Option<[Reflection; 2]>,
}

/// The type of a reflection service has no name.
type Reflection = BoxCloneSyncService<Request<RequestBody>, Response, Infallible>;

impl<R: RedirectService, M: MerchantService> Router<R, M> {
    /// Routes to these services, to health, and to reflection on all of them.
    pub fn new(redirect: R, merchant: M, health: &Health) -> Self {
        let descriptors = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
                // Without these, tools cannot show the details of an error.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let readable = "the descriptors were compiled in and are read by a test";
        Self {
            redirect: RedirectServiceServer::new(redirect).max_decoding_message_size(MAX_REQUEST_BYTES),
            merchant: MerchantServiceServer::new(merchant).max_decoding_message_size(MAX_REQUEST_BYTES),
            health: health.server().max_decoding_message_size(MAX_REQUEST_BYTES),
            reflection: Some([
                reflection(descriptors().build_v1().expect(readable).max_decoding_message_size(MAX_REQUEST_BYTES)),
                reflection(descriptors().build_v1alpha().expect(readable).max_decoding_message_size(MAX_REQUEST_BYTES)),
            ]),
        }
    }

    /// Tells nobody the descriptors.
    #[must_use]
    pub fn without_reflection(self) -> Self {
        Self { reflection: None, ..self }
    }
}

impl<R: RedirectService, M: MerchantService> Service<Request<RequestBody>> for Router<R, M> {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<Response, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        match (service_of(request.uri().path()), &mut self.reflection) {
            ("waypost.v1.RedirectService", _) => self.redirect.call(request),
            ("waypost.v1.MerchantService", _) => self.merchant.call(request),
            ("grpc.health.v1.Health", _) => self.health.call(request),
            ("grpc.reflection.v1.ServerReflection", Some([v1, _])) => v1.call(request),
            ("grpc.reflection.v1alpha.ServerReflection", Some([_, v1alpha])) => v1alpha.call(request),
            _ => Box::pin(ready(Ok(no_such_service()))),
        }
    }
}

// Derived, this would ask that the services themselves can be cloned.
impl<R, M> Clone for Router<R, M> {
    fn clone(&self) -> Self {
        Self {
            redirect: self.redirect.clone(),
            merchant: self.merchant.clone(),
            health: self.health.clone(),
            reflection: self.reflection.clone(),
        }
    }
}

fn reflection<S>(service: S) -> Reflection
where
    S: Service<Request<RequestBody>, Response = Response, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(service.map_response(explain_at_the_end))
}

/// `/package.Service/Method` -> `package.Service`; empty when the path has another form.
fn service_of(path: &str) -> &str {
    path.strip_prefix('/').and_then(|path| path.split_once('/')).map_or("", |(service, _)| service)
}

fn no_such_service() -> Response {
    status::error(Code::Unimplemented, ErrorReason::MethodNotFound, "this server has no such service").into_http()
}
