//! Checks whether the responder may answer listed senders. It may not if
//! clients can log in on the port, because authenticated clients are exempt
//! from blocklists.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::Result;
use spamdrop_common::gate::SMTP_PORT;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::AnswerMode;
use crate::config::Config;
use crate::courier;
use crate::exit::{Exit, Failure};
use spamdrop_core::log::MailServer;
use spamdrop_core::server_settings::AuthSetting;
use spamdrop_core::warning::Warning;

/// How long the mail server may take to list its extensions.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum length of the mail server's reply, in bytes.
const LONGEST: usize = 16 * 1024;

/// Warnings about `answer`. If the mail server's settings do not tell whether the
/// server offers AUTH, this asks the server on port 25, for at most `TIMEOUT`.
///
/// # Errors
///
/// Port 25 offers AUTH ([`Exit::Config`]), or Courier's `esmtpd` cannot be read.
pub async fn answer(config: &Config) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    if config.answer == AnswerMode::Off {
        return Ok(warnings);
    }
    let mut warn = |text| {
        let about = "answer";
        warnings.push(Warning { about, text });
    };
    let auth = auth_setting(config)?;
    if !config.ports.contains(&SMTP_PORT) {
        warn(format!(
            "port {SMTP_PORT} is not among `ports`, so the responder answers nobody"
        ));
    }
    match auth {
        AuthSetting::Offered(source) => return Err(refused(&source)),
        AuthSetting::Absent => {}
        AuthSetting::Unknown(_) => match offer(SMTP_PORT).await {
            Ok(offer) if offer.auth => return Err(refused("its reply to EHLO")),
            Ok(offer) if offer.tls => warn(format!(
                "port {SMTP_PORT} offers STARTTLS; make sure that it offers no AUTH after that"
            )),
            Ok(_) => {}
            Err(error) => warn(format!(
                "cannot ask port {SMTP_PORT} whether it offers AUTH ({error}); make sure that it does not"
            )),
        },
    }
    Ok(warnings)
}

/// Whether the mail server's settings offer AUTH; `Unknown` with the reason, if they do
/// not tell.
fn auth_setting(config: &Config) -> Result<AuthSetting> {
    let server = match config.main_server() {
        Some(MailServer::Courier) => {
            return Ok(match courier::settings(&config.courier_dir)? {
                Some(settings) => match settings.auth() {
                    Some(name) => {
                        let path = config.courier_dir.join("esmtpd");
                        AuthSetting::Offered(format!("{name} in {}", path.display()))
                    }
                    None => AuthSetting::Absent,
                },
                None => AuthSetting::Unknown("there is no esmtpd".into()),
            });
        }
        Some(server) => server,
        None => {
            return Ok(AuthSetting::Unknown(
                "the server's settings are not read".into(),
            ));
        }
    };
    let setting = config.gathered(server).map(|settings| settings.auth);
    Ok(setting.unwrap_or_else(AuthSetting::Unknown))
}

fn refused(source: &str) -> anyhow::Error {
    let message = format!(
        "`answer = \"on\"`, but port {SMTP_PORT} offers AUTH ({source}): a listed sender who can log in must reach the mail server. Offer AUTH on port 587 alone, or set `answer = \"off\"`"
    );
    Failure::new(Exit::Config, message)
}

#[derive(Debug, PartialEq, Eq)]
struct Offer {
    auth: bool,
    tls: bool,
}

/// Asks the mail server on this machine which extensions it offers.
async fn offer(port: u16) -> io::Result<Offer> {
    match timeout(TIMEOUT, ask(port)).await {
        Ok(offer) => offer,
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

async fn ask(port: u16) -> io::Result<Offer> {
    let mut stream = match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(stream) => stream,
        Err(_) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await?,
    };
    reply(&mut stream).await?;
    stream.write_all(b"EHLO localhost\r\n").await?;
    let offer = reply(&mut stream).await?;
    // The connection is closed anyway, so an error does not matter.
    let _ = stream.write_all(b"QUIT\r\n").await;
    Ok(Offer {
        auth: names(&offer, "AUTH"),
        tls: names(&offer, "STARTTLS"),
    })
}

/// Reads one reply of one or several lines.
async fn reply(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = String::new();
    let mut portion = [0; 512];
    while !is_whole(&text) {
        if text.len() > LONGEST {
            return Err(ErrorKind::InvalidData.into());
        }
        match stream.read(&mut portion).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            length => {
                let read = portion.get(..length).unwrap_or_default();
                text.push_str(&String::from_utf8_lossy(read));
            }
        }
    }
    Ok(text)
}

/// Whether the reply is complete: only its last line has no hyphen after the
/// code.
fn is_whole(reply: &str) -> bool {
    let last = reply.lines().last().unwrap_or_default();
    reply.ends_with('\n') && last.as_bytes().get(3) != Some(&b'-')
}

fn names(reply: &str, extension: &str) -> bool {
    reply.lines().any(|line| {
        let offered = line.get(4..).unwrap_or_default();
        let word = offered.split([' ', '=']).next().unwrap_or_default();
        word.eq_ignore_ascii_case(extension)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use spamdrop_core::postfix;
    use spamdrop_core::server_settings::Contents;

    use super::*;
    use crate::server_settings;

    /// Runs a future on a new runtime.
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(future)
    }

    fn offered(said: &'static [u8]) -> io::Result<Offer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                for line in said.split_inclusive(|byte| *byte == b'|') {
                    stream
                        .write_all(line.strip_suffix(b"|").unwrap_or(line))
                        .unwrap();
                    let _ = stream.read(&mut [0; 64]);
                }
            });
            block_on(offer(port))
        })
    }

    #[test]
    fn a_server_is_asked() {
        let offer = |auth, tls| Offer { auth, tls };
        for (said, expected) in [
            (
                &b"220 x\r\n|250-x\r\n250-AUTH PLAIN\r\n250 SIZE\r\n"[..],
                offer(true, false),
            ),
            (
                b"220-x\r\n220 y\r\n|250-x\r\n250 auth=LOGIN\r\n",
                offer(true, false),
            ),
            (
                b"220 x\n|250-x\n250-STARTTLS\n250 AUTHORITY\n",
                offer(false, true),
            ),
            (b"220 x\r\n|502 what\r\n", offer(false, false)),
        ] {
            assert_eq!(offered(said).unwrap(), expected);
        }
        assert!(offered(b"220 x\r\n").is_err());
    }

    #[test]
    fn the_settings_of_postfix_tell() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            answer: AnswerMode::On,
            run_dir: dir.path().into(),
            servers: vec![MailServer::Postfix],
            ..Config::default()
        };
        let with = |auth: &str| {
            let texts = postfix::PostfixTexts {
                services: "smtp inet n - y - - smtpd",
                parameters: &format!("smtpd_sasl_auth_enable = {auth}"),
            };
            let settings = postfix::read(texts, &|_| Contents::Absent);
            let file = server_settings::file_of(vec![settings]);
            server_settings::write(dir.path(), &file).unwrap();
            block_on(answer(&config))
        };
        assert_eq!(with("no").unwrap(), [] as [Warning; 0]);
        let error = with("yes").unwrap_err().to_string();
        assert!(
            error.contains("offers AUTH (smtpd_sasl_auth_enable = yes)"),
            "{error}"
        );
    }

    #[test]
    fn couriers_file_tells() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            answer: AnswerMode::On,
            courier_dir: dir.path().into(),
            ..Config::default()
        };
        let with = |script: &str| {
            std::fs::write(dir.path().join("esmtpd"), script).unwrap();
            block_on(answer(&config))
        };
        assert!(
            with("ESMTPAUTH=\"\"\nESMTPAUTH_TLS=' '\n")
                .unwrap()
                .is_empty()
        );
        for name in ["ESMTPAUTH", "ESMTPAUTH_TLS"] {
            let error = with(&format!("{name}=\"LOGIN\"\n"))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(&format!("port 25 offers AUTH ({name} in ")),
                "{error}"
            );
        }
        let off = Config {
            answer: AnswerMode::Off,
            ..config.clone()
        };
        assert!(block_on(answer(&off)).unwrap().is_empty());
    }
}
