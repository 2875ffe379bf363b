//! Completion scripts: made from the description of the command line, and with a part of our own for the
//! services and real servers, which the scripts ask this program for ([`ARGUMENT`]).
//!
//! What may stand at a place of the command line is decided here, once for all shells.

use crate::status::address_word;
use clap::Command;
use clap_complete::{Shell, generate};
use std::fmt::Write;

/// The argument that makes the program say what may stand at a place of a command line:
/// `--complete [WORD…] CURSOR`, the words before the cursor's without the program's name.
///
/// Not a command, because a configuration may have any name.
pub const ARGUMENT: &str = "--complete";

/// The script for this shell.
pub(crate) fn script(shell: Shell, command: &mut Command) -> String {
    let mut script = Vec::new();
    generate(shell, command, "ldirectord", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Fish => script + include_str!("completions/targets.fish"),
        Shell::Zsh => first_asks(&script, include_str!("completions/targets.zsh")),
        _ => first_asks(&script, include_str!("completions/targets.bash")),
    }
}

/// The script whose function asks ours before it looks for anything itself.
fn first_asks(script: &str, ours: &str) -> String {
    let function = "\n_ldirectord() {\n";
    // Bash's script begins with it.
    let script = format!("\n{script}");
    let asking = format!("\n{ours}{}    _ldirectord_targets && return 0\n", &function[1..]);
    let script = script.replacen(function, &asking, 1);
    script.strip_prefix('\n').unwrap_or(&script).to_owned()
}

/// A virtual service, as far as it can be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `10.0.0.1:80`, `[fd00::1]:80`, or the mark.
    pub address: String,
    /// `tcp:10.0.0.1:80`, `fwm:7`.
    pub id: String,
    /// The addresses of its real servers, each with its state if that is known.
    pub servers: Vec<(String, Option<String>)>,
}

/// What may stand at the cursor, one a line, with a tab and a few words about it; nothing where only the
/// description of the command line knows something, or nobody.
///
/// `known` has the services of a configuration, which is given if it is not the usual one.
pub fn candidates(
    command: &Command,
    words: &[String],
    known: impl FnOnce(Option<&str>) -> Vec<Service>,
) -> String {
    let Some((cursor, before)) = words.split_last() else { return String::new() };
    // Servers in one word, with commas between them.
    let done = cursor.rfind(',').map_or("", |comma| &cursor[..=comma]);
    let typed = &cursor[done.len()..];
    let mut found = match place(command, before, cursor) {
        Place::Unknown => Vec::new(),
        Place::Verb => {
            let verbs = command.get_subcommands().filter(|it| !it.is_hide_set());
            let about = |it: &Command| it.get_about().map(ToString::to_string).unwrap_or_default();
            verbs.map(|verb| (verb.get_name().to_owned(), about(verb))).collect()
        }
        Place::Option(verb) => options(verb),
        Place::Of => vec![("of".to_owned(), "only in this virtual service".to_owned())],
        Place::Target(config) => {
            let known = known(config);
            let mut targets = servers(&known);
            targets.extend(services(&known, None, typed));
            targets
        }
        Place::Server(config) => servers(&known(config)),
        Place::Service(config, server) => services(&known(config), server, typed),
    };
    found.retain(|(word, _)| word.starts_with(typed));
    found.iter().fold(String::new(), |mut text, (word, about)| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{done}{word}\t{about}");
        text
    })
}

/// What may stand at the cursor.
enum Place<'a> {
    /// Nothing that is known here.
    Unknown,
    /// A command, behind a configuration.
    Verb,
    /// An option of this command, which the shell does not know behind a configuration.
    Option(&'a Command),
    /// `of`
    Of,
    /// A server or a service of this configuration.
    Target(Option<&'a str>),
    /// A server.
    Server(Option<&'a str>),
    /// A service, of those that have this server.
    Service(Option<&'a str>, Option<&'a str>),
}

fn place<'a>(command: &'a Command, before: &'a [String], cursor: &str) -> Place<'a> {
    let Some(words) = behind_options(command, before) else { return Place::Unknown };
    let verb = |word: &String| command.find_subcommand(word);
    let (config, verb, rest) = match words {
        [config, word, rest @ ..] if verb(word).is_some() => (Some(config), verb(word), rest),
        [word, rest @ ..] if verb(word).is_some() => (None, verb(word), rest),
        [_] if !cursor.starts_with('-') => return Place::Verb,
        _ => return Place::Unknown,
    };
    let Some(verb) = verb else { return Place::Unknown };
    let all = rest.iter().any(|word| word == "--all");
    let Some(rest) = without_options(verb, rest) else { return Place::Unknown };
    if cursor.starts_with('-') {
        return Place::Option(verb);
    }
    let config = config.map(String::as_str);
    match (verb.get_name(), rest.as_slice()) {
        ("status", [.., "of"]) => Place::Service(config, None),
        ("status", _) | ("drain" | "disable" | "enable" | "weight", []) => Place::Target(config),
        ("drain" | "disable" | "enable", [_]) | ("weight", [_, _]) => Place::Of,
        ("drain" | "disable" | "enable", [server, "of"]) | ("weight", [server, _, "of"]) => {
            Place::Service(config, Some(server))
        }
        ("probe", []) if !all => Place::Server(config),
        ("probe", [] | [_]) if rest.is_empty() == all => Place::Service(config, None),
        _ => Place::Unknown,
    }
}

/// The words from the configuration or the command on; `None` if the cursor is at an option's value.
fn behind_options<'a>(command: &Command, mut words: &'a [String]) -> Option<&'a [String]> {
    while let [option, rest @ ..] = words
        && option.starts_with('-')
    {
        words = match takes_value(command, option) {
            true => rest.get(1..)?,
            false => rest,
        };
    }
    Some(words)
}

/// The words behind a command that are no options; `None` if the cursor is at an option's value.
fn without_options<'a>(verb: &Command, words: &'a [String]) -> Option<Vec<&'a str>> {
    let mut left = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            left.push(word.as_str());
        } else if takes_value(verb, word) {
            words.next()?;
        }
    }
    Some(left)
}

/// Whether the next word is this option's value.
fn takes_value(command: &Command, option: &str) -> bool {
    let name = option.strip_prefix("--");
    let mut options = command.get_arguments().filter(|it| it.get_long().is_some());
    name.is_some() && options.any(|it| it.get_long() == name && it.get_action().takes_values())
}

fn options(verb: &Command) -> Vec<(String, String)> {
    let option = |arg: &clap::Arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        Some((format!("--{}", arg.get_long()?), help))
    };
    verb.get_arguments().filter_map(option).collect()
}

fn servers(known: &[Service]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (address, state) in known.iter().flat_map(|service| &service.servers) {
        if is_safe(address) && !found.iter().any(|(word, _)| word == address) {
            let state = state.as_ref().map(|state| format!(", {state}")).unwrap_or_default();
            found.push((address.clone(), format!("real server{state}")));
        }
    }
    found
}

/// The services, of those that have a server if one is given, by their address where nothing else has it,
/// and nobody has begun to type more.
fn services(known: &[Service], server: Option<&str>, typed: &str) -> Vec<(String, String)> {
    let named = |word: &str| {
        let services = known.iter().filter(|service| service.address == word).count();
        let servers = known.iter().flat_map(|service| &service.servers);
        services + usize::from(servers.into_iter().any(|(address, _)| address == word))
    };
    let has = |service: &&Service| {
        let is = |address: &str, word: &str| {
            address == word || address.strip_prefix(word).is_some_and(|port| port.starts_with(':'))
        };
        server.is_none_or(|word| service.servers.iter().any(|(address, _)| is(address, word)))
    };
    let mut found = Vec::new();
    for service in known.iter().filter(has) {
        let more = !typed.is_empty() && service.id.starts_with(typed);
        let plain = !more && named(&service.address) == 1 && is_safe(&service.address);
        let word = if plain { &service.address } else { &service.id };
        if is_safe(word) {
            found.push((word.clone(), format!("virtual service, {}", service.id)));
        }
    }
    found
}

/// A shell puts it into its command line as it is.
fn is_safe(word: &str) -> bool {
    address_word(word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_for_completions;

    fn known(config: Option<&str>) -> Vec<Service> {
        if config == Some("none.cf") {
            return Vec::new();
        }
        let service = |id: &str, servers: &[&str]| Service {
            address: id.split_once(':').expect("an id").1.to_owned(),
            id: id.to_owned(),
            servers: servers.iter().map(|&it| (it.to_owned(), Some("up".to_owned()))).collect(),
        };
        vec![
            service("tcp:10.0.0.1:80", &["10.0.1.1:80", "[fd00::2]:80"]),
            service("tcp:10.0.0.1:53", &["10.0.1.3:53", "10.0.1.1:80"]),
            service("udp:10.0.0.1:53", &["$(reboot)"]),
            service("fwm:7", &["10.0.1.3:53"]),
        ]
    }

    /// The words at the end of a line.
    fn at(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(Into::into).collect();
        let text = candidates(&command_for_completions(), &words, known);
        text.lines().map(|line| line.split_once('\t').expect("a tab").0.to_owned()).collect()
    }

    const SERVERS: [&str; 3] = ["10.0.1.1:80", "[fd00::2]:80", "10.0.1.3:53"];
    const SERVICES: [&str; 4] = ["10.0.0.1:80", "tcp:10.0.0.1:53", "udp:10.0.0.1:53", "fwm:7"];

    #[test]
    fn a_target_is_a_server_or_a_service_of_the_configuration() {
        let all: Vec<&str> = SERVERS.into_iter().chain(SERVICES).collect();
        for line in [
            "drain ",
            "web.cf drain ",
            "-d --table memory web.cf disable ",
            "enable --reason drain ",
            "weight --force ",
            "web.cf status ",
            "status --down 10.0.1.1:80 ",
        ] {
            assert_eq!(at(line), all, "{line}");
        }
        assert_eq!(at("drain 10.0.1.1"), ["10.0.1.1:80"]);
        assert_eq!(at("drain tcp:"), ["tcp:10.0.0.1:80", "tcp:10.0.0.1:53"]);
        assert_eq!(at("drain $"), [""; 0], "what is no address is not put into a command line");
        assert_eq!(at("none.cf drain "), [""; 0]);
    }

    #[test]
    fn a_service_follows_of() {
        assert_eq!(at("drain 10.0.1.1:80 "), ["of"]);
        assert_eq!(at("weight 10.0.1.1:80 "), [""; 0], "a number");
        assert_eq!(at("weight 10.0.1.1:80 7 o"), ["of"]);
        let both = ["10.0.0.1:80", "tcp:10.0.0.1:53"];
        assert_eq!(at("drain 10.0.1.1:80 of "), both, "those that have the server");
        assert_eq!(at("weight 10.0.1.1:80 --for 1h 7 of "), both);
        assert_eq!(at("w.cf enable 10.0.1.3 of "), ["tcp:10.0.0.1:53", "fwm:7"]);
        assert_eq!(at("status --down of "), SERVICES);
        assert_eq!(at("drain 10.0.1.1:80 of 10.0.0.1:80 "), [""; 0]);
    }

    #[test]
    fn servers_to_be_probed_are_one_word() {
        assert_eq!(at("web.cf probe "), SERVERS);
        assert_eq!(at("probe --count 3 web1,10.0.1.1"), ["web1,10.0.1.1:80"]);
        assert_eq!(at("probe web1,10.0.1.1 "), SERVICES);
        assert_eq!(at("probe --all "), SERVICES);
        assert_eq!(at("probe --all fwm:7 "), [""; 0]);
        assert_eq!(at("probe 10.0.1.1 fwm:7 "), [""; 0]);
    }

    #[test]
    fn options_are_the_command_s_and_their_values_the_shell_s() {
        for line in ["", "-", "--check ", "drain 10.0.1.1:80 --for ", "start ", "drain x y "] {
            assert_eq!(at(line), [""; 0], "{line}");
        }
        assert_eq!(at("web.cf drain 10.0.1.1:80 --f"), ["--for", "--force"]);
        assert!(at("web.cf status --").contains(&"--watch".to_owned()));
    }

    #[test]
    fn commands_follow_a_configuration() {
        assert!(at("web.cf ").contains(&"drain".to_owned()));
        assert_eq!(at("web.cf st"), ["start", "stop", "status"]);
        assert_eq!(at("web.cf nonsense "), [""; 0]);
    }

    #[test]
    fn every_script_asks_the_program() {
        for (shell, call) in [
            (Shell::Bash, "_ldirectord() {\n    _ldirectord_targets && return 0\n"),
            (Shell::Zsh, "_ldirectord() {\n    _ldirectord_targets && return 0\n"),
            (Shell::Fish, "complete -c ldirectord -f -n"),
        ] {
            let script = script(shell, &mut command_for_completions());
            assert!(script.contains(call) && script.contains(" --complete "), "{script}");
            assert_eq!(script.starts_with("#compdef"), shell == Shell::Zsh);
        }
    }
}
