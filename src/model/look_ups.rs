//! All host names of a configuration looked up side by side: a name server that does not answer is
//! waited for once, not once for each name. Files that it names are read once.

use super::resolver::{DefinitionFile, Located, ResolveError, Resolver, first};
use super::{DEFINITIONS, Family, Model, Protocol, User, build};
use crate::config::{Ast, Diagnostics, Fingerprint};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// A host name that a configuration has, and where.
pub type HostName = (String, Family);

/// The addresses of host names, or why there are none.
pub type Hosts = HashMap<HostName, Result<Vec<IpAddr>, ResolveError>>;

/// The servers that the SRV records of names have, or why there are none.
pub type Servers = HashMap<HostName, Result<Vec<Located>, ResolveError>>;

/// What a model was built from, beside the text.
#[derive(Debug, Clone, Default)]
pub struct LookedUp {
    /// Names that stand for their first address.
    hosts: Hosts,
    /// Names that stand for all their addresses, and are followed.
    followed: Hosts,
    /// Names of services, which are followed too.
    services: Servers,
    /// Those of them that have kept their addresses, and why.
    failures: BTreeMap<HostName, ResolveError>,
    /// The files that define services.
    definitions: HashMap<String, DefinitionFile>,
}

impl LookedUp {
    /// The names that are followed, with what they stand for in words.
    pub fn followed(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut names = BTreeMap::<String, BTreeSet<String>>::new();
        for ((name, _), addresses) in &self.followed {
            let words = addresses.iter().flatten().map(IpAddr::to_string);
            names.entry(name.clone()).or_default().extend(words);
        }
        for ((name, _), servers) in &self.services {
            let words =
                |Located { address, weight }: &Located| format!("{address} weight {weight}");
            names.entry(name.clone()).or_default().extend(servers.iter().flatten().map(words));
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
        let hosts = resolver.hosts(self.followed.keys().cloned().collect());
        take(&mut again.followed, hosts, &mut again.failures);
        let servers = resolver.all_servers(self.services.keys().cloned().collect());
        take(&mut again.services, servers, &mut again.failures);
        again
    }
}

/// Takes what is found now in place of what was; where nothing is, that stays.
fn take<T>(
    known: &mut HashMap<HostName, Result<Vec<T>, ResolveError>>,
    now: HashMap<HostName, Result<Vec<T>, ResolveError>>,
    failures: &mut BTreeMap<HostName, ResolveError>,
) {
    for (name, found) in now {
        match found {
            Ok(found) if !found.is_empty() => drop(known.insert(name, Ok(found))),
            Ok(_) => {
                let none = ResolveError("no address of this family".to_owned());
                failures.insert(name, none);
            }
            Err(error) => drop(failures.insert(name, error)),
        }
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
    let services = prepared.services.take();
    let mut known = LookedUp { definitions: prepared.definitions.take(), ..LookedUp::default() };
    if !hosts.is_empty() || !followed.is_empty() || !services.is_empty() {
        let found = resolver.hosts(hosts.union(&followed).cloned().collect());
        let of = |names: HashSet<HostName>| {
            names.into_iter().filter_map(|name| found.get_key_value(&name)).map(owned).collect()
        };
        (known.hosts, known.followed) = (of(hosts), of(followed));
        known.services = resolver.all_servers(services.into_iter().collect());
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
    services: RefCell<HashSet<HostName>>,
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
            services: RefCell::default(),
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

    fn servers(&self, name: &str, family: Family) -> Result<Vec<Located>, ResolveError> {
        let key = (name.to_owned(), family);
        let Some(known) = self.known else {
            self.services.borrow_mut().insert(key);
            let address = SocketAddr::new(placeholder(family), 1);
            return Ok(vec![Located { address, weight: 0 }]);
        };
        let found = known.services.get(&key).cloned();
        found.unwrap_or_else(|| self.resolver.servers(name, family))
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

    const SRV: &str = "resolveinterval=30\nvirtual=10.0.0.1:80\n\treal=_http._tcp.example masq\n\
        \treal=_sip._udp.example:5060 masq 7\n";

    /// The servers of the model, with their weights.
    fn located(model: &Model) -> Vec<(String, u32)> {
        let servers = model.services[0].real_servers.iter();
        servers.map(|server| (server.address.to_string(), server.weight)).collect()
    }

    fn srv(http: &[(&str, u16)]) -> MemoryResolver {
        let resolver = http.iter().fold(MemoryResolver::new(""), |resolver, (address, weight)| {
            resolver.server("_http._tcp.example", address.parse().unwrap(), *weight)
        });
        resolver.server("_sip._udp.example", "10.0.0.9:5070".parse().unwrap(), 1)
    }

    #[test]
    fn a_service_s_name_stands_for_the_servers_of_its_records() {
        let (ast, _) = parse(SRV);
        let resolver = srv(&[("10.0.0.3:8080", 0), ("10.0.0.2:8081", 20)]);
        let (model, diagnostics, known) = build_side_by_side(&ast, &resolver);
        assert!(!diagnostics.has_errors());
        let expected = [("10.0.0.2:8081", 20), ("10.0.0.3:8080", 1), ("10.0.0.9:5060", 7)];
        let expected = expected.map(|(address, weight)| (address.to_owned(), weight));
        assert_eq!(located(&model.unwrap()), expected, "what the line says goes before");
        let (model, _, known) = build_again(&ast, &known, &srv(&[("10.0.0.3:8080", 5)]));
        assert_eq!(located(&model.unwrap())[0], ("10.0.0.3:8080".to_owned(), 5));
        assert_eq!(known.followed().len(), 2);
        let (model, _, known) = build_again(&ast, &known, &srv(&[]));
        assert_eq!(located(&model.unwrap())[0], ("10.0.0.3:8080".to_owned(), 5));
        assert_eq!(known.failures().into_keys().collect::<Vec<_>>(), ["_http._tcp.example"]);
    }

    #[test]
    fn a_service_s_name_without_resolveinterval_is_no_address() {
        let text = SRV.replace("resolveinterval=30\n", "");
        let (ast, _) = parse(&text);
        let (model, diagnostics, _) = build_side_by_side(&ast, &srv(&[("10.0.0.3:8080", 0)]));
        assert!(model.is_none());
        let text = diagnostics.iter().next().unwrap().text.clone();
        assert_eq!(text, "invalid address for real server (wrong format)");
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
