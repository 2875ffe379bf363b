//! Where names in a configuration become addresses, ports and files.

use super::look_ups::{HostName, Hosts, Servers};
use super::service_records::{self, Record};
use super::{DEFINITION_LIMIT, DEFINITIONS, Family, Protocol, User};
use crate::config::{Fingerprint, Source, SourceError};
use dns_lookup::{AddrInfoHints, getaddrinfo};
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Threads that look names up at a time.
const THREADS: usize = 32;

/// The system's resolver needs room.
const STACK: usize = 256 * 1024;

/// Everything that building a model asks of the machine.
pub trait Resolver {
    /// The addresses of this family that the name has, at least one, in the system's order.
    ///
    /// # Errors
    /// When it has none.
    fn addresses(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, ResolveError>;

    /// The first of them.
    ///
    /// # Errors
    /// When it has none.
    fn host(&self, name: &str, family: Family) -> Result<IpAddr, ResolveError> {
        first(self.addresses(name, family))
    }

    /// [`Resolver::addresses`] of each of these names.
    fn hosts(&self, names: Vec<HostName>) -> Hosts {
        let found = |(name, family): HostName| {
            let addresses = self.addresses(&name, family);
            ((name, family), addresses)
        };
        names.into_iter().map(found).collect()
    }

    /// The servers that the SRV records of this name have, by their addresses of this family: those
    /// of the best priority.
    ///
    /// # Errors
    /// When there are none, or one of them has no address of this family.
    fn servers(&self, name: &str, family: Family) -> Result<Vec<Located>, ResolveError>;

    /// [`Resolver::servers`] of each of these names.
    fn all_servers(&self, names: Vec<HostName>) -> Servers {
        let found = |(name, family): HostName| {
            let servers = self.servers(&name, family);
            ((name, family), servers)
        };
        names.into_iter().map(found).collect()
    }

    /// The port of a service name; `None` for any protocol.
    ///
    /// # Errors
    /// When the name is not known for the protocol.
    fn port(&self, name: &str, protocol: Option<Protocol>) -> Result<u16, ResolveError>;

    /// This machine's name, for default logins.
    fn host_name(&self) -> String;

    /// Whether there is a directory of this name.
    fn is_directory(&self, path: &Path) -> bool;

    /// Whether the file can be appended to, or made; it is neither opened nor made.
    ///
    /// # Errors
    /// The reason why not.
    fn appendable(&self, path: &Path) -> Result<(), ResolveError>;

    /// Whether the file holds certificates that can be read.
    ///
    /// # Errors
    /// The reason why not.
    fn certificates(&self, path: &Path) -> Result<(), ResolveError>;

    /// Whether these files hold a certificate and the key that belongs to it, in PEM form.
    ///
    /// # Errors
    /// Which of them does not, and why.
    fn key_pair(&self, certificate: &Path, key: &Path) -> Result<(), ResolveError>;

    /// The user of this name.
    ///
    /// # Errors
    /// When there is none.
    fn user(&self, name: &str) -> Result<User, ResolveError>;

    /// The number of a group.
    ///
    /// # Errors
    /// When there is none of this name.
    fn group(&self, name: &str) -> Result<u32, ResolveError>;

    /// The file that defines a service of this name, a word of letters, digits and `_`.
    fn service_definition(&self, name: &str) -> DefinitionFile;
}

/// A server that a SRV record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located {
    /// Where it is.
    pub address: SocketAddr,
    /// Its share of the clients; 0 is the least.
    pub weight: u16,
}

/// A file that may define a service.
#[derive(Debug, Clone)]
pub struct DefinitionFile {
    /// Its text, if there is such a file; the error says why it cannot be read.
    pub text: Result<Option<String>, ResolveError>,
    /// The file as it was when it was read; `None` if it is none.
    pub found: Option<Fingerprint>,
}

/// A name that stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveError(pub String);

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ResolveError {}

/// The first of a name's addresses.
pub(super) fn first(addresses: Result<Vec<IpAddr>, ResolveError>) -> Result<IpAddr, ResolveError> {
    let none = || ResolveError("no address of this family".to_owned());
    addresses?.first().copied().ok_or_else(none)
}

/// An address that is written as such, in the forms that inet_aton(3) knows for IPv4: `127.1`,
/// `0x7f000001`, a plain number; an empty one is the loopback address.
pub(super) fn literal(text: &str, family: Family) -> Option<IpAddr> {
    match family {
        Family::Inet if text.is_empty() => Some(Ipv4Addr::LOCALHOST.into()),
        Family::Inet6 if text.is_empty() => Some(Ipv6Addr::LOCALHOST.into()),
        Family::Inet => Ipv4Addr::from_str(text).ok().or_else(|| inet_aton(text)).map(IpAddr::V4),
        Family::Inet6 => Ipv6Addr::from_str(text).ok().map(IpAddr::V6),
    }
}

/// One to four numbers, decimal, octal after `0`, hexadecimal after `0x`; the last one fills what
/// is left of the address.
pub(super) fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let mut parts = Vec::with_capacity(4);
    for part in text.split('.') {
        if parts.len() == 4 {
            return None;
        }
        parts.push(aton_number(part)?);
    }
    let (last, bytes) = parts.split_last()?;
    if bytes.iter().any(|byte| *byte > 255) || *last > u64::from(u32::MAX) >> (8 * bytes.len()) {
        return None;
    }
    let high = bytes.iter().enumerate().fold(0, |sum, (i, byte)| sum | byte << (24 - 8 * i));
    u32::try_from(high | last).ok().map(Ipv4Addr::from)
}

fn aton_number(part: &str) -> Option<u64> {
    let (digits, radix) = match part.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&part[2..], 16),
        [b'0', _, ..] => (&part[1..], 8),
        _ => (part, 10),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain { u64::from_str_radix(digits, radix).ok() } else { None }
}

/// The system's names: getaddrinfo(3), /etc/services, the file system.
#[derive(Debug, Default)]
pub struct SystemResolver {
    services: Services,
    /// Whoever asks will write no file.
    reads_only: bool,
}

impl SystemResolver {
    /// Reads /etc/services; without it, only numeric ports are known.
    pub fn new() -> Self {
        let text = read_bounded(Path::new("/etc/services"), 4 << 20).unwrap_or_default();
        let services = Services::parse(&String::from_utf8_lossy(&text));
        Self { services, reads_only: false }
    }

    /// For who only wants to know what a configuration means, and may not write its log.
    pub fn for_reading() -> Self {
        Self { reads_only: true, ..Self::new() }
    }
}

/// Each name with what is found for it.
fn side_by_side<T: Send>(
    names: Vec<HostName>,
    find: impl Fn(&str, Family) -> T + Sync,
) -> HashMap<HostName, T> {
    let threads = names.len().min(THREADS);
    let (waiting, found) = (Mutex::new(names), Mutex::new(HashMap::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || {
        while let Some((name, family)) = next() {
            let result = find(&name, family);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert((name, family), result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            let thread = thread::Builder::new().name("names".into()).stack_size(STACK);
            if thread.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Resolver for SystemResolver {
    fn addresses(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, ResolveError> {
        if let Some(address) = literal(name, family) {
            return Ok(vec![address]);
        }
        // Asked for any family, /etc/hosts without `multi on` gives the first of a name's lines only.
        let address = match family {
            Family::Inet => nix::libc::AF_INET,
            Family::Inet6 => nix::libc::AF_INET6,
        };
        let socktype = nix::libc::SOCK_STREAM;
        let hints = AddrInfoHints { address, socktype, ..AddrInfoHints::default() };
        let found = getaddrinfo(Some(name), None, Some(hints))
            .map_err(|error| ResolveError(io::Error::from(error).to_string()))?;
        Ok(found.filter_map(Result::ok).map(|found| found.sockaddr.ip()).collect())
    }

    /// Side by side, on as many threads as the system gives, at most [`THREADS`].
    fn hosts(&self, names: Vec<HostName>) -> Hosts {
        side_by_side(names, |name, family| self.addresses(name, family))
    }

    fn servers(&self, name: &str, family: Family) -> Result<Vec<Located>, ResolveError> {
        let resolv_conf = read_bounded(Path::new("/etc/resolv.conf"), 64 << 10).unwrap_or_default();
        let mut servers = Vec::new();
        for Record { target, port, weight } in service_records::look_up(name, &resolv_conf)? {
            let addresses = self.addresses(&target, family);
            let addresses =
                addresses.map_err(|ResolveError(why)| ResolveError(format!("{target}: {why}")))?;
            let located = |ip| Located { address: SocketAddr::new(ip, port), weight };
            servers.extend(addresses.into_iter().map(located));
        }
        Ok(servers)
    }

    /// As [`SystemResolver::hosts`].
    fn all_servers(&self, names: Vec<HostName>) -> Servers {
        side_by_side(names, |name, family| self.servers(name, family))
    }

    fn port(&self, name: &str, protocol: Option<Protocol>) -> Result<u16, ResolveError> {
        self.services.port(name, protocol)
    }

    fn host_name(&self) -> String {
        std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| {
            nix::unistd::gethostname()
                .map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned())
        })
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn appendable(&self, path: &Path) -> Result<(), ResolveError> {
        if self.reads_only {
            return Ok(());
        }
        let allowed = if path.is_dir() {
            Err(Errno::EISDIR)
        } else {
            match access(path, AccessFlags::W_OK) {
                Err(Errno::ENOENT) => {
                    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                    access(parent.unwrap_or(Path::new(".")), AccessFlags::W_OK | AccessFlags::X_OK)
                }
                result => result,
            }
        };
        allowed.map_err(|errno| ResolveError(errno.desc().to_owned()))
    }

    fn certificates(&self, path: &Path) -> Result<(), ResolveError> {
        if !path.is_file() {
            return Err(ResolveError("no such file".to_owned()));
        }
        let pem = read_bounded(path, 16 << 20).map_err(|error| ResolveError(error.to_string()))?;
        match openssl::x509::X509::stack_from_pem(&pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(()),
            _ => Err(ResolveError("no certificates in it".to_owned())),
        }
    }

    fn key_pair(&self, certificate: &Path, key: &Path) -> Result<(), ResolveError> {
        let wrong = |file: &Path, why: &dyn fmt::Display| {
            ResolveError(format!("{}: {why}", file.display()))
        };
        let read = |file: &Path| {
            if !file.is_file() {
                return Err(wrong(file, &"no such file"));
            }
            read_bounded(file, 1 << 20).map_err(|error| wrong(file, &error))
        };
        let chain = openssl::x509::X509::stack_from_pem(&read(certificate)?).unwrap_or_default();
        let first = chain.first().ok_or_else(|| wrong(certificate, &"no certificate in it"))?;
        let private = crate::pem::private_key(&read(key)?).map_err(|cause| wrong(key, &cause))?;
        match first.public_key().is_ok_and(|public| public.public_eq(&private)) {
            true => Ok(()),
            false => Err(wrong(key, &"not the key of the certificate")),
        }
    }

    fn group(&self, name: &str) -> Result<u32, ResolveError> {
        match nix::unistd::Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            Ok(None) => Err(ResolveError("no such group".to_owned())),
            Err(errno) => Err(ResolveError(errno.desc().to_owned())),
        }
    }

    fn user(&self, name: &str) -> Result<User, ResolveError> {
        let failed = |errno: Errno| ResolveError(errno.desc().to_owned());
        let unknown = || ResolveError("no such user".to_owned());
        let user = nix::unistd::User::from_name(name).map_err(failed)?.ok_or_else(unknown)?;
        let c_name = CString::new(name).map_err(|_| unknown())?;
        let groups = nix::unistd::getgrouplist(&c_name, user.gid).map_err(failed)?;
        Ok(User {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
            home: user.dir,
        })
    }

    fn service_definition(&self, name: &str) -> DefinitionFile {
        definition_file(&Path::new(DEFINITIONS).join(name))
    }
}

fn definition_file(path: &Path) -> DefinitionFile {
    // Before it is read, so that what is written meanwhile is a change.
    let found = Fingerprint::of(path).ok();
    match Source::read(path, DEFINITION_LIMIT) {
        Ok(source) => {
            let found = Some(source.fingerprint());
            let text = match source.is_utf8() {
                true => Ok(Some(source.text)),
                false => Err(ResolveError("it is not UTF-8".to_owned())),
            };
            DefinitionFile { text, found }
        }
        Err(SourceError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            DefinitionFile { text: Ok(None), found }
        }
        Err(error) => DefinitionFile { text: Err(ResolveError(error.to_string())), found },
    }
}

/// A table like /etc/services.
#[derive(Debug, Default)]
struct Services(Vec<(String, u16, String)>);

impl Services {
    /// Reads `NAME PORT/PROTOCOL ALIAS…` lines; what is no such line is left out.
    fn parse(text: &str) -> Self {
        let mut rows = Vec::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let (Some(name), Some(address)) = (words.next(), words.next()) else { continue };
            let Some((port, protocol)) = address.split_once('/') else { continue };
            let Ok(port) = port.parse() else { continue };
            for name in std::iter::once(name).chain(words) {
                rows.push((name.to_owned(), port, protocol.to_owned()));
            }
        }
        Self(rows)
    }

    fn port(&self, name: &str, protocol: Option<Protocol>) -> Result<u16, ResolveError> {
        let word = match protocol {
            Some(Protocol::Tcp) => Some("tcp"),
            Some(Protocol::Udp) => Some("udp"),
            None => None,
        };
        let fits =
            |row: &&(String, u16, String)| row.0 == name && word.is_none_or(|word| row.2 == word);
        self.0
            .iter()
            .find(fits)
            .map(|row| row.1)
            .ok_or_else(|| ResolveError("not in /etc/services for this protocol".to_owned()))
    }
}

/// Names given beforehand; for tests and for trying a file without the network.
#[derive(Debug, Default)]
pub struct MemoryResolver {
    hosts: HashMap<String, Vec<IpAddr>>,
    servers: HashMap<String, Vec<Located>>,
    services: Services,
    directories: Vec<PathBuf>,
    certificates: Vec<PathBuf>,
    definitions: HashMap<String, String>,
}

impl MemoryResolver {
    /// Knows the services of the given text, which is written like /etc/services.
    pub fn new(services: &str) -> Self {
        Self { services: Services::parse(services), ..Self::default() }
    }

    /// With one more address of a host.
    #[must_use]
    pub fn host(mut self, name: &str, address: IpAddr) -> Self {
        self.hosts.entry(name.to_owned()).or_default().push(address);
        self
    }

    /// With one more server in the SRV records of a name.
    #[must_use]
    pub fn server(mut self, name: &str, address: SocketAddr, weight: u16) -> Self {
        self.servers.entry(name.to_owned()).or_default().push(Located { address, weight });
        self
    }

    /// With one more directory.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        self.directories.push(path.into());
        self
    }

    /// With one more service that a file defines.
    #[must_use]
    pub fn service_definition(mut self, name: &str, text: &str) -> Self {
        self.definitions.insert(name.to_owned(), text.to_owned());
        self
    }

    /// With one more file of certificates.
    #[must_use]
    pub fn certificate_file(mut self, path: &str) -> Self {
        self.certificates.push(path.into());
        self
    }
}

impl Resolver for MemoryResolver {
    fn addresses(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, ResolveError> {
        let named = self.hosts.get(name).into_iter().flatten().copied();
        let named = named.filter(|address| Family::of(*address) == family);
        let all: Vec<IpAddr> = literal(name, family).into_iter().chain(named).collect();
        if all.is_empty() {
            return Err(ResolveError("unknown name".to_owned()));
        }
        Ok(all)
    }

    fn servers(&self, name: &str, family: Family) -> Result<Vec<Located>, ResolveError> {
        let servers = self.servers.get(name).into_iter().flatten().copied();
        let servers = servers.filter(|server| Family::of(server.address.ip()) == family);
        Some(servers.collect())
            .filter(|servers: &Vec<Located>| !servers.is_empty())
            .ok_or_else(|| ResolveError("unknown name".to_owned()))
    }

    fn port(&self, name: &str, protocol: Option<Protocol>) -> Result<u16, ResolveError> {
        self.services.port(name, protocol)
    }

    fn host_name(&self) -> String {
        "director.example.com".to_owned()
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.directories.iter().any(|known| known == path)
    }

    fn appendable(&self, path: &Path) -> Result<(), ResolveError> {
        // As on any machine.
        if path.starts_with("/nonexist") {
            return Err(ResolveError("No such file or directory".to_owned()));
        }
        Ok(())
    }

    fn certificates(&self, path: &Path) -> Result<(), ResolveError> {
        if self.certificates.iter().any(|known| known == path) {
            return Ok(());
        }
        Err(ResolveError("no such file".to_owned()))
    }

    fn key_pair(&self, certificate: &Path, key: &Path) -> Result<(), ResolveError> {
        self.certificates(certificate).and_then(|()| self.certificates(key))
    }

    fn group(&self, name: &str) -> Result<u32, ResolveError> {
        match name {
            "wheel" => Ok(10),
            _ => Err(ResolveError("no such group".to_owned())),
        }
    }

    fn user(&self, name: &str) -> Result<User, ResolveError> {
        let (uid, home) = match name {
            "root" => (0, "/root"),
            "nobody" => (65_534, "/nonexistent"),
            _ => return Err(ResolveError("no such user".to_owned())),
        };
        let home = PathBuf::from(home);
        Ok(User { name: name.to_owned(), uid, gid: uid, groups: vec![uid], home })
    }

    fn service_definition(&self, name: &str) -> DefinitionFile {
        DefinitionFile { text: Ok(self.definitions.get(name).cloned()), found: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_forms_of_ipv4_addresses_are_read() {
        for (text, address) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("127.1", Some("127.0.0.1")),
            ("1.2.3", Some("1.2.0.3")),
            ("5060", Some("0.0.19.196")),
            ("010.0.0.01", Some("8.0.0.1")),
            ("0x7f.1", Some("127.0.0.1")),
            ("4294967295", Some("255.255.255.255")),
            ("4294967296", None),
            ("999.1.1.1", None),
            ("1.2.3.4.5", None),
            ("1..2", None),
            ("+1", None),
            ("", Some("127.0.0.1")),
        ] {
            let expected = address.map(|address| address.parse().unwrap());
            assert_eq!(literal(text, Family::Inet), expected, "{text}");
        }
    }

    #[test]
    fn a_definition_is_read_with_its_fingerprint_or_refused_with_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("good"), "expect = \"x\"\n").unwrap();
        std::fs::write(at("latin"), b"expect = \"\xe9\"\n").unwrap();
        std::fs::write(at("long"), vec![b'#'; DEFINITION_LIMIT as usize + 1]).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (name, text) in [
            ("good", Ok(Some("expect = \"x\"\n"))),
            ("absent", Ok(None)),
            ("latin", Err("it is not UTF-8")),
            ("long", Err("larger than 64 KiB")),
            ("directory", Err("not a regular file")),
            ("pipe", Err("not a regular file")),
        ] {
            let file = definition_file(&at(name));
            let found = file.text.as_ref().map(Option::as_deref).map_err(|error| error.0.as_str());
            assert_eq!(found, text, "{name}");
            assert_eq!(file.found, Fingerprint::of(&at(name)).ok(), "{name}");
        }
    }

    #[test]
    fn services_are_found_by_name_alias_and_protocol() {
        let services = Services::parse("http 80/tcp www # web\ntftp 69/udp\njunk\nx 99999/tcp\n");
        assert_eq!(services.port("www", Some(Protocol::Tcp)), Ok(80));
        assert_eq!(services.port("tftp", None), Ok(69));
        assert!(services.port("tftp", Some(Protocol::Tcp)).is_err());
        assert!(services.port("x", None).is_err());
    }
}
