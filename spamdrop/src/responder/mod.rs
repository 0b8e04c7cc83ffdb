//! The responder: tells listed senders so, as the mail server would, and
//! costs it no slot.
//!
//! The kernel gives it their connections (`attach::steer`); what it logs reaches
//! `tail` as the mail server's lines do, and the block follows from that.

mod listener;
mod server;
mod session;
mod shared;
mod syslog;

pub use listener::{listen, make_room};
pub use server::{Meter, Server};
pub use shared::{Counts, Limits, Setting, Texts};

use std::fs;
use std::path::Path;

/// The name that the server gives itself: Courier's `me`, or the machine's.
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
