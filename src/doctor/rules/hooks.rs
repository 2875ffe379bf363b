//! Commands that the configuration names.

use super::Symptom;
use crate::anycast::foresee;
use crate::doctor::facts::{Facts, Program};
use crate::model::{CheckMethod, FallbackCommand, Model, ServiceAddress, VirtualService};
use std::collections::BTreeSet;
use std::path::Path;

/// A command of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::doctor) struct Named {
    /// The word that says what to run: a path, or a name to be looked up.
    pub(in crate::doctor) program: String,
    directive: &'static str,
    service: Option<ServiceAddress>,
}

/// All commands whose program can be told.
pub(in crate::doctor) fn commands(model: &Model) -> BTreeSet<Named> {
    let mut commands = BTreeSet::new();
    if let Some(callback) = &model.settings.callback {
        let program = callback.to_string_lossy().into_owned();
        commands.insert(Named { program, directive: "callback", service: None });
    }
    for service in &model.services {
        let mut name = |program: &str, directive| {
            let service = Some(service.address);
            commands.insert(Named { program: program.to_owned(), directive, service });
        };
        if let Some(FallbackCommand { command, .. }) = &service.fallback_command
            && let Some(program) = program_of(command)
        {
            name(program, "fallbackcommand");
        }
        for server in &service.real_servers {
            if let CheckMethod::External(script) = &server.check.method {
                name(&script.command, "checkcommand");
            }
            if let Some(script) = server.check.agent_command() {
                name(&script.command, "agentcommand");
            }
        }
    }
    commands
}

/// What a shell makes more of than a word.
const SHELL: &str = "$`\"'\\;&|<>(){}*?[]~#=";

/// First words that are the shell's own; the commonest ones.
const BUILT_IN: [&str; 14] = [
    ".", ":", "if", "for", "while", "case", "cd", "test", "set", "eval", "trap", "umask", "!",
    "export",
];

/// The program that a shell's command line runs; `None` if that takes a shell to tell.
pub(in crate::doctor) fn program_of(command: &str) -> Option<&str> {
    let mut words = command.split_whitespace().skip_while(|word| *word == "exec");
    let program = words.next()?;
    let plain = !program.contains(|c| SHELL.contains(c)) && !BUILT_IN.contains(&program);
    plain.then_some(program)
}

/// Whether the service's hook is `ldirectord-anycast`.
pub(in crate::doctor) fn is_anycast(service: &VirtualService) -> bool {
    let command = service.fallback_command.as_ref();
    command.is_some_and(|it| it.command.contains(ANYCAST))
}

const ANYCAST: &str = "ldirectord-anycast";

/// The words that `ldirectord-anycast` is run with; `None` if it is not, or that takes a shell to tell.
pub(in crate::doctor) fn anycast_words(service: &VirtualService) -> Option<Vec<&str>> {
    let command = &service.fallback_command.as_ref()?.command;
    if command.contains(|c| SHELL.replace('=', "").contains(c)) {
        return None;
    }
    let mut words = command.split_whitespace();
    words.find(|word| Path::new(word).file_name().is_some_and(|name| name == ANYCAST))?;
    Some(words.collect())
}

pub(super) fn hook_missing(facts: &Facts, model: &Model) -> Vec<Symptom> {
    in_state(facts, model, Program::Missing, |Named { program, directive, .. }| {
        let (what, mend) = if program.contains('/') {
            (format!("There is no {program}."), format!("put it there, or correct {directive}"))
        } else {
            let what = format!("There is no {program} in any directory of PATH.");
            (what, format!("write its whole path in {directive}"))
        };
        (what, mend)
    })
}

pub(super) fn hook_not_executable(facts: &Facts, model: &Model) -> Vec<Symptom> {
    in_state(facts, model, Program::NotExecutable, |Named { program, .. }| {
        (format!("{program} is no executable file."), format!("chmod +x {program}"))
    })
}

fn in_state(
    facts: &Facts,
    model: &Model,
    state: Program,
    words: impl Fn(&Named) -> (String, String),
) -> Vec<Symptom> {
    let symptom = |named: Named| {
        if facts.programs.get(&named.program) != Some(&state) {
            return None;
        }
        let (what, mend) = words(&named);
        let why = match named.directive {
            "callback" => "The callback is passed over in silence.",
            "agentcommand" => "Nobody tells the servers' weights: the configured ones hold.",
            "checkcommand" => "The check cannot be run: its servers are never up.",
            _ => "The command fails whenever the service goes down or comes up.",
        };
        let symptom = Symptom::new(format!("{}: {what}", named.directive), why, mend);
        Some(match named.service {
            Some(service) => symptom.of(service),
            None => symptom,
        })
    };
    commands(model).into_iter().filter_map(symptom).collect()
}

pub(super) fn anycast_refused(_: &Facts, model: &Model) -> Vec<Symptom> {
    let of_service = |service: &VirtualService| {
        let refusal = foresee(&anycast_words(service)?, service.address).err()?;
        let symptom = Symptom::new(
            format!("ldirectord-anycast would refuse this service: {refusal}."),
            "The address would be neither raised nor lowered.",
            "correct the words of fallbackcommand; see ldirectord-anycast(8)",
        );
        Some(symptom.of(service.address))
    };
    model.services.iter().filter_map(of_service).collect()
}

pub(super) fn anycast_interface(facts: &Facts, model: &Model) -> Vec<Symptom> {
    let of_service = |service: &VirtualService| {
        let foreseen = foresee(&anycast_words(service)?, service.address).ok()?;
        let name = foreseen.interface;
        // Where interfaces could not be listed, nothing is known.
        if facts.network.interfaces.is_empty() {
            return None;
        }
        let (what, mend) = match facts.network.interfaces.get(&name) {
            Some(interface) if interface.up => return None,
            Some(_) => ("is down", format!("ip link set {name} up")),
            None => {
                ("is not there", format!("ip link add {name} type dummy && ip link set {name} up"))
            }
        };
        let symptom = Symptom::new(
            format!("The interface {name}, which is to get the address, {what}."),
            "The address cannot be raised, and is not announced.",
            mend,
        );
        Some(symptom.of(service.address))
    };
    model.services.iter().filter_map(of_service).collect()
}
