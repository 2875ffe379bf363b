//! Which real servers are in maintenance: what `maintenancedir` was last seen to hold, and what the
//! servers are called. Pure.
//!
//! This is the only place that knows. A configuration that is read again brings a listing, not a
//! verdict; a directory that cannot be read and a resolver that does not answer change nothing.

use super::input::{Listing, Name};
use crate::model::{DestinationAddress, Model};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a name is believed.
const LIFETIME: Duration = Duration::from_secs(300);

/// How long an answer of the resolver is waited for, and after what time a look-up that failed is
/// tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a server may be kept from its first check because its name is not known yet.
const DOUBT: Duration = Duration::from_secs(3);

/// What is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Maintenance {
    directory: Option<PathBuf>,
    order: u64,
    files: BTreeSet<String>,
    /// Why the directory could not be read the last time.
    error: Option<String>,
    names: HashMap<IpAddr, Entry>,
    servers: HashSet<DestinationAddress>,
    /// Whether a file may stand for a server's name.
    by_name: bool,
}

#[derive(Debug, Clone, Default)]
struct Entry {
    name: Option<String>,
    /// Until when it is believed; `None` if it has never been answered.
    until: Option<Instant>,
    first_asked: Option<Instant>,
    asked: Option<Instant>,
}

/// What a listing says that is worth a line in the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// As before.
    Nothing,
    /// The directory cannot be read; the servers in maintenance stay so.
    Unreadable(String),
    /// It can be read again.
    Readable,
}

impl Maintenance {
    /// Takes on a configuration; of another directory nothing is known yet.
    pub(super) fn install(&mut self, model: &Model) {
        let directory = &model.settings.maintenance_dir;
        if *directory != self.directory {
            self.directory.clone_from(directory);
            self.files.clear();
            self.error = None;
        }
        self.servers = match directory {
            None => HashSet::new(),
            Some(_) => model
                .services
                .iter()
                .flat_map(|service| &service.real_servers)
                .map(|real| real.address)
                .collect(),
        };
        let servers = &self.servers;
        let known: HashSet<IpAddr> = servers.iter().map(DestinationAddress::ip).collect();
        self.names.retain(|address, _| known.contains(address));
        self.by_name = self.has_foreign_files();
    }

    /// Takes a listing, unless it is of another directory or older than what is known. Tells whether
    /// the files are others now, and what to log.
    pub(super) fn listed(&mut self, listing: Listing) -> (bool, Heard) {
        if Some(&listing.directory) != self.directory.as_ref() || listing.order < self.order {
            return (false, Heard::Nothing);
        }
        self.order = listing.order;
        match listing.files {
            Err(error) if self.error.is_some() => {
                self.error = Some(error);
                (false, Heard::Nothing)
            }
            Err(error) => {
                self.error = Some(error.clone());
                (false, Heard::Unreadable(error))
            }
            Ok(files) => {
                let heard = match self.error.take() {
                    Some(_) => Heard::Readable,
                    None => Heard::Nothing,
                };
                if files == self.files {
                    return (false, heard);
                }
                self.files = files;
                self.by_name = self.has_foreign_files();
                (true, heard)
            }
        }
    }

    /// What the directory was last seen to hold, as a listing.
    pub(super) fn listing(&self) -> Option<Listing> {
        let directory = self.directory.clone()?;
        Some(Listing { directory, order: self.order, files: Ok(self.files.clone()) })
    }

    /// The directory that is looked at.
    pub(super) fn directory(&self) -> Option<&PathBuf> {
        self.directory.as_ref()
    }

    /// The order of the last listing.
    pub(super) fn order(&self) -> u64 {
        self.order
    }

    /// Takes names. Tells whether any is another one now.
    pub(super) fn named(&mut self, names: Vec<(IpAddr, Name)>, now: Instant) -> bool {
        let mut changed = false;
        for (address, name) in names {
            let Some(entry) = self.names.get_mut(&address) else { continue };
            entry.asked = None;
            let (name, lifetime) = match name {
                Name::Known(name) => (Some(name), LIFETIME),
                Name::Nameless => (None, LIFETIME),
                Name::Failed => (entry.name.clone(), PATIENCE),
            };
            entry.until = now.checked_add(lifetime);
            changed |= entry.name != name;
            entry.name = name;
        }
        changed
    }

    /// The addresses whose names are to be looked up now.
    pub(super) fn look_ups(&mut self, now: Instant) -> Vec<IpAddr> {
        if !self.by_name {
            return Vec::new();
        }
        let addresses: BTreeSet<IpAddr> = self.servers.iter().map(DestinationAddress::ip).collect();
        let mut wanted = Vec::new();
        for address in addresses {
            let entry = self.names.entry(address).or_default();
            let fresh = entry.until.is_some_and(|until| now < until);
            let under_way = entry.asked.is_some_and(|asked| now < asked + PATIENCE);
            if !fresh && !under_way {
                entry.asked = Some(now);
                entry.first_asked.get_or_insert(now);
                wanted.push(address);
            }
        }
        wanted
    }

    /// Whether a server may turn out to be in maintenance in a moment, when its name is known.
    pub(super) fn doubts(&self, server: DestinationAddress, now: Instant) -> bool {
        let entry = self.names.get(&server.ip()).filter(|_| self.by_name);
        entry.is_some_and(|entry| {
            entry.until.is_none() && entry.first_asked.is_some_and(|asked| now < asked + DOUBT)
        })
    }

    /// The real servers that have a file. Its name is the server's address, or the name that the
    /// address has, or that name up to its first dot, each alone or with `:port`.
    pub(super) fn in_maintenance(&self) -> HashSet<DestinationAddress> {
        if self.files.is_empty() {
            return HashSet::new();
        }
        self.servers.iter().copied().filter(|server| self.has_file(*server)).collect()
    }

    fn has_file(&self, server: DestinationAddress) -> bool {
        if self.has(&bracketed(server.ip()), server.port()) {
            return true;
        }
        let entry = self.names.get(&server.ip()).filter(|_| self.by_name);
        let Some(name) = entry.and_then(|entry| entry.name.as_deref()) else { return false };
        let short = name.split('.').next().unwrap_or_default();
        let short_is_a_name = short.len() > 1
            && short.starts_with(|first: char| first.is_ascii_alphabetic())
            && short.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        self.has(name, server.port()) || (short_is_a_name && self.has(short, server.port()))
    }

    fn has(&self, name: &str, port: u16) -> bool {
        self.files.contains(&format!("{name}:{port}")) || self.files.contains(name)
    }

    /// Names cost a look-up each; files that are named by address need none.
    fn has_foreign_files(&self) -> bool {
        if self.files.is_empty() {
            return false;
        }
        let addresses: HashSet<String> = self
            .servers
            .iter()
            .flat_map(|server| {
                let address = bracketed(server.ip());
                [format!("{address}:{}", server.port()), address]
            })
            .collect();
        self.files.iter().any(|file| !addresses.contains(file))
    }
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        CheckMethod, CheckPlan, ForwardingMethod, Protocol, RealServer, ServiceAddress, Settings,
        Thresholds, VirtualService,
    };
    use std::sync::Arc;

    fn model() -> Model {
        let real = |address: &str| {
            let address: DestinationAddress = address.parse().expect("an address");
            let plan = CheckPlan {
                check_timeout: Duration::from_secs(1),
                negotiate_timeout: Duration::from_secs(1),
                ..CheckPlan::new((address.ip(), 80).into(), CheckMethod::Connect)
            };
            RealServer {
                address,
                forwarding: ForwardingMethod::Gate,
                weight: 1,
                thresholds: Thresholds::default(),
                check: Arc::new(plan),
            }
        };
        let vip = "10.0.0.1:80".parse().expect("an address");
        let address = ServiceAddress::Address { protocol: Protocol::Tcp, address: vip };
        let real_servers = ["127.0.0.2:80", "127.0.0.3:80", "[fd00::2]:80"].map(real).into();
        Model {
            settings: Settings { maintenance_dir: Some("/m".into()), ..Settings::default() },
            services: vec![VirtualService { real_servers, ..VirtualService::new(address) }],
        }
    }

    fn listing(order: u64, files: &[&str]) -> Listing {
        let files = Ok(files.iter().map(ToString::to_string).collect());
        Listing { directory: "/m".into(), order, files }
    }

    fn addresses(servers: &[&str]) -> HashSet<DestinationAddress> {
        servers.iter().map(|server| server.parse().expect("an address")).collect()
    }

    fn installed() -> Maintenance {
        let mut maintenance = Maintenance::default();
        maintenance.install(&model());
        maintenance
    }

    #[test]
    fn a_file_named_by_address_or_address_and_port_takes_its_server_out() {
        let cases: &[(&str, &[&str])] = &[
            ("127.0.0.2", &["127.0.0.2:80"]),
            ("127.0.0.3:80", &["127.0.0.3:80"]),
            ("127.0.0.3:81", &[]),
            ("[fd00::2]", &["[fd00::2]:80"]),
            ("[fd00::2]:80", &["[fd00::2]:80"]),
            // compat: an IPv6 address needs its brackets (spec 11.4, 88)
            ("fd00::2", &[]),
        ];
        for (file, servers) in cases {
            let mut maintenance = installed();
            assert!(maintenance.listed(listing(1, &[file])).0);
            assert_eq!(maintenance.in_maintenance(), addresses(servers), "{file}");
        }
    }

    #[test]
    fn of_two_listings_the_one_begun_later_counts_in_whatever_order_they_come() {
        let mut maintenance = installed();
        assert!(maintenance.listed(listing(2, &[])).1 == Heard::Nothing);
        assert!(!maintenance.listed(listing(1, &["127.0.0.2"])).0);
        assert_eq!(maintenance.in_maintenance(), HashSet::new());
        assert!(maintenance.listed(listing(3, &["127.0.0.2"])).0);
        assert!(!maintenance.listed(listing(2, &[])).0);
        assert_eq!(maintenance.in_maintenance(), addresses(&["127.0.0.2:80"]));
    }

    #[test]
    fn a_directory_that_cannot_be_read_changes_nothing_and_is_told_once() {
        let mut maintenance = installed();
        maintenance.listed(listing(1, &["127.0.0.2"]));
        let unreadable = |order| Listing { files: Err("too many".into()), ..listing(order, &[]) };
        assert_eq!(
            maintenance.listed(unreadable(2)),
            (false, Heard::Unreadable("too many".into()))
        );
        assert_eq!(maintenance.listed(unreadable(3)), (false, Heard::Nothing));
        maintenance.install(&model());
        assert_eq!(maintenance.in_maintenance(), addresses(&["127.0.0.2:80"]));
        assert_eq!(maintenance.listed(listing(4, &[])), (true, Heard::Readable));
        assert_eq!(maintenance.in_maintenance(), HashSet::new());
    }

    #[test]
    fn a_name_counts_whole_and_up_to_its_first_dot_and_outlives_a_resolver_that_fails() {
        let mut now = Instant::now();
        let server: DestinationAddress = "127.0.0.2:80".parse().expect("an address");
        let mut maintenance = installed();
        maintenance.listed(listing(1, &["127.0.0.3"]));
        assert_eq!(maintenance.look_ups(now), Vec::<IpAddr>::new(), "no name is needed");
        maintenance.listed(listing(2, &["web:80", "README"]));
        assert_eq!(maintenance.look_ups(now).len(), 3);
        assert_eq!(maintenance.look_ups(now), Vec::<IpAddr>::new(), "it is under way");
        assert!(maintenance.doubts(server, now));
        assert!(!maintenance.doubts(server, now + DOUBT));
        assert!(maintenance.named(vec![(server.ip(), Name::Known("web.example".into()))], now));
        assert!(!maintenance.doubts(server, now));
        assert_eq!(maintenance.in_maintenance(), addresses(&["127.0.0.2:80"]));
        now += LIFETIME - Duration::from_nanos(1);
        assert!(!maintenance.look_ups(now).contains(&server.ip()), "it is believed");
        now += Duration::from_nanos(1);
        assert!(maintenance.look_ups(now).contains(&server.ip()));
        assert!(!maintenance.named(vec![(server.ip(), Name::Failed)], now));
        assert_eq!(maintenance.in_maintenance(), addresses(&["127.0.0.2:80"]));
        now += PATIENCE;
        assert!(maintenance.look_ups(now).contains(&server.ip()), "asked again before long");
        assert!(maintenance.named(vec![(server.ip(), Name::Nameless)], now));
        assert_eq!(maintenance.in_maintenance(), HashSet::new());
    }

    #[test]
    fn a_name_up_to_its_first_dot_counts_if_it_is_a_host_name_of_two_letters_at_least() {
        let now = Instant::now();
        for (name, file, counts) in [
            ("web.example", "web", true),
            ("my-web2.example", "my-web2", true),
            ("ww.example", "ww", true),
            ("w.example", "w", false),
            ("2web.example", "2web", false),
            ("-web.example", "-web", false),
            ("my_web.example", "my_web", false),
            ("w.example", "w.example", true),
            ("my_web.example", "my_web.example:80", true),
        ] {
            let server: DestinationAddress = "127.0.0.2:80".parse().expect("an address");
            let mut maintenance = installed();
            maintenance.listed(listing(1, &[file]));
            maintenance.look_ups(now);
            maintenance.named(vec![(server.ip(), Name::Known(name.into()))], now);
            let expected: &[&str] = if counts { &["127.0.0.2:80"] } else { &[] };
            assert_eq!(maintenance.in_maintenance(), addresses(expected), "{file} of {name}");
        }
    }

    #[test]
    fn an_answer_that_never_comes_is_asked_for_again() {
        let now = Instant::now();
        let mut maintenance = installed();
        maintenance.listed(listing(1, &["web"]));
        assert_eq!(maintenance.look_ups(now).len(), 3);
        assert_eq!(maintenance.look_ups(now + PATIENCE).len(), 3);
    }
}
