//! Which URL (SPEC 4): the slots that serve an outcome, and the levels within a slot.

use crate::model::{Kind, Level, Outcome, Precedence};

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
pub struct Selection<T> {
    /// Where it was found.
    pub position: Position,
    /// What was found.
    pub value: T,
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
pub fn select<T>(
    kind: Kind,
    outcome: Outcome,
    precedence: Precedence,
    find: impl Fn(Position) -> Option<T>,
) -> Option<Selection<T>> {
    let found = |position| Some(Selection { position, value: find(position)? });
    positions(kind, outcome, precedence).find_map(found)
}
