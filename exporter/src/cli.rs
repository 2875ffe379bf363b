//! Arguments.

use clap::{Arg, Command, value_parser};
use ldirectord::daemon::Paths;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `--listen`: where to serve.
    pub listen: SocketAddr,
    /// `--sockets`: where the daemons have their control sockets.
    pub sockets: PathBuf,
    /// `--interval`: between two questions for everything, when nothing happens.
    pub interval: Duration,
}

/// Arguments, the program's name first.
///
/// # Errors
/// What is wrong with them, or the text of `--help` and `--version`.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, clap::Error> {
    let listen = Arg::new("listen").long("listen").value_name("ADDRESS:PORT");
    let sockets = Arg::new("sockets").long("sockets").value_name("DIRECTORY");
    let interval = Arg::new("interval").long("interval").value_name("SECONDS");
    let command = Command::new("ldirectord-exporter")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves metrics and a status page of the ldirectord daemons of this machine")
        .arg(
            listen
                .value_parser(value_parser!(SocketAddr))
                .default_value("127.0.0.1:9912")
                .help("Where to serve; ignored if systemd has opened a socket"),
        )
        .arg(
            sockets
                .value_parser(value_parser!(PathBuf))
                .help("Where the daemons have their control sockets [default: /run/ldirectord-rs]"),
        )
        .arg(
            interval
                .value_parser(value_parser!(u64).range(1..=3600))
                .default_value("10")
                .help("Between two questions for everything, while nothing happens"),
        );
    let matches = command.try_get_matches_from(arguments)?;
    let get = |name| matches.get_one::<PathBuf>(name).cloned();
    let default = SocketAddr::from(([127, 0, 0, 1], 9912));
    Ok(Options {
        listen: matches.get_one::<SocketAddr>("listen").copied().unwrap_or(default),
        sockets: get("sockets").unwrap_or_else(|| Paths::of_this_user().runtime),
        interval: Duration::from_secs(matches.get_one::<u64>("interval").copied().unwrap_or(10)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, clap::Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn without_options_it_serves_on_loopback_what_is_in_the_system_s_directory() {
        let options = parsed("ldirectord-exporter --sockets /run/x").expect("options");
        assert!(options.listen.ip().is_loopback());
        assert_eq!(options.sockets, PathBuf::from("/run/x"));
        assert_eq!(options.interval, Duration::from_secs(10));
        let options = parsed("ldirectord-exporter --listen [::]:80 --interval 1").expect("options");
        assert_eq!(options.listen, "[::]:80".parse().expect("an address"));
        assert_eq!(options.interval, Duration::from_secs(1));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "ldirectord-exporter --listen here",
            "ldirectord-exporter --listen 127.0.0.1",
            "ldirectord-exporter --interval 0",
            "ldirectord-exporter --interval 9999",
            "ldirectord-exporter now",
        ] {
            assert_eq!(parsed(line).expect_err(line).exit_code(), 2, "{line}");
        }
    }
}
