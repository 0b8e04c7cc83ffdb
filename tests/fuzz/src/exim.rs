//! Exim's settings: only a zone that they name can list a source, and every zone
//! can be queried.

use spamdrop_core::exim::{EximTexts, read};
use spamdrop_core::log::MailServer;
use spamdrop_core::server_settings::Contents;

use crate::server_settings;

/// Takes the bytes before the first NUL as the configuration, and the rest as
/// every file that it names.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (configuration, file) = text.split_once('\0').unwrap_or((&text, ""));
    for is_file in [false, true] {
        let texts = EximTexts {
            configuration,
            is_file,
        };
        let settings = read(texts, &|_| Contents::Text(file.into()));
        server_settings::check(&settings, MailServer::Exim, &text);
    }
}
