//! The services and real servers of an instance, for completions: soon, or none.

use super::Paths;
use super::control::ask_within;
use super::request::Request;
use super::show_status;
use crate::cli::Target;
use crate::completions::Service;
use crate::config::{SIZE_LIMIT, Source};
use crate::model::{
    DefinitionFile, Family, HostName, Hosts, Located, Model, Protocol, ResolveError, Resolver,
    Servers, SystemResolver, User, VirtualService, load_source,
};
use crate::status::{ServerState, ServerStatus, ServiceStatus, StatusReport};
use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// How long the daemon may take.
const ANSWER: Duration = Duration::from_secs(1);

/// How long all of it may take, names that are looked up included: somebody waits at a keyboard.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the daemon knows, else what the configuration says.
pub(super) fn services(target: &Target, paths: &Paths) -> Vec<Service> {
    let (sender, found) = channel();
    let (target, paths) = (target.clone(), paths.clone());
    let find = move || {
        let services = asked(&target, &paths).or_else(|| read(&target, &paths));
        // Nobody waits any more.
        let _ = sender.send(services.unwrap_or_default());
    };
    match thread::Builder::new().name("services".into()).spawn(find) {
        Ok(_) => found.recv_timeout(PATIENCE).unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

fn asked(target: &Target, paths: &Paths) -> Option<Vec<Service>> {
    let sockets = paths.for_asking(&target.instance).sockets(&target.instance);
    let answer = ask_within(&sockets, &Request::Status, ANSWER).ok()?;
    let StatusReport { services, .. } = show_status::parse(&answer).ok()?;
    let server = |server: ServerStatus| (server.address.clone(), Some(state(&server).to_owned()));
    let service = |service: ServiceStatus| Service {
        id: service.id(),
        address: service.address,
        servers: service.servers.into_iter().map(server).collect(),
    };
    Some(services.into_iter().map(service).collect())
}

fn state(server: &ServerStatus) -> &'static str {
    if server.is_drained() && server.state == ServerState::Up {
        "drained"
    } else {
        server.state.word()
    }
}

fn read(target: &Target, paths: &Paths) -> Option<Vec<Service>> {
    let path = paths.find_config(&target.config)?;
    let source = Source::read(&path, SIZE_LIMIT).ok()?;
    let resolver = OnlyNames(SystemResolver::new());
    let Model { services, .. } = load_source(&path, source, &resolver).ok()?.model;
    let service = |service: &VirtualService| Service {
        id: service.address.id(),
        address: service.address.to_string(),
        servers: service.real_servers.iter().map(|it| (it.address.to_string(), None)).collect(),
    };
    Some(services.iter().map(service).collect())
}

/// Files do not matter: who completes a word is often not yet root, and may not write the log.
struct OnlyNames(SystemResolver);

impl Resolver for OnlyNames {
    fn addresses(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, ResolveError> {
        self.0.addresses(name, family)
    }

    fn hosts(&self, names: Vec<HostName>) -> Hosts {
        self.0.hosts(names)
    }

    fn servers(&self, name: &str, family: Family) -> Result<Vec<Located>, ResolveError> {
        self.0.servers(name, family)
    }

    fn all_servers(&self, names: Vec<HostName>) -> Servers {
        self.0.all_servers(names)
    }

    fn port(&self, name: &str, protocol: Option<Protocol>) -> Result<u16, ResolveError> {
        self.0.port(name, protocol)
    }

    fn host_name(&self) -> String {
        self.0.host_name()
    }

    fn is_directory(&self, _: &Path) -> bool {
        true
    }

    fn appendable(&self, _: &Path) -> Result<(), ResolveError> {
        Ok(())
    }

    fn certificates(&self, _: &Path) -> Result<(), ResolveError> {
        Ok(())
    }

    fn key_pair(&self, _: &Path, _: &Path) -> Result<(), ResolveError> {
        Ok(())
    }

    fn user(&self, name: &str) -> Result<User, ResolveError> {
        self.0.user(name)
    }

    fn group(&self, name: &str) -> Result<u32, ResolveError> {
        self.0.group(name)
    }

    fn service_definition(&self, name: &str) -> DefinitionFile {
        self.0.service_definition(name)
    }
}
