//! Where the buyer goes and what the browser does (SPEC 4 and 8).

use super::{
    CheckedUrl, Policy, Position, Refusal, ReturnParams, Signing, TemplateRef, Values,
    select::{Selection, positions, select},
};
use crate::model::{Kind, Level, Outcome, Precedence};
use std::time::Duration;

/// Everything a decision depends on.
pub struct Question<'a, V> {
    /// Whose rules are followed.
    pub kind: Kind,
    /// The outcome to answer for.
    pub outcome: Outcome,
    /// The URL in a place, if there is one.
    pub urls: &'a dyn Fn(Position) -> Option<TemplateRef<'a>>,
    /// Whose URLs come first.
    pub precedence: Precedence,
    /// What placeholders name.
    pub values: &'a V,
    /// What is added to the URL.
    pub params: ReturnParams<'a>,
    /// Whether a token is added too, and what it says.
    pub signing: Signing<'a>,
    /// What the complete URL is checked against.
    pub policy: Policy<'a>,
    /// When an order's page goes on by itself.
    pub auto_return: AutoReturn,
    /// How long it waits before it does.
    pub delay: Duration,
}

/// When an order's page goes on to the return URL by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoReturn {
    /// After success only: Mercado Pago's default.
    #[default]
    Approved,
    /// After every outcome.
    All,
}

impl AutoReturn {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Approved, Self::All];

    /// The word for it in requests and stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::All => "all",
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Where the buyer goes. `None`: to the hosted page, without a button.
    pub redirect: Option<Redirect>,
    /// Where its URL was found; also set when that URL was refused.
    pub chosen: Option<Position>,
    /// Why the chosen URL was refused.
    pub refusal: Option<Refusal>,
}

/// A return URL that may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The complete URL.
    pub url: CheckedUrl,
    /// How the browser gets there.
    pub delivery: Delivery,
    /// Whose URL it is.
    pub level: Level,
    /// The placeholders in it that name nothing, as they are written.
    pub unresolved: Vec<String>,
}

/// How a browser gets to a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// At once: HTTP 303.
    Now,
    /// By itself after that time, from a page with a button.
    After(Duration),
    /// By the button of a page.
    Button,
}

/// Decides where the buyer goes. The steps are the sections of SPEC.md.
pub fn decide<V: Values>(question: &Question<'_, V>) -> Decision {
    let Some(selection) = question.select() else {
        return Decision { redirect: None, chosen: None, refusal: None };
    };
    let chosen = Some(selection.position);
    let filled = selection.value.render(question.values);
    let unresolved = filled.unresolved().map(str::to_owned).collect();
    let complete = question.signing.token().map(|token| filled.append(&question.params, token.as_deref()));
    match complete.and_then(|complete| question.policy.check(complete)) {
        Ok(url) => {
            let redirect = Redirect { url, delivery: delivery(question), level: selection.position.level, unresolved };
            Decision { redirect: Some(redirect), chosen, refusal: None }
        }
        // Never a URL of lower precedence because a better one was bad.
        Err(refusal) => Decision { redirect: None, chosen, refusal: Some(refusal) },
    }
}

fn delivery<V>(question: &Question<'_, V>) -> Delivery {
    match (question.kind, question.outcome, question.auto_return) {
        (Kind::Checkout | Kind::Payment, _, _) => Delivery::Now,
        (Kind::Order, Outcome::Success, _) | (Kind::Order, _, AutoReturn::All) => {
            if question.delay.is_zero() {
                Delivery::Now
            } else {
                Delivery::After(question.delay)
            }
        }
        (Kind::Order, _, AutoReturn::Approved) => Delivery::Button,
    }
}

/// A place that was looked at, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The place.
    pub position: Position,
    /// The template there, with what was bound at create.
    pub template: Option<String>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The answer.
    Chosen,
    /// Holds no URL.
    Empty,
    /// Chosen, and refused by the final check, or for want of a key to sign with.
    Refused(Refusal),
    /// Holds a URL, and an earlier one was chosen.
    Outranked,
}

impl<'a, V: Values> Question<'a, V> {
    fn select(&self) -> Option<Selection<TemplateRef<'a>>> {
        select(self.kind, self.outcome, self.precedence, self.urls)
    }

    /// Every place that may have held the URL, in the order in which they were tried.
    pub fn explain(&self, decision: &Decision) -> Vec<Candidate> {
        positions(self.kind, self.outcome, self.precedence)
            .map(|position| {
                let template = (self.urls)(position).map(|template| template.as_str().to_owned());
                let fate = match (&decision.refusal, &template) {
                    (_, None) => Fate::Empty,
                    (None, Some(_)) if decision.chosen == Some(position) => Fate::Chosen,
                    (Some(refusal), Some(_)) if decision.chosen == Some(position) => Fate::Refused(refusal.clone()),
                    (_, Some(_)) => Fate::Outranked,
                };
                Candidate { position, template, fate }
            })
            .collect()
    }

    /// The length in bytes of the complete URL, accepted or not; `None` when there is none.
    pub fn url_length(&self) -> Option<usize> {
        let selection = self.select()?;
        // Without keys there is no token, and no URL either.
        let token = self.signing.token().ok().flatten();
        let added = self.params.added_len(selection.value.as_str(), token.as_deref());
        Some(selection.value.rendered_len(self.values) + added)
    }
}
