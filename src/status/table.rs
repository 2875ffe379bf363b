//! The report on one screen: trouble first, and each thing down with its why and since when.

use super::columns::server_lines;
use super::page::{Colours, Kind, Line, Paint, Span};
use super::{
    FallbackServerStatus, Faults, Filter, HookStatus, Phase, ProberReport, ReloadStatus,
    ServerState, ServerStatus, ServiceStatus, StatusReport, UnixTime,
};
use std::cmp::Reverse;

/// The part of the report that the filter leaves, for a terminal of `width` columns; `now` makes ages of
/// the moments. The counts at the top are of the whole.
///
/// Services with trouble come first, and in each service the servers that are down; otherwise the
/// configuration's order is kept. No line is longer than `width`.
pub fn render_table(
    report: &StatusReport,
    filter: &Filter,
    width: usize,
    colours: Colours,
    now: UnixTime,
) -> String {
    lines(report, filter, width, now).iter().fold(String::new(), |mut text, line| {
        text.push_str(&line.draw(width, colours));
        text.push('\n');
        text
    })
}

/// The same as lines that are not drawn yet.
pub(super) fn lines(
    report: &StatusReport,
    filter: &Filter,
    width: usize,
    now: UnixTime,
) -> Vec<Line> {
    let mut lines = head(report, width, now);
    let shown = report.services.iter().filter_map(|it| Some((it, filter.servers(it)?)));
    let mut services: Vec<(&ServiceStatus, Vec<&ServerStatus>)> = shown.collect();
    services.sort_by_key(|(service, _)| Reverse(service.trouble()));
    for (service, servers) in services {
        let id = service.id();
        lines.push(Line::new(Kind::Trim, "", Vec::new()));
        lines.push(Line::new(Kind::Text, &id, service_spans(service, now)));
        lines.extend(service.drift.iter().map(|drift| {
            Line::text(&format!("{id} {drift}"), format!("  DRIFT {drift}"), Paint::Bad)
        }));
        lines.extend(server_lines(&id, servers, width, now));
    }
    lines
}

fn head(report: &StatusReport, width: usize, now: UnixTime) -> Vec<Line> {
    let paint = if report.phase == Phase::Running { Paint::Plain } else { Paint::Notice };
    let spans = vec![
        Span::loose(format!("{}: ", report.config), Paint::Plain),
        Span::new("phase", report.phase.word(), paint),
        Span::loose(format!(" for {}, ", age(report.since, now)), Paint::Plain),
        Span::new("pid", format!("pid {}", report.pid), Paint::Plain),
        Span::loose(format!(", {} table", report.table), Paint::Plain),
    ];
    let mut lines = vec![Line::new(Kind::Trim, "daemon", spans)];
    let table_error = report.table_error.iter();
    lines.extend(table_error.map(|it| Line::text("table", format!("TABLE {it}"), Paint::Bad)));
    if let Some(reload) = &report.last_reload {
        lines.extend(reload_lines(reload, now));
    }
    if let Some(at) = report.unconfirmed {
        let spans = vec![
            Span::new("text", "RELOAD NOT CONFIRMED: it is taken back in ", Paint::Notice),
            Span::loose(age(now, at), Paint::Notice),
        ];
        lines.push(Line::new(Kind::Text, "unconfirmed", spans));
    }
    lines.extend(report.prober.as_ref().and_then(prober_line));
    lines.extend(fault_lines(&report.faults));
    lines.push(summary(report, width));
    lines
}

fn reload_lines(reload: &ReloadStatus, now: UnixTime) -> Vec<Line> {
    let ago = age(reload.at, now);
    let Some(error) = &reload.error else {
        let spans = vec![Span::loose(format!("last reload {ago} ago"), Paint::Plain)];
        return vec![Line::new(Kind::Trim, "reload", spans)];
    };
    let spans = vec![
        Span::new("text", "RELOAD REFUSED", Paint::Bad),
        Span::loose(format!(" {ago} ago, the configuration before is in force:"), Paint::Plain),
    ];
    let why = error.lines().take(5).map(|line| format!("  {line}"));
    let why = why.map(|line| Line::text(&format!("reload {line}"), &line, Paint::Plain));
    std::iter::once(Line::new(Kind::Text, "reload", spans)).chain(why).collect()
}

/// How many there are, and how many are down; the latter first where there is no room for both.
fn summary(report: &StatusReport, width: usize) -> Line {
    let servers = || report.services.iter().flat_map(|service| &service.servers);
    let all = servers().count();
    let down = servers().filter(|server| server.state == ServerState::Down).count();
    let without = report.services.iter().filter(|service| service.up() == 0).count();
    let services = counted(report.services.len(), "service");
    let paint = if down > 0 { Paint::Bad } else { Paint::Good };
    let down = Span::new("down", format!("{down} down"), paint);
    let counts = |text: String| Span::new("counts", text, Paint::Plain);
    let mut spans =
        vec![counts(format!("{services}, {}: ", counted(all, "real server"))), down.clone()];
    let mut short = vec![down, counts(format!(" of {all}"))];
    if without > 0 {
        let words = format!("{without} of the services WITHOUT a real server");
        let without = [Span::loose(", ", Paint::Plain), Span::new("without", words, Paint::Bad)];
        spans.extend(without.clone());
        short.extend(without);
    }
    let length: usize = spans.iter().map(|span| span.text.chars().count()).sum();
    Line::new(Kind::Summary, "summary", if length <= width { spans } else { short })
}

/// The prober, if there is something to say about it.
fn prober_line(prober: &ProberReport) -> Option<Line> {
    let again = prober.starts.saturating_sub(1);
    if prober.pid.is_some() && again == 0 {
        return None;
    }
    let (mut line, paint) = match prober.pid {
        Some(pid) => (format!("prober: pid {pid}"), Paint::Notice),
        None if prober.starts == 0 && prober.last_reason.is_none() => return None,
        None => ("NO PROBER, nothing is checked".to_owned(), Paint::Bad),
    };
    if again > 0 {
        let times = counted(usize::try_from(again).unwrap_or(usize::MAX), "time");
        line += &format!(", started again {times}");
    }
    if let Some(reason) = &prober.last_reason {
        line += &format!(", the last time for: {reason}");
    }
    Some(Line::text("prober", line, paint))
}

/// Faults of the program itself, which somebody should report.
fn fault_lines(faults: &Faults) -> Vec<Line> {
    let line =
        |key: &str, text: String| Line::text(key, format!("INTERNAL FAULT {text}"), Paint::Bad);
    let mut lines = Vec::new();
    if faults.restarts > 0 {
        let why = faults.last_restart.as_deref().unwrap_or("unknown");
        let times = counted(usize::try_from(faults.restarts).unwrap_or(usize::MAX), "time");
        let text = format!("started itself anew {times}, the last time for: {why}");
        lines.push(line("restarts", text));
    }
    if faults.unanswered_checks > 0 {
        let count = faults.unanswered_checks;
        lines.push(line("checks", format!("checks without an answer, run again: {count}")));
    }
    if faults.unanswered_reloads > 0 {
        let count = faults.unanswered_reloads;
        lines.push(line("reloads", format!("reloads that did not end: {count}")));
    }
    lines
}

fn service_spans(service: &ServiceStatus, now: UnixTime) -> Vec<Span> {
    let (up, all) = (service.up(), service.servers.len());
    let paint = match up {
        0 => Paint::Bad,
        _ if up < all => Paint::Notice,
        _ => Paint::Good,
    };
    let mut spans = vec![
        Span::loose(format!("{} {}", service.protocol, service.address), Paint::Title),
        Span::loose(" ", Paint::Plain),
        Span::new("scheduler", &service.scheduler, Paint::Plain),
        Span::loose(", ", Paint::Plain),
        Span::new("up", format!("{up} of {all} up"), paint),
    ];
    let mut nobody = |why| spans.push(Span::new("weightless", why, Paint::Bad));
    if service.is_weightless() {
        nobody(", NOBODY SERVES (all that are up have weight 0)");
    } else if service.has_weightless_fallbacks() {
        nobody(", NOBODY SERVES (all fallbacks have weight 0)");
    }
    if !service.listed {
        spans.push(Span::new("listed", ", NOT IN THE TABLE", Paint::Bad));
    }
    spans.extend(fallback_span(service));
    if let Some(hook) = &service.hook {
        spans.extend(hook_spans(hook, now));
    }
    spans
}

fn fallback_span(service: &ServiceStatus) -> Option<Span> {
    let fallback = service.fallback.as_ref()?;
    if !fallback.on {
        return Some(Span::new("fallback", ", fallback off", Paint::Plain));
    }
    let weighted = |it: &FallbackServerStatus| format!("{} (weight {})", it.address, it.weight);
    let words = match service.fallbacks.as_slice() {
        [] => fallback.address.clone(),
        [one] if one.weight == 1 => fallback.address.clone(),
        all => all.iter().map(weighted).collect::<Vec<_>>().join(" and "),
    };
    Some(Span::new("fallback", format!(", FALLBACK {words}"), Paint::Bad))
}

fn hook_spans(hook: &HookStatus, now: UnixTime) -> Vec<Span> {
    let mut spans = match &hook.last {
        None => vec![Span::new("hook", ", hook not yet run", Paint::Plain)],
        Some(run) => {
            let ago = Span::loose(format!(" {} ago", age(run.at, now)), Paint::Plain);
            let argument = &run.argument;
            if run.succeeded {
                vec![Span::new("hook", format!(", hook {argument}"), Paint::Plain), ago]
            } else {
                let result = Span::new("result", format!(" ({})", run.result), Paint::Bad);
                vec![
                    Span::new("hook", format!(", HOOK {argument} FAILED"), Paint::Bad),
                    ago,
                    result,
                ]
            }
        }
    };
    if hook.running {
        spans.push(Span::new("running", ", hook running", Paint::Notice));
    }
    spans
}

/// Two units at most: `42s`, `4m12s`, `3h05m`, `12d03h`.
pub fn age(at: UnixTime, now: UnixTime) -> String {
    let seconds = now.saturating_sub(at).max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match () {
        () if seconds < 60 => format!("{seconds}s"),
        () if seconds < 3600 => format!("{minutes}m{:02}s", seconds % 60),
        () if seconds < 86_400 => format!("{hours}h{minutes:02}m"),
        () => format!("{days}d{hours:02}h"),
    }
}

/// A number of things: `1 service`, `2 services`.
pub fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{NOW, report, server, service};
    use super::super::{FallbackStatus, HookRun};
    use super::*;

    fn plain(report: &StatusReport, width: usize) -> String {
        render_table(report, &Filter::default(), width, Colours::Off, NOW)
    }

    #[test]
    fn servers_that_are_up_with_weight_0_serve_nobody() {
        let idle = || ServerStatus {
            weight_wanted: Some(0),
            weight_listed: Some(0),
            ..server("10.0.1.1:80", ServerState::Up, None)
        };
        let dead = || server("10.0.1.2:80", ServerState::Down, Some("connection refused"));
        let up = || server("10.0.1.3:80", ServerState::Up, None);
        let told = |servers| {
            let fine = service("10.0.0.1:80", vec![up()]);
            plain(&report(vec![fine, service("10.0.0.2:80", servers)]), 200)
        };
        let table = told(vec![idle(), dead()]);
        let line = table.lines().find(|line| line.starts_with("tcp ")).unwrap();
        assert!(line.contains("10.0.0.2:80") && line.contains("NOBODY SERVES"), "{table}");
        assert!(!told(vec![idle(), dead(), up()]).contains("NOBODY"));
        assert!(!told(vec![dead()]).contains("NOBODY"));
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
        let text = plain(&report(vec![fine, dead]), 120);
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
    fn several_fallbacks_are_named_with_their_weights() {
        let one = |address: &str, weight| FallbackServerStatus {
            address: address.into(),
            forwarding: "masq".into(),
            weight,
            on: true,
            weight_listed: Some(weight),
            active: 1,
            inactive: 2,
        };
        let mut down = service("10.0.0.3:80", vec![server("10.0.1.2:80", ServerState::Down, None)]);
        down.fallback = Some(FallbackStatus { address: "10.0.2.1:80".into(), on: true });
        for (all, expected) in [
            (vec![one("10.0.2.1:80", 1)], "FALLBACK 10.0.2.1:80\n"),
            (vec![one("10.0.2.1:80", 2)], "FALLBACK 10.0.2.1:80 (weight 2)\n"),
            (
                vec![one("10.0.2.1:80", 3), one("10.0.2.2:80", 1)],
                "0 of 1 up, FALLBACK 10.0.2.1:80 (weight 3) and 10.0.2.2:80 (weight 1)\n",
            ),
            (
                vec![one("10.0.2.1:80", 0)],
                "NOBODY SERVES (all fallbacks have weight 0), FALLBACK 10.0.2.1:80 (weight 0)\n",
            ),
        ] {
            down.fallbacks = all;
            let text = plain(&report(vec![down.clone()]), 120);
            assert!(text.contains(expected), "{expected} in {text}");
        }
        down.fallback = Some(FallbackStatus { address: "10.0.2.1:80".into(), on: false });
        let text = plain(&report(vec![down]), 120);
        assert!(text.contains(", fallback off\n"), "{text}");
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
        let text = plain(&report, 200);
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
        let text = plain(&report(vec![service]), 80);
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
