//! `doctor`: what is known of the configuration and of daemons, for [`crate::doctor`].

use super::Paths;
use super::control::ask;
use super::pid_file::{self, Found};
use super::request::Request;
use crate::cli::{ExitStatus, Target};
use crate::config::{self, Diagnostic, LoadError, Loaded, Origins, Place, Report};
use crate::doctor::{
    self, Daemon, Doubt, Examination, Finding, HostName, Severity, Surroundings,
    configuration_error, examine,
};
use crate::model::{
    DefinitionFile, Family, HostName as Wanted, Hosts, Located, Protocol, ResolveError, Resolver,
    Servers,
};
use crate::model::{SystemResolver, User};
use crate::process::close_inherited;
use crate::status::StatusReport;
use std::cell::RefCell;
use std::io::{self, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

/// Nobody runs more instances on one machine.
const INSTANCES: usize = 1000;

/// Looks at this machine and the configuration, and tells what it finds on standard output; what it could
/// not look at, on standard error.
pub fn doctor(target: &Target, json: bool, paths: &Paths) -> ExitStatus {
    close_inherited();
    let Examination { findings, unread } = look(target, paths);
    let text = match json {
        true => doctor::render_json(&findings),
        false => doctor::render_text(&findings),
    };
    // Whoever closed it (`| head`) has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
    for line in unread {
        let line = line.replace(char::is_control, " ");
        let _ = writeln!(io::stderr(), "Not looked at: {line}");
    }
    status(&findings)
}

fn status(findings: &[Finding]) -> ExitStatus {
    match findings.iter().map(|finding| finding.severity).min() {
        None => ExitStatus::Success,
        Some(Severity::Warning) => ExitStatus::Failure,
        Some(Severity::Error) => ExitStatus::Configuration,
    }
}

fn look(target: &Target, paths: &Paths) -> Examination {
    let refused = |what: String| {
        let findings = vec![configuration_error(what, &target.config.to_string_lossy())];
        Examination { findings, unread: Vec::new() }
    };
    let Some(path) = paths.find_config(&target.config) else {
        return refused(format!("The file {} was not found.", target.config.display()));
    };
    let resolver = Recorder { system: SystemResolver::new(), names: RefCell::default() };
    let Loaded { model, report, .. } = match config::load(&path, &resolver) {
        Ok(loaded) => loaded,
        Err(LoadError::Refused(report)) => return refused(first_error(&report)),
        Err(error @ LoadError::Unreadable { .. }) => return refused(format!("{error}.")),
    };
    let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let mut unread = Vec::new();
    let (daemon, others) = daemons(target, &absolute, paths, &mut unread);
    let surroundings = Surroundings {
        command: command(target),
        pid_file: paths.pid_file(&target.instance),
        runtime: paths.runtime.clone(),
        state: paths.state.clone(),
        doubts: report.diagnostics.iter().map(|it| doubt(it, report.origins())).collect(),
        names: names(resolver, daemon.as_ref()),
        config: path,
        daemon,
        others,
    };
    let mut examination = examine(&model, surroundings);
    examination.unread.splice(0..0, unread);
    examination
}

/// The words of a command to the same instance.
fn command(target: &Target) -> String {
    match (target.config.to_str(), target.instance.as_str()) {
        (Some("ldirectord.cf"), "ldirectord") => "ldirectord".to_owned(),
        _ => format!("ldirectord {}", target.config.display()),
    }
}

fn first_error(report: &Report) -> String {
    let is_error = |it: &&Diagnostic| it.severity == config::Severity::Error;
    let mut errors = report.diagnostics.iter().filter(is_error);
    let (first, more) = (errors.next(), errors.count());
    let path = report.path.display();
    let Some(first) = first else { return format!("{path} has errors.") };
    let line = |place: &Place| format!(", {}", report.origins().name(place.line));
    let line = first.place.as_ref().map_or(String::new(), line);
    let more = if more == 0 { String::new() } else { format!(" ({more} more)") };
    format!("{path}{line}: {}{more}.", first.text)
}

fn doubt(diagnostic: &Diagnostic, origins: &Origins) -> Doubt {
    Doubt {
        line: diagnostic.place.as_ref().map(|place| origins.name(place.line)),
        text: diagnostic.text.clone(),
        hint: diagnostic.hint.as_ref().map(ToString::to_string),
    }
}

/// The daemon of this instance, and those of others.
fn daemons(
    target: &Target,
    config: &Path,
    paths: &Paths,
    unread: &mut Vec<String>,
) -> (Option<Daemon>, Vec<Daemon>) {
    let mut others: Vec<Daemon> = instances(paths)
        .into_iter()
        .filter(|instance| *instance != target.instance)
        .filter_map(|instance| daemon(instance, paths, unread))
        .collect();
    let own = daemon(target.instance.clone(), paths, unread).or_else(|| {
        // Started by another name of the same file, it is the same one.
        let is_it = |it: &Daemon| {
            it.status.as_ref().is_some_and(|status| Path::new(&status.config) == config)
        };
        others.iter().position(is_it).map(|at| others.remove(at))
    });
    (own, others)
}

/// All instances that have a pid file.
fn instances(paths: &Paths) -> Vec<String> {
    let entries = std::fs::read_dir(&paths.pid).into_iter().flatten().flatten();
    let instance = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_prefix("ldirectord.")?.strip_suffix(".pid")?.to_owned())
    };
    let mut instances: Vec<String> = entries.filter_map(instance).take(INSTANCES).collect();
    instances.sort();
    instances
}

fn daemon(instance: String, paths: &Paths, unread: &mut Vec<String>) -> Option<Daemon> {
    let paths = paths.for_asking(&instance);
    let Found::Running(process) = pid_file::find(&paths.pid_file(&instance)) else { return None };
    let pid = process.pid();
    let answer = ask(&paths.sockets(&instance), &Request::Status)
        .and_then(|answer| serde_json::from_str::<StatusReport>(&answer).map_err(io::Error::from));
    let status = answer
        .map_err(|why| unread.push(format!("instance {instance}, process {pid}: {why}")))
        .ok();
    Some(Daemon { instance, pid, status })
}

/// Names of which the daemon does not use the first address, with all that they have; the others give no
/// reason to ask again.
fn names(resolver: Recorder, daemon: Option<&Daemon>) -> Vec<HostName> {
    let Some(used) = daemon.and_then(Daemon::addresses) else { return Vec::new() };
    let all = |(name, family, first): (String, Family, IpAddr)| {
        let found = (name.as_str(), 0).to_socket_addrs().into_iter().flatten();
        let found = found.map(|it| it.ip()).filter(|it| Family::of(*it) == family);
        HostName { addresses: std::iter::once(first).chain(found).collect(), name }
    };
    let names = resolver.names.into_inner().into_iter();
    names.filter(|(_, _, first)| !used.contains(first)).map(all).collect()
}

/// The system's resolver, and the host names that it has found.
struct Recorder {
    system: SystemResolver,
    names: RefCell<Vec<(String, Family, IpAddr)>>,
}

impl Resolver for Recorder {
    fn addresses(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, ResolveError> {
        self.system.addresses(name, family)
    }

    fn hosts(&self, names: Vec<Wanted>) -> Hosts {
        let hosts = self.system.hosts(names);
        let found = hosts.iter().filter_map(|((name, family), addresses)| {
            let is_name = name.contains(|c: char| c.is_ascii_alphabetic()) && !name.contains(':');
            Some((name.clone(), *family, *addresses.as_ref().ok()?.first()?)).filter(|_| is_name)
        });
        self.names.borrow_mut().extend(found);
        hosts
    }

    fn servers(&self, name: &str, family: Family) -> Result<Vec<Located>, ResolveError> {
        self.system.servers(name, family)
    }

    fn all_servers(&self, names: Vec<Wanted>) -> Servers {
        self.system.all_servers(names)
    }

    fn port(&self, name: &str, protocol: Option<Protocol>) -> Result<u16, ResolveError> {
        self.system.port(name, protocol)
    }

    fn host_name(&self) -> String {
        self.system.host_name()
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.system.is_directory(path)
    }

    fn appendable(&self, path: &Path) -> Result<(), ResolveError> {
        self.system.appendable(path)
    }

    fn certificates(&self, path: &Path) -> Result<(), ResolveError> {
        self.system.certificates(path)
    }

    fn key_pair(&self, certificate: &Path, key: &Path) -> Result<(), ResolveError> {
        self.system.key_pair(certificate, key)
    }

    fn user(&self, name: &str) -> Result<User, ResolveError> {
        self.system.user(name)
    }

    fn group(&self, name: &str) -> Result<u32, ResolveError> {
        self.system.group(name)
    }

    fn service_definition(&self, name: &str) -> DefinitionFile {
        self.system.service_definition(name)
    }
}
