//! The one table of metrics, and its text: Prometheus' format 0.0.4 and OpenMetrics 1.0.
//!
//! Names follow the conventions of both (base units, `_total`, `_info`). Addresses have the labels of
//! node_exporter's ipvs collector, so that its `node_ipvs_*` and these join.

use super::{Counters, HookCounters, MetricsReport, Process, ServerCounters, ServiceCounters};
use crate::model::ServiceAddress;
use crate::status::{Phase, ServerState, ServerStatus, ServiceStatus, StatusReport};
use std::collections::HashSet;
use std::fmt::{Display, Write};
use std::net::SocketAddr;

/// Which text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`: what node_exporter's textfile collector takes.
    Prometheus,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

/// An instance, and what its daemon says.
#[derive(Debug, Clone, Copy)]
pub struct Instance<'a> {
    /// The configuration's file name.
    pub name: &'a str,
    /// `None` if there is no answer.
    pub report: Option<&'a MetricsReport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// The text of all metrics of these instances.
pub fn render(instances: &[Instance<'_>], format: Format) -> String {
    let sources: Vec<Source<'_>> = instances.iter().map(Source::new).collect();
    let series = sources.iter().map(|it| 40 + it.services.len() * 50 + it.servers() * 18);
    let text = String::with_capacity(series.sum::<usize>() * 200);
    let mut page = Page { text, format, head: String::new() };
    page.daemons(&sources);
    page.services(&sources);
    page.servers(&sources);
    if format == Format::OpenMetrics {
        page.text.push_str("# EOF\n");
    }
    page.text
}

/// An instance with the labels of everything in it.
struct Source<'a> {
    labels: String,
    report: Option<&'a MetricsReport>,
    services: Vec<ServiceSource<'a>>,
}

struct ServiceSource<'a> {
    labels: String,
    status: &'a ServiceStatus,
    counters: &'a ServiceCounters,
    servers: Vec<ServerSource<'a>>,
}

struct ServerSource<'a> {
    labels: String,
    status: &'a ServerStatus,
    counters: &'a ServerCounters,
}

/// Of a service or server that has been counted nowhere.
static NO_SERVICE: std::sync::LazyLock<ServiceCounters> =
    std::sync::LazyLock::new(ServiceCounters::default);
static NO_SERVER: std::sync::LazyLock<ServerCounters> =
    std::sync::LazyLock::new(ServerCounters::default);

impl<'a> Source<'a> {
    fn new(instance: &Instance<'a>) -> Self {
        let labels = format!("config=\"{}\"", escaped(instance.name));
        let mut services = Vec::new();
        if let Some(report) = instance.report {
            // Two of one name would make the whole page unreadable.
            let mut seen = HashSet::new();
            for status in &report.status.services {
                let id = status.id();
                let Some(address) = ServiceAddress::from_id(&id) else { continue };
                if seen.insert(id) {
                    services.push(ServiceSource::new(&labels, address, status, &report.counters));
                }
            }
        }
        Self { labels, report: instance.report, services }
    }

    fn servers(&self) -> usize {
        self.services.iter().map(|service| service.servers.len()).sum()
    }
}

impl<'a> ServiceSource<'a> {
    fn new(
        before: &str,
        address: ServiceAddress,
        status: &'a ServiceStatus,
        counters: &'a Counters,
    ) -> Self {
        let service = address.id();
        let labels = match address {
            ServiceAddress::Address { address, .. } => format!(
                "{before},service=\"{service}\",local_address=\"{}\",local_port=\"{}\",local_mark=\"\",proto=\"{}\"",
                address.ip(),
                address.port(),
                status.protocol.to_ascii_uppercase(),
            ),
            ServiceAddress::Fwmark { mark, .. } => format!(
                "{before},service=\"{service}\",local_address=\"\",local_port=\"0\",local_mark=\"{mark:08X}\",proto=\"FWM\"",
            ),
        };
        let counters = counters.services.get(&address).unwrap_or(&NO_SERVICE);
        let mut seen = HashSet::new();
        let servers = status
            .servers
            .iter()
            .filter_map(|server| Some((server, server.address.parse::<SocketAddr>().ok()?)))
            .filter(|(_, at)| seen.insert(*at))
            .map(|(status, at)| ServerSource {
                labels: format!(
                    "{labels},remote_address=\"{}\",remote_port=\"{}\"",
                    at.ip(),
                    at.port()
                ),
                status,
                counters: counters.servers.get(&at).unwrap_or(&NO_SERVER),
            })
            .collect();
        Self { labels, status, counters, servers }
    }
}

/// A label's value.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c => escaped.push(c),
        }
    }
    escaped
}

struct Page {
    text: String,
    format: Format,
    /// Of the family whose first sample is still to come.
    head: String,
}

impl Page {
    /// Opens a family. Its samples follow, before any other family's; without any it is left out.
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let (name, kind) = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => {
                (name.strip_suffix("_total").unwrap_or(name), "counter")
            }
            (Format::OpenMetrics, Kind::Info) => {
                (name.strip_suffix("_info").unwrap_or(name), "info")
            }
            (Format::Prometheus, Kind::Counter) => (name, "counter"),
            (_, Kind::Histogram) => (name, "histogram"),
            (_, Kind::Gauge) | (Format::Prometheus, Kind::Info) => (name, "gauge"),
        };
        self.head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        if !self.head.is_empty() {
            self.text.push_str(&std::mem::take(&mut self.head));
        }
        // Piece by piece: ten thousand servers have 160,000 samples.
        for piece in [name, "{", labels, "} "] {
            self.text.push_str(piece);
        }
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{value}");
    }

    /// A family with at most one sample an instance.
    fn each<V: Display>(
        &mut self,
        sources: &[Source<'_>],
        (name, kind, help): (&str, Kind, &str),
        value: impl Fn(&MetricsReport) -> Option<V>,
    ) {
        self.family(name, kind, help);
        for source in sources {
            if let Some(value) = source.report.and_then(&value) {
                self.sample(name, &source.labels, value);
            }
        }
    }

    /// A family with several samples an instance, told apart by labels.
    fn each_with<V: Display>(
        &mut self,
        sources: &[Source<'_>],
        (name, kind, help): (&str, Kind, &str),
        values: impl Fn(&MetricsReport) -> Vec<(String, V)>,
    ) {
        self.family(name, kind, help);
        for source in sources {
            for (labels, value) in source.report.map(&values).unwrap_or_default() {
                self.sample(name, &format!("{},{labels}", source.labels), value);
            }
        }
    }

    fn each_service<V: Display>(
        &mut self,
        sources: &[Source<'_>],
        (name, kind, help): (&str, Kind, &str),
        values: impl Fn(&ServiceSource<'_>) -> Vec<(String, V)>,
    ) {
        self.family(name, kind, help);
        for service in sources.iter().flat_map(|source| &source.services) {
            for (labels, value) in values(service) {
                if labels.is_empty() {
                    self.sample(name, &service.labels, value);
                } else {
                    self.sample(name, &format!("{},{labels}", service.labels), value);
                }
            }
        }
    }

    fn each_server<V: Display>(
        &mut self,
        sources: &[Source<'_>],
        (name, kind, help): (&str, Kind, &str),
        value: impl Fn(&ServerSource<'_>) -> Option<V>,
    ) {
        self.family(name, kind, help);
        let services = sources.iter().flat_map(|source| &source.services);
        for server in services.flat_map(|service| &service.servers) {
            if let Some(value) = value(server) {
                self.sample(name, &server.labels, value);
            }
        }
    }

    fn daemons(&mut self, sources: &[Source<'_>]) {
        use Kind::{Counter, Gauge, Info};
        self.family("ldirectord_up", Gauge, "Whether the daemon of this configuration answers.");
        for source in sources {
            self.sample("ldirectord_up", &source.labels, u8::from(source.report.is_some()));
        }
        self.each_with(
            sources,
            ("ldirectord_build_info", Info, "The version of the running daemon."),
            |it| vec![(format!("version=\"{}\"", escaped(&it.program)), 1)],
        );
        self.each(
            sources,
            ("ldirectord_start_time_seconds", Gauge, "When the daemon was started."),
            |it| Some(it.status.since),
        );
        self.each_with(
            sources,
            ("ldirectord_phase", Gauge, "What the daemon is doing: 1 for one of the phases."),
            phases,
        );
        self.each(
            sources,
            ("ldirectord_table_ok", Gauge, "Whether the kernel's table can be read and written."),
            |it| Some(u8::from(it.status.table_error.is_none())),
        );
        self.each(
            sources,
            (
                "ldirectord_table_refusals_total",
                Counter,
                "Changes that the table refused; the same refusal counts once until it is over.",
            ),
            |it| Some(it.counters.table_refusals),
        );
        self.each(
            sources,
            (
                "ldirectord_table_owed_services",
                Gauge,
                "Virtual services whose table entries wait for a change that was refused.",
            ),
            |it| Some(it.owed),
        );
        self.each_with(
            sources,
            ("ldirectord_reloads_total", Counter, "Reloads by their result."),
            |it| {
                let count = |result: &str, count| (format!("result=\"{result}\""), count);
                vec![
                    count("accepted", it.counters.reloads),
                    count("refused", it.counters.refused_reloads),
                ]
            },
        );
        self.each(
            sources,
            (
                "ldirectord_last_reload_success_timestamp_seconds",
                Gauge,
                "When a configuration was accepted last, by a reload or the start.",
            ),
            |it| Some(it.counters.accepted),
        );
        self.each(
            sources,
            (
                "ldirectord_last_reload_successful",
                Gauge,
                "Whether the last reload was accepted, or there was none.",
            ),
            |it| Some(u8::from(last_reload_was_good(&it.status))),
        );
        self.each(
            sources,
            (
                "ldirectord_reload_unconfirmed",
                Gauge,
                "Whether a reload is taken back unless it is confirmed.",
            ),
            |it| Some(u8::from(it.status.unconfirmed.is_some())),
        );
        self.each(
            sources,
            ("ldirectord_checks_scheduled", Gauge, "Checks that run again and again."),
            |it| Some(it.checks.scheduled),
        );
        self.each(
            sources,
            ("ldirectord_checks_in_flight", Gauge, "Checks that wait for their outcome."),
            |it| Some(it.checks.in_flight),
        );
        self.each(
            sources,
            (
                "ldirectord_checks_overdue",
                Gauge,
                "Checks that should have begun more than a second ago.",
            ),
            |it| Some(it.checks.overdue),
        );
        self.each(
            sources,
            (
                "ldirectord_checks_unanswered_total",
                Counter,
                "Checks that had no answer in time and were run again.",
            ),
            |it| Some(it.counters.unanswered_checks),
        );
        self.each(
            sources,
            ("ldirectord_internal_faults_total", Counter, "Faults of the program itself."),
            |it| Some(it.counters.internal_faults),
        );
        self.each(
            sources,
            (
                "ldirectord_internal_restarts_total",
                Counter,
                "How often the daemon has started itself anew after a fault.",
            ),
            |it| Some(it.status.faults.restarts),
        );
        self.each(
            sources,
            ("ldirectord_prober_up", Gauge, "Whether the process that runs the checks is there."),
            |it| it.status.prober.as_ref().map(|prober| u8::from(prober.pid.is_some())),
        );
        self.each(
            sources,
            (
                "ldirectord_prober_starts_total",
                Counter,
                "How often a prober was started; each after the first follows the end of one.",
            ),
            |it| Some(it.counters.prober_starts),
        );
        self.each(
            sources,
            (
                "ldirectord_prober_missing_restrictions",
                Gauge,
                "Restrictions of the prober that this machine's kernel does not offer.",
            ),
            |it| it.status.prober.as_ref().map(|prober| prober.missing_walls.len()),
        );
        self.each_with(
            sources,
            ("ldirectord_mails_total", Counter, "Mails by their result."),
            |it| {
                let count = |result: &str, count| (format!("result=\"{result}\""), count);
                vec![
                    count("sent", it.counters.mails_sent),
                    count("failed", it.counters.mails_failed),
                ]
            },
        );
        self.each(
            sources,
            ("ldirectord_overrides", Gauge, "Commands of operators that are in force."),
            |it| Some(it.status.overrides.len()),
        );
        self.processes(sources);
    }

    fn processes(&mut self, sources: &[Source<'_>]) {
        use Kind::{Counter, Gauge};
        fn all<V>(
            value: impl Fn(&Process) -> Option<V>,
        ) -> impl Fn(&MetricsReport) -> Vec<(String, V)> {
            move |it| {
                let label = |process: &Process| format!("process=\"{}\"", escaped(&process.name));
                let of = |process| Some((label(process), value(process)?));
                it.processes.iter().filter_map(of).collect()
            }
        }
        self.each_with(
            sources,
            ("ldirectord_process_threads", Gauge, "Threads of the director and of the prober."),
            all(|it| Some(it.threads)),
        );
        self.each_with(
            sources,
            ("ldirectord_process_cpu_seconds_total", Counter, "Processor time of each process."),
            all(|it| Some(seconds(it.cpu_ms, 1000))),
        );
        self.each_with(
            sources,
            ("ldirectord_process_resident_memory_bytes", Gauge, "Memory of each process."),
            all(|it| Some(it.resident_bytes)),
        );
        self.each_with(
            sources,
            ("ldirectord_process_open_fds", Gauge, "Open file descriptors of each process."),
            all(|it| it.open_files),
        );
    }

    fn services(&mut self, sources: &[Source<'_>]) {
        use Kind::{Counter, Gauge, Info};
        fn one<V>(value: V) -> Vec<(String, V)> {
            vec![(String::new(), value)]
        }
        self.each_service(
            sources,
            ("ldirectord_virtual_service_info", Info, "The scheduler of a virtual service."),
            |it| vec![(format!("scheduler=\"{}\"", escaped(&it.status.scheduler)), 1)],
        );
        self.each_service(
            sources,
            (
                "ldirectord_virtual_service_listed",
                Gauge,
                "Whether the kernel's table lists the virtual service.",
            ),
            |it| one(u8::from(it.status.listed)),
        );
        self.each_service(
            sources,
            (
                "ldirectord_virtual_service_real_servers",
                Gauge,
                "Real servers of a virtual service by their state.",
            ),
            |it| states(it.status),
        );
        self.each_service(
            sources,
            (
                "ldirectord_virtual_service_fallback_on",
                Gauge,
                "Whether the fallback servers are in service; only where there are some.",
            ),
            |it| match &it.status.fallback {
                Some(fallback) => one(u8::from(fallback.on)),
                None => Vec::new(),
            },
        );
        self.each_service(
            sources,
            (
                "ldirectord_virtual_service_drift_entries",
                Gauge,
                "Differences between the kernel's table and what it should list.",
            ),
            |it| one(it.status.drift.len()),
        );
        self.each_service(
            sources,
            (
                "ldirectord_virtual_service_check_failures_total",
                Counter,
                "Failed checks of the real servers by their cause.",
            ),
            |it| {
                let of = |(cause, count): (&String, &u64)| {
                    (format!("cause=\"{}\"", escaped(cause)), *count)
                };
                it.counters.failures.iter().map(of).collect()
            },
        );
        self.durations(sources);
        self.each_service(
            sources,
            (
                "ldirectord_hook_runs_total",
                Counter,
                "Runs of fallbackcommand by argument and result.",
            ),
            |it| {
                let of = |argument: &str, result: &str, count| {
                    (format!("argument=\"{argument}\",result=\"{result}\""), count)
                };
                hooks(it)
                    .into_iter()
                    .flat_map(|(argument, counted)| {
                        [
                            of(argument, "succeeded", counted.succeeded),
                            of(argument, "failed", counted.failed),
                            of(argument, "timed_out", counted.timed_out),
                        ]
                    })
                    .collect()
            },
        );
        self.each_service(
            sources,
            (
                "ldirectord_hook_seconds_total",
                Counter,
                "How long the runs of fallbackcommand took together.",
            ),
            |it| {
                let of = |(argument, counted): (&str, &HookCounters)| {
                    (format!("argument=\"{argument}\""), seconds(counted.duration_ms, 1000))
                };
                hooks(it).into_iter().map(of).collect()
            },
        );
        self.each_service(
            sources,
            (
                "ldirectord_hook_running",
                Gauge,
                "Whether a run of fallbackcommand is under way or waiting.",
            ),
            |it| match &it.status.hook {
                Some(hook) => one(u8::from(hook.running)),
                None => Vec::new(),
            },
        );
        self.each_service(
            sources,
            (
                "ldirectord_hook_last_run_successful",
                Gauge,
                "Whether the last run of fallbackcommand ended with status 0.",
            ),
            |it| match it.status.hook.as_ref().and_then(|hook| hook.last.as_ref()) {
                Some(last) => one(u8::from(last.succeeded)),
                None => Vec::new(),
            },
        );
    }

    fn durations(&mut self, sources: &[Source<'_>]) {
        let name = "ldirectord_check_duration_seconds";
        self.family(name, Kind::Histogram, "How long checks of the real servers took.");
        for service in sources.iter().flat_map(|source| &source.services) {
            let (labels, histogram) = (&service.labels, &service.counters.durations);
            let bucket = format!("{name}_bucket");
            for (bound, count) in histogram.cumulative() {
                let bound = seconds(bound, 1_000_000);
                self.sample(&bucket, &format!("{labels},le=\"{bound:?}\""), count);
            }
            self.sample(&bucket, &format!("{labels},le=\"+Inf\""), histogram.count);
            self.sample(&format!("{name}_sum"), labels, seconds(histogram.sum_us, 1_000_000));
            self.sample(&format!("{name}_count"), labels, histogram.count);
        }
    }

    fn servers(&mut self, sources: &[Source<'_>]) {
        use Kind::Gauge;
        self.each_server(
            sources,
            (
                "ldirectord_real_server_up",
                Gauge,
                "Whether the real server passes its checks; none for checktype=off.",
            ),
            |it| {
                let checked = it.status.state != ServerState::Off;
                checked.then(|| u8::from(it.status.state == ServerState::Up))
            },
        );
        self.each_server(
            sources,
            (
                "ldirectord_real_server_maintenance",
                Gauge,
                "Whether the real server is in maintenance, by a file or a command.",
            ),
            |it| Some(u8::from(it.status.state == ServerState::Maintenance)),
        );
        self.each_server(
            sources,
            (
                "ldirectord_real_server_in_service",
                Gauge,
                "Whether the kernel's table gives the real server new connections.",
            ),
            |it| Some(u8::from(it.status.weight_listed.is_some_and(|weight| weight > 0))),
        );
        self.each_server(
            sources,
            (
                "ldirectord_real_server_weight_wanted",
                Gauge,
                "The weight that the kernel's table should list; none if the server should not be there.",
            ),
            |it| it.status.weight_wanted,
        );
        self.each_server(
            sources,
            (
                "ldirectord_real_server_weight_listed",
                Gauge,
                "The weight that the kernel's table lists; none if it does not list the server.",
            ),
            |it| it.status.weight_listed,
        );
        self.each_server(
            sources,
            (
                "ldirectord_real_server_state_timestamp_seconds",
                Gauge,
                "Since when the real server has its state.",
            ),
            |it| it.status.since,
        );
        self.each_server(
            sources,
            ("ldirectord_real_server_failures", Gauge, "Failed checks in a row."),
            |it| Some(it.status.failures),
        );
        self.each_server(
            sources,
            (
                "ldirectord_real_server_last_check_duration_seconds",
                Gauge,
                "How long the last check took.",
            ),
            |it| it.status.check_duration_us.map(|duration| seconds(duration, 1_000_000)),
        );
        self.each_server(
            sources,
            (
                "ldirectord_real_server_certificate_end_timestamp_seconds",
                Gauge,
                "When the real server's certificate ends; where checkcertdays is set.",
            ),
            |it| it.status.certificate.as_ref().map(|certificate| certificate.ends),
        );
        self.counted(
            "ldirectord_real_server_checks_total",
            "Checks by their result.",
            sources,
            "result",
            |it| [("passed", it.passed), ("failed", it.failed), ("unable", it.unable)],
        );
        self.counted(
            "ldirectord_real_server_transitions_total",
            "Changes of the real server's state, by the new one.",
            sources,
            "to",
            |it| [("up", it.came_up), ("down", it.went_down), ("maintenance", it.into_maintenance)],
        );
        self.each_server(
            sources,
            (
                "ldirectord_real_server_active_connections",
                Gauge,
                "Active connections, as the kernel counts them.",
            ),
            |it| Some(it.status.active),
        );
        self.each_server(
            sources,
            (
                "ldirectord_real_server_inactive_connections",
                Gauge,
                "Inactive connections, as the kernel counts them.",
            ),
            |it| Some(it.status.inactive),
        );
    }

    /// A counter of each real server by what this label says. One that is 0 has a sample as well: a rate needs it.
    fn counted(
        &mut self,
        name: &str,
        help: &str,
        sources: &[Source<'_>],
        label: &str,
        values: impl Fn(&ServerCounters) -> [(&'static str, u64); 3],
    ) {
        self.family(name, Kind::Counter, help);
        let services = sources.iter().flat_map(|source| &source.services);
        for server in services.flat_map(|service| &service.servers) {
            for (word, count) in values(server.counters) {
                self.sample(name, &format!("{},{label}=\"{word}\"", server.labels), count);
            }
        }
    }
}

/// So many parts of a second.
#[expect(clippy::cast_precision_loss, reason = "years of it are still exact to a millisecond")]
fn seconds(count: u64, parts: u64) -> f64 {
    count as f64 / parts as f64
}

fn phases(report: &MetricsReport) -> Vec<(String, u8)> {
    let of = |phase: Phase| {
        (format!("phase=\"{}\"", phase.word()), u8::from(report.status.phase == phase))
    };
    Phase::ALL.into_iter().map(of).collect()
}

fn states(service: &ServiceStatus) -> Vec<(String, usize)> {
    let count = |state| service.servers.iter().filter(|server| server.state == state).count();
    let of = |state: ServerState| (format!("state=\"{}\"", state.word()), count(state));
    ServerState::ALL.into_iter().map(of).collect()
}

fn hooks<'a>(service: &ServiceSource<'a>) -> Vec<(&'static str, &'a HookCounters)> {
    if service.status.hook.is_none() {
        return Vec::new();
    }
    vec![("start", &service.counters.hook_start), ("stop", &service.counters.hook_stop)]
}

fn last_reload_was_good(status: &StatusReport) -> bool {
    status.last_reload.as_ref().is_none_or(|last| last.error.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::CheckOutcome;
    use crate::metrics::{Checks, VERSION};
    use crate::status::samples;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn report(services: Vec<ServiceStatus>) -> MetricsReport {
        MetricsReport {
            version: VERSION,
            program: "1.2.3".to_owned(),
            status: samples::report(services),
            counters: Counters::default(),
            checks: Checks { scheduled: 3, in_flight: 2, overdue: 1 },
            owed: 0,
            processes: vec![Process { name: "prober".into(), threads: 4, ..Process::default() }],
        }
    }

    fn text(report: &MetricsReport, format: Format) -> String {
        render(&[Instance { name: "web.cf", report: Some(report) }], format)
    }

    /// The one line with this beginning.
    fn line<'a>(text: &'a str, beginning: &str) -> &'a str {
        let mut lines = text.lines().filter(|line| line.starts_with(beginning));
        let line = lines.next().unwrap_or_else(|| panic!("no {beginning} in {text}"));
        assert_eq!(lines.next(), None, "{beginning} is there twice");
        line
    }

    #[test]
    fn addresses_have_the_labels_of_node_exporters_ipvs_collector() {
        let up = |address| samples::server(address, ServerState::Up, None);
        let mut mark = samples::service("171", vec![up("[fd00::2]:0")]);
        mark.protocol = "fwm".into();
        let services = vec![samples::service("10.0.0.1:80", vec![up("10.0.0.2:80")]), mark];
        let text = text(&report(services), Format::Prometheus);
        line(
            &text,
            "ldirectord_real_server_up{config=\"web.cf\",service=\"tcp:10.0.0.1:80\",\
             local_address=\"10.0.0.1\",local_port=\"80\",local_mark=\"\",proto=\"TCP\",\
             remote_address=\"10.0.0.2\",remote_port=\"80\"} 1",
        );
        line(
            &text,
            "ldirectord_real_server_up{config=\"web.cf\",service=\"fwm6:171\",local_address=\"\",\
             local_port=\"0\",local_mark=\"000000AB\",proto=\"FWM\",remote_address=\"fd00::2\",\
             remote_port=\"0\"} 1",
        );
    }

    #[test]
    fn a_histogram_counts_from_below_and_a_counter_has_each_result() {
        let server = samples::server("10.0.0.2:80", ServerState::Up, None);
        let mut report = report(vec![samples::service("10.0.0.1:80", vec![server])]);
        let service = ServiceAddress::from_id("tcp:10.0.0.1:80").expect("an id");
        let server = "10.0.0.2:80".parse().expect("an address");
        for millis in [1, 2, 20_000] {
            let took = Duration::from_millis(millis);
            report.counters.checked(service, server, &CheckOutcome::up(), took);
        }
        let text = text(&report, Format::Prometheus);
        let value = |name: &str, label: &str| {
            let fits = |line: &&str| line.starts_with(name) && line.contains(label);
            let line = text.lines().find(fits).unwrap_or_else(|| panic!("no {name} {label}"));
            line.rsplit_once(' ').expect("a value").1.to_owned()
        };
        let bucket = "ldirectord_check_duration_seconds_bucket";
        assert_eq!(value(bucket, "le=\"0.001\""), "1");
        assert_eq!(value(bucket, "le=\"0.005\""), "2");
        assert_eq!(value(bucket, "le=\"10.0\""), "2");
        assert_eq!(value(bucket, "le=\"+Inf\""), "3");
        assert_eq!(value("ldirectord_check_duration_seconds_sum", ""), "20.003");
        assert_eq!(value("ldirectord_real_server_checks_total", "result=\"passed\""), "3");
        assert_eq!(value("ldirectord_real_server_checks_total", "result=\"failed\""), "0");
    }

    #[test]
    fn no_text_of_others_breaks_out_of_its_label_and_no_series_is_there_twice() {
        let up = || samples::server("10.0.0.2:80", ServerState::Up, None);
        let twice = || samples::service("10.0.0.1:80", vec![up(), up()]);
        let mut hostile = samples::service("10.0.0.9:80\"} 1\nldirectord_up 7", vec![up()]);
        hostile.scheduler = "w\"rr\\\n".into();
        let mut report = report(vec![twice(), twice(), hostile]);
        report.program = "1\"\n2".into();
        report.status.services[0].scheduler = "w\"rr\\\n".into();
        let name = "a\"b\n\\.cf";
        let text = render(&[Instance { name, report: Some(&report) }], Format::Prometheus);
        assert_eq!(line(&text, "ldirectord_up"), r#"ldirectord_up{config="a\"b\n\\.cf"} 1"#);
        assert!(text.contains(r#"scheduler="w\"rr\\\n"} 1"#), "{text}");
        let mut seen = BTreeMap::new();
        for sample in text.lines().filter(|line| !line.starts_with('#')) {
            let series = sample.rsplit_once(' ').expect("a value").0;
            assert_eq!(seen.insert(series, ()), None, "{series}");
        }
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_not_up_and_nothing_else() {
        let text = render(&[Instance { name: "web.cf", report: None }], Format::Prometheus);
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples, ["ldirectord_up{config=\"web.cf\"} 0"]);
    }

    #[test]
    fn openmetrics_names_families_without_suffix_and_has_an_end() {
        let text = text(&report(Vec::new()), Format::OpenMetrics);
        line(&text, "# TYPE ldirectord_reloads counter");
        line(&text, "# TYPE ldirectord_build info");
        line(&text, "ldirectord_reloads_total{config=\"web.cf\",result=\"accepted\"} 0");
        assert!(text.ends_with("\n# EOF\n"));
    }
}
