//! When somebody is told again that a real server is still down.

use crate::model::{DestinationAddress, ServiceAddress};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The real servers that are down, and when each is due for a reminder.
#[derive(Debug, Default)]
pub struct Reminders {
    waiting: BTreeMap<(ServiceAddress, DestinationAddress), Entry>,
}

#[derive(Debug)]
struct Entry {
    frequency: Duration,
    last: Instant,
}

impl Reminders {
    /// A real server went down and its alert was sent: reminders follow every `frequency`.
    pub fn down(
        &mut self,
        service: ServiceAddress,
        server: DestinationAddress,
        frequency: Duration,
        now: Instant,
    ) {
        self.waiting.insert((service, server), Entry { frequency, last: now });
    }

    /// A real server is up, or no longer of interest.
    pub fn clear(&mut self, service: ServiceAddress, server: DestinationAddress) {
        self.waiting.remove(&(service, server));
    }

    /// Keeps only what a new configuration still knows.
    pub fn retain(&mut self, mut known: impl FnMut(ServiceAddress, DestinationAddress) -> bool) {
        self.waiting.retain(|(service, server), _| known(*service, *server));
    }

    /// The reminders that are due now; each is due again after its frequency.
    pub fn due(&mut self, now: Instant) -> Vec<(ServiceAddress, DestinationAddress)> {
        let mut due = Vec::new();
        for (key, entry) in &mut self.waiting {
            if now.saturating_duration_since(entry.last) >= entry.frequency {
                entry.last = now;
                due.push(*key);
            }
        }
        due
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.values().map(|entry| entry.last + entry.frequency).min()
    }

    /// The message of a reminder.
    pub fn message(service: ServiceAddress, server: DestinationAddress) -> String {
        format!("Inaccessible real server: {server} ({service})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    #[test]
    fn a_reminder_comes_every_frequency_until_the_server_is_up() {
        let service = ServiceAddress::Address {
            protocol: Protocol::Tcp,
            address: "10.0.0.1:80".parse().unwrap(),
        };
        let server: DestinationAddress = "10.0.0.2:80".parse().unwrap();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut reminders = Reminders::default();
        assert_eq!(reminders.next_due(), None);
        reminders.down(service, server, Duration::from_secs(60), at(0));
        assert_eq!(reminders.next_due(), Some(at(60)));
        assert_eq!(reminders.due(at(59)), []);
        assert_eq!(reminders.due(at(61)), [(service, server)]);
        assert_eq!(reminders.due(at(62)), []);
        assert_eq!(reminders.due(at(121)), [(service, server)]);
        assert_eq!(
            Reminders::message(service, server),
            "Inaccessible real server: 10.0.0.2:80 (10.0.0.1:80)"
        );
        reminders.clear(service, server);
        assert_eq!(reminders.due(at(500)), []);
        reminders.down(service, server, Duration::from_secs(60), at(500));
        reminders.retain(|_, _| false);
        assert_eq!(reminders.next_due(), None);
    }
}
