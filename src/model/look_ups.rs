//! All host names of a configuration looked up side by side: a name server that does not answer is
//! waited for once, not once for each name. Files that it names are read once.

use super::resolver::{DefinitionFile, ResolveError, Resolver, first};
use super::{DEFINITIONS, Family, Model, Protocol, User, build};
use crate::config::{Ast, Diagnostics, Fingerprint};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// A host name that a configuration has, and where.
pub type HostName = (String, Family);

/// The addresses of host names, or why there are none.
pub type Hosts = HashMap<HostName, Result<Vec<IpAddr>, ResolveError>>;

/// What a model was built from, beside the text.
#[derive(Debug, Clone, Default)]
pub struct LookedUp {
    /// Names that stand for their first address.
    hosts: Hosts,
    /// Names that stand for all their addresses, and are followed.
    followed: Hosts,
    /// Those of them that have kept their addresses, and why.
    failures: BTreeMap<HostName, ResolveError>,
    /// The files that define services.
    definitions: HashMap<String, DefinitionFile>,
}

impl LookedUp {
    /// The names that are followed, with their addresses.
    pub fn followed(&self) -> BTreeMap<String, BTreeSet<IpAddr>> {
        let mut names = BTreeMap::<String, BTreeSet<IpAddr>>::new();
        for ((name, _), addresses) in &self.followed {
            names.entry(name.clone()).or_default().extend(addresses.iter().flatten());
        }
        names
    }

    /// The names that keep the addresses they had, because they could not be looked up again; why.
    pub fn failures(&self) -> BTreeMap<String, String> {
        let failures = self.failures.iter();
        failures.map(|((name, _), error)| (name.clone(), error.to_string())).collect()
    }

    /// The files that services were looked for in.
    pub(super) fn definitions(&self) -> impl Iterator<Item = (PathBuf, Option<Fingerprint>)> {
        let path = |name: &String| Path::new(DEFINITIONS).join(name);
        self.definitions.iter().map(move |(name, file)| (path(name), file.found))
    }

    /// The same, with the addresses that followed names have now. A name without any keeps those
    /// it had: a name server that is ill takes no server out of service.
    fn again(&self, resolver: &dyn Resolver) -> Self {
        let mut again = Self { failures: BTreeMap::new(), ..self.clone() };
        for (name, found) in resolver.hosts(self.followed.keys().cloned().collect()) {
            match found {
                Ok(addresses) if !addresses.is_empty() => {
                    again.followed.insert(name, Ok(addresses));
                }
                Ok(_) => {
                    let none = ResolveError("no address of this family".to_owned());
                    again.failures.insert(name, none);
                }
                Err(error) => {
                    again.failures.insert(name, error);
                }
            }
        }
        again
    }
}

/// As [`build`](super::build()), with the host names looked up together.
pub(super) fn build_side_by_side(
    ast: &Ast<'_>,
    resolver: &dyn Resolver,
) -> (Option<Model>, Diagnostics, LookedUp) {
    // Which names are wanted is known only when the configuration has been understood, which takes
    // milliseconds; so it is done once for the names and once for the model.
    let mut prepared = Prepared::new(resolver, None);
    let (mut model, mut diagnostics) = build(ast, &prepared);
    let (hosts, followed) = (prepared.hosts.take(), prepared.followed.take());
    let mut known = LookedUp { definitions: prepared.definitions.take(), ..LookedUp::default() };
    if !hosts.is_empty() || !followed.is_empty() {
        let found = resolver.hosts(hosts.union(&followed).cloned().collect());
        let of = |names: HashSet<HostName>| {
            names.into_iter().filter_map(|name| found.get_key_value(&name)).map(owned).collect()
        };
        (known.hosts, known.followed) = (of(hosts), of(followed));
        prepared = Prepared::new(resolver, Some(&known));
        (model, diagnostics) = build(ast, &prepared);
    }
    (model, diagnostics, known)
}

fn owned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

/// As [`build_side_by_side`] of a text that is in force, with the addresses that followed names have
/// now; all else is as it was found before.
pub(super) fn build_again(
    ast: &Ast<'_>,
    before: &LookedUp,
    resolver: &dyn Resolver,
) -> (Option<Model>, Diagnostics, LookedUp) {
    let known = before.again(resolver);
    let (model, diagnostics) = build(ast, &Prepared::new(resolver, Some(&known)));
    (model, diagnostics, known)
}

/// A resolver that notes the host names it is asked for, or knows them.
struct Prepared<'a> {
    resolver: &'a dyn Resolver,
    hosts: RefCell<HashSet<HostName>>,
    followed: RefCell<HashSet<HostName>>,
    known: Option<&'a LookedUp>,
    definitions: RefCell<HashMap<String, DefinitionFile>>,
}

impl<'a> Prepared<'a> {
    fn new(resolver: &'a dyn Resolver, known: Option<&'a LookedUp>) -> Self {
        let definitions = known.map(|known| known.definitions.clone()).unwrap_or_default();
        Self {
            resolver,
            hosts: RefCell::default(),
            followed: RefCell::default(),
            known,
            definitions: RefCell::new(definitions),
        }
    }
}

fn placeholder(family: Family) -> IpAddr {
    match family {
        Family::Inet => Ipv4Addr::LOCALHOST.into(),
        Family::Inet6 => Ipv6Addr::LOCALHOST.into(),
    }
}

impl Resolver for Prepared<'_> {
    fn addresses(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, ResolveError> {
        let key = (name.to_owned(), family);
        let Some(known) = self.known else {
            self.followed.borrow_mut().insert(key);
            return Ok(vec![placeholder(family)]);
        };
        let found = known.followed.get(&key).cloned();
        found.unwrap_or_else(|| self.resolver.addresses(name, family))
    }

    fn host(&self, name: &str, family: Family) -> Result<IpAddr, ResolveError> {
        let key = (name.to_owned(), family);
        let Some(known) = self.known else {
            self.hosts.borrow_mut().insert(key);
            return Ok(placeholder(family));
        };
        let found = known.hosts.get(&key).cloned();
        first(found.unwrap_or_else(|| self.resolver.addresses(name, family)))
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
        let (model, diagnostics, known) = build_side_by_side(&ast, &resolver);
        assert!(known.definitions.is_empty() && model.is_some() && !diagnostics.has_errors());
        assert_eq!(model, build(&ast, &resolver).0);
    }

    const FOLLOWED: &str = "resolveinterval=30\nvirtual=vip.example:80\n\treal=pool.example:80 gate 3\n\
        \treal=10.0.0.3:80 gate\n\treal=10.0.1.1->last.example:80 gate\n\tfallback=sorry.example:80\n";

    fn followed(pool: &[u8], rest: u8) -> MemoryResolver {
        let pool = pool.iter().map(|&host| ("pool.example", host));
        let others = [("vip.example", 100 + rest), ("sorry.example", 110 + rest)];
        let resolver =
            pool.chain(others).fold(MemoryResolver::new(""), |resolver, (name, host)| {
                resolver.host(name, [10, 0, 0, host].into())
            });
        resolver.host("last.example", [10, 0, 1, rest].into())
    }

    fn addresses(model: &Model) -> (String, Vec<String>, Vec<String>) {
        let service = &model.services[0];
        let servers = service.real_servers.iter().map(|it| it.address.ip().to_string());
        let fallbacks = service.fallbacks.iter().map(|it| it.address.ip().to_string());
        (service.address.to_string(), servers.collect(), fallbacks.collect())
    }

    #[test]
    fn a_followed_name_stands_for_all_its_addresses_in_their_own_order() {
        let (ast, _) = parse(FOLLOWED);
        let build = |pool: &[u8]| build_side_by_side(&ast, &followed(pool, 2)).0.unwrap();
        let (_, servers, fallbacks) = addresses(&build(&[9, 7, 8, 7]));
        assert_eq!(
            servers,
            ["10.0.0.7", "10.0.0.8", "10.0.0.9", "10.0.0.3", "10.0.1.1", "10.0.1.2"]
        );
        assert_eq!(fallbacks, ["10.0.0.112"]);
        assert_eq!(build(&[9, 7, 8]), build(&[8, 9, 7]), "a name server may turn them");
    }

    #[test]
    fn only_followed_names_are_looked_up_again() {
        let (ast, _) = parse(FOLLOWED);
        let (first, _, known) = build_side_by_side(&ast, &followed(&[7, 8], 2));
        let (vip, ..) = addresses(&first.unwrap());
        let (again, diagnostics, known) = build_again(&ast, &known, &followed(&[8, 9], 3));
        assert!(!diagnostics.has_errors());
        let (address, servers, fallbacks) = addresses(&again.unwrap());
        assert_eq!(address, vip);
        assert_eq!(servers, ["10.0.0.8", "10.0.0.9", "10.0.0.3", "10.0.1.1", "10.0.1.2"]);
        assert_eq!(fallbacks, ["10.0.0.113"]);
        assert!(known.failures().is_empty());
        assert_eq!(known.followed().len(), 2);
    }

    #[test]
    fn a_name_without_addresses_keeps_those_it_had() {
        let (ast, _) = parse(FOLLOWED);
        let (first, _, known) = build_side_by_side(&ast, &followed(&[7, 8], 2));
        let (again, _, known) = build_again(&ast, &known, &followed(&[], 2));
        assert_eq!(again, first);
        assert_eq!(known.failures().into_keys().collect::<Vec<_>>(), ["pool.example"]);
        let (_, _, known) = build_again(&ast, &known, &followed(&[7], 2));
        assert!(known.failures().is_empty());
    }

    #[test]
    fn without_resolveinterval_a_name_is_its_first_address() {
        let text = FOLLOWED.replace("resolveinterval=30\n", "");
        let (ast, _) = parse(&text);
        let (model, _, known) = build_side_by_side(&ast, &followed(&[9, 7], 2));
        assert_eq!(addresses(&model.unwrap()).1[0], "10.0.0.9");
        assert!(known.followed().is_empty());
    }

    #[test]
    fn a_name_that_is_not_known_is_an_error_at_its_place() {
        let (ast, _) = parse("virtual=10.0.0.1:80\n\treal=no.example:80 gate\n");
        let (_, diagnostics, _) = build_side_by_side(&ast, &MemoryResolver::new(""));
        assert!(diagnostics.has_errors());
    }
}
