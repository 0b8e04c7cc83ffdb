//! What the mail server's own DNS blocklists say of a source, asked of the
//! machine's resolver before the server does.
//!
//! `rule` reads what the server is told to ask, `question` and `message` are
//! its words on the wire, `zone` judges what one blocklist said and `decision`
//! what all of them did, `reverse` looks at the name of whom none lists.
//! [`Lookups`] does so for many sources at once.

pub mod access;
mod cache;
pub mod decision;
pub mod inquiry;
mod lookups;
pub mod message;
mod pace;
mod patience;
pub mod question;
pub mod refusal;
pub mod resolver;
pub mod reverse;
pub mod rule;
pub(crate) mod wording;
pub mod zone;
mod zones;

pub use lookups::{Answer, Asked, Lookups};
pub use resolver::Resolver;
pub use zones::{Zones, courier_rules};

use std::time::Duration;

/// For how long a verdict holds, at least.
pub const SHORTEST: Duration = Duration::from_secs(60);
/// For how long a verdict holds, at most.
pub const LONGEST: Duration = Duration::from_secs(600);
/// How long a source waits to be asked about again where nothing was learned.
pub const RETRY: Duration = Duration::from_secs(15);
/// How long all questions about a source may take together.
pub const PATIENCE: Duration = Duration::from_secs(5);
