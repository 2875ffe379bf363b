//! Reports for tests.

use ldirectord::metrics::{Checks, Counters, MetricsReport, VERSION};
use ldirectord::status::{
    Faults, Phase, ServerState, ServerStatus, ServiceStatus, StatusReport, UnixTime,
};

const NOW: UnixTime = 1_000_000;

/// A report of so many services, each with so many real servers, all of them up.
pub(crate) fn report(services: usize, servers: usize) -> MetricsReport {
    MetricsReport {
        version: VERSION,
        program: "1.0.0".into(),
        status: StatusReport {
            instance: "web.cf".into(),
            config: "/etc/ha.d/web.cf".into(),
            pid: 42,
            since: NOW - 4000,
            phase: Phase::Running,
            table: "kernel".into(),
            table_error: None,
            last_reload: None,
            faults: Faults::default(),
            prober: None,
            services: (0..services).map(|number| service(number, servers)).collect(),
            overrides: Vec::new(),
            unconfirmed: None,
        },
        counters: Counters::default(),
        checks: Checks::default(),
        owed: 0,
        processes: Vec::new(),
    }
}

fn service(number: usize, servers: usize) -> ServiceStatus {
    ServiceStatus {
        address: format!("10.0.{}.{}:80", number / 250, number % 250 + 1),
        protocol: "tcp".into(),
        scheduler: "wlc".into(),
        listed: true,
        fallback: None,
        fallbacks: Vec::new(),
        hook: None,
        drift: Vec::new(),
        servers: (0..servers).map(|server| up(number, server)).collect(),
    }
}

fn up(service: usize, server: usize) -> ServerStatus {
    ServerStatus {
        address: format!("10.{}.{}.{}:80", service / 250, service % 250 + 1, server + 1),
        forwarding: "gate".into(),
        state: ServerState::Up,
        since: Some(NOW - 252),
        checked: Some(NOW - 3),
        check_duration_us: Some(1234),
        why: None,
        failures: 0,
        weight_wanted: Some(1),
        weight_listed: Some(1),
        active: 12,
        inactive: 30,
        connections_per_second: 3,
        operator: None,
        certificate: None,
    }
}
