//! The responder: rejects listed senders in the mail server's place, so that
//! they take no slot.
//!
//! The kernel steers the connections of listed senders to the responder
//! (`attach::steer`). The responder logs its rejections as the mail server does.
//! `tail` reads these lines, which then lead to the blocks.

mod listener;
mod server;
mod session;
mod shared;
mod syslog;

pub use listener::{listen, make_room};
pub use server::{ResponderMeter, Server};
pub use shared::{Limits, ResponderCounts, Setting, Texts};

use std::fs;
use std::path::Path;

/// The server's own name: Courier's `me`, or the machine's host name.
#[must_use]
pub fn host_name(courier_dir: &Path) -> String {
    let files = [courier_dir.join("me"), "/proc/sys/kernel/hostname".into()];
    let first_word = |path| {
        let text = fs::read_to_string(path).ok()?;
        let word = text.split_ascii_whitespace().next()?;
        let is_name = word.bytes().all(|byte| byte.is_ascii_graphic());
        (is_name && word.len() <= 255).then(|| word.to_owned())
    };
    let mut names = files.iter().filter_map(first_word);
    names.next().unwrap_or_else(|| "localhost".into())
}
