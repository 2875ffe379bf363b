//! What a reload of the file as it is now would do. Nothing is changed.

use super::input::{Loaded, Now};
use super::maintenance::Heard;
use super::step::Owner;
use crate::dataplane::{Operation, plan_service};
use crate::director::Action;
use crate::model::{ServiceAddress, VirtualService, describe_service};
use crate::status::{HookPlan, PlanChange, PlanReport, ServicePlan};
use ipvs_rs::DestinationEntry;
use std::collections::{BTreeMap, HashMap, HashSet};

impl Owner {
    /// The plan, from the state as it is: the reload is tried on a copy of the director.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) fn plan(&mut self, loaded: Loaded, now: Now) -> Result<PlanReport, String> {
        let Loaded { configuration, maintenance } = loaded;
        let model = &configuration.model;
        let mut known = self.maintenance.clone();
        known.install(model);
        let _: Heard = maintenance.map_or(Heard::Nothing, |listing| known.listed(listing).1);
        let mut overrides = self.overrides();
        overrides.maintenance = known.in_maintenance();
        let snapshot = self.table.snapshot(&model.services).map_err(|error| error.to_string())?;
        let mut director = self.director.clone();
        let removed = director.reload(model, &snapshot, overrides, now.instant);
        let mut hooks = BTreeMap::new();
        let settled = director.settle(now.instant);
        for action in removed.actions.into_iter().chain(settled) {
            if let Action::Hook { service, command, argument } = action {
                let plan = HookPlan {
                    service: service.id(),
                    command: command.command,
                    argument: argument.word().to_owned(),
                };
                hooks.insert(service, plan);
            }
        }
        let old: HashMap<ServiceAddress, &VirtualService> =
            self.configuration.model.services.iter().map(|it| (it.address, it)).collect();
        let mut services = Vec::new();
        for state in director.services() {
            let address = state.address();
            let operations = plan_service(&state.wanted(), snapshot.listed(address));
            let operations: Vec<Operation> =
                operations.iter().flat_map(|it| it.operations().cloned()).collect();
            let before = old.get(&address);
            let (lost, gained) = before.map_or_else(
                || (Vec::new(), describe_service(&state.service)),
                |before| difference(&describe_service(before), &describe_service(&state.service)),
            );
            if before.is_some() && lost.is_empty() && gained.is_empty() && operations.is_empty() {
                continue;
            }
            // Only the kernel has counts of connections; it is asked where a destination goes.
            let loses = |it: &Operation| matches!(it, Operation::DeleteDestination(..));
            let entries = if operations.iter().any(loses) {
                self.table.entries(address).unwrap_or_default()
            } else {
                Vec::new()
            };
            services.push(ServicePlan {
                service: address.id(),
                change: if before.is_some() { PlanChange::Changed } else { PlanChange::Added },
                without: lost,
                with: gained,
                lost_connections: connections_lost(&operations, &entries),
                operations: operations.iter().map(ToString::to_string).collect(),
            });
        }
        for service in &removed.services {
            let entries = self.table.entries(service.address).unwrap_or_default();
            services.push(ServicePlan {
                service: service.address.id(),
                change: PlanChange::Removed,
                without: describe_service(service),
                with: Vec::new(),
                lost_connections: entries.iter().map(connections).sum(),
                operations: Vec::new(),
            });
        }
        Ok(PlanReport { services, hooks: hooks.into_values().collect() })
    }
}

/// The lines that only the first has, and those that only the second has.
fn difference(one: &[String], other: &[String]) -> (Vec<String>, Vec<String>) {
    let only = |these: &[String], those: &[String]| {
        let those: HashSet<&String> = those.iter().collect();
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    (only(one, other), only(other, one))
}

fn connections(entry: &DestinationEntry) -> u64 {
    u64::from(entry.active_connections) + u64::from(entry.inactive_connections)
}

/// The connections of destinations that go.
fn connections_lost(operations: &[Operation], entries: &[DestinationEntry]) -> u64 {
    let going: HashSet<_> = operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::DeleteDestination(_, address) => Some(*address),
            _ => None,
        })
        .collect();
    let lost = entries.iter().filter(|it| going.contains(&it.destination.socket_address()));
    lost.map(connections).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipvs_rs::{Destination, Forwarding, Protocol, ServiceKey, Stats};

    fn entry(host: u8, active: u32, inactive: u32) -> DestinationEntry {
        DestinationEntry {
            destination: Destination::new([10, 0, 0, host].into(), 80, Forwarding::Masq),
            active_connections: active,
            inactive_connections: inactive,
            persistent_connections: 100,
            stats: Stats::default(),
        }
    }

    #[test]
    fn connections_are_lost_with_the_destinations_that_go() {
        let address = [10, 0, 0, 1].into();
        let key = ServiceKey::Address { protocol: Protocol::Tcp, address, port: 80 };
        let entries = [entry(2, 3, 4), entry(3, 50, 60), entry(4, 7, 0)];
        let delete = |host: u8| Operation::DeleteDestination(key, ([10, 0, 0, host], 80).into());
        let set = Operation::SetDestination(key, entries[1].destination);
        assert_eq!(connections_lost(&[], &entries), 0);
        assert_eq!(connections_lost(std::slice::from_ref(&set), &entries), 0);
        assert_eq!(connections_lost(&[delete(2), set, delete(4)], &entries), 14);
    }

    #[test]
    fn a_difference_is_what_only_one_of_the_two_has() {
        let lines = |words: &str| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let found = difference(&lines("a b c"), &lines("c d a e"));
        assert_eq!(found, (lines("b"), lines("d e")));
    }
}
