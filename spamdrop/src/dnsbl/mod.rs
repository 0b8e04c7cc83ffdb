//! Look-ups in the mail server's DNS blocklists, through the machine's name
//! servers.
//!
//! [`Lookups`] looks up many sources at once: [`inquiry`] asks all zones about
//! one source, [`message`] reads the answers, and `spamdrop_core::dnsbl`
//! interprets them.

mod cache;
pub mod inquiry;
mod join;
mod lookup_answer;
mod lookups;
pub mod message;
mod name_server_health;
pub mod question;
pub mod resolver;
mod zone_tester;

pub use join::join_all;
pub use lookup_answer::LookupAnswer;
pub use lookups::{Asked, Lookups};
pub use resolver::Resolver;

use std::time::Duration;

/// Maximum time for all queries about one source together.
pub const TIMEOUT: Duration = Duration::from_secs(5);
