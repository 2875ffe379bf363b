//! The end: what is ours is purged, or left to another process as it is.

use super::message::Message;
use super::owner::Runtime;
use crate::dataplane::Stage;
use crate::director::ServiceState;
use crate::model::Status;
use std::time::Duration;

/// How long an end waits for the hooks that have been started.
const HOOKS: Duration = Duration::from_secs(5);

/// How the runtime has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By a signal, with its name without SIG: what is ours has been purged.
    Signal(&'static str),
    /// Another process takes over: everything is as it was.
    HandedOver,
}

impl Runtime {
    /// After the reload: leaves everything to who waits for it. False if nobody does, or if the
    /// configuration was refused, which who waits is told.
    pub(super) fn hand_over(&mut self) -> bool {
        let Some(successor) = self.successor.take() else { return false };
        if let Some((_, Err(why))) = &self.last_reload {
            // Whoever has gone away does not take over either.
            let _ = successor.send(Err(why.clone()));
            return false;
        }
        self.finish_hooks();
        self.save_memory();
        self.alerts.drain();
        let _ = successor.send(Ok(()));
        true
    }

    /// Waits a moment for the hooks that have been started.
    fn finish_hooks(&mut self) {
        self.hooks.drain(HOOKS);
        while let Ok(message) = self.inbox.try_recv() {
            if let Message::Hook(report) = message {
                self.hook_ran(report);
            }
        }
    }

    /// A clean stop: hooks that asked for it, then the services, then the last words.
    pub(super) fn stop(&mut self, signal: &'static str) {
        self.status = Status::Stopping;
        (self.setup.stopping)();
        let hooks = self.director.stop();
        self.act(hooks);
        self.finish_hooks();
        let purged: Vec<&ServiceState> =
            self.director.services().iter().filter(|state| state.service.clean_stop).collect();
        let purge = purged.iter().map(|state| (&state.service, Some(*state)));
        let done = self.table.remove(purge, Stage::Stop);
        // A service that starts over an empty table is announced anew.
        for state in purged {
            self.memory.forget(state.address());
        }
        self.save_memory();
        self.tell(done);
        self.alerts.drain();
        log::info!("Linux Director Daemon terminated on signal: {signal}");
    }
}
