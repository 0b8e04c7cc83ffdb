//! A miniature SMTP server that answers and logs as Courier 1.0.16 does.

#![forbid(unsafe_code)]

mod listed;
mod log;
mod session;

use std::env;
use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::parent_id;
use std::process::{Child, Command, id};
use std::sync::mpsc;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};
use spamdrop_lab::smtpd::Options;

use session::Session;

/// Environment variable that tells a session the process id of its listener.
const LISTENER: &str = "LAB_SMTPD_LISTENER";

/// A miniature SMTP server that answers and logs as Courier 1.0.16 does.
#[derive(Parser)]
struct Cli {
    #[arg(value_enum, default_value_t = Role::Listen)]
    role: Role,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Accept connections and start a session for each.
    Listen,
    /// Serve the connection on standard input.
    Session,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.role {
        Role::Listen => listen(&cli.options),
        Role::Session => serve(&cli.options),
    }
}

/// Accepts connections only while a slot is free, as couriertcpd does.
fn listen(options: &Options) -> Result<()> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_only_v6(false)?;
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 25));
    socket
        .bind(&address.into())
        .with_context(|| format!("bind {address}"))?;
    socket.listen(i32::from(options.backlog))?;
    let listener = TcpListener::from(socket);
    writeln!(std::io::stdout(), "ready")?;

    let (release, slots) = mpsc::channel();
    for _ in 0..options.slots {
        release.send(())?;
    }
    loop {
        slots.recv()?;
        let (stream, peer) = listener.accept()?;
        let mut session = start_session(stream, peer)?;
        let release = release.clone();
        std::thread::spawn(move || {
            // Neither can fail: the process is a child of this one, and the
            // listener never stops.
            let _ = session.wait();
            let _ = release.send(());
        });
    }
}

fn start_session(stream: TcpStream, peer: SocketAddr) -> Result<Child> {
    let stream = OwnedFd::from(stream);
    Command::new(env::current_exe()?)
        .arg("session")
        .args(env::args_os().skip(1))
        .env("TCPREMOTEIP", peer.ip().to_string())
        .env("TCPREMOTEPORT", peer.port().to_string())
        .env(LISTENER, id().to_string())
        .stdin(stream.try_clone()?)
        .stdout(stream)
        .spawn()
        .context("start a session")
}

fn serve(options: &Options) -> Result<()> {
    let variable = |name| env::var(name).with_context(|| format!("no {name}"));
    set_pdeathsig(Signal::SIGKILL)?;
    if parent_id() != variable(LISTENER)?.parse::<u32>()? {
        bail!("the listener is gone");
    }
    let ip = variable("TCPREMOTEIP")?.parse()?;
    Session::new(options, ip, variable("TCPREMOTEPORT")?.parse()?)?.run()
}
