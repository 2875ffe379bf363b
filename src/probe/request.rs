//! The words behind `probe`: which servers, how often, in which form.

use crate::cli::{Misuse, misuse};
use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command, value_parser};
use std::ffi::OsString;
use std::time::Duration;

/// What `probe` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which real servers: an address or a name, with or without a port, each. Empty: every one.
    pub servers: Vec<String>,
    /// In which virtual service only.
    pub service: Option<String>,
    /// How often; `None`: until somebody ends it.
    pub count: Option<u64>,
    /// From the beginning of one probe to that of the next.
    pub interval: Duration,
    /// How it is told.
    pub form: Form,
}

/// How `probe` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One object a line.
    Json,
    /// Nothing is probed: the servers that could be.
    List,
}

impl Request {
    /// Reads the words behind `probe`.
    ///
    /// # Errors
    /// When they make no sense.
    pub(crate) fn parse<'a>(words: impl IntoIterator<Item = &'a OsString>) -> Result<Self, Misuse> {
        let words = std::iter::once(OsString::from("probe")).chain(words.into_iter().cloned());
        let matches = command().try_get_matches_from(words).map_err(|error| misuse(&error))?;
        let mut named = matches.get_many::<String>("server").unwrap_or_default().cloned();
        let form = match (matches.get_flag("json"), matches.get_flag("list")) {
            (_, true) => Form::List,
            (true, false) => Form::Json,
            (false, false) => Form::Text,
        };
        let all = matches.get_flag("all") || form == Form::List;
        let servers: Vec<String> = match all {
            true => Vec::new(),
            false => {
                let list = named.next().ok_or(Misuse(None))?;
                list.split(',').map(str::to_owned).collect()
            }
        };
        if servers.iter().any(String::is_empty) {
            return Err(Misuse(Some("A server is missing between two commas".to_owned())));
        }
        let service = named.next();
        if named.next().is_some() {
            let text = "Several servers are one word, with commas between them";
            return Err(Misuse(Some(text.to_owned())));
        }
        let interval = matches.get_one::<Duration>("interval").copied();
        let count = match (matches.get_one::<u64>("count"), interval) {
            (Some(&count), _) => Some(count),
            (None, Some(_)) => None,
            (None, None) => Some(1),
        };
        let interval = interval.unwrap_or(Duration::from_secs(1));
        Ok(Self { servers, service, count, interval, form })
    }
}

/// The command as shells complete it.
pub fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("probe")
        .about("Check real servers now and show how it went")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(
            Arg::new("server")
                .value_name("SERVER")
                .num_args(0..)
                .help("SERVER[:PORT][,SERVER…], then a virtual service if only that one is meant"),
        )
        .arg(flag("all", "Every real server, of the virtual service if one is named"))
        .arg(
            Arg::new("count")
                .long("count")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("So many times"),
        )
        .arg(
            Arg::new("interval")
                .long("interval")
                .value_name("SECONDS")
                .value_parser(ValueParser::new(seconds))
                .help("From one probe to the next; without --count until it is ended"),
        )
        .arg(flag("json", "One JSON object for each probe"))
        .arg(flag("list", "Probe nothing, list what could be"))
}

/// `5`, `0.5`; at most a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..=86_400.0).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("not between 0 and 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, Misuse> {
        let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        Request::parse(&words)
    }

    fn of(servers: &[&str], service: Option<&str>) -> Request {
        Request {
            servers: servers.iter().map(|&server| server.to_owned()).collect(),
            service: service.map(str::to_owned),
            count: Some(1),
            interval: Duration::from_secs(1),
            form: Form::Text,
        }
    }

    #[test]
    fn servers_are_one_word_and_the_service_is_another() {
        let json = Request { form: Form::Json, ..of(&["a"], None) };
        let half = Duration::from_millis(500);
        for (line, expected) in [
            ("web1", of(&["web1"], None)),
            ("10.0.0.2:80 10.0.0.1:80", of(&["10.0.0.2:80"], Some("10.0.0.1:80"))),
            ("[fd00::2]:80,web1 7", of(&["[fd00::2]:80", "web1"], Some("7"))),
            ("--all", of(&[], None)),
            ("10.0.0.1:80 --all", of(&[], Some("10.0.0.1:80"))),
            ("--list", Request { form: Form::List, ..of(&[], None) }),
            ("--json a", json.clone()),
            ("a --json --count 3", Request { count: Some(3), ..json }),
            ("a --interval=0.5", Request { count: None, interval: half, ..of(&["a"], None) }),
            (
                "--count 2 --interval 0.5 a",
                Request { count: Some(2), interval: half, ..of(&["a"], None) },
            ),
        ] {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
        for (line, message) in [
            ("", None),
            ("a,,b", Some("A server is missing between two commas")),
            ("a b c", Some("Several servers are one word, with commas between them")),
            ("--all a b", Some("Several servers are one word, with commas between them")),
            ("a --count 0", Some("Value \"0\" invalid for option count")),
            ("a --interval=-1", Some("Value \"-1\" invalid for option interval")),
            ("a --interval nan", Some("Value \"nan\" invalid for option interval")),
            ("a --count", Some("Option count requires an argument")),
            ("a --nope", Some("Unknown option: nope")),
        ] {
            assert_eq!(parse(line), Err(Misuse(message.map(Into::into))), "{line}");
        }
    }

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
    }
}
