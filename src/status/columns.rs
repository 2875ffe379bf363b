//! The real servers of a service, one line each, in columns.

use super::page::{Kind, Line, Paint, Span};
use super::table::age;
use super::{ServerState, ServerStatus, UnixTime};
use std::array;

const COLUMNS: usize = 7;

const TITLES: [&str; COLUMNS] =
    ["  STATE", "REAL SERVER", "METHOD", "WEIGHT", "CONNECTIONS", "SINCE", "LAST CHECK"];

/// Columns that go first where there is no room for all.
const DISPENSABLE: [usize; 5] = [2, 6, 4, 5, 3];

/// How much of a why must be seen before a column goes.
const WHY: usize = 24;

/// One line each, in columns, under a line of titles; the why comes last, where it may be cut.
pub(super) fn server_lines(
    service: &str,
    mut servers: Vec<&ServerStatus>,
    width: usize,
    now: UnixTime,
) -> Vec<Line> {
    if servers.is_empty() {
        return Vec::new();
    }
    servers.sort_by_key(|server| server.state);
    let rows: Vec<([Span; COLUMNS], Vec<Span>)> =
        servers.iter().map(|server| (cells(server, now), why(server, now))).collect();
    let widths: [usize; COLUMNS] = array::from_fn(|column| {
        let cells = rows.iter().map(|(cells, _)| length(&cells[column]));
        cells.chain([TITLES[column].len()]).max().unwrap_or_default()
    });
    let why = rows.iter().map(|(_, why)| why.iter().map(length).sum()).max().unwrap_or_default();
    let columns = columns(&widths, why, width);
    let line = |cells: [Span; COLUMNS], why: Vec<Span>| {
        let mut spans = Vec::with_capacity(2 * COLUMNS + why.len());
        for (column, cell) in cells.into_iter().enumerate() {
            if columns.contains(&column) {
                let gap = (widths[column] + 2).saturating_sub(length(&cell));
                spans.push(cell);
                spans.push(Span::loose(" ".repeat(gap), Paint::Plain));
            }
        }
        spans.extend(why);
        spans
    };
    let titles = TITLES.map(|title| Span::loose(title, Paint::Faint));
    let titles = line(titles, vec![Span::loose("WHY", Paint::Faint)]);
    let mut lines = vec![Line::new(Kind::Trim, "", titles)];
    lines.extend(rows.into_iter().zip(servers).map(|((cells, why), server)| {
        Line::new(Kind::Text, format!("{service} {}", server.address), line(cells, why))
    }));
    lines
}

/// The columns that there is room for beside what is to be seen of the why.
fn columns(widths: &[usize; COLUMNS], why: usize, width: usize) -> Vec<usize> {
    let mut columns: Vec<usize> = (0..COLUMNS).collect();
    for column in DISPENSABLE {
        let taken: usize = columns.iter().map(|&column| widths[column] + 2).sum();
        if taken + why.min(WHY) <= width {
            break;
        }
        columns.retain(|&it| it != column);
    }
    columns
}

fn length(span: &Span) -> usize {
    span.text.chars().count()
}

fn cells(server: &ServerStatus, now: UnixTime) -> [Span; COLUMNS] {
    let (state, paint) = match server.state {
        ServerState::Down => ("  DOWN", Paint::Bad),
        ServerState::Maintenance => ("  maint", Paint::Notice),
        ServerState::Off => ("  off", Paint::Faint),
        ServerState::Unknown => ("  unknown", Paint::Notice),
        ServerState::Up if server.is_drained() => ("  drained", Paint::Notice),
        ServerState::Up if server.failures > 0 => ("  up?", Paint::Notice),
        ServerState::Up => ("  up", Paint::Good),
    };
    let since = server.since.map_or_else(|| "-".to_owned(), |since| age(since, now));
    let check = match (server.checked, server.check_duration_us) {
        (Some(at), Some(took)) => format!("{} ago, {}", age(at, now), duration(took)),
        (Some(at), None) => format!("{} ago", age(at, now)),
        (None, _) => "-".to_owned(),
    };
    [
        Span::new("state", state, paint),
        Span::loose(&server.address, Paint::Plain),
        Span::new("method", &server.forwarding, Paint::Plain),
        weight(server),
        Span::loose(format!("{}/{}", server.active, server.inactive), Paint::Plain),
        Span::loose(since, Paint::Plain),
        Span::loose(check, Paint::Plain),
    ]
}

/// What the table lists, and what it should, if that is something else.
fn weight(server: &ServerStatus) -> Span {
    let (text, paint) = match server.weights() {
        (listed, None) => (listed, Paint::Plain),
        (listed, Some(wanted)) => (format!("{listed} not {wanted}"), Paint::Bad),
    };
    Span::new("weight", text, paint)
}

/// Why a server is not as the configuration has it: an operator, its last check, or both.
fn why(server: &ServerStatus, now: UnixTime) -> Vec<Span> {
    let why = |text: String| Span::new("why", text, Paint::Plain);
    let check = server.why.as_deref().unwrap_or_default();
    let Some(said) = &server.operator else {
        let mut spans = vec![why(check.to_owned())];
        if let Some(words) = certificate(server, now) {
            let gap = if check.is_empty() { "" } else { "; " };
            spans.push(Span::new("certificate", format!("{gap}{words}"), Paint::Notice));
        }
        return spans;
    };
    let what = match said.what.as_str() {
        "drain" => "drained",
        "disable" => "disabled",
        _ => "weight set",
    };
    let mut spans = vec![Span::new("operator", format!("{what} by {}", said.by), Paint::Notice)];
    let mut when = format!(" {} ago", age(said.since, now));
    if let Some(until) = said.until {
        when += &format!(", for {} more", age(now, until));
    }
    spans.push(Span::loose(when, Paint::Plain));
    if !said.reason.is_empty() {
        spans.push(Span::new("reason", format!(": {}", said.reason), Paint::Plain));
    }
    if said.what != "disable" && !check.is_empty() {
        spans.push(why(format!("; {check}")));
    }
    if let Some(words) = certificate(server, now) {
        spans.push(Span::new("certificate", format!("; {words}"), Paint::Notice));
    }
    spans
}

fn certificate(server: &ServerStatus, now: UnixTime) -> Option<String> {
    server.certificate.as_ref()?.words(now)
}

fn duration(microseconds: u64) -> String {
    if microseconds < 1000 {
        format!("{microseconds} µs")
    } else {
        format!("{} ms", microseconds / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::Colours;
    use super::super::samples::{NOW, server};
    use super::super::{CertificateStatus, OverrideStatus};
    use super::*;

    fn shown(servers: &[ServerStatus], width: usize) -> Vec<String> {
        let lines = server_lines("tcp:10.0.0.1:80", servers.iter().collect(), width, NOW);
        lines.iter().map(|line| line.draw(width, Colours::Off)).collect()
    }

    #[test]
    fn a_narrow_terminal_shows_the_why_rather_than_every_column() {
        let servers = [
            server("10.0.1.1:80", ServerState::Up, None),
            server("10.0.1.2:80", ServerState::Down, Some("connection refused by its host")),
        ];
        for (width, expected) in [
            (
                99,
                "  DOWN   10.0.1.2:80  gate    -       12/30        4m12s  3s ago, 1 ms  \
                 connection refused by its h",
            ),
            (
                80,
                "  DOWN   10.0.1.2:80  -       12/30        4m12s  connection refused by its host",
            ),
            (61, "  DOWN   10.0.1.2:80  -       4m12s  connection refused by it"),
            (44, "  DOWN   10.0.1.2:80  connection refused by"),
            (20, "  DOWN   10.0.1.2:80"),
            (1, ""),
        ] {
            assert_eq!(shown(&servers, width)[1], expected, "{width}");
        }
        assert_eq!(shown(&servers, 44)[2], "  up     10.0.1.1:80");
    }

    #[test]
    fn a_certificate_that_ends_soon_is_told_behind_the_why() {
        let with = |why, soon, ends| ServerStatus {
            certificate: Some(CertificateStatus { ends, soon }),
            ..server("10.0.1.1:443", ServerState::Up, why)
        };
        let day = 86_400;
        for (server, end) in [
            (with(None, true, NOW + 12 * day + 5), "1 ms  the certificate ends in 12 days"),
            (with(None, true, NOW + 5), "1 ms  the certificate ends within a day"),
            (with(Some("status 503"), true, NOW - 5), "status 503; the certificate has ended"),
            (with(None, false, NOW + 40 * day), "1 ms"),
        ] {
            let line = &shown(&[server], 200)[1];
            assert!(line.trim_end().ends_with(end), "{line}");
        }
    }

    #[test]
    fn who_has_drained_it_stands_before_the_last_check() {
        let said = OverrideStatus {
            target: "10.0.1.1:80".into(),
            what: "drain".into(),
            weight: Some(0),
            since: NOW - 60,
            until: Some(NOW + 90),
            by: "root".into(),
            reason: "disks".into(),
        };
        let drained = ServerStatus {
            operator: Some(said),
            ..server("10.0.1.1:80", ServerState::Up, Some("status 503"))
        };
        let line = &shown(&[drained], 200)[1];
        assert!(line.starts_with("  drained  10.0.1.1:80"), "{line}");
        let why = "drained by root 1m00s ago, for 1m30s more: disks; status 503";
        assert!(line.ends_with(why), "{line}");
    }
}
