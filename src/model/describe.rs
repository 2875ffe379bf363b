//! What a configuration was understood as, for people: the output of `--check`.

use super::{
    Agent, AlertPolicy, CheckMethod, CheckPlan, Exchange, FallbackMinimum, HttpMethod, HttpOptions,
    LogTarget, Model, Netmask, ProxyProtocol, RealServer, Service, ServiceTls, Settings, Step, Tls,
    Transport, User, VirtualService,
};
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Every service with its effective values, every real server with its check.
pub fn describe(model: &Model) -> String {
    let mut text = Text(String::new());
    text.settings(&model.settings);
    for service in &model.services {
        text.service(service);
    }
    text.0
}

/// One service as [`describe`] has it, line by line, without its place in the file.
pub fn describe_service(service: &VirtualService) -> Vec<String> {
    let mut text = Text(String::new());
    text.service(service);
    text.0.lines().skip(2).map(|line| line.trim_start().to_owned()).collect()
}

struct Text(String);

impl Text {
    fn line(&mut self, indent: usize, line: fmt::Arguments<'_>) {
        let mut plain = String::new();
        let _ = plain.write_fmt(line);
        // Strings of the file stand in it, and must not play tricks on a terminal.
        let shown = plain.chars().flat_map(|c| {
            let escape = c.is_control().then(|| c.escape_default());
            escape.into_iter().flatten().chain((!c.is_control()).then_some(c))
        });
        self.0.extend(std::iter::repeat_n("  ", indent));
        self.0.extend(shown);
        self.0.push('\n');
    }

    fn settings(&mut self, settings: &Settings) {
        match &settings.log {
            LogTarget::File(path) => self.line(0, format_args!("log: {}", path.display())),
            LogTarget::Syslog(facility) => self.line(0, format_args!("log: syslog, {facility}")),
        }
        if settings.supervised {
            self.line(
                0,
                format_args!("supervised: stays in the foreground, logs to standard output"),
            );
        }
        if let Some(spread) = settings.start_spread {
            self.line(0, format_args!("first checks spread over {}", seconds(spread)));
        }
        if settings.jitter > 0 {
            self.line(0, format_args!("intervals vary by {} %", settings.jitter));
        }
        if let Some(interval) = settings.resolve_interval {
            self.line(0, format_args!("names of servers looked up every {}", seconds(interval)));
        }
        if settings.auto_reload {
            self.line(0, format_args!("reads this file again when it has changed"));
        }
        if let Some(callback) = &settings.callback {
            self.line(0, format_args!("when this file has changed: {}", callback.display()));
        }
        if let Some(directory) = &settings.maintenance_dir {
            self.line(0, format_args!("maintenance: {}", directory.display()));
        }
        for name in &settings.execute {
            self.line(0, format_args!("further instance: {name}"));
        }
    }

    fn service(&mut self, service: &VirtualService) {
        self.0.push('\n');
        let (word, address) = (service.address.protocol_word(), service.address);
        self.line(0, format_args!("{word} {address} ({})", service.origin));
        self.scheduling(service);
        self.line(1, format_args!("{}", rhythm(service)));
        self.real_servers(service);
        self.fallback(service);
        self.alert(&service.alert);
        if let Some(path) = &service.monitor_file {
            self.line(1, format_args!("check results: {}", path.display()));
        }
        if !service.clean_stop {
            self.line(1, format_args!("stays in the table when the program stops"));
        }
        if service.reconcile {
            self.line(1, format_args!("changes by others are put right"));
        }
    }

    fn scheduling(&mut self, service: &VirtualService) {
        let mut line = format!("scheduler {}", service.scheduler);
        for name in service.sched_flags.names(&service.scheduler) {
            let _ = write!(line, " {name}");
        }
        if let Some(persistence) = &service.persistence {
            let _ = write!(line, ", persistent {} s", persistence.timeout);
            match persistence.netmask {
                Netmask::Inet(mask) if mask.is_broadcast() => {}
                Netmask::Inet6(128) => {}
                Netmask::Inet(mask) => {
                    let _ = write!(line, " for each network of {mask}");
                }
                Netmask::Inet6(length) => {
                    let _ = write!(line, " for each /{length}");
                }
            }
        }
        if service.one_packet {
            line.push_str(", each packet anew");
        }
        self.line(1, format_args!("{line}"));
    }

    fn real_servers(&mut self, service: &VirtualService) {
        let checks: Vec<String> =
            service.real_servers.iter().map(|server| check(&server.check)).collect();
        let same = checks.windows(2).all(|pair| pair[0] == pair[1]);
        match checks.first() {
            None => self.line(1, format_args!("no real servers")),
            Some(check) if same => self.line(1, format_args!("check: {check}")),
            Some(_) => {}
        }
        for (server, check) in service.real_servers.iter().zip(&checks) {
            let own = if same { String::new() } else { format!(": {check}") };
            self.line(1, format_args!("real server {}{own}", real_server(service, server)));
        }
    }

    fn fallback(&mut self, service: &VirtualService) {
        for fallback in &service.fallbacks {
            let listed = fallback.listed(service.address);
            let weight = match (service.fallbacks.len(), fallback.weight) {
                (1, 1) => String::new(),
                (_, weight) => format!(" weight {weight}"),
            };
            self.line(1, format_args!("fallback {listed} {}{weight}", fallback.forwarding));
        }
        let Some(command) = &service.fallback_command else { return };
        let needed = match service.fallback_minimum {
            FallbackMinimum::Count(1) => "none is up".to_owned(),
            minimum => format!(
                "fewer than {} of {} are up",
                minimum.servers(service.real_servers.len()),
                service.real_servers.len()
            ),
        };
        let argument = service.address.hook_argument();
        let word = service.address.protocol_word();
        self.line(1, format_args!("when {needed}: {} start {argument} {word}", command.command));
        let mut when = String::from("otherwise");
        if !service.fallback_hold_down.is_zero() {
            let _ = write!(when, ", if so for {}", seconds(service.fallback_hold_down));
        }
        self.line(1, format_args!("{when}: {} stop {argument} {word}", command.command));
        let retry = if command.retry { ", repeated until it succeeds" } else { "" };
        let stop = if service.fallback_command_on_stop { ", start also on stop" } else { "" };
        let (limit, user) = (seconds(command.timeout), by(&command.user));
        self.line(2, format_args!("for at most {limit}{user}{retry}{stop}"));
    }

    fn alert(&mut self, alert: &AlertPolicy) {
        if alert.to.is_empty() {
            return;
        }
        let mut line = format!("mail to {}", alert.to.join(", "));
        if let Some(server) = &alert.smtp {
            let _ = write!(line, " through {server}");
        }
        if let Some(pause) = alert.frequency {
            let _ = write!(line, ", again every {}", seconds(pause));
        }
        self.line(1, format_args!("{line}"));
    }
}

fn rhythm(service: &VirtualService) -> String {
    let mut line = format!("checked every {}", seconds(service.check_interval));
    let _ = match service.failure_count {
        1 => write!(line, ", dead after 1 failure"),
        count => write!(line, ", dead after {count} failures"),
    };
    if service.rise_count > 1 {
        let _ = write!(line, ", alive after {} successes", service.rise_count);
    }
    if let Some(slow) = service.slow_start {
        let _ = write!(line, ", a returned server's weight rises for {}", seconds(slow));
    }
    if let Some(fast) = service.fast_interval {
        let _ = write!(line, ", checked every {} until that is certain", seconds(fast));
    }
    let dead = match (service.quiescent, service.readd_quiescent) {
        (false, _) => "then removed",
        (true, false) => "then weight 0",
        (true, true) => "then weight 0, put back if somebody removes it",
    };
    let _ = write!(line, "; {dead}");
    line
}

fn real_server(service: &VirtualService, server: &RealServer) -> String {
    let mut line = format!("{} {} weight {}", server.address, server.forwarding, server.weight);
    let listed = server.listed(service.address);
    if listed != server.address {
        let _ = write!(line, ", listed as {listed}");
    }
    if server.thresholds.upper > 0 {
        let _ = write!(line, ", full at {} connections", server.thresholds.upper);
        if server.thresholds.lower > 0 {
            let _ = write!(line, " until below {}", server.thresholds.lower);
        }
    }
    line
}

fn by(user: &Option<Arc<User>>) -> String {
    user.as_ref().map(|user| format!(", as {}", user.name)).unwrap_or_default()
}

fn check(plan: &CheckPlan) -> String {
    let limit = seconds(plan.timeout(Step::Full));
    let port = plan.port;
    let mut line = match &plan.method {
        CheckMethod::On => "none, always up".to_owned(),
        CheckMethod::Off => "none, never used".to_owned(),
        CheckMethod::Connect => format!("connect to port {port} within {limit}"),
        CheckMethod::Ping { attempts: 1 } => format!("ping within {limit}"),
        CheckMethod::Ping { attempts } => {
            format!("ping, {attempts} times at most, each within {}", seconds(plan.check_timeout))
        }
        CheckMethod::External(script) => {
            format!("exit status 0 of {}{} within {limit}", script.command, by(&script.user))
        }
        CheckMethod::ExternalPerl(script) => {
            let user = by(&script.user);
            format!("exit status 0 of the Perl script {}{user} within {limit}", script.command)
        }
        CheckMethod::Negotiate(exchange) => negotiate(exchange, port, &limit),
        CheckMethod::Combined { connects, exchange, .. } => {
            format!("{}; then {connects} times connect only", negotiate(exchange, port, &limit))
        }
    };
    if let Some(path) = &plan.way.path {
        let _ = write!(line, ", to {} through ip_vs with mark {:#x}", path.address, path.mark);
    }
    if let Some(from) = &plan.way.source {
        let _ = write!(line, ", from {from}");
    }
    match &plan.agent {
        Some(Agent::Port(port)) => {
            let _ = write!(line, "; weight by the agent on port {port}");
        }
        Some(Agent::Command(script)) => {
            let _ = write!(line, "; weight by {}", script.command);
        }
        Some(Agent::ExitStatus) => line.push_str("; from 2 on the status is the weight plus two"),
        None => {}
    }
    line
}

fn negotiate(exchange: &Exchange, port: u16, limit: &str) -> String {
    let row = exchange.service.row();
    if exchange.service == Service::None {
        return "none, always up".to_owned();
    }
    let mut line = row.word.to_owned();
    if row.directives.contains(&"protocol") && exchange.transport == Transport::Udp {
        line.push_str(" over udp");
    }
    if exchange.service == Service::Own {
        line = "a service of one's own".to_owned();
        if super::Dialogue::parse(&exchange.request).is_ok_and(|dialogue| dialogue.tls) {
            line.push_str(", over TLS,");
        }
    }
    match (row.tls, exchange.tls) {
        (ServiceTls::Words(_), Tls::Yes) => line.push_str(" over TLS"),
        (ServiceTls::Words(_), Tls::Start) => line.push_str(" with STARTTLS"),
        _ => {}
    }
    let _ = write!(line, " on port {port} within {limit}");
    match exchange.proxy {
        Some(ProxyProtocol::V1) => line.push_str(", PROXY protocol v1"),
        Some(ProxyProtocol::V2) => line.push_str(", PROXY protocol v2"),
        None => {}
    }
    if row.directives.contains(&"httpmethod") {
        line.push_str(match exchange.http_method {
            HttpMethod::Get => ", GET",
            HttpMethod::Head => ", HEAD",
            HttpMethod::Post => ", POST",
        });
    }
    if row.directives.contains(&"httpmethod") {
        let _ = write!(line, " {}", exchange.request);
    } else if row.directives.contains(&"request") && exchange.request != "/" {
        let _ = write!(line, ", request {}", exchange.request.trim_start_matches('/'));
    }
    let reads_host = row.directives.contains(&"virtualhost") || exchange.tls != Tls::No;
    if let Some(host) = exchange.virtual_host.as_ref().filter(|_| reads_host) {
        let _ = write!(line, " for {host}");
    }
    if row.directives.contains(&"httpstatus") {
        http_options(&exchange.http, &mut line);
    }
    if !exchange.login.is_empty() && row.directives.contains(&"login") {
        let _ = write!(line, ", login {}", exchange.login);
    }
    if let Some(client) = &exchange.client {
        let _ = write!(line, ", as {}", client.certificate.display());
    }
    if let Some(days) = exchange.certificate_days {
        let _ = write!(line, ", certificate for {days} days or a warning");
    }
    let up = match exchange.http.statuses[..] {
        [] => row.up.to_owned(),
        ref ranges => row.up.replace("2xx", &statuses(ranges)),
    };
    let _ = write!(line, "; up: {up}");
    match &exchange.receive {
        Some(pattern) => {
            let _ = write!(line, "; receive {pattern:?}");
        }
        None if row.directives.contains(&"receive") => line.push_str("; receive not given"),
        None => {}
    }
    line
}

fn http_options(http: &HttpOptions, line: &mut String) {
    // Values may be secrets.
    for (name, _) in &http.headers {
        let _ = write!(line, ", header {name}");
    }
    if !http.body.is_empty() {
        let _ = write!(line, ", body of {} bytes", http.body.len());
    }
    if http.old {
        line.push_str(", HTTP/1.0");
    }
    if http.stays {
        line.push_str(", redirects not followed");
    }
}

fn statuses(ranges: &[(u16, u16)]) -> String {
    let range = |&(first, last): &(u16, u16)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
