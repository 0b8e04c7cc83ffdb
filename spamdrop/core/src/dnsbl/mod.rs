//! DNS blocklists: the mail server's zones and their verdict on a source.
//!
//! [`rule`] parses the zones in Courier's settings and in our own configuration;
//! Postfix's and Exim's settings have modules of their own. [`zone`] interprets the
//! answer of one zone, and [`decision`] combines the answers of all.
//! [`host_name`] examines the name of a source that no zone lists.

pub mod address_filter;
pub mod complaint;
pub mod decision;
pub mod host_name;
pub mod key;
pub mod named_zone;
pub mod question;
pub mod rate_limit;
pub mod refusal;
pub mod refusal_code;
pub mod reply_text;
pub mod response;
pub mod rule;
pub mod zone;
pub mod zone_counts;
pub mod zone_test;
use std::time::Duration;

/// The shortest lifetime of a verdict.
pub const SHORTEST: Duration = Duration::from_secs(60);
/// The longest lifetime of a verdict.
pub const LONGEST: Duration = Duration::from_secs(600);
/// The wait before the next look-up of a source if the last one gave no
/// verdict.
pub const RETRY: Duration = Duration::from_secs(15);
