//! What `status` tells, gathered from the director, the table and the last answers.

use super::owner::Runtime;
use crate::check::CheckOutcome;
use crate::dataplane::{plan_service, service_key};
use crate::director::{Director, Health, ServiceState, Want, WantedDestination};
use crate::hook::{HookReport, HookResult};
use crate::model::{CheckMethod, CheckPlan, DestinationAddress, Status, Step};
use crate::status::{
    FallbackStatus, HookRun, HookStatus, Phase, ReloadStatus, ServerState, ServerStatus,
    ServiceStatus, StatusReport, UnixTime,
};
use ipvs_rs::{Destination, DestinationEntry, Service, ServiceKey};
use std::collections::HashMap;
use std::time::{Instant, SystemTime};

/// The whole report.
pub(super) fn report(runtime: &mut Runtime) -> StatusReport {
    let (listed, mut table_error) = match runtime.table.backend().services() {
        Ok(services) => (services.into_iter().map(|entry| (entry.key, entry)).collect(), None),
        Err(error) => (HashMap::new(), Some(error.to_string())),
    };
    let clock = Clock { now: Instant::now(), wall: SystemTime::now() };
    let mut services = Vec::with_capacity(runtime.director.services().len());
    for index in 0..runtime.director.services().len() {
        let address = runtime.director.services()[index].address();
        let entries = match runtime.table.entries(address) {
            Ok(entries) => entries,
            Err(error) => {
                table_error.get_or_insert(error.to_string());
                Vec::new()
            }
        };
        if let Some(error) = runtime.table.failure(address) {
            table_error.get_or_insert(error.to_string());
        }
        let state = &runtime.director.services()[index];
        services.push(service_status(runtime, state, &listed, &entries, &clock));
    }
    StatusReport {
        instance: runtime.setup.instance.clone(),
        config: runtime.setup.config.display().to_string(),
        pid: std::process::id(),
        since: unix(runtime.since),
        phase: match runtime.status {
            Status::Starting => Phase::Starting,
            Status::Running => Phase::Running,
            Status::Reloading => Phase::Reloading,
            Status::Stopping => Phase::Stopping,
        },
        table: runtime.setup.table_name.to_owned(),
        table_error,
        last_reload: runtime.last_reload.as_ref().map(|(at, result)| ReloadStatus {
            at: unix(*at),
            error: result.as_ref().err().cloned(),
        }),
        services,
    }
}

/// Both clocks at one moment, to turn the one's instants into the other's times.
struct Clock {
    now: Instant,
    wall: SystemTime,
}

impl Clock {
    fn unix(&self, at: Instant) -> UnixTime {
        unix(self.wall - self.now.saturating_duration_since(at))
    }
}

fn unix(at: SystemTime) -> UnixTime {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as UnixTime)
}

fn service_status(
    runtime: &Runtime,
    state: &ServiceState,
    listed: &HashMap<ServiceKey, Service>,
    entries: &[DestinationEntry],
    clock: &Clock,
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
            server_status(runtime, state, server, wanted_at.get(&listed).copied(), entry, clock)
        })
        .collect();
    ServiceStatus {
        address: address.to_string(),
        protocol: address.protocol_word().to_owned(),
        scheduler: service.scheduler.clone(),
        listed: entry.is_some(),
        fallback: service.fallback.map(|fallback| FallbackStatus {
            address: fallback.address.to_string(),
            on: state.fallback_serves(),
        }),
        hook: service.fallback_command.as_ref().map(|command| HookStatus {
            command: command.command.clone(),
            running: runtime.hooks.is_busy(address),
            last: runtime.last_hooks.get(&address).map(|last| HookRun {
                argument: last.report.argument.word().to_owned(),
                at: unix(last.at),
                succeeded: succeeded(&last.report),
                result: hook_result(&last.report.result),
            }),
        }),
        drift: drift.iter().map(|planned| planned.operation.to_string()).collect(),
        servers,
    }
}

fn server_status(
    runtime: &Runtime,
    state: &ServiceState,
    server: usize,
    wanted: Option<&WantedDestination>,
    entry: Option<&DestinationEntry>,
    clock: &Clock,
) -> ServerStatus {
    let real = &state.service.real_servers[server];
    let known = &state.servers[server];
    let last = runtime.last_checks.get(&known.check);
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
        since: Some(clock.unix(known.since)),
        checked: last.map(|last| clock.unix(last.at)),
        check_duration_us: last.map(|last| last.duration.as_micros() as u64),
        why: match &known.health {
            Health::Down(failure) => Some(failure.to_string()),
            Health::Maintenance => Some("a file in maintenancedir".to_owned()),
            Health::Unknown | Health::Adopted | Health::Up => {
                last.and_then(|last| last.failure.as_ref().map(ToString::to_string))
            }
        },
        failures: runtime.director.failures(known.check),
        weight_wanted: wanted.and_then(|wanted| match wanted.want {
            Want::Serve { weight } => Some(weight),
            Want::Quiesce { .. } => Some(0),
            Want::Absent | Want::AsFound => None,
        }),
        weight_listed: entry.map(|entry| entry.destination.weight),
        active: entry.map_or(0, |entry| u64::from(entry.active_connections)),
        inactive: entry.map_or(0, |entry| u64::from(entry.inactive_connections)),
    }
}

/// Whether a run of the fallback command did what it was told.
pub(super) fn succeeded(report: &HookReport) -> bool {
    report.result == HookResult::Exited(0)
}

fn hook_result(result: &HookResult) -> String {
    match result {
        HookResult::Exited(status) => format!("exit status {status}"),
        HookResult::Signalled(signal) => format!("ended by signal {signal}"),
        HookResult::TimedOut => "timed out".to_owned(),
        HookResult::Failed(cause) => cause.clone(),
    }
}

/// What a check is called in the log: `connect`, `http`, `external`.
pub(super) fn method(plan: &CheckPlan, step: Step) -> String {
    match (&plan.method, step) {
        (CheckMethod::On, _) => "on".to_owned(),
        (CheckMethod::Off, _) => "off".to_owned(),
        (CheckMethod::Connect, _) | (CheckMethod::Combined { .. }, Step::Connect) => {
            "connect".to_owned()
        }
        (CheckMethod::Ping { .. }, _) => "ping".to_owned(),
        (CheckMethod::External(_), _) => "external".to_owned(),
        (CheckMethod::ExternalPerl(_), _) => "external-perl".to_owned(),
        (CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. }, Step::Full)
        | (CheckMethod::Negotiate(exchange), Step::Connect) => exchange.service.to_string(),
    }
}

/// An outcome in a few words.
pub(super) fn words(outcome: &CheckOutcome) -> String {
    match outcome {
        CheckOutcome::Up(note) => note.0.as_deref().unwrap_or("passed").to_owned(),
        CheckOutcome::Down(failure) => failure.to_string(),
    }
}

/// What a check is called, by its id.
pub(super) fn method_of(director: &Director, checked: &crate::director::Checked) -> String {
    director.plan(checked.check).map_or_else(String::new, |plan| method(plan, checked.step))
}
