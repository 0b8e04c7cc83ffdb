//! The result of a release.

use spamdrop_core::target::Target;

/// The entries that an owner has let go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Entries that nobody else wanted.
    pub removed: Vec<Target>,
    /// Entries that others still hold.
    pub kept: Vec<Target>,
}

impl Released {
    /// Whether nothing was let go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.kept.is_empty()
    }

    /// Adds others.
    pub fn add(&mut self, others: Self) {
        self.removed.extend(others.removed);
        self.kept.extend(others.kept);
    }
}
