//! The whole of what the table shall list: for the start, a reload and `reconcile`.

use super::{Director, ServiceState, Want, WantedDestination};
use crate::model::{DestinationAddress, ServiceAddress, VirtualService};
use std::collections::HashMap;

/// A service as the table shall list it.
#[derive(Debug, Clone)]
pub struct WantedService<'a> {
    /// Scheduler, persistence and the rest.
    pub service: &'a VirtualService,
    /// Every destination that the configuration knows, each listed address once. Whatever else the
    /// table lists in this service is a leftover.
    pub destinations: Vec<WantedDestination>,
}

impl Director {
    /// How the table shall list one service; `None` if the configuration does not have it.
    pub fn wanted(&self, address: ServiceAddress) -> Option<WantedService<'_>> {
        self.service(address).map(ServiceState::wanted)
    }
}

impl ServiceState {
    /// How the table shall list this service.
    pub fn wanted(&self) -> WantedService<'_> {
        let mut position: HashMap<DestinationAddress, usize> = HashMap::new();
        let most = self.servers.len() + self.service.fallbacks.len();
        let mut destinations: Vec<WantedDestination> = Vec::with_capacity(most);
        for server in 0..self.servers.len() {
            let listed = self.service.real_servers[server].listed(self.address());
            if let std::collections::hash_map::Entry::Vacant(entry) = position.entry(listed) {
                entry.insert(destinations.len());
                destinations.push(self.wanted_at(listed, server));
            }
        }
        let is_free = |fallback: &WantedDestination| !position.contains_key(&fallback.listed);
        destinations.extend(self.wanted_fallbacks().into_iter().filter(is_free));
        // compat: a start and a reload list a quiesced server that somebody has removed, whatever
        // readdquiescent says, which is about the time between them (compat/cases/408)
        for destination in &mut destinations {
            if let Want::Quiesce { relist } = &mut destination.want {
                *relist = true;
            }
        }
        WantedService { service: &self.service, destinations }
    }
}
