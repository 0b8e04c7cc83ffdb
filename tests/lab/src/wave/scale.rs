//! The size of a wave, and of the server that it meets.

use std::ops::Range;
use std::time::Duration;

/// Counts and times of a wave.
#[derive(Clone, Debug)]
pub struct Scale {
    /// The time in which bots and mail arrive.
    pub length: Duration,
    /// The maximum time that existing clients may continue afterwards.
    pub drain: Duration,
    /// Number of addresses in the botnet.
    pub bots: u32,
    /// Mails per second from senders other than bots.
    pub mails_per_second: f64,
    /// Number of known senders.
    pub known: u32,
    /// The fraction of mails from unknown neighbours of known senders.
    pub near: f64,
    /// The fraction of mails from other unknown hosts.
    pub new: f64,
    /// Number of listed hosts that are mail servers nevertheless.
    pub listed_servers: u32,
    /// Courier's `MAXDAEMONS`.
    pub slots: usize,
    /// Maximum number of connections that wait to be accepted; the kernel keeps
    /// one more.
    pub backlog: u16,
    /// Time from the connection to the banner.
    pub lookup: Duration,
    /// Delay before the first 5xx of a session.
    pub tarpit: Duration,
    /// Seconds that a client takes before each command.
    pub think: Range<f64>,
    /// How long a bot tries to connect, unless its timeout allows only one SYN.
    pub bot_patience: Duration,
    /// How long mail servers try to connect.
    pub server_connect_timeout: Duration,
    /// Seconds that a bot waits for a reply.
    pub boredom: Range<f64>,
    /// Seconds from the end of a bot's session to its next one.
    pub pause: Range<f64>,
}

impl Scale {
    /// Courier's defaults, and 1,500 bots in 90 s: about nine times the
    /// [`capacity`](Self::capacity) of the server.
    #[must_use]
    pub fn full() -> Self {
        Self {
            length: Duration::from_secs(90),
            drain: Duration::from_secs(90),
            bots: 1_500,
            mails_per_second: 2.0,
            known: 200,
            near: 0.04,
            new: 0.06,
            listed_servers: 10,
            slots: 40,
            backlog: 128,
            lookup: Duration::from_secs(2),
            tarpit: Duration::from_secs(8),
            think: 0.1..0.4,
            bot_patience: Duration::from_secs(21),
            server_connect_timeout: Duration::from_secs(127),
            boredom: 10.0..40.0,
            pause: 5.0..20.0,
        }
    }

    /// A smaller and faster server, with a similar overload. Only the kernel's
    /// retransmissions are not faster.
    #[must_use]
    pub fn small() -> Self {
        Self {
            length: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            bots: 480,
            mails_per_second: 2.5,
            known: 50,
            // Larger fractions, because there are fewer mails.
            near: 0.1,
            new: 0.15,
            listed_servers: 5,
            slots: 16,
            backlog: 47,
            lookup: Duration::from_millis(500),
            tarpit: Duration::from_secs(2),
            think: 0.05..0.15,
            bot_patience: Duration::from_secs(8),
            server_connect_timeout: Duration::from_secs(60),
            boredom: 4.0..12.0,
            pause: 2.0..6.0,
        }
    }

    /// The number of connections that the server can hold, in slots and
    /// waiting.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots + usize::from(self.backlog) + 1
    }
}
