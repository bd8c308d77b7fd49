//! Which URL (SPEC 4): the slots that serve an outcome, and the levels within a slot.

use crate::model::{Kind, Level, Outcome, Precedence, ReturnUrls};

/// A place that may hold a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The outcome that the slot is for.
    pub slot: Outcome,
    /// Whose slot it is.
    pub level: Level,
}

/// What was found, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection<'t, T> {
    /// Where it was found.
    pub position: Position,
    /// What was found.
    pub value: &'t T,
}

/// The slots that serve an outcome, the best first.
pub const fn slots(kind: Kind, outcome: Outcome) -> &'static [Outcome] {
    match (outcome, kind) {
        (Outcome::Success, _) => &[Outcome::Success],
        (Outcome::Failure, _) => &[Outcome::Failure],
        // Never success: goods must not be released on it.
        (Outcome::Pending, _) => &[Outcome::Pending],
        // Mercado Pago sends buyers who leave to the failure URL.
        (Outcome::Cancel, Kind::Order) => &[Outcome::Cancel, Outcome::Failure],
        (Outcome::Cancel, Kind::Checkout | Kind::Payment) => &[Outcome::Cancel],
        (Outcome::Expired, Kind::Order) => &[Outcome::Expired, Outcome::Cancel, Outcome::Failure],
        (Outcome::Expired, Kind::Checkout | Kind::Payment) => &[Outcome::Expired, Outcome::Cancel],
    }
}

/// Every place that may serve an outcome, the best first.
pub fn positions(kind: Kind, outcome: Outcome, precedence: Precedence) -> impl Iterator<Item = Position> {
    slots(kind, outcome).iter().flat_map(move |&slot| precedence.levels().map(|level| Position { slot, level }))
}

/// Finds what serves an outcome: the first filled slot, and within it the first level that fills it.
pub fn select<'t, T>(
    kind: Kind,
    outcome: Outcome,
    precedence: Precedence,
    settings: &'t ReturnUrls<T>,
    request: &'t ReturnUrls<T>,
) -> Option<Selection<'t, T>> {
    for &slot in slots(kind, outcome) {
        for level in precedence.levels() {
            let urls = match level {
                Level::Settings => settings,
                Level::Request => request,
            };
            if let Some(value) = urls.get(slot) {
                return Some(Selection { position: Position { slot, level }, value });
            }
        }
    }
    None
}
