//! The report on one screen: trouble first, and each thing down with its why and since when.

use super::{HookStatus, Phase, ServerState, ServerStatus, ServiceStatus, StatusReport, UnixTime};
use std::cmp::Reverse;
use std::fmt::Write;

/// The report for a terminal of `width` columns; `now` makes ages of the moments.
///
/// Services with trouble come first, and in each service the servers that are down; otherwise the
/// configuration's order is kept. No line is longer than `width`, but for one too narrow to say anything.
pub fn render_table(report: &StatusReport, width: usize, now: UnixTime) -> String {
    let mut lines = head(report, now);
    let mut services: Vec<&ServiceStatus> = report.services.iter().collect();
    services.sort_by_key(|service| Reverse(trouble(service)));
    for service in services {
        lines.push(String::new());
        lines.push(service_line(service, now));
        lines.extend(service.drift.iter().map(|drift| format!("  DRIFT {drift}")));
        lines.extend(server_lines(service, now));
    }
    let width = width.max(40);
    lines.iter().fold(String::new(), |mut text, line| {
        text.extend(line.trim_end().chars().map(printable).take(width));
        text.push('\n');
        text
    })
}

/// Text from servers and configurations must not play tricks on a terminal.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

fn head(report: &StatusReport, now: UnixTime) -> Vec<String> {
    let phase = match report.phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Reloading => "reloading",
        Phase::Stopping => "stopping",
    };
    let age = age(report.since, now);
    let (config, pid, table) = (&report.config, report.pid, &report.table);
    let mut lines = vec![format!("{config}: {phase} for {age}, pid {pid}, {table} table")];
    lines.extend(report.table_error.iter().map(|error| format!("TABLE {error}")));
    if let Some(reload) = &report.last_reload {
        let ago = self::age(reload.at, now);
        match &reload.error {
            None => lines.push(format!("last reload {ago} ago")),
            Some(error) => {
                lines.push(format!(
                    "RELOAD REFUSED {ago} ago, the configuration before is in force:"
                ));
                lines.extend(error.lines().take(5).map(|line| format!("  {line}")));
            }
        }
    }
    let servers = || report.services.iter().flat_map(|service| &service.servers);
    let down = servers().filter(|server| server.state == ServerState::Down).count();
    let without = report.services.iter().filter(|service| up(service) == 0).count();
    let mut summary = format!(
        "{}, {}: {down} down",
        counted(report.services.len(), "service"),
        counted(servers().count(), "real server"),
    );
    if without > 0 {
        let _ = write!(summary, ", {without} of the services WITHOUT a real server");
    }
    lines.push(summary);
    lines
}

fn up(service: &ServiceStatus) -> usize {
    service.servers.iter().filter(|server| server.state == ServerState::Up).count()
}

/// How much of a service wants attention; more is worse.
fn trouble(service: &ServiceStatus) -> u8 {
    let any = |state| service.servers.iter().any(|server| server.state == state);
    let hook_failed =
        service.hook.as_ref().and_then(|hook| hook.last.as_ref()).is_some_and(|run| !run.succeeded);
    if up(service) == 0 {
        return 4;
    }
    if !service.listed || any(ServerState::Down) {
        return 3;
    }
    if hook_failed || !service.drift.is_empty() {
        return 2;
    }
    u8::from(any(ServerState::Maintenance))
}

fn service_line(service: &ServiceStatus, now: UnixTime) -> String {
    let (protocol, address, scheduler) = (&service.protocol, &service.address, &service.scheduler);
    let mut line = format!(
        "{protocol} {address} {scheduler}, {} of {} up",
        up(service),
        service.servers.len()
    );
    if !service.listed {
        line.push_str(", NOT IN THE TABLE");
    }
    match &service.fallback {
        Some(fallback) if fallback.on => {
            let _ = write!(line, ", FALLBACK {}", fallback.address);
        }
        Some(_) => line.push_str(", fallback off"),
        None => {}
    }
    if let Some(hook) = &service.hook {
        line.push_str(&hook_words(hook, now));
    }
    line
}

fn hook_words(hook: &HookStatus, now: UnixTime) -> String {
    let mut words = match &hook.last {
        None => ", hook not yet run".to_owned(),
        Some(run) => {
            let ago = age(run.at, now);
            if run.succeeded {
                format!(", hook {} {ago} ago", run.argument)
            } else {
                format!(", HOOK {} FAILED {ago} ago ({})", run.argument, run.result)
            }
        }
    };
    if hook.running {
        words.push_str(", hook running");
    }
    words
}

const TITLES: [&str; 7] =
    ["  STATE", "REAL SERVER", "METHOD", "WEIGHT", "CONNECTIONS", "SINCE", "LAST CHECK"];

/// One line each, in columns, under a line of titles; the why comes last, where it may be cut.
fn server_lines(service: &ServiceStatus, now: UnixTime) -> Vec<String> {
    if service.servers.is_empty() {
        return Vec::new();
    }
    let mut servers: Vec<&ServerStatus> = service.servers.iter().collect();
    servers.sort_by_key(|server| server.state);
    let rows: Vec<([String; 7], &str)> = servers
        .iter()
        .map(|server| (cells(server, now), server.why.as_deref().unwrap_or_default()))
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|(cells, _)| cells[column].chars().count());
        cells.chain([TITLES[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let line = |cells: &[&str], why: &str| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        line + why
    };
    let titles = line(&TITLES, "WHY");
    let body = rows.iter().map(|(cells, why)| line(&cells.each_ref().map(String::as_str), why));
    std::iter::once(titles).chain(body).collect()
}

fn cells(server: &ServerStatus, now: UnixTime) -> [String; 7] {
    let state = match server.state {
        ServerState::Down => "  DOWN",
        ServerState::Maintenance => "  maint",
        ServerState::Off => "  off",
        ServerState::Unknown => "  unknown",
        ServerState::Up if server.failures > 0 => "  up?",
        ServerState::Up => "  up",
    };
    let since = server.since.map_or_else(|| "-".to_owned(), |since| age(since, now));
    let check = match (server.checked, server.check_duration_us) {
        (Some(at), Some(took)) => format!("{} ago, {}", age(at, now), duration(took)),
        (Some(at), None) => format!("{} ago", age(at, now)),
        (None, _) => "-".to_owned(),
    };
    [
        state.to_owned(),
        server.address.clone(),
        server.forwarding.clone(),
        weight(server),
        format!("{}/{}", server.active, server.inactive),
        since,
        check,
    ]
}

/// What the table lists, and what it should, if that is something else.
fn weight(server: &ServerStatus) -> String {
    let word = |weight: Option<u32>| weight.map_or_else(|| "-".to_owned(), |w| w.to_string());
    match (server.weight_listed, server.weight_wanted) {
        (listed, wanted) if listed == wanted => word(listed),
        (listed, None) => word(listed),
        (listed, wanted) => format!("{} not {}", word(listed), word(wanted)),
    }
}

/// Two units at most: `42s`, `4m12s`, `3h05m`, `12d03h`.
fn age(at: UnixTime, now: UnixTime) -> String {
    let seconds = now.saturating_sub(at).max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match () {
        () if seconds < 60 => format!("{seconds}s"),
        () if seconds < 3600 => format!("{minutes}m{:02}s", seconds % 60),
        () if seconds < 86_400 => format!("{hours}h{minutes:02}m"),
        () => format!("{days}d{hours:02}h"),
    }
}

fn duration(microseconds: u64) -> String {
    if microseconds < 1000 {
        format!("{microseconds} µs")
    } else {
        format!("{} ms", microseconds / 1000)
    }
}

/// A number of things: `1 service`, `2 services`.
fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::super::{FallbackStatus, HookRun, ReloadStatus};
    use super::*;

    const NOW: UnixTime = 1_000_000;

    fn server(address: &str, state: ServerState, why: Option<&str>) -> ServerStatus {
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
        }
    }

    fn service(address: &str, servers: Vec<ServerStatus>) -> ServiceStatus {
        ServiceStatus {
            address: address.into(),
            protocol: "tcp".into(),
            scheduler: "wrr".into(),
            listed: true,
            fallback: None,
            hook: None,
            drift: Vec::new(),
            servers,
        }
    }

    fn report(services: Vec<ServiceStatus>) -> StatusReport {
        StatusReport {
            instance: "web.cf".into(),
            config: "/etc/ha.d/web.cf".into(),
            pid: 42,
            since: NOW - 4000,
            phase: Phase::Running,
            table: "kernel".into(),
            table_error: None,
            last_reload: None,
            services,
        }
    }

    #[test]
    fn what_is_down_comes_first_with_its_why() {
        let fine = service("10.0.0.1:80", vec![server("10.0.1.1:80", ServerState::Up, None)]);
        let mut dead = service(
            "10.0.0.2:80",
            vec![
                server("10.0.1.1:80", ServerState::Up, None),
                server("10.0.1.2:80", ServerState::Down, Some("connection refused")),
            ],
        );
        dead.servers[1].weight_wanted = Some(0);
        dead.hook = Some(HookStatus {
            command: "/bin/x".into(),
            running: false,
            last: Some(HookRun {
                argument: "stop".into(),
                at: NOW - 4000,
                succeeded: true,
                result: "exit status 0".into(),
            }),
        });
        let text = render_table(&report(vec![fine, dead]), 120, NOW);
        assert_eq!(
            text,
            "\
/etc/ha.d/web.cf: running for 1h06m, pid 42, kernel table
2 services, 3 real servers: 1 down

tcp 10.0.0.2:80 wrr, 1 of 2 up, hook stop 1h06m ago
  STATE  REAL SERVER  METHOD  WEIGHT   CONNECTIONS  SINCE  LAST CHECK    WHY
  DOWN   10.0.1.2:80  gate    - not 0  12/30        4m12s  3s ago, 1 ms  connection refused
  up     10.0.1.1:80  gate    1        12/30        4m12s  3s ago, 1 ms

tcp 10.0.0.1:80 wrr, 1 of 1 up
  STATE  REAL SERVER  METHOD  WEIGHT  CONNECTIONS  SINCE  LAST CHECK    WHY
  up     10.0.1.1:80  gate    1       12/30        4m12s  3s ago, 1 ms
"
        );
    }

    #[test]
    fn trouble_is_in_capitals() {
        let mut all_down =
            service("10.0.0.3:80", vec![server("10.0.1.2:80", ServerState::Down, Some("x"))]);
        all_down.fallback = Some(FallbackStatus { address: "127.0.0.1:80".into(), on: true });
        all_down.listed = false;
        all_down.drift = vec!["10.0.1.9:80 is listed, and not ours".into()];
        all_down.hook = Some(HookStatus {
            command: "/bin/x".into(),
            running: true,
            last: Some(HookRun {
                argument: "start".into(),
                at: NOW - 5,
                succeeded: false,
                result: "exit status 3".into(),
            }),
        });
        let mut report = report(vec![all_down]);
        report.table_error = Some("list services: not permitted".into());
        report.last_reload =
            Some(ReloadStatus { at: NOW - 60, error: Some("Error [1] reading file\nx".into()) });
        let text = render_table(&report, 200, NOW);
        for part in [
            "TABLE list services: not permitted\n",
            "RELOAD REFUSED 1m00s ago, the configuration before is in force:\n  Error [1] reading file\n",
            "1 down, 1 of the services WITHOUT a real server\n",
            "NOT IN THE TABLE, FALLBACK 127.0.0.1:80, HOOK start FAILED 5s ago (exit status 3), hook running\n",
            "  DRIFT 10.0.1.9:80 is listed, and not ours\n",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
    }

    #[test]
    fn lines_fit_and_carry_no_control_characters() {
        let why = "\u{1b}[31m".to_owned() + &"x".repeat(500);
        let service = service("10.0.0.1:80", vec![server("a", ServerState::Down, Some(&why))]);
        let text = render_table(&report(vec![service]), 80, NOW);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, words) in [
            (-5, "0s"),
            (59, "59s"),
            (60, "1m00s"),
            (3599, "59m59s"),
            (3600, "1h00m"),
            (86_400, "1d00h"),
            (1_000_000, "11d13h"),
        ] {
            assert_eq!(age(NOW - seconds, NOW), words);
        }
    }
}
