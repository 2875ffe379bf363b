//! The command line to one invocation.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::called::Called;
use super::failure::Failure;
use super::ledger::is_interface_name;
use super::policy::{Policy, Verdict};
use super::subnet::Subnet;

/// More than this would outlast the director's patience with a fallback command (60 s).
const LONGEST_SETTLE: f64 = 50.0;

/// A director that has been silent for so long will not come back by itself.
const LONGEST_LEASE: f64 = 3600.0;

/// What a run is asked to do.
#[derive(Debug)]
pub(super) enum Invocation {
    /// `start` or `stop`: a director tells how a service is.
    Report { called: Called, verdict: Verdict, site: Site, state: PathBuf },
    /// `forget`: a service is gone, or, without one, all that ip_vs does not list.
    Forget { called: Option<Called>, site: Site, state: PathBuf },
    /// `guard`: lowers what no living director stands for.
    Guard { lease: Duration, site: Site, state: PathBuf },
    /// `status`
    Status { state: PathBuf },
    /// `--help`, `--version`: text for standard output.
    Print(String),
}

/// Where and how addresses are raised and lowered.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// `--interface`; default `lo`.
    pub(super) interface: String,
    /// `--subnet`, at least one.
    pub(super) subnets: Vec<Subnet>,
    /// `--policy`; default all.
    pub(super) policy: Policy,
    /// `--settle`; default zero.
    pub(super) settle: Duration,
}

/// Reads the command line; the first argument is the program's name.
pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Failure> {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return Ok(Invocation::Print(error.to_string()));
        }
        Err(error) => return Err(Failure::Usage(one_line(&error.to_string()))),
    };
    let state = matches.get_one::<PathBuf>("state-dir").cloned().unwrap_or_default();
    let Some((word, words)) = matches.subcommand() else {
        return Err(Failure::Usage("nothing to do".to_owned()));
    };
    let called = match (words.try_get_one("service"), words.try_get_one("protocol")) {
        (Ok(Some(service)), Ok(Some(protocol))) => {
            let (service, protocol): (&String, &String) = (service, protocol);
            Some(Called::read(service, protocol, matches.get_one::<IpAddr>("address").copied())?)
        }
        _ => None,
    };
    Ok(match (word, called) {
        ("start", Some(called)) => {
            Invocation::Report { called, verdict: Verdict::Down, site: site(&matches)?, state }
        }
        ("stop", Some(called)) => {
            Invocation::Report { called, verdict: Verdict::Up, site: site(&matches)?, state }
        }
        ("guard", _) => {
            let lease = words.get_one("lease").copied().unwrap_or_default();
            Invocation::Guard { lease, site: site(&matches)?, state }
        }
        ("forget", called) => Invocation::Forget { called, site: site(&matches)?, state },
        _ => Invocation::Status { state },
    })
}

/// The command line's definition, also for the manual's test.
pub(super) fn command() -> Command {
    let service = || {
        Arg::new("service")
            .value_name("VIP:PORT")
            .help("The virtual service: 198.51.100.1:53, [2001:db8:53::1]:53, or 7:0 for a mark")
    };
    let protocol =
        || Arg::new("protocol").value_name("PROTOCOL").help("Its protocol: tcp, udp or fwm");
    Command::new("ldirectord-anycast")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Raises and lowers anycast addresses as ldirectord's fallbackcommand, so that a routing \
             daemon announces them only while their services are up",
        )
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .args_override_self(true)
        .args([
            Arg::new("interface")
                .long("interface")
                .value_name("IF")
                .global(true)
                .default_value("lo")
                .value_parser(|name: &str| {
                    if is_interface_name(name) {
                        Ok(name.to_owned())
                    } else {
                        Err("no interface can have this name")
                    }
                })
                .help("The interface that gets the addresses"),
            Arg::new("subnet")
                .long("subnet")
                .value_name("CIDR")
                .global(true)
                .action(ArgAction::Append)
                .value_delimiter(',')
                .value_parser(|text: &str| text.parse::<Subnet>())
                .help("Addresses outside are refused; may be given several times"),
            Arg::new("address")
                .long("address")
                .value_name("ADDR")
                .global(true)
                .value_parser(value_parser!(IpAddr))
                .help("The address that stands for the service, if not its own; fwm needs it"),
            Arg::new("policy")
                .long("policy")
                .value_name("all|any")
                .global(true)
                .default_value("all")
                .value_parser(|text: &str| text.parse::<Policy>())
                .help("An address is up while all, or any, of its services are"),
            Arg::new("settle")
                .long("settle")
                .value_name("SECONDS")
                .global(true)
                .default_value("0")
                .value_parser(settle)
                .help("Go on taking packets for so long after an address was lowered (0 to 50)"),
            Arg::new("state-dir")
                .long("state-dir")
                .value_name("DIR")
                .global(true)
                .default_value("/run/ldirectord-anycast")
                .value_parser(value_parser!(PathBuf))
                .help("Where the state of the services is kept"),
        ])
        .subcommands([
            Command::new("start")
                .about("The service is down here: lower its address")
                .args([service().required(true), protocol().required(true)]),
            Command::new("stop")
                .about("The service is up here: raise its address")
                .args([service().required(true), protocol().required(true)]),
            Command::new("forget")
                .about("The service is gone; without one: all services that ip_vs does not list")
                .args([service().requires("protocol"), protocol()]),
            Command::new("guard")
                .about("Runs on: lowers addresses that no living director stands for")
                .arg(
                    Arg::new("lease")
                        .long("lease")
                        .value_name("SECONDS")
                        .default_value("10")
                        .value_parser(lease)
                        .help("How long a director may be silent (1 to 3600)"),
                ),
            Command::new("status").about("Show addresses, their services, and why"),
        ])
}

fn site(matches: &ArgMatches) -> Result<Site, Failure> {
    let subnets: Vec<Subnet> =
        matches.get_many("subnet").map(|subnets| subnets.copied().collect()).unwrap_or_default();
    if subnets.is_empty() {
        return Err(Failure::Usage(
            "--subnet is missing: say which addresses may be raised, as in --subnet \
             198.51.100.0/24"
                .to_owned(),
        ));
    }
    Ok(Site {
        interface: matches.get_one("interface").cloned().unwrap_or_default(),
        subnets,
        policy: matches.get_one("policy").copied().unwrap_or(Policy::All),
        settle: matches.get_one("settle").copied().unwrap_or_default(),
    })
}

fn lease(text: &str) -> Result<Duration, String> {
    seconds(text, 1.0, LONGEST_LEASE)
}

fn settle(text: &str) -> Result<Duration, String> {
    seconds(text, 0.0, LONGEST_SETTLE)
}

fn seconds(text: &str, least: f64, most: f64) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|seconds| (least..=most).contains(seconds))
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("expected seconds from {least} to {most}"))
}

/// What clap says in several lines, without the usage that follows.
fn one_line(message: &str) -> String {
    let message = message.split("\n\nUsage:").next().unwrap_or_default();
    let message = message.split("\n\nFor more information").next().unwrap_or_default();
    let words: Vec<&str> = message.split_whitespace().collect();
    let line = words.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(words: &str) -> Result<Invocation, Failure> {
        read(std::iter::once("ldirectord-anycast").chain(words.split(' ')).map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_directors_call_is_understood() {
        let words = "--interface anycast0 --subnet 198.51.100.0/24 --subnet 2001:db8:53::/64 \
                     --policy any --settle 1.5 start 198.51.100.1:53 udp";
        let Ok(Invocation::Report { called, verdict, site, state }) = read_words(words) else {
            panic!("no report");
        };
        assert_eq!(called.service.id(), "udp:198.51.100.1:53");
        assert_eq!(verdict, Verdict::Down);
        assert_eq!((site.interface.as_str(), site.subnets.len()), ("anycast0", 2));
        assert_eq!((site.policy, site.settle), (Policy::Any, Duration::from_millis(1500)));
        assert_eq!(state, PathBuf::from("/run/ldirectord-anycast"));
    }

    #[test]
    fn the_words_start_and_stop_are_the_directors_and_not_the_addresss() {
        for (word, expected) in [("start", Verdict::Down), ("stop", Verdict::Up)] {
            let words = format!("--subnet 198.51.100.0/24 {word} 198.51.100.1:53 tcp");
            let Ok(Invocation::Report { verdict, .. }) = read_words(&words) else {
                panic!("no report");
            };
            assert_eq!(verdict, expected);
        }
    }

    #[test]
    fn every_refusal_is_one_line_that_says_why() {
        for (words, why) in [
            ("", "unrecognized subcommand ''"),
            ("--subnet 198.51.100.0/24", "requires a subcommand"),
            ("start 198.51.100.1:53 tcp", "--subnet is missing"),
            ("forget", "--subnet is missing"),
            ("--subnet 198.51.100.0/24 start 198.51.100.1:53", "PROTOCOL"),
            ("--subnet 198.51.100.0/24 forget 198.51.100.1:53", "PROTOCOL"),
            ("--subnet 198.51.100.0/24 start 198.51.100.1:53 tcp more", "more"),
            ("--subnet 198.51.100.1/24 start 198.51.100.1:53 tcp", "198.51.100.0/24 is meant"),
            ("--subnet 198.51.100.0/24 start 7:0 fwm", "--address"),
            ("--interface ../x status", "no interface can have this name"),
            ("--policy some status", "expected all or any"),
            ("--settle 60 status", "from 0 to 50"),
            ("--settle NaN status", "from 0 to 50"),
            ("--subnet 198.51.100.0/24 guard --lease 0.5", "from 1 to 3600"),
            ("guard --lease 10", "--subnet is missing"),
            ("--sub 198.51.100.0/24 status", "--sub"),
            ("restart", "restart"),
        ] {
            let failure = read_words(words).unwrap_err();
            let message = failure.to_string();
            assert_eq!(failure.exit_status(), 2, "{words}");
            assert!(message.contains(why), "{words}: {message}");
            assert!(!message.contains('\n'), "{words}: {message}");
        }
    }

    #[test]
    fn help_is_no_failure() {
        assert!(
            matches!(read_words("--help"), Ok(Invocation::Print(text)) if text.contains("--settle"))
        );
    }
}
