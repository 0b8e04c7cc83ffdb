//! Tells systemd about the daemon's state (`Type=notify`, sd_notify(3)). Without
//! `NOTIFY_SOCKET` in the environment, nothing is told.

use sd_notify::NotifyState;

/// The daemon works, or works again; `status` in one line, for `systemctl
/// status`.
pub(super) fn ready(status: &str) {
    let status = status.replace('\n', " ");
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

/// The supervisor has looked at all tasks, which share its thread: none of them
/// hangs.
pub(super) fn is_alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Without systemd's attention the daemon works as well.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::debug!("cannot tell systemd: {error}");
    }
}
