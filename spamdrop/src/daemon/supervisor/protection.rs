//! The addresses that must not be blocked, or not with their whole /64.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use spamdrop_core::allowlist::{AllowSpan, Allowlist};
use spamdrop_core::policy::{KnownNets, Protected, ProtectionChanges};
use tokio::time::timeout;

use super::{SHORT_LOCK_WAIT, Supervisor};
use crate::clock;
use crate::daemon::database;
use crate::daemon::disk::Disk;
use crate::daemon::fifo_control::FifoMessage;
use crate::daemon::health::Subject;
use crate::daemon::release::ReleaseMessage;
use crate::daemon::settings::DaemonSettings;
use crate::daemon::watch::WatchMessage;
use crate::install;
use crate::lock::{self, WriteLock};
use crate::protect::{self, ReadProtected};

/// How soon the allowlist is read again after an error.
const RETRY: Duration = Duration::from_secs(60);
/// How long the start waits for the known senders.
const SENDERS_WAIT: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Reads the machine's own addresses again, and the allowlist if it may have
    /// changed, and updates the filter and the tasks. While another process
    /// holds the write lock, the update is retried soon.
    pub(super) fn protect(&mut self) {
        let since = *self.protecting.get_or_insert_with(clock::instant);
        match self.try_protect() {
            Ok(true) => self.health.clear(Subject::Allowlist),
            Ok(false) => {
                if since.elapsed() >= SHORT_LOCK_WAIT {
                    self.name_holder();
                }
                return;
            }
            Err(error) => {
                // The filter may have a part of the changes.
                self.rereads_allowlist = true;
                let from = clock::unix_seconds();
                self.allow_span = AllowSpan {
                    from,
                    until: Some(from.plus(RETRY)),
                };
                self.health.raise(Subject::Allowlist, format!("{error:#}"));
            }
        }
        self.protecting = None;
    }

    fn name_holder(&self) {
        if let Some(holder) = lock::holder(&self.settings.filter.run_dir) {
            let text = format!(
                "{holder} holds the write lock; changes of the allowlist and of the machine's \
                 addresses wait until it ends"
            );
            self.health.raise(Subject::Allowlist, text);
        }
    }

    /// Does the work of [`Supervisor::protect`] if the write lock is free, and returns
    /// whether it was.
    fn try_protect(&mut self) -> Result<bool> {
        let filter = &self.settings.filter;
        let Some(lock) = WriteLock::try_acquire(&filter.run_dir, Duration::ZERO)? else {
            return Ok(false);
        };
        if !self.rereads_allowlist {
            self.change_addresses(&lock)?;
            return Ok(true);
        }
        match self.read_protected(&filter.allow_file) {
            Ok(read) => {
                self.change_allowlist(&lock, read.protected)?;
                self.note_allowlist(&read.allowlist);
            }
            Err(error) => {
                self.change_addresses(&lock)?;
                return Err(error);
            }
        }
        self.rereads_allowlist = false;
        Ok(true)
    }

    /// Reads the allowlist and the machine's addresses, and adds the proxy's address,
    /// if one is known.
    ///
    /// # Errors
    ///
    /// Those of [`protect::read`].
    pub(super) fn read_protected(&self, allow_file: &Path) -> Result<ReadProtected> {
        let mut read = protect::read(allow_file)?;
        if self.proxy.is_some() {
            read.protected = protect::with_present_addresses(&read.protected, self.proxy)?;
        }
        Ok(read)
    }

    /// Notes until when the allowlist need not be read again, and reports the entries
    /// whose end is malformed.
    pub(super) fn note_allowlist(&mut self, allowlist: &Allowlist) {
        self.allow_span = allowlist.span();
        let name = self.settings.filter.allow_file.display().to_string();
        let mut mistakes = allowlist.mistakes(&name);
        let first = mistakes.next();
        let text = first.map(|first| match mistakes.count() {
            0 => first,
            more => format!("{first}; and {more} more"),
        });
        self.health.set(Subject::AllowEnds, text);
    }

    /// Rereads the allowlist if the end of one of its prefixes has passed since it was
    /// read, or if the wall clock was set back.
    pub(super) fn end_allowances(&mut self) {
        if self.allow_span.is_over(clock::unix_seconds()) {
            self.rereads_allowlist = true;
            self.protect();
        }
    }

    fn change_allowlist(&mut self, lock: &WriteLock, protected: Protected) -> Result<()> {
        let changes = protected.changes_since(&self.protected);
        let filter = &self.settings.filter;
        install::tell_addresses(lock, filter, &protected, &mut self.blocklist)?;
        self.adopt(protected, &changes);
        Ok(())
    }

    /// Writes only what has changed of the machine's addresses: they can change
    /// often, and to read and compare a long allowlist takes a while.
    fn change_addresses(&mut self, lock: &WriteLock) -> Result<()> {
        let protected = protect::with_present_addresses(&self.protected, self.proxy)?;
        let changes = protected.changes_since(&self.protected);
        let filter = &self.settings.filter;
        install::tell_changes(lock, filter, &changes, &mut self.blocklist)?;
        self.adopt(protected, &changes);
        Ok(())
    }

    fn adopt(&mut self, protected: Protected, changes: &ProtectionChanges) {
        if changes.is_empty() {
            return;
        }
        let ProtectionChanges { removed, set } = changes;
        log::debug!(
            "allowlist or own addresses changed: {} prefixes removed, {} set",
            removed.len(),
            set.len()
        );
        self.tell_protected(protected);
    }

    pub(super) fn tell_protected(&mut self, protected: Protected) {
        self.tasks
            .tell_watch(WatchMessage::Protect(protected.clone()));
        self.tasks
            .tell_fifo(FifoMessage::Protect(protected.clone()));
        self.tasks
            .tell_release(ReleaseMessage::Protect(protected.clone()));
        self.protected = protected;
    }
}

/// Reads the /64s that hold a known sender. `Unread` if that fails or takes longer
/// than a second; then the gate task goes on trying and reports why.
pub(super) async fn known_nets(disk: &Disk, settings: &DaemonSettings) -> KnownNets {
    let store = settings.gate.store.clone();
    let known = disk.submit(move || database::known_senders(&store));
    match timeout(SENDERS_WAIT, known).await {
        Ok(Ok(Ok(senders))) => senders.into_iter().collect(),
        _ => KnownNets::Unread,
    }
}
