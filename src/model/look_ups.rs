//! All host names of a configuration looked up side by side: a name server that does not answer is
//! waited for once, not once for each name. Files that it names are read once.

use super::resolver::{DefinitionFile, ResolveError, Resolver};
use super::{DEFINITIONS, Family, Model, Protocol, User, build};
use crate::config::{Ast, Diagnostics, Fingerprint};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// A host name that a configuration has, and where.
pub type HostName = (String, Family);

/// The addresses of host names, or why there are none.
pub type Hosts = HashMap<HostName, Result<IpAddr, ResolveError>>;

/// As [`build`](super::build()), with the host names looked up together; and the files that services were
/// looked for in.
pub(super) fn build_side_by_side(
    ast: &Ast<'_>,
    resolver: &dyn Resolver,
) -> (Option<Model>, Diagnostics, BTreeMap<PathBuf, Option<Fingerprint>>) {
    // Which names are wanted is known only when the configuration has been understood, which takes
    // milliseconds; so it is done once for the names and once for the model.
    let mut prepared = Prepared {
        resolver,
        hosts: RefCell::default(),
        known: None,
        definitions: RefCell::default(),
    };
    let (mut model, mut diagnostics) = build(ast, &prepared);
    let names: Vec<HostName> = prepared.hosts.take().into_keys().collect();
    if !names.is_empty() {
        prepared.known = Some(resolver.hosts(names));
        (model, diagnostics) = build(ast, &prepared);
    }
    let definitions = prepared.definitions.into_inner().into_iter();
    let files = definitions.map(|(name, file)| (Path::new(DEFINITIONS).join(name), file.found));
    (model, diagnostics, files.collect())
}

/// A resolver that notes the host names it is asked for, or knows them.
struct Prepared<'a> {
    resolver: &'a dyn Resolver,
    hosts: RefCell<HashMap<HostName, ()>>,
    known: Option<Hosts>,
    definitions: RefCell<HashMap<String, DefinitionFile>>,
}

impl Resolver for Prepared<'_> {
    fn host(&self, name: &str, family: Family) -> Result<IpAddr, ResolveError> {
        let key = (name.to_owned(), family);
        match &self.known {
            Some(known) => match known.get(&key) {
                Some(found) => found.clone(),
                None => self.resolver.host(name, family),
            },
            None => {
                self.hosts.borrow_mut().insert(key, ());
                Ok(match family {
                    Family::Inet => Ipv4Addr::LOCALHOST.into(),
                    Family::Inet6 => Ipv6Addr::LOCALHOST.into(),
                })
            }
        }
    }

    fn port(&self, name: &str, protocol: Option<Protocol>) -> Result<u16, ResolveError> {
        self.resolver.port(name, protocol)
    }

    fn host_name(&self) -> String {
        self.resolver.host_name()
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.resolver.is_directory(path)
    }

    fn appendable(&self, path: &Path) -> Result<(), ResolveError> {
        self.resolver.appendable(path)
    }

    fn certificates(&self, path: &Path) -> Result<(), ResolveError> {
        self.resolver.certificates(path)
    }

    fn key_pair(&self, certificate: &Path, key: &Path) -> Result<(), ResolveError> {
        self.resolver.key_pair(certificate, key)
    }

    fn user(&self, name: &str) -> Result<User, ResolveError> {
        self.resolver.user(name)
    }

    fn group(&self, name: &str) -> Result<u32, ResolveError> {
        self.resolver.group(name)
    }

    fn service_definition(&self, name: &str) -> DefinitionFile {
        let mut known = self.definitions.borrow_mut();
        let file = known.entry(name.to_owned());
        file.or_insert_with(|| self.resolver.service_definition(name)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use crate::model::MemoryResolver;

    #[test]
    fn the_model_is_the_same_as_with_names_looked_up_one_by_one() {
        let text = "virtual=vip.example:80\n\treal=one.example:80 gate\n\treal=two.example:80 gate\n\
                    \treal=10.0.0.3:80 gate\n\tfallback=one.example:80\n";
        let resolver = ["vip.example", "one.example", "two.example"]
            .into_iter()
            .zip(1..)
            .fold(MemoryResolver::new(""), |resolver, (name, host)| {
                resolver.host(name, [10, 0, 0, host].into())
            });
        let (ast, _) = parse(text);
        let (model, diagnostics, files) = build_side_by_side(&ast, &resolver);
        assert!(files.is_empty() && model.is_some() && !diagnostics.has_errors());
        assert_eq!(model, build(&ast, &resolver).0);
    }

    #[test]
    fn a_name_that_is_not_known_is_an_error_at_its_place() {
        let (ast, _) = parse("virtual=10.0.0.1:80\n\treal=no.example:80 gate\n");
        let (_, diagnostics, _) = build_side_by_side(&ast, &MemoryResolver::new(""));
        assert!(diagnostics.has_errors());
    }
}
