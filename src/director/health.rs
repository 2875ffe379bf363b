//! The health of one real server in one virtual service.

use crate::check::Failure;
use std::fmt;

/// What is known of a real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Not checked yet, and not in the table: it gets no connections.
    Unknown,
    /// Not checked yet, but the table listed it with a weight when the program started: it keeps
    /// its connections until a check says otherwise.
    Adopted,
    /// Its last verdict is good.
    Up,
    /// Its last verdict is bad, and why.
    Down(Failure),
    /// Taken out by a file in `maintenancedir`.
    Maintenance,
}

impl Health {
    /// Whether the table shall send it connections.
    pub fn serves(&self) -> bool {
        match self {
            Self::Adopted | Self::Up => true,
            Self::Unknown | Self::Down(_) | Self::Maintenance => false,
        }
    }

    /// The word of `status`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Adopted => "adopted",
            Self::Up => "up",
            Self::Down(_) => "down",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
