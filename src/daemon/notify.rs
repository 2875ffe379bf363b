//! Telling systemd (`Type=notify`) that started us; without it, every call does nothing.
//!
//! Only for a daemon in the foreground: one that went to the background may have inherited the socket
//! of a service that is not its own.

use sd_notify::NotifyState;
use std::time::Duration;

/// The table is up.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The daemon is stopping.
pub fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// How often to call [`alive`]: half of `WatchdogSec`. `None` without a watchdog.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// The owner thread does its work.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("systemd: {error}");
    }
}
