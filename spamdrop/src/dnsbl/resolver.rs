//! Queries to the machine's name servers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context as _, Result};
use domain::base::iana::Rtype;
use domain::base::{Message, MessageBuilder};
use domain::net::client::dgram::{self, QueryErrorKind};
use domain::net::client::dgram_stream::{Config, Connection};
use domain::net::client::multi_stream;
use domain::net::client::protocol::{TcpConnect, UdpConnect};
use domain::net::client::request::{Error, RequestMessage, SendRequest as _};

use spamdrop_core::dnsbl::response::QueryFailure;

use super::name_server_health::NameServerHealth;
use super::question::Name;

/// How long a name server may take to answer by UDP, and again by TCP, before
/// the next one is tried.
const WAIT: Duration = Duration::from_millis(1500);
/// How many times each server is tried.
const ROUNDS: usize = 2;
/// Maximum number of servers, as in the C library (`MAXNS`).
const MAX_SERVERS: usize = 3;
/// Maximum number of concurrent queries to one server, each with a socket of
/// its own. Further queries wait.
const MAX_QUESTIONS: usize = 256;

/// The machine's name servers. Search domains are not used: every name is
/// absolute. An answer that exceeds a datagram of 1,232 bytes is requested
/// again by TCP.
#[derive(Debug)]
pub struct Resolver {
    servers: Vec<NameServer>,
}

#[derive(Debug)]
struct NameServer {
    addr: SocketAddr,
    /// Created with the first query, because its TCP side is a task of the
    /// runtime.
    connection: OnceLock<Connection<UdpConnect, RequestMessage<Vec<u8>>>>,
    health: NameServerHealth,
}

/// Reads the name servers from a file such as `/etc/resolv.conf`. Without the
/// file, the local machine is the name server, as in the C library.
///
/// # Errors
///
/// The file cannot be read.
pub fn name_servers(resolv_conf: &Path) -> Result<Vec<SocketAddr>> {
    let text = match fs::read(resolv_conf) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        text => text.with_context(|| format!("cannot read {}", resolv_conf.display()))?,
    };
    Ok(servers(&String::from_utf8_lossy(&text)))
}

impl Resolver {
    /// Creates a resolver for the name servers of a file such as
    /// `/etc/resolv.conf`. Without the file, the local machine is the name
    /// server, as in the C library.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn read(resolv_conf: &Path) -> Result<Self> {
        name_servers(resolv_conf).map(|servers| Self::new(&servers))
    }

    /// A resolver that tries these name servers in this order.
    #[must_use]
    pub fn new(servers: &[SocketAddr]) -> Self {
        let server = |addr: &SocketAddr| NameServer {
            addr: *addr,
            connection: OnceLock::new(),
            health: NameServerHealth::default(),
        };
        Self {
            servers: servers.iter().map(server).collect(),
        }
    }

    /// Sends a query and reads the answer. If a server fails, or answers with a
    /// code such as SERVFAIL, the next one is tried. A server that was silent
    /// several times in a row is tried after the others for 30 s.
    ///
    /// # Errors
    ///
    /// The last failure, if no server answered. The call may take twice
    /// [`WAIT`] for each server, and as long again if answers need TCP.
    pub async fn ask<T>(
        &self,
        name: &Name,
        kind: Rtype,
        read: impl Fn(&Message<[u8]>) -> Result<T, QueryFailure>,
    ) -> Result<T, QueryFailure> {
        let question = question(name, kind).ok_or(QueryFailure::Broken)?;
        let mut failure = QueryFailure::Unreachable;
        for server in self.in_order().repeat(ROUNDS) {
            match server.ask(&question, &read).await {
                Ok(answer) => return Ok(answer),
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    fn in_order(&self) -> Vec<&NameServer> {
        let (now, mut servers) = (Instant::now(), self.servers.iter().collect::<Vec<_>>());
        servers.sort_by_cached_key(|server| server.health.is_lost(now, WAIT));
        servers
    }
}

impl NameServer {
    async fn ask<T>(
        &self,
        question: &RequestMessage<Vec<u8>>,
        read: &impl Fn(&Message<[u8]>) -> Result<T, QueryFailure>,
    ) -> Result<T, QueryFailure> {
        let mut request = self.connection().send_request(question.clone());
        match request.get_response().await {
            Ok(message) => {
                self.health.answered();
                read(message.for_slice())
            }
            Err(error) => {
                // Only silence counts against the server: other errors cost no
                // time, or follow an answer by UDP.
                if is_silence(&error) {
                    self.health.timed_out(Instant::now());
                }
                Err(why(&error))
            }
        }
    }

    fn connection(&self) -> &Connection<UdpConnect, RequestMessage<Vec<u8>>> {
        self.connection.get_or_init(|| {
            let (udp, tcp) = (UdpConnect::new(self.addr), TcpConnect::new(self.addr));
            let (connection, transport) = Connection::with_config(udp, tcp, config());
            // The task ends when the connection is dropped.
            tokio::spawn(transport.run());
            connection
        })
    }
}

fn config() -> Config {
    let mut udp = dgram::Config::new();
    udp.set_max_parallel(MAX_QUESTIONS);
    udp.set_read_timeout(WAIT);
    udp.set_max_retries(0);
    let mut tcp = multi_stream::Config::default();
    tcp.set_response_timeout(WAIT);
    Config::from_parts(udp, tcp)
}

fn question(name: &Name, kind: Rtype) -> Option<RequestMessage<Vec<u8>>> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_rd(true);
    let mut message = message.question();
    message.push((name, kind)).ok()?;
    RequestMessage::new(message.into_message()).ok()
}

/// Whether the query timed out without a datagram.
fn is_silence(error: &Error) -> bool {
    matches!(error, Error::Dgram(error) if matches!(error.kind(), QueryErrorKind::Timeout))
}

fn why(error: &Error) -> QueryFailure {
    if is_silence(error) || matches!(error, Error::StreamReadTimeout) {
        QueryFailure::TimedOut
    } else {
        QueryFailure::Unreachable
    }
}

/// Parses the name servers of a `resolv.conf`. A port, as in `192.0.2.53:5353`,
/// is an extension of spamdrop. Lines without a valid address are skipped.
fn servers(text: &str) -> Vec<SocketAddr> {
    let of_line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let is_server = words.next() == Some("nameserver");
        let word = words.next().filter(|_| is_server)?;
        let addr = word.parse::<IpAddr>().map(|addr| (addr, 53).into());
        addr.or_else(|_| word.parse::<SocketAddr>()).ok()
    };
    let mut servers: Vec<SocketAddr> = text.lines().filter_map(of_line).collect();
    servers.truncate(MAX_SERVERS);
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, 53).into());
    }
    servers
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use domain::base::iana::Rcode;
    use domain::rdata::A;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::dnsbl::{message, question};

    /// The reply of a test name server to an address query.
    fn answer(query: &[u8], truncated: bool) -> Vec<u8> {
        let query = Message::from_octets(query).unwrap();
        let builder = MessageBuilder::new_vec();
        let mut answer = builder.start_answer(&query, Rcode::NOERROR).unwrap();
        answer.header_mut().set_tc(truncated);
        if !truncated {
            let question = query.first_question().unwrap();
            let data = A::new(Ipv4Addr::new(127, 0, 0, 2));
            answer.push((question.qname(), 60, data)).unwrap();
        }
        answer.finish()
    }

    #[tokio::test]
    async fn a_truncated_answer_is_asked_for_again_by_tcp() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(addr).await.unwrap();
        tokio::spawn(async move {
            let mut query = [0; 1500];
            let (length, peer) = udp.recv_from(&mut query).await.unwrap();
            let truncated = answer(&query[..length], true);
            udp.send_to(&truncated, peer).await.unwrap();
        });
        tokio::spawn(async move {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut query = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut query).await.unwrap();
            let whole = answer(&query, false);
            let length = u16::try_from(whole.len()).unwrap();
            stream.write_u16(length).await.unwrap();
            stream.write_all(&whole).await.unwrap();
            // The connection stays open, as with real name servers.
            let _ = stream.read_u8().await;
        });
        let name = question::in_zone("192.0.2.9".parse().unwrap(), "b.example").unwrap();
        let resolver = Resolver::new(&[addr]);
        let records = resolver.ask(&name, Rtype::A, message::addresses4).await;
        assert_eq!(records.unwrap().values, [Ipv4Addr::new(127, 0, 0, 2)]);
    }

    #[test]
    fn name_servers_of_a_file() {
        let shown = |text: &str| {
            let servers = servers(text).into_iter();
            servers.map(|server| server.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            shown(
                "# nameserver 192.0.2.1\nsearch example.org\nnameserver 192.0.2.2\n\tnameserver  2001:db8::53 # x\nnameserver ns.example.org\nnameservers 192.0.2.3\nnameserver 192.0.2.4:5353\nnameserver 192.0.2.5\noptions ndots:5"
            ),
            ["192.0.2.2:53", "[2001:db8::53]:53", "192.0.2.4:5353"]
        );
        assert_eq!(shown("search example.org"), ["127.0.0.1:53"]);
        assert_eq!(shown("nameserver"), ["127.0.0.1:53"]);
    }
}
