//! From answers to the wire.

use crate::{
    app::{Answer, Judged, Preview},
    model::{Kind, Level, Merchant, Notice, NoticeCode, Outcome, Precedence, ReturnUrls, Session, Timestamp},
    pages::Links,
    proto::v1,
    redirect::{Candidate, Claims, Delivery, Fate, Template, Verdict},
};
use compact_str::CompactString;
use prost::Message;
use tonic::Status;

/// A session as it is seen at that time, with the links to its pages.
pub fn session(session: &Session, now: Timestamp, links: Option<&Links>) -> v1::Session {
    let ending = session.ending_at(now);
    let detail = |text: Option<CompactString>| text.map(String::from).unwrap_or_default();
    v1::Session {
        session_id: session.id.to_string(),
        merchant_id: session.merchant_id.to_string(),
        kind: kind(session.id.kind()).into(),
        outcome: ending.as_ref().map_or(v1::Outcome::Unspecified, |ending| outcome(ending.outcome)).into(),
        create_time: Some(timestamp(session.create_time)),
        update_time: Some(timestamp(session.update_time_at(now))),
        expire_time: Some(timestamp(session.expire_time)),
        payment_id: detail(ending.as_ref().and_then(|ending| ending.payment_id.clone())),
        status: detail(ending.as_ref().and_then(|ending| ending.status.clone())),
        error_code: detail(ending.as_ref().and_then(|ending| ending.error_code.clone())),
        page_url: links.map(|links| links.page_url(session.id)).unwrap_or_default(),
        checkout_url: links.and_then(|links| links.checkout_url(session.id)).unwrap_or_default(),
    }
}

/// What the caller should know.
pub fn notices(notices: &[Notice]) -> Vec<v1::Notice> {
    let notice = |notice: &Notice| v1::Notice {
        code: match notice.code {
            NoticeCode::OverriddenBySettings => v1::notice::Code::OverriddenBySettings,
            NoticeCode::NoUrl => v1::notice::Code::NoUrl,
            NoticeCode::UnknownPlaceholder => v1::notice::Code::UnknownPlaceholder,
            NoticeCode::PersonalData => v1::notice::Code::PersonalData,
            NoticeCode::UrlRefused => v1::notice::Code::UrlRefused,
        }
        .into(),
        field: notice.field.to_string(),
        description: notice.description.to_string(),
    };
    notices.iter().map(notice).collect()
}

/// A decision. `page_url` is empty when there is no page listener, or no session yet.
pub fn redirect(answer: Answer, page_url: String) -> v1::Redirect {
    let outcome = outcome(answer.outcome).into();
    let candidates = answer.candidates.into_iter().map(candidate).collect();
    let Some(redirect) = answer.decision.redirect else {
        return v1::Redirect {
            outcome,
            action: v1::Action::ShowPage.into(),
            source: v1::Source::HostedPage.into(),
            page_url,
            candidates,
            ..v1::Redirect::default()
        };
    };
    let (action, delay) = match redirect.delivery {
        Delivery::Now => (v1::Action::Redirect, None),
        Delivery::After(delay) => (v1::Action::DelayedRedirect, Some(delay)),
        Delivery::Button => (v1::Action::ShowPage, None),
    };
    v1::Redirect {
        outcome,
        action: action.into(),
        url: redirect.url.into(),
        delay: delay.and_then(|delay| delay.try_into().ok()),
        page_url,
        source: source(redirect.level).into(),
        unresolved_placeholders: redirect.unresolved,
        candidates,
    }
}

/// The error of one request of a stream, as the unary call's `grpc-status-details-bin` has it.
pub fn resolve_error(status: &Status) -> v1::ResolveError {
    match v1::ResolveError::decode(status.details()) {
        Ok(error) if error.code != 0 => error,
        // Every status of ours has details.
        _ => v1::ResolveError { code: status.code().into(), message: status.message().to_owned(), details: Vec::new() },
    }
}

/// Every outcome's decision.
pub fn preview(preview: Preview, page_url: &str) -> v1::PreviewRedirectsResponse {
    v1::PreviewRedirectsResponse {
        redirects: preview.answers.into_iter().map(|answer| redirect(answer, page_url.to_owned())).collect(),
        max_url_length: i32::try_from(preview.max_url_length).unwrap_or(i32::MAX),
        notices: notices(&preview.notices),
    }
}

/// What a return URL is worth.
pub fn judged(judged: Judged, links: Option<&Links>) -> v1::VerifyReturnResponse {
    let Judged { verified, session: found, now } = judged;
    let verdict = match verified.verdict {
        Verdict::Valid => v1::Verdict::Valid,
        Verdict::Missing => v1::Verdict::Missing,
        Verdict::Altered => v1::Verdict::Altered,
        Verdict::UnknownKey => v1::Verdict::UnknownKey,
        Verdict::OtherMerchant => v1::Verdict::OtherMerchant,
        Verdict::Expired => v1::Verdict::Expired,
    };
    v1::VerifyReturnResponse {
        verdict: verdict.into(),
        claims: verified.claims.map(claims),
        session: found.map(|found| session(&found, now, links)),
    }
}

fn claims(claims: Claims<'_>) -> v1::ReturnClaims {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    v1::ReturnClaims {
        issuer: claims.issuer.into(),
        merchant_id: claims.merchant_id.into(),
        session_id: claims.session_id.into(),
        issue_time: time(claims.issue_secs),
        expire_time: time(claims.expire_secs),
        token_id: claims.token_id.into(),
        outcome: outcome(claims.outcome).into(),
        payment_id: claims.payment_id.unwrap_or_default().into(),
        status: claims.status.unwrap_or_default().into(),
        external_reference: claims.external_reference.unwrap_or_default().into(),
    }
}

fn candidate(candidate: Candidate) -> v1::Candidate {
    let (fate, detail) = match candidate.fate {
        Fate::Chosen => (v1::candidate::Fate::Chosen, String::new()),
        Fate::Empty => (v1::candidate::Fate::Empty, String::new()),
        Fate::Refused(refusal) => (v1::candidate::Fate::Refused, refusal.to_string()),
        Fate::Outranked => (v1::candidate::Fate::Outranked, String::new()),
    };
    v1::Candidate {
        slot: outcome(candidate.position.slot).into(),
        source: source(candidate.position.level).into(),
        fate: fate.into(),
        template: candidate.template.unwrap_or_default(),
        detail,
    }
}

/// A merchant's settings.
pub fn merchant(merchant: &Merchant) -> v1::Merchant {
    v1::Merchant {
        merchant_id: merchant.id.to_string(),
        name: merchant.name.to_string(),
        return_urls: (!merchant.return_urls.is_empty()).then(|| return_urls(&merchant.return_urls)),
        precedence: match merchant.precedence {
            Precedence::SettingsFirst => v1::Precedence::SettingsFirst,
            Precedence::RequestFirst => v1::Precedence::RequestFirst,
        }
        .into(),
        auto_return_delay: merchant.auto_return_delay.try_into().ok(),
        allowed_origins: merchant.allowed_origins.iter().map(ToString::to_string).collect(),
        app_schemes: merchant.app_schemes.iter().map(|scheme| scheme.as_str().to_owned()).collect(),
        sign_returns: merchant.sign_returns,
        etag: merchant.etag(),
        update_time: merchant.update_time.map(timestamp),
    }
}

fn return_urls(urls: &ReturnUrls<Template>) -> v1::ReturnUrls {
    let url = |slot| urls.get(slot).map(|template| template.as_str().to_owned()).unwrap_or_default();
    v1::ReturnUrls {
        success: url(Outcome::Success),
        failure: url(Outcome::Failure),
        cancel: url(Outcome::Cancel),
        pending: url(Outcome::Pending),
        expired: url(Outcome::Expired),
    }
}

const fn kind(kind: Kind) -> v1::Kind {
    match kind {
        Kind::Checkout => v1::Kind::Checkout,
        Kind::Order => v1::Kind::Order,
        Kind::Payment => v1::Kind::Payment,
    }
}

const fn outcome(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Success => v1::Outcome::Success,
        Outcome::Failure => v1::Outcome::Failure,
        Outcome::Cancel => v1::Outcome::Cancel,
        Outcome::Pending => v1::Outcome::Pending,
        Outcome::Expired => v1::Outcome::Expired,
    }
}

const fn source(level: Level) -> v1::Source {
    match level {
        Level::Settings => v1::Source::MerchantSettings,
        Level::Request => v1::Source::Request,
    }
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_micros();
    // The remainder is below a million, and times before 1970 do not occur.
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}
