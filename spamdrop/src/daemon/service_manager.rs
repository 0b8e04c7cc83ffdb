//! Tells systemd about the daemon's state (`Type=notify`, sd_notify(3)). Without
//! `NOTIFY_SOCKET` in the environment, nothing is sent.

use sd_notify::NotifyState;
use spamdrop_core::dnsbl::key::mask;

/// Reports that the daemon works, or works again after a reload. `systemctl status` shows
/// `status`, in one line.
pub(super) fn ready(status: &str) {
    // Every local user may read the status, and the name of a zone may hold a key.
    let status = mask(&status.replace('\n', " ")).into_owned();
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Reports that a reload of the configuration begins.
pub(super) fn reloading() {
    notify(&[NotifyState::Reloading]);
}

/// Reports that the daemon begins to end.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Resets systemd's watchdog. The call shows that no task blocks the thread that all
/// tasks share.
pub(super) fn is_alive() {
    notify(&[NotifyState::Watchdog]);
}

/// An error is only logged: the daemon does its work without systemd, too.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("cannot tell systemd: {error}");
    }
}
