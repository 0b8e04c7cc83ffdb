//! Tells systemd about the daemon's state (`Type=notify`, sd_notify(3)). Without
//! `NOTIFY_SOCKET` in the environment, nothing is told.

use sd_notify::NotifyState;
use spamdrop_core::dnsbl::key::mask;

/// The daemon works, or works again; `status` in one line, for `systemctl
/// status`.
pub(super) fn ready(status: &str) {
    // Every local user may read it.
    let status = mask(&status.replace('\n', " ")).into_owned();
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The configuration is read again.
pub(super) fn reloading() {
    notify(&[NotifyState::Reloading]);
}

/// The daemon ends.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// No task blocks the thread, which all of them share.
pub(super) fn is_alive() {
    notify(&[NotifyState::Watchdog]);
}

/// An error is only logged: the daemon does its work without systemd, too.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("cannot tell systemd: {error}");
    }
}
