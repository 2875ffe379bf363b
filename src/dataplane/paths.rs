//! The paths of `checkpath=service`: for each, a firewall-mark service that has one real server.
//!
//! Nothing but the checks of this daemon bears these marks. An entry tells by its weight whose it is,
//! so that what a killed daemon has left is found, and what another daemon needs is left alone.

use super::plan::{forwarding, same_forwarding};
use super::{Dataplane, Operation, TableError, service_key};
use crate::model::{Family, MARKS, ServiceAddress, ServicePath};
use ipvs_rs::{Destination, Service, ServiceKey};
use std::collections::{BTreeMap, HashSet};

/// With one destination, any scheduler chooses it; every kernel with ip_vs has this one.
const SCHEDULER: &str = "rr";

/// The paths that are wanted, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Paths {
    /// The weight of our entries.
    tag: u32,
    wanted: BTreeMap<ServiceKey, Destination>,
    missing: BTreeMap<ServiceKey, String>,
    /// Whether nothing was left of what is not wanted when the table was last looked at.
    is_clean: bool,
}

impl Paths {
    /// None yet, of the daemon with this name.
    pub fn of(instance: &str) -> Self {
        let tag = ServicePath::mark_of(instance) % 65_535 + 1;
        Self { tag, ..Self::default() }
    }

    /// Makes the table have these paths, and no others of this daemon.
    pub fn lay<'a>(
        &mut self,
        table: &mut dyn Dataplane,
        paths: impl IntoIterator<Item = &'a ServicePath>,
    ) {
        let tag = self.tag;
        let were_none = self.is_clean && self.wanted.is_empty();
        self.wanted = paths.into_iter().map(|path| (key(path), destination(path, tag))).collect();
        if were_none && self.wanted.is_empty() {
            return;
        }
        let services = services(table);
        self.settle_all(table, services);
    }

    /// Lays again what is missing, or has gone since.
    pub fn look(&mut self, table: &mut dyn Dataplane) {
        if self.wanted.is_empty() {
            return;
        }
        let services = services(table);
        let listed = services.iter().flatten().filter(|it| self.wanted.contains_key(&it.key));
        if !self.missing.is_empty() || listed.count() < self.wanted.len() {
            self.settle_all(table, services);
        }
    }

    /// Takes all of them out of the table.
    pub fn remove(&mut self, table: &mut dyn Dataplane) {
        self.lay(table, []);
    }

    /// Why this path cannot be used: the table does not have it.
    pub fn missing(&self, path: &ServicePath) -> Option<&str> {
        self.missing.get(&key(path)).map(String::as_str)
    }

    /// The first of these paths that the table does not have, whoever laid it.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn first_missing<'a>(
        table: &mut dyn Dataplane,
        paths: impl IntoIterator<Item = &'a ServicePath>,
    ) -> Result<Option<&'a ServicePath>, TableError> {
        let mut paths = paths.into_iter().peekable();
        if paths.peek().is_none() {
            return Ok(None);
        }
        let listed: HashSet<ServiceKey> = table.services()?.iter().map(|it| it.key).collect();
        Ok(paths.find(|path| !listed.contains(&key(path))))
    }

    fn settle_all(
        &mut self,
        table: &mut dyn Dataplane,
        services: Result<Vec<Service>, TableError>,
    ) {
        self.missing.clear();
        self.is_clean = services.is_ok();
        let services = match services {
            Ok(services) => services,
            Err(error) => {
                let why = error.to_string();
                self.missing = self.wanted.keys().map(|&key| (key, why.clone())).collect();
                return;
            }
        };
        let mut left = self.wanted.clone();
        for key in services.iter().map(|service| service.key).filter(is_of_checks) {
            let wanted = left.remove(&key);
            match (self.settle(table, key, wanted), wanted) {
                (Ok(()), _) => {}
                (Err(_), None) => self.is_clean = false,
                (Err(why), Some(_)) => {
                    self.missing.insert(key, why);
                }
            }
        }
        for (key, wanted) in left {
            let service = Service { one_packet: true, ..Service::new(key, SCHEDULER) };
            let added = table
                .apply(&Operation::AddService(service))
                .and_then(|()| table.apply(&Operation::AddDestination(key, wanted)));
            if let Err(error) = added {
                self.missing.insert(key, error.to_string());
            }
        }
    }

    /// Makes a service that the table has be as wanted, if it is ours.
    fn settle(
        &self,
        table: &mut dyn Dataplane,
        key: ServiceKey,
        wanted: Option<Destination>,
    ) -> Result<(), String> {
        let words = |error: TableError| error.to_string();
        let entries = table.destinations(&key).map_err(words)?;
        let listed: Vec<Destination> = entries.into_iter().map(|entry| entry.destination).collect();
        if listed.iter().any(|destination| destination.weight != self.tag) {
            let ServiceKey::Fwmark { mark, .. } = key else { return Ok(()) };
            return Err(format!("firewall mark {mark:#x} has a service of somebody else"));
        }
        let same = |wanted: &Destination| {
            listed.len() == 1
                && listed[0].socket_address() == wanted.socket_address()
                && same_forwarding(wanted, &listed[0])
        };
        match wanted {
            None => table.apply(&Operation::DeleteService(key)).map_err(words),
            Some(wanted) if same(&wanted) => Ok(()),
            Some(wanted) => {
                for other in listed {
                    let operation = Operation::DeleteDestination(key, other.socket_address());
                    table.apply(&operation).map_err(words)?;
                }
                table.apply(&Operation::AddDestination(key, wanted)).map_err(words)
            }
        }
    }
}

fn services(table: &mut dyn Dataplane) -> Result<Vec<Service>, TableError> {
    match table.has_paths() {
        true => table.services(),
        false => Err(TableError::new("checkpath=service needs the kernel's table", None)),
    }
}

fn is_of_checks(key: &ServiceKey) -> bool {
    matches!(key, ServiceKey::Fwmark { mark, .. } if MARKS.contains(mark))
}

fn key(path: &ServicePath) -> ServiceKey {
    service_key(ServiceAddress::Fwmark { family: Family::of(path.address), mark: path.mark })
}

fn destination(path: &ServicePath, tag: u32) -> Destination {
    let destination = Destination::new(path.server, 0, forwarding(path.forwarding));
    Destination { weight: tag, ..destination }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::Memory;
    use crate::model::ForwardingMethod;
    use ipvs_rs::Family;
    use nix::errno::Errno;
    use std::net::IpAddr;

    fn path(host: u8) -> ServicePath {
        let server = IpAddr::from([10, 0, 0, host]);
        let mark = MARKS.start() + u32::from(host);
        let forwarding = ForwardingMethod::Gate;
        ServicePath { address: [192, 0, 2, 1].into(), server, forwarding, mark }
    }

    /// The marks that the table has, each with the host and weight of its destinations.
    fn listed(table: &mut Memory) -> Vec<(u32, Vec<(IpAddr, u32)>)> {
        let services = table.services().unwrap();
        let mark = |key| match key {
            ServiceKey::Fwmark { mark, .. } => mark.saturating_sub(*MARKS.start()),
            ServiceKey::Address { .. } => 0,
        };
        let of = |table: &mut Memory, key| {
            let entries = table.destinations(&key).unwrap();
            entries.iter().map(|it| (it.destination.address, it.destination.weight)).collect()
        };
        services.iter().map(|it| (mark(it.key), of(table, it.key))).collect()
    }

    #[test]
    fn a_daemon_finds_what_it_left_and_leaves_what_others_have() {
        let mut table = Memory::new().with_paths();
        let other = Service::new(ServiceKey::Fwmark { family: Family::Inet, mark: 7 }, "wlc");
        table.apply(&Operation::AddService(other)).unwrap();
        let (mut one, mut two) = (Paths::of("one"), Paths::of("two"));
        assert_ne!(one.tag, two.tag);
        one.lay(&mut table, [&path(1), &path(2)]);
        two.lay(&mut table, [&path(3)]);
        let mut again = Paths::of("one");
        again.lay(&mut table, [&path(2), &path(4)]);
        let entry = |host, tag| (u32::from(host), vec![(path(host).server, tag)]);
        let mine = listed(&mut table).split_off(1);
        let missing =
            Paths::first_missing(&mut table, &[path(2), path(5)]).map(Option::<&_>::cloned);
        assert_eq!(missing, Ok(Some(path(5))));
        assert_eq!(mine, [entry(2, one.tag), entry(3, two.tag), entry(4, one.tag)]);
        assert!(again.missing.is_empty());
        // A mark that is taken is no path.
        two.lay(&mut table, [&path(3), &path(4)]);
        let taken = format!("firewall mark {:#x} has a service of somebody else", path(4).mark);
        assert_eq!((two.missing(&path(3)), two.missing(&path(4))), (None, Some(&*taken)));
        again.remove(&mut table);
        two.look(&mut table);
        assert_eq!(listed(&mut table).split_off(1), [entry(3, two.tag), entry(4, two.tag)]);
        two.remove(&mut table);
        assert_eq!(listed(&mut table).len(), 1, "the operator's own stays");
    }

    #[test]
    fn what_is_lost_or_refused_is_laid_at_the_next_look() {
        let mut refuse = true;
        let refusal = Box::new(move |operation: &Operation| {
            matches!(operation, Operation::AddDestination(..))
                .then(|| std::mem::take(&mut refuse).then_some(Errno::ENOMEM))?
        });
        let mut table = Memory::new().with_paths().refusing(refusal);
        let mut paths = Paths::of("one");
        paths.lay(&mut table, [&path(1)]);
        assert!(paths.missing(&path(1)).is_some_and(|why| why.contains("memory")));
        paths.look(&mut table);
        assert_eq!((paths.missing(&path(1)), listed(&mut table)[0].1.len()), (None, 1));
        let key = key(&path(1));
        table.apply(&Operation::DeleteService(key)).unwrap();
        paths.look(&mut table);
        assert_eq!(listed(&mut table)[0].1.len(), 1);
    }

    #[test]
    fn what_could_not_be_removed_is_removed_at_the_next_laying() {
        let mut refuse = true;
        let refusal = Box::new(move |operation: &Operation| {
            matches!(operation, Operation::DeleteService(_))
                .then(|| std::mem::take(&mut refuse).then_some(Errno::ENOMEM))?
        });
        let mut table = Memory::new().with_paths().refusing(refusal);
        let mut paths = Paths::of("one");
        paths.lay(&mut table, [&path(1)]);
        for left in [1, 0, 0] {
            paths.lay(&mut table, []);
            assert_eq!(listed(&mut table).len(), left);
        }
    }

    #[test]
    fn a_table_that_forwards_nothing_has_no_paths() {
        let mut table = Memory::new();
        let mut paths = Paths::of("one");
        paths.lay(&mut table, [&path(1)]);
        assert_eq!(paths.missing(&path(1)), Some("checkpath=service needs the kernel's table"));
        assert!(table.services().unwrap().is_empty());
    }
}
