//! `waypost.v1.RedirectService`: each method reads the request, calls one use case, and writes the answer.

use super::{Deadline, from_proto, status::to_status, to_proto};
use crate::{
    app::{App, CreatedSession, Error},
    model::Violations,
    proto::v1::{self, redirect_service_server::RedirectService},
};
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct Redirects {
    app: App,
}

impl Redirects {
    /// The service on those use cases.
    pub const fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl RedirectService for Redirects {
    async fn create_checkout(
        &self,
        request: Request<v1::CreateCheckoutRequest>,
    ) -> Result<Response<v1::CreateCheckoutResponse>, Status> {
        let (draft, violations) = from_proto::checkout(request.into_inner());
        let created = self.app.create_session(draft, violations).await.map_err(to_status)?;
        let CreatedSession { session, replayed, now } = created;
        let notices = to_proto::notices(&session.notices);
        let session = Some(to_proto::session(&session, now));
        Ok(Response::new(v1::CreateCheckoutResponse { session, replayed, notices }))
    }

    async fn create_order(
        &self,
        request: Request<v1::CreateOrderRequest>,
    ) -> Result<Response<v1::CreateOrderResponse>, Status> {
        let (draft, violations) = from_proto::order(request.into_inner());
        let created = self.app.create_session(draft, violations).await.map_err(to_status)?;
        let CreatedSession { session, replayed, now } = created;
        let notices = to_proto::notices(&session.notices);
        let session = Some(to_proto::session(&session, now));
        Ok(Response::new(v1::CreateOrderResponse { session, replayed, notices }))
    }

    async fn create_payment(
        &self,
        request: Request<v1::CreatePaymentRequest>,
    ) -> Result<Response<v1::CreatePaymentResponse>, Status> {
        let (draft, violations) = from_proto::payment(request.into_inner());
        let created = self.app.create_session(draft, violations).await.map_err(to_status)?;
        let CreatedSession { session, replayed, now } = created;
        let notices = to_proto::notices(&session.notices);
        let session = Some(to_proto::session(&session, now));
        Ok(Response::new(v1::CreatePaymentResponse { session, replayed, notices }))
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::GetSessionResponse>, Status> {
        let mut violations = Violations::default();
        let id = from_proto::session_id(&request.get_ref().session_id, &mut violations);
        let id = id.ok_or_else(|| to_status(Error::Invalid(violations)))?;
        let (session, now) = self.app.get_session(id).await.map_err(to_status)?;
        Ok(Response::new(v1::GetSessionResponse { session: Some(to_proto::session(&session, now)) }))
    }

    async fn record_outcome(
        &self,
        request: Request<v1::RecordOutcomeRequest>,
    ) -> Result<Response<v1::RecordOutcomeResponse>, Status> {
        let (id, report) = from_proto::record(request.into_inner()).map_err(Error::Invalid).map_err(to_status)?;
        let recorded = self.app.record_outcome(id, report).await.map_err(to_status)?;
        let session = Some(to_proto::session(&recorded.session, recorded.now));
        Ok(Response::new(v1::RecordOutcomeResponse { session, applied: recorded.applied }))
    }

    async fn resolve_redirect(
        &self,
        request: Request<v1::ResolveRedirectRequest>,
    ) -> Result<Response<v1::ResolveRedirectResponse>, Status> {
        let deadline = request.extensions().get::<Deadline>().map(|deadline| deadline.0);
        let query = from_proto::resolve(request.into_inner(), deadline).map_err(Error::Invalid).map_err(to_status)?;
        let answer = self.app.resolve_redirect(&query).await.map_err(to_status)?;
        Ok(Response::new(v1::ResolveRedirectResponse { redirect: Some(to_proto::redirect(answer)) }))
    }

    async fn preview_redirects(
        &self,
        request: Request<v1::PreviewRedirectsRequest>,
    ) -> Result<Response<v1::PreviewRedirectsResponse>, Status> {
        let (source, prefix) = from_proto::preview(request.into_inner()).map_err(Error::Invalid).map_err(to_status)?;
        let preview = self.app.preview_redirects(source).await.map_err(|error| match error {
            // The fields of a draft stand within the field that holds it.
            Error::Invalid(violations) => to_status(Error::Invalid(violations.within(prefix))),
            other => to_status(other),
        })?;
        Ok(Response::new(to_proto::preview(preview)))
    }
}
