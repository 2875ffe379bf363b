//! The page, from the state; pure. What is wrong comes first.
//!
//! Whatever a server, a configuration or an operator says is text: maud escapes it. Nothing in the page is a
//! script or a style, which the policy in `http.rs` forbids.

use crate::state::{HISTORY, History, InstanceState, Snapshot};
use ldirectord::status::{
    HookStatus, OverrideStatus, ServerState, ServerStatus, ServiceStatus, StatusReport, UnixTime,
    age, counted,
};
use maud::{DOCTYPE, Markup, html};
use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The style sheet.
pub const STYLE: &str = include_str!("../assets/page.css");

/// The icon.
pub const ICON: &str = include_str!("../assets/icon.svg");

/// The script.
pub const SCRIPT: &str = include_str!("../assets/page.js");

/// A service with its instance and its place in the page.
#[derive(Clone, Copy)]
struct Place<'a> {
    number: usize,
    instance: &'a InstanceState,
    service: &'a ServiceStatus,
}

/// The whole page.
pub fn page(snapshot: &Snapshot) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "ldirectord" }
                link rel="icon" href="/icon.svg";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
                noscript { meta http-equiv="refresh" content="30"; }
            }
            body {
                header {
                    h1 { "ldirectord" }
                    (summary(snapshot))
                    p #live role="status" {}
                }
                main {
                    (trouble(snapshot))
                    h2 { "All services" }
                    input #find type="search" hidden placeholder="Find a service, server or state"
                        aria-label="Find a service, server or state";
                    (all(snapshot))
                }
            }
        }
    }
}

/// A part of the page, for a browser that has the rest: `summary`, `trouble`, `all`, `service/NUMBER`.
pub fn fragment(snapshot: &Snapshot, name: &str) -> Option<Markup> {
    match name {
        "summary" => Some(summary(snapshot)),
        "trouble" => Some(trouble(snapshot)),
        "all" => Some(all(snapshot)),
        _ => {
            let number: usize = name.strip_prefix("service/")?.parse().ok()?;
            places(snapshot).nth(number).map(|place| service(&place, snapshot.at))
        }
    }
}

fn places(snapshot: &Snapshot) -> impl Iterator<Item = Place<'_>> {
    let services = snapshot.instances.iter().flat_map(|instance| {
        let services = instance.report.iter().flat_map(|report| &report.status.services);
        services.map(|service| (&**instance, service))
    });
    services.enumerate().map(|(number, (instance, service))| Place { number, instance, service })
}

/// Changes with the list of services: then a browser needs all of it.
fn shape(snapshot: &Snapshot) -> String {
    let mut hasher = DefaultHasher::new();
    for place in places(snapshot) {
        (&place.instance.name, place.service.id(), place.service.servers.len()).hash(&mut hasher);
    }
    format!("{:x}", hasher.finish())
}

fn summary(snapshot: &Snapshot) -> Markup {
    let servers = || places(snapshot).flat_map(|place| &place.service.servers);
    let down = servers().filter(|server| server.state == ServerState::Down).count();
    let without = places(snapshot).filter(|place| place.service.up() == 0).count();
    html! {
        p #summary data-shape=(shape(snapshot)) {
            (counted(snapshot.instances.len(), "daemon")) ", "
            (counted(places(snapshot).count(), "service")) ", "
            (counted(servers().count(), "real server")) ": "
            b class=(if down > 0 { "bad" } else { "good" }) { (down) " down" }
            @if without > 0 {
                ", " b.bad { (counted(without, "service")) " without a real server" }
            }
        }
    }
}

fn trouble(snapshot: &Snapshot) -> Markup {
    let mut services: Vec<(Place<'_>, Vec<String>)> = places(snapshot)
        .map(|place| (place, reasons(place.service)))
        .filter(|(_, reasons)| !reasons.is_empty())
        .collect();
    services.sort_by_key(|(place, _)| Reverse(place.service.trouble()));
    let daemons: Vec<(&InstanceState, Vec<String>)> = snapshot
        .instances
        .iter()
        .map(|instance| (&**instance, daemon_reasons(instance, snapshot.at)))
        .filter(|(_, reasons)| !reasons.is_empty())
        .collect();
    html! {
        section #trouble aria-live="polite" {
            h2 { "What is wrong" }
            @if services.is_empty() && daemons.is_empty() {
                @if snapshot.instances.is_empty() {
                    p.bad { "No daemon of ldirectord runs on this machine." }
                } @else {
                    p.good { "Nothing: every service is as configured." }
                }
            }
            @for (instance, reasons) in &daemons {
                div.service.bad {
                    h3 { (instance.name) }
                    ul { @for reason in reasons { li { (reason) } } }
                }
            }
            @for (place, reasons) in &services {
                div.service.(colour(place.service, reasons)) {
                    h3 { (place.service.id()) " " span.faint { (place.instance.name) } }
                    ul { @for reason in reasons { li { (reason) } } }
                    @let odd = place.service.servers.iter().filter(|server| is_odd(server));
                    (table(place, odd, snapshot.at))
                }
            }
        }
    }
}

fn daemon_reasons(instance: &InstanceState, now: UnixTime) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(error) = &instance.error {
        let since = instance.failed.map_or_else(String::new, |at| format!(" for {}", age(at, now)));
        let older = if instance.report.is_some() { "; what is below is older" } else { "" };
        reasons.push(format!("NO ANSWER{since}: {error}{older}"));
    }
    if let Some(report) = &instance.report {
        reasons.extend(report_reasons(&report.status, now));
    }
    reasons
}

fn report_reasons(report: &StatusReport, now: UnixTime) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(error) = &report.table_error {
        reasons.push(format!("TABLE: {error}"));
    }
    if let Some(reload) = &report.last_reload
        && let Some(error) = &reload.error
    {
        let ago = age(reload.at, now);
        reasons.push(format!(
            "RELOAD REFUSED {ago} ago, the previous configuration is in force: {error}"
        ));
    }
    if let Some(at) = report.unconfirmed {
        reasons.push(format!("RELOAD NOT CONFIRMED: it is taken back in {}", age(now, at)));
    }
    if let Some(prober) = &report.prober
        && prober.pid.is_none()
    {
        let why = prober.last_reason.as_deref().unwrap_or("it is being started");
        reasons.push(format!("NO PROBER, nothing is checked: {why}"));
    }
    if report.faults.restarts > 0 {
        let why = report.faults.last_restart.as_deref().unwrap_or("unknown");
        let times = report.faults.restarts;
        reasons
            .push(format!("INTERNAL FAULT: started anew {times} times, the last time for: {why}"));
    }
    reasons
}

/// What is wrong with a service, or not as configured.
fn reasons(service: &ServiceStatus) -> Vec<String> {
    let mut reasons = Vec::new();
    let (up, all) = (service.up(), service.servers.len());
    if up == 0 {
        reasons.push(format!("NO REAL SERVER is up, of {all}"));
    } else if service.is_weightless() {
        reasons.push("NOBODY SERVES: all that are up have weight 0".to_owned());
    } else if up < all {
        reasons.push(format!("{up} of {all} up"));
    }
    if let Some(fallback) = service.fallback.as_ref().filter(|fallback| fallback.on) {
        reasons.push(format!("FALLBACK {} is in service", fallback.address));
    }
    if service.has_weightless_fallbacks() {
        reasons.push("NOBODY SERVES: all fallbacks have weight 0".to_owned());
    }
    if !service.listed {
        reasons.push("NOT IN THE TABLE".to_owned());
    }
    let last = service.hook.as_ref().and_then(|hook| hook.last.as_ref());
    if let Some(run) = last.filter(|run| !run.succeeded) {
        reasons.push(format!("HOOK {} FAILED: {}", run.argument, run.result));
    }
    reasons.extend(service.drift.iter().map(|drift| format!("DRIFT {drift}")));
    if service.servers.iter().any(ServerStatus::is_drained) {
        reasons.push("an operator keeps new connections from a server".to_owned());
    }
    reasons
}

fn is_odd(server: &ServerStatus) -> bool {
    !matches!(server.state, ServerState::Up | ServerState::Off)
        || server.operator.is_some()
        || server.weights().1.is_some()
        || server.failures > 0
}

fn colour(service: &ServiceStatus, reasons: &[String]) -> &'static str {
    match service.trouble() {
        _ if reasons.is_empty() => "good",
        0 | 1 => "notice",
        _ => "bad",
    }
}

fn all(snapshot: &Snapshot) -> Markup {
    html! {
        div #all data-shape=(shape(snapshot)) {
            @for place in places(snapshot) { (service(&place, snapshot.at)) }
        }
    }
}

fn service(place: &Place<'_>, now: UnixTime) -> Markup {
    let Place { number, instance, service } = *place;
    html! {
        section.service.(colour(service, &reasons(service))) id={ "service-" (number) } {
            h3 { (service.id()) " " span.faint { (service.scheduler) ", " (instance.name) } }
            @if let Some(hook) = &service.hook { p.faint { (last_hook(hook, now)) } }
            (table(place, service.servers.iter(), now))
        }
    }
}

fn last_hook(hook: &HookStatus, now: UnixTime) -> String {
    let last = match &hook.last {
        _ if hook.running => "running".to_owned(),
        None => "not yet called".to_owned(),
        Some(run) => format!("{} {} ago: {}", run.argument, age(run.at, now), run.result),
    };
    format!("fallback command: {last}")
}

fn table<'a>(
    place: &Place<'_>,
    servers: impl Iterator<Item = &'a ServerStatus>,
    now: UnixTime,
) -> Markup {
    let mut servers = servers.peekable();
    if servers.peek().is_none() {
        return html! {};
    }
    let id = place.service.id();
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "Real server" }
                        th scope="col" { "State" }
                        th scope="col" { "Weight" }
                        th scope="col" { "Connections" }
                        th scope="col" { "Last hour" }
                        th scope="col" { "Check" }
                        th scope="col" { "Why" }
                    }
                }
                tbody {
                    @for server in servers {
                        @let key = (id.clone(), server.address.clone());
                        (row(server, place.instance.history.get(&key), now))
                    }
                }
            }
        }
    }
}

fn row(server: &ServerStatus, history: Option<&History>, now: UnixTime) -> Markup {
    let (word, colour) = state(server);
    let since = server.since.map(|since| age(since, now));
    html! {
        tr {
            td { (server.address) " " span.faint { (server.forwarding) } }
            td.(colour) { (word) @if let Some(since) = since { " " span.faint { (since) } } }
            td { (weight(server)) }
            td {
                (server.active) " / " (server.inactive)
                @if server.connections_per_second > 0 { " " span.faint { (server.connections_per_second) "/s" } }
            }
            td { @if let Some(history) = history { (strip(history, now)) } }
            td { @if let Some(took) = server.check_duration_us { (milliseconds(took)) " ms" } }
            td.why {
                @if let Some(why) = &server.why { (why) " " }
                @if server.failures > 0 { "(" (counted(server.failures as usize, "failure")) ") " }
                @if let Some(operator) = &server.operator { (said(operator, now)) }
                @if let Some(words) = server.certificate.as_ref().and_then(|it| it.words(now)) {
                    " " span.notice { (words) }
                }
            }
        }
    }
}

fn state(server: &ServerStatus) -> (&'static str, &'static str) {
    match server.state {
        ServerState::Up if server.is_drained() => ("drained", "notice"),
        ServerState::Up => ("up", "good"),
        ServerState::Down => ("DOWN", "bad"),
        ServerState::Maintenance => ("maintenance", "notice"),
        ServerState::Off => ("not checked", "faint"),
        ServerState::Unknown => ("unknown", "notice"),
    }
}

fn weight(server: &ServerStatus) -> String {
    match server.weights() {
        (listed, None) => listed,
        (listed, Some(wanted)) => format!("{listed} not {wanted}"),
    }
}

fn said(operator: &OverrideStatus, now: UnixTime) -> String {
    let mut text = format!("{} by {}", operator.what, operator.by);
    if let Some(until) = operator.until {
        text += &format!(", ends in {}", age(now, until));
    }
    if !operator.reason.is_empty() {
        text += &format!(": {}", operator.reason);
    }
    text
}

/// The last hour: what the server was, failed checks as marks, and how long checks took as a line. One unit
/// of the drawing is ten seconds.
fn strip(history: &History, now: UnixTime) -> Markup {
    let begin = now.saturating_sub(HISTORY);
    let x = |at: UnixTime| (at.clamp(begin, now) - begin) / 10;
    let ends = history.parts.iter().skip(1).map(|part| part.since).chain([now]);
    let longest = history.durations.iter().map(|&(_, took)| took).max().unwrap_or_default().max(1);
    let height = |took: u64| 13 - took.saturating_mul(12) / longest;
    let line: Vec<String> =
        history.durations.iter().map(|&(at, took)| format!("{},{}", x(at), height(took))).collect();
    html! {
        svg viewBox="0 0 360 20" preserveAspectRatio="none" role="img" aria-label=(spoken(history, now)) {
            @for (part, end) in history.parts.iter().zip(ends) {
                rect.(part.state.word()) x=(x(part.since)) y="14" height="6"
                    width=((x(end) - x(part.since)).max(1)) {}
            }
            @for &at in &history.soft_failures { rect.soft x=(x(at)) y="17" width="1" height="3" {} }
            @if line.len() > 1 { polyline points=(line.join(" ")) {} }
        }
    }
}

/// The strip in words.
fn spoken(history: &History, now: UnixTime) -> String {
    let changes =
        history.parts.iter().filter(|part| part.since > now.saturating_sub(HISTORY)).count();
    let last = history.parts.last().map_or("unknown", |part| part.state.word());
    format!(
        "the last hour: now {last}, {}, {}",
        counted(changes, "change"),
        counted(history.soft_failures.len(), "failed check")
    )
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros / 100 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use ldirectord::metrics::MetricsReport;
    use std::sync::Arc;

    fn snapshot(report: MetricsReport, error: Option<&str>) -> Snapshot {
        let instance = InstanceState {
            name: "web.cf".into(),
            report: Some(Arc::new(report)),
            error: error.map(Into::into),
            failed: error.map(|_| 999_000),
            ..InstanceState::default()
        };
        Snapshot { at: 1_000_000, asked: None, instances: vec![Arc::new(instance)] }
    }

    #[test]
    fn a_good_day_says_so_and_shows_everything() {
        let page = page(&snapshot(samples::report(2, 3), None)).into_string();
        assert!(page.contains("Nothing: every service is as configured."), "{page}");
        assert!(page.contains("1 daemon, 2 services, 6 real servers: "), "{page}");
        assert_eq!(page.matches("10.0.1.1:80").count(), 1);
    }

    #[test]
    fn the_worst_comes_first_with_its_why() {
        let mut report = samples::report(3, 2);
        let down = |server: &mut ServerStatus, why: &str| {
            server.state = ServerState::Down;
            server.why = Some(why.to_owned());
        };
        down(&mut report.status.services[1].servers[0], "connection refused");
        for server in &mut report.status.services[2].servers {
            down(server, "no answer in time");
        }
        let trouble = trouble(&snapshot(report, None)).into_string();
        let at = |text: &str| trouble.find(text).unwrap_or_else(|| panic!("no {text}: {trouble}"));
        assert!(at("NO REAL SERVER is up, of 2") < at("1 of 2 up"));
        assert!(at("no answer in time") < at("connection refused"));
        assert!(!trouble.contains("tcp:10.0.0.1:80"), "it is well");
    }

    #[test]
    fn a_daemon_that_is_silent_is_trouble_and_its_last_word_is_called_old() {
        let page = page(&snapshot(samples::report(1, 1), Some("the daemon is not running")));
        let page = page.into_string();
        let words = "NO ANSWER for 16m40s: the daemon is not running; what is below is older";
        assert!(page.contains(words), "{page}");
        let none = super::page(&Snapshot::default()).into_string();
        assert!(none.contains("No daemon of ldirectord runs on this machine."), "{none}");
    }

    #[test]
    fn a_service_whose_servers_are_not_checked_is_well() {
        let mut report = samples::report(1, 1);
        report.status.services[0].servers[0].state = ServerState::Off;
        let page = page(&snapshot(report, None)).into_string();
        assert!(page.contains("Nothing: every service is as configured."), "{page}");
        assert!(!page.contains("without a real server"), "{page}");
    }

    #[test]
    fn nothing_that_others_say_is_markup() {
        const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";
        let mut report = samples::report(1, 1);
        report.status.table_error = Some(HOSTILE.into());
        let service = &mut report.status.services[0];
        service.scheduler = HOSTILE.into();
        service.drift = vec![HOSTILE.into()];
        service.servers[0].state = ServerState::Down;
        service.servers[0].why = Some(HOSTILE.into());
        service.servers[0].address = HOSTILE.into();
        service.servers[0].operator = Some(OverrideStatus {
            target: HOSTILE.into(),
            what: HOSTILE.into(),
            weight: None,
            since: 0,
            until: None,
            by: HOSTILE.into(),
            reason: HOSTILE.into(),
        });
        let page = page(&snapshot(report, Some(HOSTILE))).into_string();
        assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
        assert_eq!(page.matches("<script").count(), 1, "the page's own");
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    }

    #[test]
    fn a_fragment_is_the_part_of_the_page_and_there_are_no_others() {
        let snapshot = snapshot(samples::report(2, 1), None);
        let page = page(&snapshot).into_string();
        for name in ["summary", "trouble", "all", "service/0", "service/1"] {
            let part = fragment(&snapshot, name).expect(name).into_string();
            assert!(page.contains(&part), "{name}");
        }
        for name in ["", "service/2", "service/-1", "service/", "page", "../all"] {
            assert!(fragment(&snapshot, name).is_none(), "{name}");
        }
    }
}
