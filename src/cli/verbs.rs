//! The operator's verbs beside the original's: what may follow each of them.

use crate::daemon::request::{Operate, Request};
use crate::director::Override;
use crate::runtime::{Change, LARGEST_WEIGHT};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use std::ffi::OsString;
use std::time::Duration;

/// A question to a running daemon, and what is to be done with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// `drain`, `disable`, `enable`, `weight`, `confirm`, `reload --confirm`: the daemon's line is shown.
    Tell {
        /// What to ask.
        request: Request,
        /// As JSON.
        json: bool,
    },
    /// `drain --wait`, `disable --wait`: the connections of the servers are shown until none is left.
    Wait {
        /// What to ask.
        operate: Operate,
        /// As JSON.
        json: bool,
    },
    /// `events`
    Events {
        /// One JSON object a line.
        json: bool,
        /// Goes on until interrupted.
        follow: bool,
        /// Only of this time or later, in milliseconds since the epoch.
        since_ms: u64,
    },
    /// `plan`, `reload --plan`
    Plan {
        /// As JSON.
        json: bool,
    },
}

/// The verbs with their help, for parsing and for completions.
pub(super) fn commands() -> Vec<Command> {
    let json = || flag("json", "Answer for programs");
    let target = Arg::new("target").value_name("SERVER|SERVICE").required(true);
    let of = Arg::new("of").value_name("of SERVICE").num_args(0..=2);
    let time = Arg::new("for").long("for").value_name("TIME").value_parser(time);
    let time = time.help("End by itself after this time: 90s, 30m, 2h");
    let reason = Arg::new("reason").long("reason").value_name("TEXT");
    let reason = reason.help("Why, for `status` and the log");
    let force = flag("force", "Even if a service is left without a server");
    let wait = flag("wait", "Wait until no connection is left, or the time is up");
    let command = |name, about| {
        Command::new(name).about(about).disable_help_flag(true).arg(json()).arg(target.clone())
    };
    let weight = Arg::new("weight").value_name("WEIGHT").required(true);
    let weight = weight.value_parser(value_parser!(u32).range(..=i64::from(LARGEST_WEIGHT)));
    let since = Arg::new("since").long("since").value_name("TIME").value_parser(since);
    vec![
        command("drain", "Keep new connections from a server; existing ones stay").args([
            of.clone(),
            time.clone(),
            reason.clone(),
            force.clone(),
            wait.clone(),
        ]),
        command(
            "disable",
            "Take a server or a whole service out, as a file in maintenancedir does",
        )
        .args([of.clone(), time.clone(), reason.clone(), force.clone(), wait]),
        command("enable", "End drain, disable and weight").args([of.clone(), reason.clone()]),
        command("weight", "Give a server another weight than the configuration does")
            .args([weight, of, time, reason, force]),
        Command::new("events")
            .about("Tell what has happened")
            .disable_help_flag(true)
            .args([json(), flag("follow", "Go on as it happens")])
            .arg(since.help("Only since: 10m (ago), 14:30, 2026-01-31T14:30")),
        Command::new("plan")
            .about("Tell what a reload would do")
            .disable_help_flag(true)
            .arg(json()),
        Command::new("confirm")
            .about("Keep a configuration that `reload --confirm` would take back")
            .disable_help_flag(true)
            .arg(json()),
    ]
}

/// The options of `reload` that are not the original's.
pub(super) fn reload_options() -> [Arg; 3] {
    let confirm = Arg::new("confirm").long("confirm").value_name("TIME").value_parser(time);
    [
        flag("json", "Answer for programs"),
        flag("plan", "Tell what a reload would do"),
        confirm.help("Take the configuration back after this time, unless `confirm` comes"),
    ]
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// Whether a word is one of these verbs.
pub(super) fn is_verb(word: &str) -> bool {
    commands().iter().any(|command| command.get_name() == word)
}

/// What one of these verbs and the words behind it ask for; the error is for people.
pub(super) fn parse(verb: &str, rest: &[&OsString]) -> Result<Ask, String> {
    let command = commands().into_iter().find(|command| command.get_name() == verb);
    let command = command.ok_or_else(|| format!("unknown command: {verb}"))?;
    let matches = matches(command, rest)?;
    let json = matches.get_flag("json");
    match verb {
        "events" => Ok(Ask::Events {
            json,
            follow: matches.get_flag("follow"),
            since_ms: matches.get_one::<u64>("since").copied().unwrap_or_default(),
        }),
        "plan" => Ok(Ask::Plan { json }),
        "confirm" => Ok(Ask::Tell { request: Request::Confirm, json }),
        _ => operate(verb, &matches, json),
    }
}

/// `reload` with options of ours; `None` without any.
pub(super) fn parse_reload(rest: &[&OsString]) -> Result<Option<Ask>, String> {
    if !rest.iter().any(|word| super::is_option(word)) {
        return Ok(None);
    }
    let command = Command::new("reload").disable_help_flag(true).args(reload_options());
    let matches = matches(command, rest)?;
    let json = matches.get_flag("json");
    if matches.get_flag("plan") {
        return Ok(Some(Ask::Plan { json }));
    }
    let confirm = matches.get_one::<Duration>("confirm").copied();
    Ok(Some(Ask::Tell { request: Request::Reload { confirm }, json }))
}

fn matches(command: Command, rest: &[&OsString]) -> Result<ArgMatches, String> {
    let name = command.get_name().to_owned();
    let words = rest.iter().map(|word| (*word).clone());
    command
        .no_binary_name(true)
        .try_get_matches_from(words)
        .map_err(|error| format!("{name}: {}", what_is_wrong(&error.render().to_string())))
}

/// The parser's words without the usage behind them, in one line.
fn what_is_wrong(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines = text.lines().take_while(|line| !line.is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

fn operate(verb: &str, matches: &ArgMatches, json: bool) -> Result<Ask, String> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let has = |name: &str| matches.try_get_one::<bool>(name).ok().flatten() == Some(&true);
    let change = match verb {
        "drain" => Change::Set(Override::Drain),
        "disable" => Change::Set(Override::Disable),
        "weight" => {
            let weight = matches.get_one::<u32>("weight").copied().unwrap_or_default();
            Change::Set(Override::Weight(weight))
        }
        _ => Change::Enable,
    };
    let of: Vec<&String> = matches.get_many("of").unwrap_or_default().collect();
    let service = match of.as_slice() {
        [] => None,
        [word, service] if *word == "of" => Some((*service).clone()),
        _ => return Err(format!("{verb}: what follows the server is: of SERVICE")),
    };
    let operate = Operate {
        change,
        target: text("target").unwrap_or_default(),
        service,
        length: matches.try_get_one::<Duration>("for").ok().flatten().copied(),
        force: has("force"),
        reason: text("reason").unwrap_or_default(),
    };
    Ok(if has("wait") {
        Ask::Wait { operate, json }
    } else {
        Ask::Tell { request: Request::Operate(operate), json }
    })
}

/// `90`, `90s`, `30m`, `2h`, `1h30m`: at least a second.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u64>().ok().map(Duration::from_secs);
    let parsed = || text.parse::<SignedDuration>().ok().and_then(|it| it.try_into().ok());
    seconds
        .or_else(parsed)
        .filter(|time| *time >= Duration::from_secs(1))
        .ok_or_else(|| "a time is 90s, 30m or 2h".to_owned())
}

/// A time ago, a time of today, or a date and a time, in local time.
fn since(text: &str) -> Result<u64, String> {
    let now = Timestamp::now();
    let ago = time(text).ok().and_then(|ago| now.checked_sub(ago).ok());
    let zone = TimeZone::system();
    let today = || {
        let time = text.parse::<civil::Time>().ok()?;
        now.to_zoned(zone.clone()).date().to_datetime(time).to_zoned(zone.clone()).ok()
    };
    let then = || text.parse::<civil::DateTime>().ok()?.to_zoned(zone.clone()).ok();
    // The date first: a time is read from a text with a date too.
    let moment = ago.or_else(|| Some(then().or_else(today)?.timestamp()));
    let moment = moment.ok_or("a time is 10m (ago), 14:30 or 2026-01-31T14:30")?;
    Ok(u64::try_from(moment.as_millisecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Ask, String> {
        let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
        let words: Vec<&OsString> = words.iter().collect();
        parse(words[0].to_str().expect("text"), &words[1..])
    }

    #[test]
    fn a_server_a_service_and_a_time() {
        let expected = Operate {
            change: Change::Set(Override::Drain),
            target: "10.0.0.2:80".into(),
            service: Some("10.0.0.1:80".into()),
            length: Some(Duration::from_secs(1800)),
            force: false,
            reason: "disks".into(),
        };
        let line = "drain 10.0.0.2:80 of 10.0.0.1:80 --for 30m --reason disks";
        let request = Request::Operate(expected.clone());
        assert_eq!(parse_line(line), Ok(Ask::Tell { request, json: false }));
        let line = "drain --wait --json 10.0.0.2:80 of 10.0.0.1:80 --for 1800 --reason disks";
        assert_eq!(parse_line(line), Ok(Ask::Wait { operate: expected, json: true }));
        let Ok(Ask::Tell { request: Request::Operate(weight), .. }) =
            parse_line("weight 10.0.0.2 7 --force")
        else {
            panic!("it is a weight")
        };
        assert_eq!(weight.change, Change::Set(Override::Weight(7)));
        assert!(weight.force && weight.service.is_none());
    }

    #[test]
    fn what_makes_no_sense_is_told_in_a_line() {
        for line in [
            "drain",
            "drain 10.0.0.2 in 10.0.0.1:80",
            "drain 10.0.0.2 of",
            "drain 10.0.0.2 --for soon",
            "drain 10.0.0.2 --for 0",
            "weight 10.0.0.2",
            "weight 10.0.0.2 65536",
            "weight 10.0.0.2 -1",
            "enable 10.0.0.2 --wait",
            "events --since yesterdayish",
            "plan 7",
        ] {
            let words = parse_line(line).expect_err(line);
            assert!(!words.is_empty() && !words.contains('\n'), "{words}");
        }
    }

    #[test]
    fn times_are_ago_of_today_or_of_a_day() {
        let now = u64::try_from(Timestamp::now().as_millisecond()).expect("after 1970");
        let ago = since("10m").expect("a time");
        assert!(now - ago >= 600_000 && now - ago < 660_000);
        assert!(since("00:00").expect("a time") <= now);
        let noon = since("2001-09-09T12:00").expect("a time");
        assert!((999_907_200_000..=1_000_123_200_000).contains(&noon), "{noon}");
    }

    #[test]
    fn reload_is_the_original_s_unless_an_option_of_ours_follows() {
        let words = |line: &str| -> Vec<OsString> { line.split(' ').map(Into::into).collect() };
        let parse = |line: &str| {
            let words = words(line);
            parse_reload(&words.iter().collect::<Vec<_>>())
        };
        assert_eq!(parse("now"), Ok(None));
        assert_eq!(parse("--plan"), Ok(Some(Ask::Plan { json: false })));
        let request = Request::Reload { confirm: Some(Duration::from_secs(60)) };
        assert_eq!(parse("--confirm 60"), Ok(Some(Ask::Tell { request, json: false })));
        assert!(parse("--nonsense").is_err());
    }
}
