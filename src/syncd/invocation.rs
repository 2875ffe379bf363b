//! The command line to one invocation.

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command, value_parser};
use ipvs_rs::{SyncDaemon, SyncRole};
use std::ffi::OsString;
use std::net::IpAddr;

/// What a run is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Invocation {
    /// `master`, `backup`, `both`, `stop`
    Become(Wanted),
    /// `status`
    Status,
    /// `--help`, `--version`: text for standard output.
    Print(String),
}

/// The daemons that shall run, and no others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    roles: &'static [SyncRole],
    /// Their options, whatever the role in here.
    options: SyncDaemon,
}

impl Wanted {
    /// The daemon that shall run in this role.
    pub(super) fn daemon(&self, role: SyncRole) -> Option<SyncDaemon> {
        let daemon = SyncDaemon { role, ..self.options.clone() };
        self.roles.contains(&role).then_some(daemon)
    }
}

/// Reads the command line; the first argument is the program's name.
///
/// # Errors
/// What is wrong with it, in one line.
pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, String> {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return Ok(Invocation::Print(error.to_string()));
        }
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            return Err(line.trim_start_matches("error: ").to_owned());
        }
    };
    let Some((word, words)) = matches.subcommand() else { return Err("nothing to do".to_owned()) };
    let roles: &[SyncRole] = match word {
        "master" => &[SyncRole::Master],
        "backup" => &[SyncRole::Backup],
        "both" => &[SyncRole::Master, SyncRole::Backup],
        "stop" => &[],
        _ => return Ok(Invocation::Status),
    };
    Ok(Invocation::Become(Wanted { roles, options: options(words) }))
}

fn options(words: &ArgMatches) -> SyncDaemon {
    fn of<T: Clone + Send + Sync + 'static>(words: &ArgMatches, name: &str) -> Option<T> {
        words.try_get_one(name).ok().flatten().cloned()
    }
    let interface: String = of(words, "interface").unwrap_or_default();
    SyncDaemon {
        sync_id: of(words, "sync-id").unwrap_or_default(),
        group: of(words, "group"),
        port: of(words, "port"),
        ttl: of(words, "ttl"),
        max_length: of(words, "max-length"),
        ..SyncDaemon::new(SyncRole::Master, interface)
    }
}

/// The command line's definition.
fn command() -> Command {
    let role = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).args_override_self(true).args([
            Arg::new("interface")
                .long("interface")
                .value_name("IF")
                .required(true)
                .help("The interface towards the other directors"),
            Arg::new("sync-id")
                .long("sync-id")
                .value_name("N")
                .value_parser(value_parser!(u8))
                .help("Only directors with the same id hear each other; a backup with 0 hears all [default: 0]"),
            Arg::new("group")
                .long("group")
                .value_name("ADDRESS")
                .value_parser(|text: &str| match text.parse::<IpAddr>() {
                    Ok(address) if address.is_multicast() => Ok(address),
                    _ => Err("no multicast address"),
                })
                .help("The multicast group [default: 224.0.0.81]"),
            Arg::new("port")
                .long("port")
                .value_name("N")
                .value_parser(value_parser!(u16).range(1..))
                .help("Its UDP port [default: 8848]"),
            Arg::new("ttl")
                .long("ttl")
                .value_name("N")
                .value_parser(value_parser!(u8).range(1..))
                .help("Routers that the multicast passes, plus one [default: 1]"),
            Arg::new("max-length")
                .long("max-length")
                .value_name("BYTES")
                .value_parser(value_parser!(u16).range(1..))
                .help("Bytes of a datagram at most [default: what the interface takes]"),
        ])
    };
    Command::new("ldirectord-sync")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Starts and stops the kernel's synchronisation of connections between directors")
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommands([
            role("master", "Tell other directors of this one's connections, and take on none"),
            role("backup", "Take on what a master tells, and tell nothing"),
            role("both", "Tell and take on: several directors are active"),
            Command::new("stop").about("Do neither"),
            Command::new("status").about("What runs; exit status 3 if nothing does"),
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation, String> {
        read(line.split(' ').map(OsString::from))
    }

    #[test]
    fn words_become_daemons() {
        let Ok(Invocation::Become(wanted)) = parse(
            "ldirectord-sync both --interface eth1 --sync-id 7 --group 239.0.0.1 --port 9000 --ttl 2 \
             --max-length 1400",
        ) else {
            panic!("they make sense")
        };
        let expected = SyncDaemon {
            role: SyncRole::Backup,
            interface: "eth1".to_owned(),
            sync_id: 7,
            max_length: Some(1400),
            group: Some([239, 0, 0, 1].into()),
            port: Some(9000),
            ttl: Some(2),
        };
        assert_eq!(wanted.daemon(SyncRole::Backup), Some(expected));
        assert!(wanted.daemon(SyncRole::Master).is_some());
        let Ok(Invocation::Become(wanted)) = parse("ldirectord-sync master --interface eth1")
        else {
            panic!("it makes sense")
        };
        let master = SyncDaemon::new(SyncRole::Master, "eth1");
        assert_eq!(wanted.daemon(SyncRole::Master), Some(master));
        assert_eq!(wanted.daemon(SyncRole::Backup), None);
        assert_eq!(parse("ldirectord-sync status"), Ok(Invocation::Status));
        for line in [
            "ldirectord-sync",
            "ldirectord-sync master",
            "ldirectord-sync master --interface eth1 --sync-id 256",
            "ldirectord-sync master --interface eth1 --group 10.0.0.1",
            "ldirectord-sync master --interface eth1 --port 0",
            "ldirectord-sync stop --interface eth1",
            "ldirectord-sync leader",
        ] {
            let misuse = parse(line).expect_err(line);
            assert!(!misuse.is_empty() && !misuse.contains('\n'), "{line}: {misuse}");
        }
        command().debug_assert();
    }

    #[test]
    fn the_manual_has_every_word() {
        let page = include_str!("../../man/ldirectord-sync.8").replace("\\-", "-");
        for word in command().get_subcommands() {
            let name = word.get_name();
            assert!(page.contains(&format!(".It Cm {name}")), "{name}");
            for option in word.get_opts() {
                let name = option.get_long().unwrap_or_default();
                assert!(page.contains(&format!(".It Fl -{name} ")), "{name}");
            }
        }
    }
}
