#![expect(clippy::unwrap_used, reason = "a test may panic")]
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, UnixDatagram};
use tokio::time::{Instant, interval};

use super::*;
use crate::responder::Limits;

const SOON: Duration = Duration::from_secs(5);
const REFUSED: &str = "511 Listed\r\n";

/// A responder that accepts direct connections, and the syslog that it writes
/// to.
struct Lab {
    server: Server,
    at: SocketAddr,
    log: UnixDatagram,
    _dir: tempfile::TempDir,
}

impl Lab {
    fn new(limits: Limits, text: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let syslog = dir.path().join("log");
        let log = UnixDatagram::bind(&syslog).unwrap();
        let listeners = crate::responder::listen().unwrap();
        let setting = Setting {
            host: "mx1".into(),
            limits,
            texts: Arc::new(move |_| text.into()),
            syslog,
            program: "courieresmtpd".into(),
            direct: true,
        };
        Self {
            at: listeners[0].local_addr().unwrap(),
            server: Server::start(listeners, setting).unwrap(),
            log,
            _dir: dir,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    /// Sends all bytes at once and returns the complete reply.
    async fn hears(&self, said: &[u8]) -> String {
        let mut peer = self.connect().await;
        peer.write_all(said).await.unwrap();
        heard(&mut peer).await
    }

    async fn settled(&self, connections: usize) {
        timeout(SOON, async {
            while self.server.counts().connections != connections {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
}

/// Reads to the end of the connection.
async fn heard(peer: &mut TcpStream) -> String {
    let mut text = String::new();
    timeout(SOON, peer.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    text
}

fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(test);
}

/// Some of the commands may arrive before the greeting is sent.
#[test]
fn who_says_everything_at_once_is_answered_in_order() {
    run(async {
        let lab = Lab::new(Limits::default(), "Listed");
        let said =
            b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\nQUIT\r\n";
        let heard = lab.hears(said).await;
        let codes: Vec<&str> = heard.lines().map(|line| &line[..4]).collect();
        assert_eq!(
            codes.concat(),
            "220 250-250-250-250 250 511 511 554 221 ",
            "{heard}"
        );
        let mut lines = Vec::new();
        for _ in 0..3 {
            let mut line = [0; 512];
            let length = timeout(SOON, lab.log.recv(&mut line)).await.unwrap();
            lines.push(String::from_utf8_lossy(&line[..length.unwrap()]).into_owned());
        }
        assert!(lines[0].contains("courieresmtpd: started,ip=[::ffff:127.0.0.1],port=["));
        assert!(lines[2].ends_with(",from=<a@b>,to=<e@f>: 511 Listed"));
        lab.settled(0).await;
        let counts = lab.server.counts();
        let expected = ResponderCounts {
            peak: 1,
            answered: 2,
            ..ResponderCounts::default()
        };
        assert_eq!(counts, expected);
    });
}

/// A byte now and then is no complete command, so it does not extend the
/// deadline.
#[test]
fn who_is_slow_is_cut_short() {
    run(async {
        let limits = Limits {
            command: Duration::from_millis(200),
            ..Limits::default()
        };
        let lab = Lab::new(limits, "Listed");
        let mut peer = lab.connect().await;
        let (mut reading, mut writing) = peer.split();
        let start = Instant::now();
        let mut text = String::new();
        let drip = async {
            let mut ticks = interval(Duration::from_millis(20));
            // The error is that of a closed connection.
            while writing.write_all(b"x").await.is_ok() {
                ticks.tick().await;
            }
            std::future::pending().await
        };
        tokio::select! {
            done = timeout(SOON, reading.read_to_string(&mut text)) => drop(done.unwrap()),
            () = drip => {}
        }
        assert_eq!(text, "220 mx1 ESMTP\r\n421 Timeout.\r\n");
        assert!(start.elapsed() >= limits.command);
        assert_eq!(lab.server.counts().limited, 1);
    });
}

#[test]
fn a_session_that_goes_on_and_on_is_cut_short() {
    run(async {
        let limits = Limits {
            session: Duration::from_millis(300),
            ..Limits::default()
        };
        let lab = Lab::new(limits, "Listed");
        let mut peer = lab.connect().await;
        let mut ticks = interval(Duration::from_millis(50));
        let noops = async {
            while peer.write_all(b"NOOP\r\n").await.is_ok() {
                ticks.tick().await;
            }
        };
        timeout(SOON, noops).await.unwrap();
        assert_eq!(lab.server.counts().limited, 1);
        lab.settled(0).await;
    });
}

#[test]
fn more_than_the_limit_of_a_source_or_of_all_are_turned_away() {
    run(async {
        for (per_source, connections) in [(2, 100), (100, 2)] {
            let limits = Limits {
                per_source,
                connections,
                ..Limits::default()
            };
            let lab = Lab::new(limits, "Listed");
            let (first, _second) = (lab.connect().await, lab.connect().await);
            lab.settled(2).await;
            let turned_away = heard(&mut lab.connect().await).await;
            assert_eq!(turned_away, "421 Too many connections.\r\n");
            assert_eq!(lab.server.counts().limited, 1);
            drop(first);
            lab.settled(1).await;
            assert!(
                lab.hears(b"QUIT\n")
                    .await
                    .starts_with("220 mx1 ESMTP\r\n221 ")
            );
        }
    });
}

/// The replies to a peer that never reads fill the kernel's buffer; then the session
/// reads nothing more.
#[test]
fn who_never_reads_takes_no_memory_and_no_time() {
    run(async {
        let limits = Limits {
            command: Duration::from_millis(300),
            ..Limits::default()
        };
        let long = ["x".repeat(480), "y".repeat(480), "z".repeat(480)].join("\n");
        let lab = Lab::new(limits, long.leak());
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        let mut deaf = socket.connect(lab.at).await.unwrap();
        let said = [&b"MAIL FROM:<>\n"[..], &b"RCPT TO:<c@d>\n".repeat(48)].concat();
        deaf.write_all(&said).await.unwrap();
        let heard = lab.hears(b"MAIL FROM:<>\nRCPT TO:<a@b>\nQUIT\n").await;
        assert!(heard.ends_with("221 Bye.\r\n"), "{heard}");
        lab.settled(0).await;
        // If no limit ended the session, the kernel's buffers took all replies, and the
        // test proves nothing.
        assert_eq!(lab.server.counts().limited, 1);
    });
}

#[test]
fn the_end_is_told_at_once() {
    run(async {
        let lab = Lab::new(Limits::default(), "Listed");
        let at = lab.at;
        let mut peer = lab.connect().await;
        lab.settled(1).await;
        let reader = tokio::spawn(async move { heard(&mut peer).await });
        let start = Instant::now();
        lab.server.end(SOON).await;
        assert!(start.elapsed() < SOON / 2);
        let refused = TcpStream::connect(at).await;
        assert_eq!(
            refused.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        assert_eq!(
            reader.await.unwrap(),
            "220 mx1 ESMTP\r\n421 Going down.\r\n"
        );
    });
}

#[test]
fn who_is_not_steered_is_not_served() {
    run(async {
        let lab = Lab::new(Limits::default(), "Listed");
        let setting = Setting {
            direct: false,
            ..lab.server.shared.setting.clone()
        };
        let listeners = crate::responder::listen().unwrap();
        let at = listeners[0].local_addr().unwrap();
        let _server = Server::start(listeners, setting).unwrap();
        let mut peer = TcpStream::connect(at).await.unwrap();
        assert_eq!(heard(&mut peer).await, "");
    });
}

#[test]
fn an_oversized_line_is_skipped_and_its_session_goes_on() {
    run(async {
        let lab = Lab::new(Limits::default(), "Listed");
        let said = [
            &[b'x'; 20_000][..],
            b"\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nQUIT\n",
        ]
        .concat();
        let heard = lab.hears(&said).await;
        let expected =
            format!("220 mx1 ESMTP\r\n500 Line too long.\r\n250 Ok.\r\n{REFUSED}221 Bye.\r\n");
        assert_eq!(heard, expected);
    });
}
