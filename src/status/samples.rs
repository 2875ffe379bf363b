//! Reports for tests.

use super::{Phase, ServerState, ServerStatus, ServiceStatus, StatusReport, UnixTime};

pub(crate) const NOW: UnixTime = 1_000_000;

pub(crate) fn server(address: &str, state: ServerState, why: Option<&str>) -> ServerStatus {
    let weight = (state == ServerState::Up).then_some(1);
    ServerStatus {
        address: address.into(),
        forwarding: "gate".into(),
        state,
        since: Some(NOW - 252),
        checked: Some(NOW - 3),
        check_duration_us: Some(1234),
        why: why.map(Into::into),
        failures: 0,
        weight_wanted: weight,
        weight_listed: weight,
        active: 12,
        inactive: 30,
        connections_per_second: 3,
        operator: None,
        certificate: None,
    }
}

pub(crate) fn service(address: &str, servers: Vec<ServerStatus>) -> ServiceStatus {
    ServiceStatus {
        address: address.into(),
        protocol: "tcp".into(),
        scheduler: "wrr".into(),
        listed: true,
        fallback: None,
        fallbacks: Vec::new(),
        hook: None,
        drift: Vec::new(),
        servers,
    }
}

pub(crate) fn report(services: Vec<ServiceStatus>) -> StatusReport {
    StatusReport {
        instance: "web.cf".into(),
        config: "/etc/ha.d/web.cf".into(),
        pid: 42,
        since: NOW - 4000,
        phase: Phase::Running,
        table: "kernel".into(),
        table_error: None,
        last_reload: None,
        faults: Default::default(),
        prober: None,
        services,
        overrides: Vec::new(),
        unconfirmed: None,
    }
}
