//! Arguments to an invocation; usage and version texts; exit statuses.
//!
//! As in the original, options come before the configuration and the command, and parsing stops at the
//! first argument that is none: `ldirectord start -d` names a configuration `start`. What follows the
//! command is its own.

use crate::daemon::{self, Paths};
use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::{Shell, generate};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: done; already so; running.
    Success,
    /// 1: not done; a stale pid file.
    Failure,
    /// 2: the configuration has errors.
    Configuration,
    /// 3: `status`: not running.
    NotRunning,
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
    Check(OsString),
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
    },
}

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    Status(StatusForm),
}

/// What `status` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusForm {
    /// Whether it is running, in the original's words.
    Brief,
    /// `--table`: every service and server.
    Table,
    /// `--json`: the same for programs.
    Json,
    /// `--listing`: the table in the form of `ipvsadm -Ln`.
    Listing,
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
    match parse(&arguments) {
        Ok(Invocation::Help) => print(&help()),
        Ok(Invocation::Version) => print(&version()),
        Ok(Invocation::Completions(shell)) => {
            let mut script = Vec::new();
            generate(shell, &mut command_for_completions(), "ldirectord", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Ok(Invocation::Check(config)) => daemon::check(&config, paths),
        Ok(Invocation::Command { verb, target, options, words }) => {
            daemon::command(verb, &target, options, &words, paths)
        }
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

/// Arguments that make no sense, and why, if the original says so.
#[derive(Debug, PartialEq, Eq)]
struct Misuse(Option<String>);

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
        return Ok(Invocation::Check(config.clone()));
    }
    let words: Vec<&OsString> = matches.get_many("words").unwrap_or_default().collect();
    let (config, verb, rest) = match words.as_slice() {
        [] => return Err(Misuse(None)),
        [verb] => (None, verb, [].as_slice()),
        // `ldirectord status --table`: what looks like an option is no command.
        [verb, option, ..] if is_option(option) && is_status(verb) => (None, verb, &words[1..]),
        [config, verb, rest @ ..] => (Some(*config), verb, rest),
    };
    let verb = verb_of(verb, rest)?;
    let (target, options) = (target(config), run_options(&matches));
    let words = arguments.first().into_iter().chain(words).cloned().collect();
    Ok(Invocation::Command { verb, target, options, words })
}

fn is_option(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"--")
}

fn is_status(word: &OsStr) -> bool {
    word == "status"
}

fn verb_of(word: &OsStr, rest: &[&OsString]) -> Result<Verb, Misuse> {
    Ok(match word.to_str() {
        Some("start") => Verb::Start,
        Some("stop") => Verb::Stop,
        Some("restart") => Verb::Restart,
        Some("try-restart") => Verb::TryRestart,
        Some("reload") => Verb::Reload,
        Some("force-reload") => Verb::ForceReload,
        Some("status") => Verb::Status(status_form(rest)?),
        _ => return Err(Misuse(None)),
    })
}

// compat: words that follow a command and are no options of ours are ignored (spec 1.4)
fn status_form(rest: &[&OsString]) -> Result<StatusForm, Misuse> {
    match rest.iter().find(|word| is_option(word)).and_then(|word| word.to_str()) {
        None => Ok(StatusForm::Brief),
        Some("--table") => Ok(StatusForm::Table),
        Some("--json") => Ok(StatusForm::Json),
        Some("--listing") => Ok(StatusForm::Listing),
        Some(other) => {
            Err(Misuse(Some(format!("Unknown option: {}", other.trim_start_matches('-')))))
        }
    }
}

// compat: the bare form's instance has no extension, so that its pid file differs from that of the
// same configuration by name (spec 1.4, B6)
fn target(config: Option<&OsString>) -> Target {
    let Some(config) = config else {
        return Target { config: "ldirectord.cf".into(), instance: "ldirectord".to_owned() };
    };
    let name = PathBuf::from(config);
    let name = name.file_name().unwrap_or(config).to_string_lossy();
    // It becomes part of file names and log lines.
    let instance = name.chars().map(|c| if c.is_control() || c == '/' { '_' } else { c }).collect();
    Target { config: config.clone(), instance }
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
    options().arg(
        Arg::new("words")
            .value_name("CONFIG COMMAND")
            .num_args(0..)
            .trailing_var_arg(true)
            .value_parser(value_parser!(OsString))
            .hide(true),
    )
}

/// What shells complete: the commands as such, and files where nothing else fits.
fn command_for_completions() -> Command {
    let forms = [
        ("table", "Every service and real server, trouble first"),
        ("json", "The same for programs"),
        ("listing", "The table in the form of ipvsadm -Ln"),
    ];
    let form = |(name, help): (&'static str, &'static str)| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    options()
        .subcommand(Command::new("start").about("Start the daemon"))
        .subcommand(Command::new("stop").about("Stop it and wait until it has cleaned up"))
        .subcommand(Command::new("restart").about("Stop and start it"))
        .subcommand(Command::new("try-restart").about("Restart it if it runs"))
        .subcommand(Command::new("reload").about("Let it read its configuration again"))
        .subcommand(Command::new("force-reload").about("The same as reload"))
        .subcommand(Command::new("status").about("Tell whether it runs").args(forms.map(form)))
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
fn misuse(error: &clap::Error) -> Misuse {
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
         ldirectord [CONFIG] status [--table|--json|--listing]\n    \
         ldirectord --check CONFIG\n    ldirectord -h|-?|--help|-v|--version\n\nOptions:\n{}",
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
         configuration; 3 not running (status); 255 wrong arguments.\n",
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
        Invocation::Command { verb, target, options, words: Vec::new() }
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
            ("w status stop", invocation(Verb::Status(StatusForm::Brief), "w", "w", DAEMON)),
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
        let status =
            |form, config, instance| invocation(Verb::Status(form), config, instance, DAEMON);
        for (line, expected) in [
            ("--table memory w.cf start", invocation(Verb::Start, "w.cf", "w.cf", memory)),
            ("--foreground w.cf start", invocation(Verb::Start, "w.cf", "w.cf", foreground)),
            ("--check w.cf", Invocation::Check("w.cf".into())),
            ("w.cf status --table", status(StatusForm::Table, "w.cf", "w.cf")),
            ("status --json", status(StatusForm::Json, "ldirectord.cf", "ldirectord")),
            ("w.cf status --listing", status(StatusForm::Listing, "w.cf", "w.cf")),
            ("--completions fish", Invocation::Completions(Shell::Fish)),
        ] {
            assert_eq!(parse_line(line), Ok(expected), "{line}");
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
            ("--check", Some("Option check requires an argument")),
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
