//! What the mail server's DNS blocklists say of a source.
//!
//! [`rule`] reads what the server is told to ask, [`zone`] judges what one zone
//! answered and [`decision`] what all of them did; [`host_name`] looks at the
//! name of a source that no zone lists.

pub mod answer;
pub mod complaint;
pub mod decision;
pub mod host_name;
pub mod question;
pub mod rate_limit;
pub mod refusal;
pub mod refusal_code;
pub mod reply_text;
pub mod rule;
pub mod zone;
use std::time::Duration;

/// For how long a verdict holds, at least.
pub const SHORTEST: Duration = Duration::from_secs(60);
/// For how long a verdict holds, at most.
pub const LONGEST: Duration = Duration::from_secs(600);
/// How long a source waits for its next look-up where the last one gave no
/// verdict.
pub const RETRY: Duration = Duration::from_secs(15);
