//! Postfix's settings: only a zone that they name can list a source, and every
//! zone can be queried.

use spamdrop_core::log::MailServer;
use spamdrop_core::postfix::{PostfixTexts, read};
use spamdrop_core::server_settings::Contents;

use crate::server_settings;

/// Takes the bytes before the first NUL as `master.cf`, those before the second
/// as `main.cf`, and the rest as every table that they name.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut texts = text.splitn(3, '\0');
    let mut next = || texts.next().unwrap_or_default();
    let (services, parameters, table) = (next(), next(), next());
    let texts = PostfixTexts {
        services,
        parameters,
    };
    let settings = read(texts, &|_| Contents::Text(table.into()));
    server_settings::check(&settings, MailServer::Postfix, &text);
}
