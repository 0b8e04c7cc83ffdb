//! The answer of a name server.

use std::fmt;
use std::time::Duration;

/// The reason why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryFailure {
    /// No answer arrived in time.
    TimedOut,
    /// No name server can be reached.
    Unreachable,
    /// The answer has this response code (RFC 6895 section 2.3).
    Code(u16),
    /// The answer cannot be parsed, or belongs to another question.
    Broken,
}

impl fmt::Display for QueryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out"),
            Self::Unreachable => f.write_str("no name server can be reached"),
            Self::Code(1) => f.write_str("the name server answered FORMERR"),
            Self::Code(2) => f.write_str("the name server answered SERVFAIL"),
            Self::Code(4) => f.write_str("the name server answered NOTIMP"),
            Self::Code(5) => f.write_str("the name server answered REFUSED"),
            Self::Code(code) => write!(f, "the name server answered code {code}"),
            Self::Broken => f.write_str("the answer is malformed or belongs to another question"),
        }
    }
}

/// Records of one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecords<T> {
    /// The values of the records; empty if there is no such record.
    pub values: Vec<T>,
    /// How long the records, or their absence, may be cached.
    pub ttl: Duration,
}
