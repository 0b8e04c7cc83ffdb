//! A name server over UDP whose answers a test chooses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use domain::base::iana::Class;
use domain::base::message_builder::AnswerBuilder;
use domain::base::{Message, MessageBuilder, Name, Rtype as Kind, Serial, Ttl};
use domain::rdata::{A, Aaaa, Cname, Ptr, Soa, Txt};

pub use domain::base::Rtype;
pub use domain::base::iana::Rcode;

use crate::host::Host;

/// Maximum length of a question that the server reads.
const LONGEST: usize = 1500;

/// An answer of the server.
#[derive(Clone, Debug)]
pub enum Reply {
    /// These records, with this TTL in seconds. Without records, the name
    /// exists but has none of this type.
    Records(u32, Vec<Data>),
    /// The name does not exist; the negative TTL in seconds.
    Absent(u32),
    /// This response code, such as SERVFAIL or REFUSED.
    Code(Rcode),
    /// A truncated answer.
    Truncated,
    /// An answer with these bytes after the id and the flags.
    Garbage(Vec<u8>),
    /// No answer.
    Silence,
    /// This answer, after a delay.
    After(Duration, Box<Self>),
}

/// The data of a record. Answers keep the order of records.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as the DNS calls them")]
pub enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Txt(Vec<u8>),
    Ptr(String),
    /// The records after it belong to this name.
    Cname(String),
}

impl Reply {
    /// An IPv4 address with a TTL of five minutes.
    #[must_use]
    pub fn a(octets: [u8; 4]) -> Self {
        Self::Records(300, vec![Data::A(octets.into())])
    }

    /// A text with a TTL of five minutes.
    #[must_use]
    pub fn txt(text: &str) -> Self {
        Self::Records(300, vec![Data::Txt(text.into())])
    }

    /// A name with a TTL of five minutes.
    #[must_use]
    pub fn ptr(name: &str) -> Self {
        Self::Records(300, vec![Data::Ptr(name.into())])
    }
}

type Answers = dyn Fn(&str, Kind) -> Reply + Send + Sync;

/// A running name server. Dropping it ends it.
pub struct DnsStub {
    addr: SocketAddr,
    socket: Arc<UdpSocket>,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    answers: Box<Answers>,
    asked: Mutex<HashMap<(String, Kind), usize>>,
    stopped: AtomicBool,
}

impl DnsStub {
    /// Starts a server at an address of a host. `answers` receives the name in
    /// lower case and without a trailing dot.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub fn start(
        host: &Host,
        addr: SocketAddr,
        answers: impl Fn(&str, Kind) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let socket = host
            .run(move || UdpSocket::bind(addr))
            .with_context(|| format!("bind {addr} on {}", host.name()))?;
        Self::answer_at(socket, answers)
    }

    /// Starts a server in the caller's network namespace, on a free port of
    /// 127.0.0.53. This needs no root.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub fn start_here(
        answers: impl Fn(&str, Kind) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.53:0").context("bind 127.0.0.53")?;
        Self::answer_at(socket, answers)
    }

    fn answer_at(
        socket: UdpSocket,
        answers: impl Fn(&str, Kind) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let addr = socket.local_addr()?;
        let socket = Arc::new(socket);
        let state = Arc::new(State {
            answers: Box::new(answers),
            asked: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let (its_socket, its_state) = (Arc::clone(&socket), Arc::clone(&state));
        let thread = thread::Builder::new()
            .name("dns-stub".into())
            .spawn(move || serve(&its_socket, &its_state))?;
        Ok(Self {
            addr,
            socket,
            state,
            thread: Some(thread),
        })
    }

    /// The address on which the server listens. With port 0, the kernel chose
    /// the port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The number of questions received.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.state.asked().values().sum()
    }

    /// The number of times that this question was received.
    #[must_use]
    pub fn asked(&self, name: &str, kind: Kind) -> usize {
        let key = (name.to_owned(), kind);
        self.state.asked().get(&key).copied().unwrap_or_default()
    }
}

impl Drop for DnsStub {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        let mut own = self.addr;
        if own.ip().is_unspecified() {
            own.set_ip(match own {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        // Wakes the thread. If that fails, the thread stays, which is harmless.
        if self.socket.send_to(&[], own).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl State {
    fn asked(&self) -> MutexGuard<'_, HashMap<(String, Kind), usize>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(socket: &Arc<UdpSocket>, state: &Arc<State>) {
    let mut bytes = [0; LONGEST];
    while !state.stopped.load(Ordering::Relaxed) {
        // An error concerns a single receive, so the server continues.
        let Ok((length, peer)) = socket.recv_from(&mut bytes) else {
            continue;
        };
        let Ok(query) = Message::from_octets(bytes[..length].to_vec()) else {
            continue;
        };
        let Ok(question) = query.sole_question() else {
            continue;
        };
        let name = question.qname().to_string().to_ascii_lowercase();
        let kind = question.qtype();
        *state.asked().entry((name.clone(), kind)).or_default() += 1;
        let reply = (state.answers)(&name, kind);
        send(socket, peer, &query, reply);
    }
}

fn send(socket: &Arc<UdpSocket>, peer: SocketAddr, query: &Message<Vec<u8>>, reply: Reply) {
    match reply {
        Reply::Silence => {}
        Reply::After(delay, reply) => {
            let (socket, query) = (Arc::clone(socket), query.clone());
            thread::spawn(move || {
                thread::sleep(delay);
                send(&socket, peer, &query, *reply);
            });
        }
        Reply::Garbage(bytes) => {
            let mut message = query.as_slice().get(..2).unwrap_or_default().to_vec();
            message.extend([0x81, 0x80]);
            message.extend(bytes);
            let _ = socket.send_to(&message, peer);
        }
        reply => {
            if let Ok(message) = compose(query, reply) {
                let _ = socket.send_to(&message, peer);
            }
        }
    }
}

fn compose(query: &Message<Vec<u8>>, reply: Reply) -> Result<Vec<u8>> {
    let start = |code| MessageBuilder::new_vec().start_answer(query, code);
    let message = match reply {
        Reply::Records(ttl, data) => {
            let mut answer = start(Rcode::NOERROR)?;
            let mut owner: Name<Vec<u8>> = query.sole_question()?.qname().to_string().parse()?;
            for data in &data {
                push(&mut answer, &mut owner, Ttl::from_secs(ttl), data)?;
            }
            match data.is_empty() {
                true => with_soa(answer, ttl)?,
                false => answer.finish(),
            }
        }
        Reply::Absent(ttl) => with_soa(start(Rcode::NXDOMAIN)?, ttl)?,
        Reply::Code(code) => start(code)?.finish(),
        _ => {
            let mut answer = start(Rcode::NOERROR)?;
            answer.header_mut().set_tc(true);
            answer.finish()
        }
    };
    Ok(message)
}

fn push(
    answer: &mut AnswerBuilder<Vec<u8>>,
    owner: &mut Name<Vec<u8>>,
    ttl: Ttl,
    data: &Data,
) -> Result<()> {
    let its = owner.clone();
    match data {
        Data::A(addr) => answer.push((its, Class::IN, ttl, A::new(*addr)))?,
        Data::Aaaa(addr) => answer.push((its, Class::IN, ttl, Aaaa::new(*addr)))?,
        Data::Txt(text) => {
            let text = Txt::<Vec<u8>>::build_from_slice(text);
            let text = text.map_err(|error| anyhow!("{error}"))?;
            answer.push((its, Class::IN, ttl, text))?;
        }
        Data::Ptr(name) => {
            let name: Name<Vec<u8>> = name.parse()?;
            answer.push((its, Class::IN, ttl, Ptr::new(name)))?;
        }
        Data::Cname(name) => {
            let name: Name<Vec<u8>> = name.parse()?;
            *owner = name.clone();
            answer.push((its, Class::IN, ttl, Cname::new(name)))?;
        }
    }
    Ok(())
}

/// Adds the zone's SOA, which contains the negative TTL (RFC 2308).
fn with_soa(answer: AnswerBuilder<Vec<u8>>, ttl: u32) -> Result<Vec<u8>> {
    let root = Name::root_vec();
    let ttl = Ttl::from_secs(ttl);
    let soa = Soa::new(root.clone(), root.clone(), Serial(1), ttl, ttl, ttl, ttl);
    let mut authority = answer.authority();
    authority.push((root, Class::IN, Ttl::from_secs(86_400), soa))?;
    Ok(authority.finish())
}
