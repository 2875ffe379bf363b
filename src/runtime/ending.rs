//! The end: what is ours is purged, or left to another process as it is.

use super::effect::{Answer, Effect, End};
use super::input::{Asker, Input, Now};
use super::step::Owner;
use crate::dataplane::Stage;
use crate::director::ServiceState;
use crate::event::What;
use crate::model::{ServiceAddress, Status};
use log::Level;
use std::time::{Duration, Instant};

/// How long an end waits for the hooks that have been started.
const HOOKS: Duration = Duration::from_secs(5);

/// An end that waits for hooks.
#[derive(Debug)]
pub(super) struct Ending {
    how: How,
    /// When it waits no longer.
    pub(super) until: Instant,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Stop(&'static str),
    HandOver(Asker),
    /// Nothing is left to do.
    Over,
}

impl Owner {
    /// A clean stop begins: hooks that asked for it, and those that have been started.
    pub(super) fn begin_stop(&mut self, signal: &'static str, now: Now) {
        self.status = Status::Stopping;
        self.event(What::Ending { cause: format!("SIG{signal}") });
        self.effects.push(Effect::Stopping);
        self.refuse_successor("the daemon is stopping");
        self.refuse_waiting("the daemon is stopping");
        let hooks = self.director.stop();
        self.act(hooks, now);
        self.wait_for_hooks(How::Stop(signal), now);
    }

    /// Another process takes over: hooks that have been started may end.
    pub(super) fn begin_hand_over(&mut self, asker: Asker, now: Now) {
        self.event(What::Ending { cause: "another process takes over".to_owned() });
        self.refuse_waiting("another process takes over");
        self.wait_for_hooks(How::HandOver(asker), now);
    }

    fn wait_for_hooks(&mut self, how: How, now: Now) {
        self.hooks.refuse_retries();
        self.ending = Some(Ending { how, until: now.instant + HOOKS });
    }

    /// Once it ends, nothing is decided any more.
    pub(super) fn receive_while_ending(&mut self, input: Input, now: Now) {
        match input {
            Input::Hook(event) => self.hook_told(event, now),
            Input::Question(question, asker) => {
                match Answer::refusal(&question, "the daemon is stopping") {
                    Some(refusal) => self.effects.push(Effect::Answer(asker, refusal)),
                    None => self.asked(question, asker, now, &mut Vec::new()),
                }
            }
            Input::Terminate(signal) => {
                if let Some(Ending { how: How::HandOver(asker), .. }) = self.ending {
                    let refusal = Answer::HandOver(Err(format!("ended by SIG{signal}")));
                    self.effects.push(Effect::Answer(asker, refusal));
                    self.begin_stop(signal, now);
                }
            }
            Input::Outcomes(_)
            | Input::Lost(_)
            | Input::Maintenance(_)
            | Input::Names(_)
            | Input::FilesChanged(_)
            | Input::Loaded { .. }
            | Input::Reload => {}
        }
    }

    /// Ends when the hooks have, or have taken too long.
    pub(super) fn end_if_over(&mut self, now: Now) {
        let Some(ending) = &mut self.ending else { return };
        let busy = self.hooks.busy();
        if busy > 0 && now.instant < ending.until {
            return;
        }
        let how = std::mem::replace(&mut ending.how, How::Over);
        if busy > 0 {
            self.log(Level::Warn, format!("hooks of {busy} services are still running"));
        }
        if !matches!(how, How::Over) {
            // Who comes next does not know of them.
            let done = self.table.remove_owed(&self.director);
            self.tell(done, now);
        }
        match how {
            How::Stop(signal) => {
                self.purge(now);
                self.paths.remove(self.table.backend());
                let line = format!("Linux Director Daemon terminated on signal: {signal}");
                self.log(Level::Info, line);
                self.order_hooks(now);
                self.end(End::Signal(signal));
            }
            How::HandOver(asker) => {
                self.effects.push(Effect::Leave(Box::new(std::mem::take(&mut self.counters))));
                self.effects.push(Effect::Answer(asker, Answer::HandOver(Ok(()))));
                self.end(End::HandedOver);
            }
            How::Over => {}
        }
    }

    fn purge(&mut self, now: Now) {
        let purged: Vec<&ServiceState> =
            self.director.services().iter().filter(|state| state.service.clean_stop).collect();
        let purge = purged.iter().map(|state| (&state.service, Some(*state)));
        let done = self.table.remove(purge, Stage::Stop);
        // A service that starts over an empty table is announced anew. What a hook is being told is
        // kept: the next process has to outwait it.
        let addresses: Vec<ServiceAddress> =
            purged.into_iter().map(ServiceState::address).collect();
        for address in addresses {
            if !self.hooks.is_busy(address) {
                self.hooks.forget(address);
            }
        }
        self.tell(done, now);
    }
}
