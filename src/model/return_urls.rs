//! A value for each outcome ([`ReturnUrls`]), and the two levels that such sets stand on.

use super::Outcome;

/// Who set a return URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// The merchant, once for all its sessions.
    Settings,
    /// The create request of the session.
    Request,
}

impl Level {
    /// Both levels.
    pub const ALL: [Self; 2] = [Self::Settings, Self::Request];

    /// What belongs to this level.
    pub fn of<T>(self, settings: T, request: T) -> T {
        match self {
            Self::Settings => settings,
            Self::Request => request,
        }
    }
}

/// Which level is asked first, slot by slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precedence {
    /// The settings: the default, as in Clover's newer document.
    #[default]
    SettingsFirst,
    /// The request.
    RequestFirst,
}

impl Precedence {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::SettingsFirst, Self::RequestFirst];

    /// The levels in the order in which they are asked.
    pub const fn levels(self) -> [Level; 2] {
        match self {
            Self::SettingsFirst => [Level::Settings, Level::Request],
            Self::RequestFirst => [Level::Request, Level::Settings],
        }
    }
}

/// The slots of one level: at most one `T` for each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReturnUrls<T>([Option<T>; Outcome::ALL.len()]);

impl<T> ReturnUrls<T> {
    /// The slot of that outcome.
    pub fn get(&self, slot: Outcome) -> Option<&T> {
        self.0[slot as usize].as_ref()
    }

    /// Fills or empties the slot of that outcome.
    pub fn set(&mut self, slot: Outcome, value: Option<T>) {
        self.0[slot as usize] = value;
    }

    /// The filled slots.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, &T)> {
        Outcome::ALL.into_iter().filter_map(|slot| self.get(slot).map(|value| (slot, value)))
    }

    /// Whether no slot is filled.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

impl<T> Default for ReturnUrls<T> {
    fn default() -> Self {
        Self([const { None }; Outcome::ALL.len()])
    }
}
