//! What each service's hook was last told. Pure.

use crate::director::HookState;
use crate::model::{FallbackCommand, HookArgument, ServiceAddress};
use crate::process::Identity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The last run of each service's hook: noted when it begins and when it has succeeded, so that a
/// process that starts after a crash knows what was under way.
#[derive(Debug, Default)]
pub struct Memory {
    told: BTreeMap<String, Told>,
    /// What has changed since the last [`Memory::take_lines`].
    lines: Vec<Line>,
}

/// A line of the journal: what one service's command was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The service.
    pub service: String,
    /// `None`: the service is forgotten.
    pub told: Option<Told>,
}

/// A command and what it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    command: String,
    argument: Word,
    #[serde(default)]
    state: State,
    /// The process of a run that has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<Identity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Start,
    Stop,
}

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It began; whether it did its work is not known, or it failed.
    Begun,
    /// It succeeded. Version 0.1.0 wrote nothing else.
    #[default]
    Done,
}

impl Line {
    /// The line, with its newline.
    pub fn json(&self) -> String {
        let json = serde_json::to_string(self).expect("strings and words always have a JSON form");
        json + "\n"
    }
}

impl Memory {
    /// The memory that these lines leave.
    pub fn from_lines(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut memory = Self::default();
        for Line { service, told } in lines {
            match told {
                Some(told) => memory.told.insert(service, told),
                None => memory.told.remove(&service),
            };
        }
        memory
    }

    /// What is known of this command of this service; nothing if it was another command.
    pub fn state(&self, service: ServiceAddress, command: &FallbackCommand) -> HookState {
        let known = self.told.get(&service.id());
        let Some(told) = known.filter(|told| told.command == command.command) else {
            return HookState::default();
        };
        let argument = match told.argument {
            Word::Start => HookArgument::Start,
            Word::Stop => HookArgument::Stop,
        };
        match told.state {
            State::Done => HookState::remembered(Some(argument)),
            State::Begun => HookState::interrupted(argument),
        }
    }

    /// The process of a run of this service, whatever its command, that was not seen to end.
    pub fn process(&self, service: ServiceAddress) -> Option<Identity> {
        self.told.get(&service.id())?.process
    }

    /// A run begins. A process that an earlier program left behind stays known until this run has
    /// its own: who comes after another crash has to outwait it too.
    pub fn begin(
        &mut self,
        service: ServiceAddress,
        command: &FallbackCommand,
        argument: HookArgument,
    ) {
        let argument = match argument {
            HookArgument::Start => Word::Start,
            HookArgument::Stop => Word::Stop,
        };
        let command = command.command.clone();
        let process = self.process(service);
        let told = Told { command, argument, state: State::Begun, process };
        self.set(service, told);
    }

    /// The run that began last has this process.
    pub fn started(&mut self, service: ServiceAddress, process: Identity) {
        if let Some(told) = self.told.get(&service.id()).cloned() {
            self.set(service, Told { process: Some(process), ..told });
        }
    }

    /// The run that began last has ended.
    pub fn end(&mut self, service: ServiceAddress, succeeded: bool) {
        if let Some(told) = self.told.get(&service.id()).cloned() {
            let state = if succeeded { State::Done } else { State::Begun };
            self.set(service, Told { state, process: None, ..told });
        }
    }

    /// Forgets a service: its command is told anew. A process that an earlier program left behind
    /// stays known, for it has to be outwaited first; nobody knows what came of its run anyway.
    pub fn forget(&mut self, service: ServiceAddress) {
        if self.process(service).is_some() {
            return;
        }
        if self.told.remove(&service.id()).is_some() {
            self.lines.push(Line { service: service.id(), told: None });
        }
    }

    /// What has changed since the last call.
    pub fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    fn set(&mut self, service: ServiceAddress, told: Told) {
        let service = service.id();
        if self.told.insert(service.clone(), told.clone()).as_ref() != Some(&told) {
            self.lines.push(Line { service, told: Some(told) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;
    use std::time::Duration;

    fn tcp(address: &str) -> ServiceAddress {
        ServiceAddress::Address { protocol: Protocol::Tcp, address: address.parse().unwrap() }
    }

    fn command(text: &str) -> FallbackCommand {
        FallbackCommand {
            command: text.into(),
            retry: false,
            timeout: Duration::from_secs(60),
            user: None,
        }
    }

    #[test]
    fn a_run_that_was_begun_and_not_seen_to_succeed_is_not_taken_for_done() {
        use HookArgument::{Start, Stop};
        let web = tcp("10.0.0.1:80");
        let a = command("/bin/a");
        let mut memory = Memory::default();
        let mut lines = Vec::new();
        let process = Identity { pid: 7, started: 99 };
        memory.begin(web, &a, Stop);
        memory.end(web, true);
        lines.extend(memory.take_lines());
        let later = Memory::from_lines(lines.clone());
        assert_eq!(later.state(web, &a), HookState::remembered(Some(Stop)));
        memory.begin(web, &a, Start);
        memory.started(web, process);
        lines.extend(memory.take_lines());
        let later = Memory::from_lines(lines.clone());
        assert_eq!(later.state(web, &a), HookState::interrupted(Start));
        assert_eq!(later.process(web), Some(process));
        assert_eq!(later.state(web, &command("/bin/b")), HookState::default());
        memory.end(web, false);
        lines.extend(memory.take_lines());
        let later = Memory::from_lines(lines.clone());
        assert_eq!(later.state(web, &a), HookState::interrupted(Start), "it failed half-way");
        assert_eq!(later.process(web), None);
    }

    #[test]
    fn a_process_that_is_still_outwaited_is_known_after_another_crash() {
        let web = tcp("10.0.0.1:80");
        let a = command("/bin/a");
        let (first, second) = (Identity { pid: 7, started: 99 }, Identity { pid: 8, started: 100 });
        let mut memory = Memory::default();
        let mut lines = Vec::new();
        memory.begin(web, &a, HookArgument::Start);
        memory.started(web, first);
        lines.extend(memory.take_lines());
        let mut later = Memory::from_lines(lines.clone());
        later.begin(web, &a, HookArgument::Stop);
        lines.extend(later.take_lines());
        assert_eq!(Memory::from_lines(lines.clone()).process(web), Some(first));
        later.started(web, second);
        lines.extend(later.take_lines());
        assert_eq!(Memory::from_lines(lines.clone()).process(web), Some(second));
        later.end(web, true);
        lines.extend(later.take_lines());
        assert_eq!(Memory::from_lines(lines).process(web), None);
    }

    #[test]
    fn a_service_that_is_forgotten_keeps_the_process_that_is_to_be_outwaited() {
        let web = tcp("10.0.0.1:80");
        let a = command("/bin/a");
        let process = Identity { pid: 7, started: 99 };
        let mut memory = Memory::default();
        memory.begin(web, &a, HookArgument::Stop);
        memory.started(web, process);
        memory.forget(web);
        assert_eq!(memory.process(web), Some(process));
        assert_eq!(memory.state(web, &a), HookState::interrupted(HookArgument::Stop));
        memory.end(web, true);
        memory.forget(web);
        assert_eq!(memory.state(web, &a), HookState::default());
    }

    #[test]
    fn a_line_of_the_first_version_is_a_run_that_succeeded() {
        let line = r#"{"service":"tcp:10.0.0.1:80","told":{"command":"a","argument":"stop"}}"#;
        let memory = Memory::from_lines([serde_json::from_str(line).unwrap()]);
        let state = memory.state(tcp("10.0.0.1:80"), &command("a"));
        assert_eq!(state, HookState::remembered(Some(HookArgument::Stop)));
    }
}
