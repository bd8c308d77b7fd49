//! `waypost create`: opens a session from a provider's JSON body.

use super::{
    body::{Body, BodyKind},
    client::Client,
    failure::Failure,
    notices, session, time,
};
use crate::proto::v1::{Notice, Session};
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// Options of the new session.
#[derive(Debug, Args)]
pub struct Create {
    /// Whose body it is.
    kind: BodyKind,

    /// The provider's JSON body, with or without Waypost's own fields; `-` for standard input.
    file: PathBuf,

    /// The merchant that the session belongs to, whatever the body says.
    #[arg(long, value_name = "ID", help_heading = "Session")]
    merchant: Option<String>,

    /// Makes it safe to repeat: with the same key and body, the first answer comes again.
    #[arg(long, value_name = "KEY", help_heading = "Session")]
    idempotency_key: Option<String>,

    /// How long the session stays open [default: 15m for a checkout, 24h otherwise].
    #[arg(long, value_name = "TIME", value_parser = time::parse_span, help_heading = "Session")]
    ttl: Option<Duration>,

    #[command(flatten)]
    client: Client,
}

impl Create {
    /// Creates, and says what was created.
    pub fn run(self) -> Result<String, Failure> {
        let connection = &self.client.connection;
        match self.body()? {
            Body::Checkout(request) => {
                let answer = connection.ask(async |client| client.create_checkout(request).await)?;
                self.client.show(&answer, |a| describe(a.session.as_ref(), Origin::of(a.replayed), &a.notices))
            }
            Body::Order(request) => {
                let answer = connection.ask(async |client| client.create_order(request).await)?;
                self.client.show(&answer, |a| describe(a.session.as_ref(), Origin::of(a.replayed), &a.notices))
            }
            Body::Payment(request) => {
                let answer = connection.ask(async |client| client.create_payment(request).await)?;
                self.client.show(&answer, |a| describe(a.session.as_ref(), Origin::of(a.replayed), &a.notices))
            }
        }
    }

    fn body(&self) -> Result<Body, Failure> {
        let mut body = Body::read(self.kind, &self.file)?;
        if let Some(merchant) = &self.merchant {
            body.merchant_id_mut().clone_from(merchant);
        }
        if let Some(key) = &self.idempotency_key {
            body.idempotency_key_mut().clone_from(key);
        }
        if let Some(ttl) = self.ttl {
            *body.ttl_mut() = Some(time::to_proto(ttl));
        }
        Ok(body)
    }
}

/// Whether the session came into being by this call.
#[derive(Clone, Copy)]
enum Origin {
    New,
    Replayed,
}

impl Origin {
    const fn of(replayed: bool) -> Self {
        if replayed { Self::Replayed } else { Self::New }
    }
}

fn describe(session: Option<&Session>, origin: Origin, notices: &[Notice]) -> String {
    let origin = match origin {
        Origin::New => "",
        Origin::Replayed => "\n\nNothing was created: this is the first answer to the same idempotency key again.",
    };
    format!("{}{origin}{}", session::describe(session), notices::paragraph(notices))
}
