//! The result of a release.

use spamdrop_core::target::Target;

/// The entries from which owners were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Entries without a further owner, which were removed.
    pub removed: Vec<Target>,
    /// Entries that remain, because they have other owners.
    pub kept: Vec<Target>,
}

impl Released {
    /// Whether no entry has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.kept.is_empty()
    }

    /// Adds the entries of another release.
    pub fn add(&mut self, others: Self) {
        self.removed.extend(others.removed);
        self.kept.extend(others.kept);
    }
}
