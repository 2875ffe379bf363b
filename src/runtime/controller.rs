//! How other threads talk to the owner thread.

use super::message::Message;
use crate::status::StatusReport;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Talks to the runtime from other threads.
#[derive(Clone)]
pub struct Controller(pub(super) Sender<Message>);

impl Controller {
    /// Asks for a reload.
    pub fn reload(&self) {
        let _ = self.0.send(Message::Reload);
    }

    /// Asks for a clean stop, because of a signal: its name without SIG.
    pub fn terminate(&self, signal: &'static str) {
        let _ = self.0.send(Message::Terminate(signal));
    }

    /// Asks for an end that leaves the table and the hooks' state to another process, after a reload: what
    /// the configuration does not have any more is purged. The error says why the daemon goes on.
    ///
    /// # Errors
    /// When the configuration is refused, or the runtime does not answer in time.
    pub fn hand_over(&self, timeout: Duration) -> Result<(), String> {
        let busy = || "the daemon is busy".to_owned();
        let (sender, receiver) = channel();
        self.0.send(Message::HandOver(sender)).map_err(|_| busy())?;
        receiver.recv_timeout(timeout).map_err(|_| busy())?
    }

    /// The status; `None` if the runtime is gone or does not answer in time.
    pub fn status(&self, timeout: Duration) -> Option<StatusReport> {
        let (sender, receiver) = channel();
        self.0.send(Message::Status(sender)).ok()?;
        receiver.recv_timeout(timeout).ok()
    }

    /// The table in the form of `ipvsadm -Ln`; `None` as for [`Controller::status`].
    pub fn listing(&self, timeout: Duration) -> Option<String> {
        let (sender, receiver) = channel();
        self.0.send(Message::Listing(sender)).ok()?;
        receiver.recv_timeout(timeout).ok()
    }
}
