//! What `status` tells, gathered from the director, the table and the last answers.

use super::input::Now;
use super::operator::Entry;
use super::step::{LastCheck, Owner};
use crate::dataplane::{plan_service, service_key};
use crate::director::{Director, Health, Override, ServiceState, Want, WantedDestination};
use crate::model::{CheckMethod, CheckPlan, DestinationAddress, Fallback, Status};
use crate::status::{
    CertificateStatus, FallbackServerStatus, FallbackStatus, HookRun, HookStatus, OverrideStatus,
    Phase, ReloadStatus, ServerState, ServerStatus, ServiceStatus, StatusReport, UnixTime, unix,
};
use ipvs_rs::{Destination, DestinationEntry, Service, ServiceKey};
use std::collections::HashMap;
use std::time::{Instant, SystemTime};

/// The whole report.
pub(super) fn report(owner: &mut Owner, now: Now) -> StatusReport {
    let (listed, mut table_error) = match owner.table.backend().services() {
        Ok(services) => (services.into_iter().map(|entry| (entry.key, entry)).collect(), None),
        Err(error) => (HashMap::new(), Some(error.to_string())),
    };
    let mut services = Vec::with_capacity(owner.director.services().len());
    for index in 0..owner.director.services().len() {
        let address = owner.director.services()[index].address();
        let entries = match owner.table.entries(address) {
            Ok(entries) => entries,
            Err(error) => {
                table_error.get_or_insert(error.to_string());
                Vec::new()
            }
        };
        if let Some(error) = owner.table.failure(address) {
            table_error.get_or_insert(error.to_string());
        }
        let state = &owner.director.services()[index];
        services.push(service_status(owner, state, &listed, &entries, now));
    }
    StatusReport {
        instance: owner.instance.clone(),
        config: owner.config.display().to_string(),
        pid: std::process::id(),
        since: unix(owner.since),
        phase: match owner.status {
            Status::Starting => Phase::Starting,
            Status::Running => Phase::Running,
            Status::Reloading => Phase::Reloading,
            Status::Stopping => Phase::Stopping,
        },
        table: owner.table_name.to_owned(),
        table_error,
        last_reload: owner.last_reload.as_ref().map(|(at, result)| ReloadStatus {
            at: unix(*at),
            error: result.as_ref().err().cloned(),
        }),
        faults: owner.faults.clone(),
        // Filled in by who runs it.
        prober: None,
        services,
        overrides: owner.operator.entries().iter().map(|it| override_status(it, now)).collect(),
        unconfirmed: owner.loads.taken_back().and_then(|at| now.wall_at(at)).map(unix),
    }
}

impl Now {
    /// When an instant to come will be, by the clock on the wall.
    /// `None` if that is further away than the clock can say.
    pub(super) fn wall_at(&self, at: Instant) -> Option<SystemTime> {
        self.wall.checked_add(at.saturating_duration_since(self.instant))
    }

    /// When an instant was, by the clock on the wall.
    fn unix(&self, at: Instant) -> UnixTime {
        let passed = self.instant.saturating_duration_since(at);
        self.wall.checked_sub(passed).map_or(0, unix)
    }
}

fn service_status(
    owner: &Owner,
    state: &ServiceState,
    listed: &HashMap<ServiceKey, Service>,
    entries: &[DestinationEntry],
    now: Now,
) -> ServiceStatus {
    let service = &state.service;
    let address = state.address();
    let wanted = state.wanted();
    let entry = listed.get(&service_key(address));
    let destinations: Vec<Destination> = entries.iter().map(|entry| entry.destination).collect();
    let drift = plan_service(&wanted, entry.map(|entry| (entry, destinations.as_slice())));
    let by_address: HashMap<DestinationAddress, &DestinationEntry> =
        entries.iter().map(|entry| (entry.destination.socket_address(), entry)).collect();
    let wanted_at: HashMap<DestinationAddress, &WantedDestination> =
        wanted.destinations.iter().map(|wanted| (wanted.listed, wanted)).collect();
    let servers = (0..state.servers.len())
        .map(|server| {
            let listed = service.real_servers[server].listed(address);
            let entry = by_address.get(&listed).copied();
            server_status(owner, state, server, wanted_at.get(&listed).copied(), entry, now)
        })
        .collect();
    ServiceStatus {
        address: address.to_string(),
        protocol: address.protocol_word().to_owned(),
        scheduler: service.scheduler.clone(),
        listed: entry.is_some(),
        fallback: service.fallbacks.first().map(|fallback| FallbackStatus {
            address: fallback.address.to_string(),
            on: state.fallbacks_serve(),
        }),
        fallbacks: service
            .fallbacks
            .iter()
            .map(|fallback| fallback_status(state, fallback, &by_address))
            .collect(),
        hook: service.fallback_command.as_ref().map(|command| HookStatus {
            command: command.command.clone(),
            running: owner.hooks.is_busy(address),
            last: owner.last_hooks.get(&address).map(|last| HookRun {
                argument: last.report.job.argument.word().to_owned(),
                at: unix(last.at),
                succeeded: last.report.succeeded(),
                result: last.report.result.to_string(),
            }),
        }),
        drift: drift.iter().flat_map(|it| it.operations().map(ToString::to_string)).collect(),
        servers,
    }
}

fn fallback_status(
    state: &ServiceState,
    fallback: &Fallback,
    entries: &HashMap<DestinationAddress, &DestinationEntry>,
) -> FallbackServerStatus {
    let on = state.fallbacks_serve();
    // Otherwise the entry is a real server's, or on its way out.
    let entry = entries.get(&fallback.listed(state.address())).filter(|_| on);
    FallbackServerStatus {
        address: fallback.address.to_string(),
        forwarding: fallback.forwarding.to_string(),
        weight: fallback.weight,
        on,
        weight_listed: entry.map(|entry| entry.destination.weight),
        active: entry.map_or(0, |entry| u64::from(entry.active_connections)),
        inactive: entry.map_or(0, |entry| u64::from(entry.inactive_connections)),
    }
}

fn server_status(
    owner: &Owner,
    state: &ServiceState,
    server: usize,
    wanted: Option<&WantedDestination>,
    entry: Option<&DestinationEntry>,
    now: Now,
) -> ServerStatus {
    let real = &state.service.real_servers[server];
    let known = &state.servers[server];
    let last = owner.last_checks.get(&known.check);
    let off = real.check.method == CheckMethod::Off;
    ServerStatus {
        address: real.address.to_string(),
        forwarding: real.forwarding.to_string(),
        state: match &known.health {
            _ if off => ServerState::Off,
            Health::Unknown | Health::Adopted => ServerState::Unknown,
            Health::Up => ServerState::Up,
            Health::Down(_) => ServerState::Down,
            Health::Maintenance => ServerState::Maintenance,
        },
        since: Some(now.unix(known.since)),
        checked: last.map(|last| now.unix(last.at)),
        check_duration_us: last.map(|last| last.duration.as_micros() as u64),
        why: match &known.health {
            Health::Down(failure) => Some(failure.to_string()),
            Health::Maintenance => Some(owner.why_in_maintenance(state.address(), real.address)),
            Health::Unknown | Health::Adopted | Health::Up => {
                last.and_then(|last| last.failure.as_ref().map(ToString::to_string))
            }
        },
        failures: owner.director.failures(known.check),
        weight_wanted: wanted.and_then(|wanted| match wanted.want {
            Want::Serve { weight } => Some(weight),
            Want::Quiesce { .. } => Some(0),
            Want::Absent | Want::AsFound => None,
        }),
        weight_listed: entry.map(|entry| entry.destination.weight),
        active: entry.map_or(0, |entry| u64::from(entry.active_connections)),
        inactive: entry.map_or(0, |entry| u64::from(entry.inactive_connections)),
        connections_per_second: entry.map_or(0, |entry| entry.stats.connections_per_second),
        operator: owner
            .operator
            .of(state.address(), real.address)
            .map(|entry| override_status(entry, now)),
        certificate: last.and_then(|last| certificate_status(&real.check, last, now)),
    }
}

/// Counted now: the last check may be a day old.
fn certificate_status(plan: &CheckPlan, last: &LastCheck, now: Now) -> Option<CertificateStatus> {
    let (limit, ends) = (plan.certificate_days()?, last.certificate?.at);
    let left = ends.saturating_sub(unix(now.wall));
    Some(CertificateStatus { ends, soon: left < i64::from(limit) * DAY })
}

/// Seconds.
const DAY: i64 = 86_400;

fn override_status(entry: &Entry, now: Now) -> OverrideStatus {
    let (what, weight) = match entry.what {
        Override::Drain => ("drain", Some(0)),
        Override::Disable => ("disable", None),
        Override::Weight(weight) => ("weight", Some(weight)),
    };
    OverrideStatus {
        target: entry.scope.to_string(),
        what: what.to_owned(),
        weight,
        since: unix(entry.since),
        until: entry.end(now).map(unix),
        by: entry.by.clone(),
        reason: entry.reason.clone(),
    }
}

/// What a check is called, by its id.
pub(super) fn method_of(director: &Director, checked: &crate::director::Checked) -> String {
    director.plan(checked.check).map_or_else(String::new, |plan| plan.word(checked.step))
}
