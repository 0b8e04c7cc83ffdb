//! The zones that are queried.

use crate::courier::smtpaccess::Access;
use crate::dnsbl::rule::{Effect, Rule};

/// The zones of the mail server, in its order, and its table of sources for
/// which it queries no zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zones {
    rules: Vec<Rule>,
    access: Access,
}

impl Zones {
    /// Creates the zones without an access table: every source is looked up.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self::with_access(rules, Access::default())
    }

    /// Creates the zones with Courier's access table, which decides about some
    /// sources without a look-up.
    #[must_use]
    pub fn with_access(rules: Vec<Rule>, access: Access) -> Self {
        Self { rules, access }
    }

    /// The zones, in the mail server's order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The server's access table.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Whether any zone can make the server reject a source.
    #[must_use]
    pub fn can_list(&self) -> bool {
        let rejects = |rule: &Rule| matches!(rule.effect, Effect::Reject(_));
        self.rules.iter().any(rejects)
    }
}
