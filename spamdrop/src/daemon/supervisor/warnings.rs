//! Warnings about settings and the mail server, once after the start.

use super::Supervisor;
use crate::checks;
use crate::clock;
use crate::daemon::warn_of;

impl Supervisor {
    /// Warnings never prevent the start.
    pub(super) fn warn_of_settings(&self) {
        match checks::warnings(&self.config) {
            Ok(warnings) => warn_of(warnings),
            Err(error) => log::warn!(target: "spamdrop::check", "{error:#}"),
        }
    }

    /// Looks for the mail server until it listens, and warns once if it does not
    /// within a minute.
    pub(super) fn watch_listeners(&mut self) {
        let Some(watch) = &mut self.listeners else {
            return;
        };
        let missing = match checks::listeners(&self.config) {
            Ok(missing) => missing,
            Err(error) => {
                log::warn!(
                    target: "spamdrop::check",
                    "whether the mail server listens is unknown until the next start: {error:#}"
                );
                self.listeners = None;
                return;
            }
        };
        let now = clock::instant();
        let is_listening = missing.is_empty();
        watch.sample(is_listening, now);
        let is_missing = watch.is_missing(now);
        if is_missing {
            warn_of(missing);
        }
        if is_listening || is_missing {
            self.listeners = None;
        }
    }
}
