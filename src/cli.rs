//! Arguments to an invocation; usage and version texts; exit statuses.
//!
//! As in the original, options come before the configuration and the command, and parsing stops at the
//! first argument that is not an option: `ldirectord start -d` names a configuration `start`. What
//! follows the command belongs to the command.

mod status;
mod verbs;

pub use verbs::Ask;

use crate::as_user;
use crate::completions;
use crate::daemon::{self, Paths};
use crate::probe;
use crate::prober;
use crate::status::{Filter, address_word};
use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: done; already so; running.
    Success,
    /// 1: not done; a stale pid file; `doctor`: warnings.
    Failure,
    /// 2: the configuration has errors; `doctor`: something will not work.
    Configuration,
    /// 3: `status`: not running.
    NotRunning,
    /// 127: a program that was to be run in this one's place could not be.
    NotRun,
    /// 255: wrong arguments.
    Usage,
}

impl ExitStatus {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Configuration => 2,
            Self::NotRunning => 3,
            Self::NotRun => 127,
            Self::Usage => 255,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        status.code().into()
    }
}

/// What the program is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// `-h`
    Help,
    /// `-v`
    Version,
    /// `--completions SHELL`
    Completions(Shell),
    /// `--check CONFIG`
    Check {
        /// A file or `-`.
        config: OsString,
        /// `--expand`
        expand: bool,
    },
    /// A question to an instance's daemon.
    Ask {
        /// What to ask, and what to do with the answer.
        what: Ask,
        /// The instance.
        target: Target,
    },
    /// `doctor`
    Doctor {
        /// The instance.
        target: Target,
        /// `--json`: for programs.
        json: bool,
    },
    /// A command about an instance.
    Command {
        /// The command.
        verb: Verb,
        /// The instance.
        target: Target,
        /// How and with what a daemon is to run.
        options: RunOptions,
        /// The program's name and what is left without the options, for the log.
        words: Vec<OsString>,
        /// The daemon goes on in the same process, after a fault of the program.
        resumed: Option<daemon::Resumed>,
    },
    /// `probe`
    Probe {
        /// The instance, of which only the configuration matters.
        target: Target,
        /// What is to be probed, and how.
        request: probe::Request,
        /// `-d` shows the log on standard error.
        mode: Mode,
    },
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// `start`
    Start,
    /// `stop`
    Stop,
    /// `restart`
    Restart,
    /// `try-restart`
    TryRestart,
    /// `reload`
    Reload,
    /// `force-reload`, which does the same
    ForceReload,
    /// `status`
    Status(StatusView),
}

/// What `status` shows, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusView {
    /// How.
    pub form: StatusForm,
    /// Of which services and servers.
    pub filter: Filter,
}

/// How `status` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusForm {
    /// Whether it is running, in the original's words.
    Brief,
    /// `--table`: every service and server.
    Table,
    /// `--watch`: the same, again and again.
    Watch,
    /// `--json`: the same for programs.
    Json,
    /// `--listing`: the table in the form of `ipvsadm -Ln`.
    Listing,
    /// `--metrics`: what is known and counted, for Prometheus.
    Metrics,
}

/// The configuration as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name to be looked up, or a path; `ldirectord.cf` if none was given.
    pub config: OsString,
    /// The instance's name: the configuration's file name with its extension, or `ldirectord`.
    pub instance: String,
}

/// How and with what a daemon is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// `-d`, `--foreground`, or neither.
    pub mode: Mode,
    /// `--table`
    pub table: TableChoice,
}

/// How a daemon is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In the background, with a pid file. With `supervised=yes`, in the foreground.
    Daemon,
    /// In the foreground, otherwise the same: for systemd.
    Foreground,
    /// In the foreground, everything to standard error, no pid file.
    Debug,
}

/// The table that is to be programmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableChoice {
    /// The kernel's ip_vs.
    Kernel,
    /// One in memory, for trying a configuration.
    Memory,
}

/// Does what the arguments ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>, paths: &Paths) -> ExitStatus {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Not for people: a director starts its prober so.
    if let [_, argument] = arguments.as_slice()
        && argument == prober::ARGUMENT
    {
        return serve_as_prober();
    }
    if let [_, argument, words @ ..] = arguments.as_slice()
        && argument == as_user::ARGUMENT
    {
        as_user::become_and_run(words);
        return ExitStatus::NotRun;
    }
    if let [_, argument, words @ ..] = arguments.as_slice()
        && argument == completions::ARGUMENT
    {
        return complete(words, paths);
    }
    match parse(&arguments) {
        Ok(Invocation::Help) => print(&help()),
        Ok(Invocation::Version) => print(&version()),
        Ok(Invocation::Completions(shell)) => {
            print(&completions::script(shell, &mut command_for_completions()))
        }
        Ok(Invocation::Check { config, expand }) => daemon::check(&config, expand, paths),
        Ok(Invocation::Doctor { target, json }) => daemon::doctor(&target, json, paths),
        Ok(Invocation::Command { target, options, resumed: Some(resumed), .. }) => {
            daemon::resume(resumed, &target, options, paths)
        }
        Ok(Invocation::Command { verb, target, options, words, resumed: None }) => {
            daemon::command(&verb, &target, options, &words, paths)
        }
        Ok(Invocation::Probe { target, request, mode }) => {
            match daemon::look_at(&target, mode, paths) {
                Ok(model) => probe::run(&request, &target, &model),
                Err(status) => status,
            }
        }
        Ok(Invocation::Ask { what, target }) => daemon::ask(&what, &target, paths),
        Err(Misuse(message)) => {
            if let Some(message) = message {
                // Whoever closed it does not want to read it.
                let _ = writeln!(io::stderr(), "{message}");
            }
            print(&usage());
            ExitStatus::Usage
        }
    }
}

fn serve_as_prober() -> ExitStatus {
    match prober::serve() {
        Ok(()) => ExitStatus::Success,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}: {error}", prober::ARGUMENT);
            ExitStatus::Failure
        }
    }
}

/// What may stand at a place of a command line, for the completion scripts.
fn complete(words: &[OsString], paths: &Paths) -> ExitStatus {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into()).collect();
    let known =
        |config: Option<&str>| daemon::known_services(&target(config.map(OsStr::new)), paths);
    print(&completions::candidates(&command_for_completions(), &words, known))
}

/// Arguments that make no sense, and why, if the original says so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misuse(pub(crate) Option<String>);

fn parse(arguments: &[OsString]) -> Result<Invocation, Misuse> {
    let matches = command().try_get_matches_from(arguments).map_err(|error| misuse(&error))?;
    if matches.get_flag("help") {
        return Ok(Invocation::Help);
    }
    if matches.get_flag("version") {
        return Ok(Invocation::Version);
    }
    if let Some(shell) = matches.get_one::<String>("completions") {
        return Ok(Invocation::Completions(match shell.as_str() {
            "zsh" => Shell::Zsh,
            "fish" => Shell::Fish,
            _ => Shell::Bash,
        }));
    }
    if let Some(config) = matches.get_one::<OsString>("check") {
        let expand = matches.get_flag("expand");
        return Ok(Invocation::Check { config: config.clone(), expand });
    }
    if matches.get_flag("expand") {
        return Err(Misuse(Some("Option expand needs --check".to_owned())));
    }
    let words: Vec<&OsString> = matches.get_many("words").unwrap_or_default().collect();
    if let Some((config, rest)) = probe_words(&words) {
        let (target, options) = (target(config.map(OsString::as_os_str)), run_options(&matches));
        let request = probe::Request::parse(rest.iter().copied())?;
        return Ok(Invocation::Probe { target, request, mode: options.mode });
    }
    let (config, verb, rest) = match words.as_slice() {
        [] => return Err(Misuse(None)),
        [verb] => (None, verb, [].as_slice()),
        // `ldirectord status --table`: what looks like an option is no command.
        [verb, option, ..] if is_option(option) && takes_options(verb) => (None, verb, &words[1..]),
        // `ldirectord drain 10.0.0.2`: the same, unless a configuration is called so.
        [verb, next, ..] if is_own(verb) && !is_verb(next) => (None, verb, &words[1..]),
        // `ldirectord status 10.0.0.2`: nor is an address.
        [verb, next, ..] if *verb == "status" && is_address(next) => (None, verb, &words[1..]),
        [config, verb, rest @ ..] => (Some(*config), verb, rest),
    };
    let target = target(config.map(OsString::as_os_str));
    if *verb == "doctor" {
        return Ok(Invocation::Doctor { target, json: is_json(rest)? });
    }
    let options = run_options(&matches);
    let asked = match verb.to_str() {
        Some(word) if verbs::is_verb(word) => verbs::parse(word, rest).map(Some),
        Some("reload" | "force-reload") => verbs::parse_reload(rest),
        _ => Ok(None),
    };
    if let Some(what) = asked.map_err(|words| Misuse(Some(words)))? {
        return Ok(Invocation::Ask { what, target });
    }
    let verb = verb_of(verb, rest)?;
    let words = arguments.first().into_iter().chain(words).cloned().collect();
    let resumed = match matches.get_one::<String>(daemon::RESUMED) {
        Some(text) => Some(daemon::Resumed::parse(text).ok_or(Misuse(None))?),
        None => None,
    };
    Ok(Invocation::Command { verb, target, options, words, resumed })
}

/// The configuration, if one is given, and the words behind `probe`, if that is the command. A
/// configuration may have this name, as any other.
fn probe_words<'a>(
    words: &'a [&'a OsString],
) -> Option<(Option<&'a OsString>, &'a [&'a OsString])> {
    match words {
        [first, second, ..] if *first == "probe" && *second != "probe" && is_verb(second) => None,
        [config, second, rest @ ..] if *second == "probe" => Some((Some(config), rest)),
        [first, rest @ ..] if *first == "probe" => Some((None, rest)),
        _ => None,
    }
}

fn is_option(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"--")
}

fn is_address(word: &OsStr) -> bool {
    word.to_str().is_some_and(|word| address_word(word).is_some())
}

/// Whether options may follow a verb: others are the original's, and what follows them is ignored.
fn takes_options(verb: &OsStr) -> bool {
    ["status", "reload", "force-reload", "doctor"].iter().any(|it| verb == *it) || is_own(verb)
}

/// Whether a word is a verb that the original does not have.
fn is_own(word: &OsStr) -> bool {
    word.to_str().is_some_and(verbs::is_verb)
}

fn is_verb(word: &OsStr) -> bool {
    word == "probe"
        || word == "doctor"
        || is_own(word)
        || word.to_str().is_some_and(|word| verb_named(word, &[]).is_ok())
}

fn verb_of(word: &OsStr, rest: &[&OsString]) -> Result<Verb, Misuse> {
    verb_named(word.to_str().unwrap_or_default(), rest)
}

fn verb_named(word: &str, rest: &[&OsString]) -> Result<Verb, Misuse> {
    Ok(match word {
        "start" => Verb::Start,
        "stop" => Verb::Stop,
        "restart" => Verb::Restart,
        "try-restart" => Verb::TryRestart,
        "reload" => Verb::Reload,
        "force-reload" => Verb::ForceReload,
        "status" => Verb::Status(status::parse(rest)?),
        _ => return Err(Misuse(None)),
    })
}

fn is_json(rest: &[&OsString]) -> Result<bool, Misuse> {
    match rest.iter().find(|word| **word != "--json") {
        None => Ok(!rest.is_empty()),
        Some(other) => Err(unknown_option(&other.to_string_lossy())),
    }
}

fn unknown_option(option: &str) -> Misuse {
    Misuse(Some(format!("Unknown option: {}", option.trim_start_matches('-'))))
}

// compat: the bare form's instance has no extension, so that its pid file differs from that of the
// same configuration by name (spec 1.4, B6)
fn target(config: Option<&OsStr>) -> Target {
    let Some(config) = config else {
        return Target { config: "ldirectord.cf".into(), instance: "ldirectord".to_owned() };
    };
    let name = PathBuf::from(config);
    let name = name.file_name().unwrap_or(config).to_string_lossy();
    // It becomes part of file names and log lines.
    let instance = name.chars().map(|c| if c.is_control() || c == '/' { '_' } else { c }).collect();
    Target { config: config.to_owned(), instance }
}

fn run_options(matches: &ArgMatches) -> RunOptions {
    let mode = match (matches.get_flag("debug"), matches.get_flag("foreground")) {
        (true, _) => Mode::Debug,
        (false, true) => Mode::Foreground,
        (false, false) => Mode::Daemon,
    };
    let table = match matches.get_one::<String>("table").map(String::as_str) {
        Some("memory") => TableChoice::Memory,
        _ => TableChoice::Kernel,
    };
    RunOptions { mode, table }
}

/// What is parsed: positional arguments are one list, because the optional one comes first.
fn command() -> Command {
    // Only the program itself gives it; no shell completes it.
    let resumed = Arg::new(daemon::RESUMED).long(daemon::RESUMED).hide(true);
    options().arg(resumed).arg(
        Arg::new("words")
            .value_name("CONFIG COMMAND")
            .num_args(0..)
            .trailing_var_arg(true)
            .value_parser(value_parser!(OsString))
            .hide(true),
    )
}

/// What shells complete: the commands as such, and files where nothing else fits.
pub(crate) fn command_for_completions() -> Command {
    options()
        .subcommand(Command::new("start").about("Start the daemon"))
        .subcommand(Command::new("stop").about("Stop it and wait until it has cleaned up"))
        .subcommand(Command::new("restart").about("Stop and start it"))
        .subcommand(Command::new("try-restart").about("Restart it if it runs"))
        .subcommand(
            Command::new("reload")
                .about("Let it read its configuration again")
                .args(verbs::reload_options()),
        )
        .subcommand(Command::new("force-reload").about("The same as reload"))
        .subcommand(Command::new("status").about("Tell whether it runs").args(status::options()))
        .subcommand(probe::command())
        .subcommands(verbs::commands())
        .subcommand(
            Command::new("doctor")
                .about("Tell what will not work on this machine, and what mends it")
                .arg(
                    Arg::new("json")
                        .long("json")
                        .action(ArgAction::SetTrue)
                        .help("The same for programs"),
                ),
        )
        .disable_help_subcommand(true)
}

fn options() -> Command {
    let flag = |name: &'static str, short: char, help: &'static str| {
        Arg::new(name).short(short).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("ldirectord")
        .about("Watches real servers and steers Linux's IP Virtual Server")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .override_usage(
            "ldirectord [-d|--debug] [--] [CONFIG] \
             start|stop|restart|try-restart|reload|force-reload|status",
        )
        .arg(flag("debug", 'd', "Stay in the foreground, show everything on standard error"))
        .arg(
            Arg::new("foreground")
                .long("foreground")
                .action(ArgAction::SetTrue)
                .help("Stay in the foreground, with pid file and log (systemd, Type=notify)"),
        )
        .arg(
            Arg::new("table")
                .long("table")
                .value_name("KIND")
                .value_parser(PossibleValuesParser::new(["kernel", "memory"]))
                .help("Program the kernel's table (default), or try with one in memory"),
        )
        .arg(
            Arg::new("check")
                .long("check")
                .value_name("CONFIG")
                .value_parser(value_parser!(OsString))
                .value_hint(clap::ValueHint::FilePath)
                .help("Read a configuration, tell what it means, and touch nothing"),
        )
        .arg(
            Arg::new("expand").long("expand").action(ArgAction::SetTrue).help(
                "With --check: print the configuration with its includes and templates put in",
            ),
        )
        .arg(
            Arg::new("completions")
                .long("completions")
                .value_name("SHELL")
                .value_parser(PossibleValuesParser::new(["bash", "zsh", "fish"]))
                .hide(true)
                .help("Print a completion script"),
        )
        .arg(flag("help", 'h', "Print this help").short_alias('?'))
        .arg(flag("version", 'v', "Print the version"))
}

/// The original's words about options; it has none about the rest.
pub(crate) fn misuse(error: &clap::Error) -> Misuse {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.trim_start_matches('-'),
        _ => return Misuse(None),
    };
    let name = argument.split([' ', '=']).next().unwrap_or_default();
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if !value.is_empty() => Some(value),
        _ => None,
    };
    Misuse(Some(match (error.kind(), value) {
        (ErrorKind::UnknownArgument, _) => format!("Unknown option: {name}"),
        (_, Some(value)) => format!("Value \"{value}\" invalid for option {name}"),
        (_, None) => format!("Option {name} requires an argument"),
    }))
}

fn usage() -> String {
    let commands = "start|stop|restart|try-restart|reload|force-reload";
    format!(
        "Usage:\n    ldirectord [-d|--debug] [--] [CONFIG] {commands}\n    \
         ldirectord [CONFIG] status [--table|--watch|--json] [--down] \
         [SERVER|SERVICE [of SERVICE]]\n    ldirectord [CONFIG] status --listing\n    \
         ldirectord [CONFIG] probe SERVER[:PORT][,SERVER...]|--all [SERVICE] [--count N] \
         [--interval SECONDS] [--json]\n    \
         ldirectord [CONFIG] drain|disable|enable SERVER|SERVICE [of SERVICE] \
         [--for TIME] [--reason TEXT] [--force] [--wait]\n    \
         ldirectord [CONFIG] weight SERVER WEIGHT [of SERVICE]\n    \
         ldirectord [CONFIG] events [--follow] [--since TIME]\n    \
         ldirectord [CONFIG] plan|confirm|reload [--plan|--confirm TIME]\n    \
         ldirectord [CONFIG] doctor [--json]\n    \
         ldirectord --check CONFIG [--expand]\n    ldirectord -h|-?|--help|-v|--version\n\nOptions:\n{}",
        command().help_template("{options}").render_help()
    )
}

fn help() -> String {
    format!(
        "ldirectord watches real servers and keeps the kernel's IP Virtual Server table\n\
         accordingly, as a configuration says; see ldirectord(8).\n\n{}\n\
         CONFIG is looked up in /etc/ha.d, then in /etc/ha.d/conf, then taken as a path;\n\
         default ldirectord.cf.\n\n\
         Exit status: 0 done, or running; 1 not done, or a stale pid file; 2 errors in the\n\
         configuration; 3 not running (status and the commands that ask); 255 wrong arguments.\n\
         probe: 0 all are up; 1 one is down; 2 nothing was probed, or without a verdict.\n\
         doctor: 0 nothing found; 1 warnings; 2 something will not work.\n",
        usage()
    )
}

// compat: inventory tools read the first line (spec, B17)
fn version() -> String {
    format!(
        "Linux Director v1.186-ha\n\
         ldirectord-rs {}, a replacement of the original in Rust.\n\
         Licence MIT OR Apache-2.0; no warranty.\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn print(text: &str) -> ExitStatus {
    // Whoever closed it (`ldirectord -h | head`) has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitStatus::Success
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_all(line: &str) -> Result<Invocation, Misuse> {
        let arguments: Vec<OsString> =
            std::iter::once("ldirectord").chain(line.split_whitespace()).map(Into::into).collect();
        parse(&arguments)
    }

    /// Without the words for the log.
    fn parse_line(line: &str) -> Result<Invocation, Misuse> {
        let mut invocation = parse_all(line)?;
        if let Invocation::Command { words, .. } = &mut invocation {
            words.clear();
        }
        Ok(invocation)
    }

    const DAEMON: RunOptions = RunOptions { mode: Mode::Daemon, table: TableChoice::Kernel };

    fn invocation(verb: Verb, config: &str, instance: &str, options: RunOptions) -> Invocation {
        let target = Target { config: config.into(), instance: instance.into() };
        Invocation::Command { verb, target, options, words: Vec::new(), resumed: None }
    }

    fn status(form: StatusForm, filter: Filter) -> Verb {
        Verb::Status(StatusView { form, filter })
    }

    fn brief() -> Verb {
        status(StatusForm::Brief, Filter::default())
    }

    #[test]
    fn the_command_lines_of_the_original() {
        let debug = RunOptions { mode: Mode::Debug, ..DAEMON };
        for (line, expected) in [
            ("start", invocation(Verb::Start, "ldirectord.cf", "ldirectord", DAEMON)),
            ("web.cf stop", invocation(Verb::Stop, "web.cf", "web.cf", DAEMON)),
            ("/x/y/web.cf restart", invocation(Verb::Restart, "/x/y/web.cf", "web.cf", DAEMON)),
            ("-d web.cf start", invocation(Verb::Start, "web.cf", "web.cf", debug)),
            (
                "--debug -- web.cf try-restart",
                invocation(Verb::TryRestart, "web.cf", "web.cf", debug),
            ),
            ("web.cf force-reload -d x", invocation(Verb::ForceReload, "web.cf", "web.cf", DAEMON)),
            ("-- -w.cf reload", invocation(Verb::Reload, "-w.cf", "-w.cf", DAEMON)),
            ("start start", invocation(Verb::Start, "start", "start", DAEMON)),
            ("w status stop", invocation(brief(), "w", "w", DAEMON)),
            ("status status", invocation(brief(), "status", "status", DAEMON)),
            ("-h", Invocation::Help),
            ("-?", Invocation::Help),
            ("-dv", Invocation::Version),
            ("-v -h nonsense", Invocation::Help),
            ("--version start", Invocation::Version),
        ] {
            assert_eq!(parse_line(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn the_log_is_told_the_words_without_the_options() {
        for line in ["-d --table memory -- w.cf start x", "w.cf start x"] {
            let Ok(Invocation::Command { words, .. }) = parse_all(line) else { panic!("{line}") };
            assert_eq!(words, ["ldirectord", "w.cf", "start", "x"]);
        }
    }

    #[test]
    fn what_is_new() {
        let memory = RunOptions { table: TableChoice::Memory, ..DAEMON };
        let foreground = RunOptions { mode: Mode::Foreground, ..DAEMON };
        let of = |filter, form, config, instance| {
            invocation(status(form, filter), config, instance, DAEMON)
        };
        let status = |form, config, instance| of(Filter::default(), form, config, instance);
        let server = || Filter { named: vec!["10.0.0.2:80".into()], ..Filter::default() };
        let doctor = |config: &str, instance: &str, json| {
            let target = Target { config: config.into(), instance: instance.into() };
            Invocation::Doctor { target, json }
        };
        for (line, expected) in [
            ("--table memory w.cf start", invocation(Verb::Start, "w.cf", "w.cf", memory)),
            ("--foreground w.cf start", invocation(Verb::Start, "w.cf", "w.cf", foreground)),
            ("--check w.cf", Invocation::Check { config: "w.cf".into(), expand: false }),
            ("--check w.cf --expand", Invocation::Check { config: "w.cf".into(), expand: true }),
            ("--expand --check w.cf", Invocation::Check { config: "w.cf".into(), expand: true }),
            ("w.cf status --table", status(StatusForm::Table, "w.cf", "w.cf")),
            ("status --json", status(StatusForm::Json, "ldirectord.cf", "ldirectord")),
            ("w.cf status --listing", status(StatusForm::Listing, "w.cf", "w.cf")),
            ("probe status", status(StatusForm::Brief, "probe", "probe")),
            ("w.cf doctor --json", doctor("w.cf", "w.cf", true)),
            ("doctor --json", doctor("ldirectord.cf", "ldirectord", true)),
            ("doctor", doctor("ldirectord.cf", "ldirectord", false)),
            ("doctor start", invocation(Verb::Start, "doctor", "doctor", DAEMON)),
            ("w.cf status --watch", status(StatusForm::Watch, "w.cf", "w.cf")),
            ("status 10.0.0.2:80", of(server(), StatusForm::Table, "ldirectord.cf", "ldirectord")),
            ("w.cf status 10.0.0.2:80", of(server(), StatusForm::Table, "w.cf", "w.cf")),
            ("10.0.0.2:80 status", status(StatusForm::Brief, "10.0.0.2:80", "10.0.0.2:80")),
            ("--completions fish", Invocation::Completions(Shell::Fish)),
        ] {
            assert_eq!(parse_line(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn probe_has_words_of_its_own_and_may_be_a_configuration() {
        for (line, config, servers) in [
            ("probe a,b", "ldirectord.cf", vec!["a", "b"]),
            ("w.cf probe a 10.0.0.1:80 --json", "w.cf", vec!["a"]),
            ("-d w.cf probe --all", "w.cf", vec![]),
            ("probe --all", "ldirectord.cf", vec![]),
            ("w.cf probe start", "w.cf", vec!["start"]),
            ("probe probe a", "probe", vec!["a"]),
        ] {
            let Ok(Invocation::Probe { target, request, .. }) = parse_line(line) else {
                panic!("{line}")
            };
            assert_eq!(
                (target.config.to_str(), request.servers),
                (Some(config), servers.into_iter().map(str::to_owned).collect()),
                "{line}"
            );
        }
        let start = invocation(Verb::Start, "probe", "probe", DAEMON);
        assert_eq!(parse_line("probe start"), Ok(start));
        for line in ["probe", "w.cf probe", "w.cf probe a b c"] {
            assert!(parse_line(line).is_err(), "{line}");
        }
    }

    #[test]
    fn misuse_is_named_as_in_the_original() {
        for (line, message) in [
            ("", None),
            ("bogus", None),
            ("web.cf", None),
            ("start -d", None),
            ("web.cf bogus", None),
            ("--nope start", Some("Unknown option: nope")),
            ("--deb start", Some("Unknown option: deb")),
            ("-x start", Some("Unknown option: x")),
            ("-dx start", Some("Unknown option: x")),
            ("w.cf status --nope", Some("Unknown option: nope")),
            ("w.cf doctor --nope", Some("Unknown option: nope")),
            ("w.cf doctor --json x", Some("Unknown option: x")),
            ("--check", Some("Option check requires an argument")),
            ("--expand w.cf start", Some("Option expand needs --check")),
            ("--table x start", Some("Value \"x\" invalid for option table")),
        ] {
            assert_eq!(parse_line(line), Err(Misuse(message.map(Into::into))), "{line}");
        }
    }

    #[test]
    fn texts_have_what_people_look_for() {
        assert!(version().starts_with("Linux Director v1.186-ha\n"));
        for text in [usage(), help()] {
            assert!(text.contains("Usage:\n") && text.contains("Options:\n"));
            assert!(text.contains("--check") && !text.contains("--completions"), "{text}");
        }
    }

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
        command_for_completions().debug_assert();
    }
}
