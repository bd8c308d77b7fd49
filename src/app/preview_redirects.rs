//! `PreviewRedirects`: every outcome's answer, before a buyer needs one.

use super::{
    Answer, App, Draft, Error, Explain,
    create_session::Prepared,
    notices::notices,
    resolve_redirect::{Circumstances, answer, with_question},
};
use crate::{
    model::{Ending, Merchant, Notice, Outcome, ReturnUrls, Session, SessionId, Tenants, Violations, limits},
    redirect::{Seal, Template},
};

/// What is previewed.
#[derive(Debug, Clone)]
pub enum PreviewSource {
    /// A session that exists.
    Session(SessionId),
    /// One that is not created, with what is wrong with its fields.
    Draft(Box<Draft>, Violations),
}

/// Every outcome's answer.
#[derive(Debug, Clone)]
pub struct Preview {
    /// One for each outcome, explained, in the order of [`Outcome::ALL`].
    pub answers: Vec<Answer>,
    /// Bytes of the longest URL when all that is not known yet has the longest value it may have.
    pub max_url_length: usize,
    /// What to know about the URLs.
    pub notices: Vec<Notice>,
}

impl App {
    /// Answers for every outcome. Writes nothing.
    pub async fn preview_redirects(&self, source: PreviewSource, tenants: &Tenants) -> Result<Preview, Error> {
        let now = self.clock.now();
        let circumstances = self.circumstances(now, Seal::Specimen);
        let (session, merchant, notices) = match source {
            PreviewSource::Session(id) => {
                let loaded = self.load_counted(id, tenants).await?;
                let notices = notices(&loaded.session, &unbound(&loaded.session), &loaded.merchant, circumstances);
                (loaded.session, loaded.merchant, notices)
            }
            PreviewSource::Draft(draft, violations) => {
                let prepared = self.prepare(*draft, violations, tenants).await.map_err(|(error, _)| error)?;
                let Prepared { session, merchant, notices } = prepared;
                (session.into(), merchant, notices)
            }
        };
        let recorded = session.ending_at(now);
        let answer_for = |outcome| {
            let ending = Ending::bare(outcome).after(recorded.as_deref());
            answer(&session, &merchant, circumstances, &ending, Explain::Candidates)
        };
        let answers = Outcome::ALL.map(answer_for).into();
        let lengths =
            Outcome::ALL.into_iter().filter_map(|outcome| longest_url(&session, &merchant, circumstances, outcome));
        Ok(Preview { answers, max_url_length: lengths.max().unwrap_or(0), notices })
    }
}

/// The return URLs of a session as they were written.
fn unbound(session: &Session) -> ReturnUrls<Template> {
    let mut templates = ReturnUrls::default();
    for (slot, text) in session.id.kind().return_urls(&session.body().to_fields()).iter() {
        templates.set(slot, Template::compile(text).ok());
    }
    templates
}

/// Bytes of an outcome's URL with the longest ending. A quotation mark is one of the bytes that are written as three, and
/// one of those that a token has to escape.
fn longest_url(
    session: &Session,
    merchant: &Merchant,
    circumstances: Circumstances<'_>,
    outcome: Outcome,
) -> Option<usize> {
    let longest = |bytes: usize| Some("\"".repeat(bytes).into());
    let ending = Ending {
        outcome,
        payment_id: longest(limits::PAYMENT_ID_BYTES),
        status: longest(limits::STATUS_BYTES),
        error_code: longest(limits::ERROR_CODE_BYTES),
    };
    with_question(session, merchant, circumstances, &ending, |question| question.url_length())
}
