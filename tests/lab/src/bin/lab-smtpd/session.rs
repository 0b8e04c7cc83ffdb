//! The dialogue with one peer.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write, stdin};
use std::net::{Ipv6Addr, TcpStream};
use std::os::fd::AsFd;
use std::process::id;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use spamdrop_lab::smtpd::Options;

use crate::listed::is_listed;
use crate::log::{HOST, Log};

const LISTED: &str = "511 Blacklisted by zone.example";
const UNKNOWN: &str = "502 ESMTP command error";
const MAX_LINE: u64 = 4096;
/// Length at which Courier truncates a logged string.
const MAX_LOGGED: usize = 128;

/// A peer's connection and its transaction.
pub struct Session {
    stream: BufReader<TcpStream>,
    ip: Ipv6Addr,
    port: u16,
    listed: bool,
    log: Log,
    lookup: Duration,
    tarpit: Duration,
    max_tarpit: Duration,
    helo: String,
    sender: Option<String>,
    recipient: Option<String>,
}

impl Session {
    /// Creates a session over the socket on standard input.
    pub fn new(options: &Options, ip: Ipv6Addr, port: u16) -> Result<Self> {
        let stream = TcpStream::from(stdin().as_fd().try_clone_to_owned()?);
        let timeout = options.read_timeout;
        stream.set_read_timeout((!timeout.is_zero()).then_some(timeout))?;
        Ok(Self {
            stream: BufReader::new(stream),
            ip,
            port,
            listed: is_listed(&options.listed, ip)?,
            log: Log::new(options),
            lookup: options.lookup,
            tarpit: options.tarpit,
            max_tarpit: options.tarpit * 16,
            helo: String::new(),
            sender: None,
            recipient: None,
        })
    }

    /// Talks until the peer quits, disconnects or times out.
    ///
    /// # Errors
    ///
    /// The log cannot be written.
    pub fn run(mut self) -> Result<()> {
        let (ip, port) = (self.ip, self.port);
        self.log_esmtpd(&format!("started,ip=[{ip}],port=[{port}]"))?;
        sleep(self.lookup);
        match self.dialogue() {
            // A broken connection is the end of a session, not a failure.
            // Errors of the log have another type.
            Err(error) if error.is::<io::Error>() => Ok(()),
            outcome => outcome,
        }
    }

    fn dialogue(&mut self) -> Result<()> {
        self.reply(&format!("220 {HOST} ESMTP"))?;
        while let Some(line) = self.read_line()? {
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.hello(rest, "250-mx1 Ok.\r\n250-PIPELINING\r\n250 SIZE")?,
                "HELO" => self.hello(rest, "250 mx1 Ok.")?,
                "MAIL" => {
                    self.recipient = None;
                    self.sender = Some(address(rest));
                    self.reply("250 Ok.")?;
                }
                "RCPT" if self.sender.is_some() => self.rcpt(address(rest))?,
                "DATA" if self.recipient.is_some() => self.data()?,
                "RSET" => {
                    (self.sender, self.recipient) = (None, None);
                    self.reply("250 Ok.")?;
                }
                "NOOP" => self.reply("250 Ok.")?,
                "QUIT" => return self.reply("221 Bye."),
                _ => {
                    let line = sanitised(&line);
                    self.refuse(UNKNOWN, &format!("msg=\"{UNKNOWN}\",cmd: {line}"))?;
                }
            }
        }
        Ok(())
    }

    fn hello(&mut self, name: &str, reply: &str) -> Result<()> {
        // A blank would end the field.
        self.helo = sanitised(name).replace(' ', "_");
        self.reply(reply)
    }

    fn rcpt(&mut self, recipient: String) -> Result<()> {
        if self.listed {
            let sender = self.sender.as_deref().unwrap_or_default();
            let fields = format!("from=<{sender}>,to=<{recipient}>: {LISTED}");
            return self.refuse(LISTED, &fields);
        }
        self.recipient = Some(recipient);
        self.reply("250 Ok.")
    }

    /// Sleeps, logs and then replies, in Courier's order.
    fn refuse(&mut self, reply: &str, fields: &str) -> Result<()> {
        sleep(self.tarpit);
        self.tarpit = self.max_tarpit.min(self.tarpit * 2);
        let (ip, port) = (self.ip, self.port);
        self.log_esmtpd(&format!("error,relay={ip},port={port},{fields}"))?;
        self.reply(reply)
    }

    fn data(&mut self) -> Result<()> {
        self.reply("354 Ok.")?;
        while let Some(line) = self.read_line()? {
            if line == "." {
                return self.accept();
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        let sender = self.sender.take().unwrap_or_default();
        let recipient = self.recipient.take().unwrap_or_default();
        let queued = Timestamp::now();
        let (second, nanosecond) = (queued.as_second(), queued.subsec_nanosecond());
        let id = format!("{nanosecond:016X}.{second:016X}.{:08X}", id());
        let (helo, ip) = (&self.helo, self.ip);
        for message in [
            format!("newmsg,id={id}: dns; {helo} (ptr.example [{ip}])"),
            format!("started,id={id},from=<{sender}>,module=local,host={HOST},addr=<{recipient}>"),
        ] {
            self.log.write_line("courierd", &message)?;
        }
        self.reply(&format!("250 Ok. {id}"))
    }

    /// Reads the next line, without its end; `None` once the peer has closed.
    fn read_line(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_LINE);
        if limited.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if !line.ends_with(b"\n") {
            return Err(io::Error::from(ErrorKind::InvalidData).into());
        }
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        Ok(Some(text.into_owned()))
    }

    fn reply(&mut self, reply: &str) -> Result<()> {
        let line = format!("{reply}\r\n");
        Ok(self.stream.get_mut().write_all(line.as_bytes())?)
    }

    fn log_esmtpd(&self, message: &str) -> Result<()> {
        self.log.write_line("courieresmtpd", message)
    }
}

/// The text between the angle brackets of `FROM:<…>` or `TO:<…>` in Courier's
/// logged form, without bytes that would end the field.
fn address(parameters: &str) -> String {
    let (_, inner) = parameters.split_once('<').unwrap_or_default();
    let (inner, _) = inner.rsplit_once('>').unwrap_or((inner, ""));
    sanitised(inner).replace(['<', '>', ':'], " ")
}

fn sanitised(text: &str) -> String {
    let printable = |char| if char < ' ' { '.' } else { char };
    let mut field: String = text.chars().take(MAX_LOGGED).map(printable).collect();
    if field.len() < text.len() {
        field.push_str("...");
    }
    field
}
