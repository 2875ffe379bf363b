//! What `status --watch` shows: the table as it is now, with what has just changed marked, in as much room
//! as there is.

use super::page::{Colours, Kind, Line, Paint, Span};
use super::table::{age, lines};
use super::{Filter, StatusReport, UnixTime};
use std::collections::HashMap;

/// Seconds for which a change is marked.
const MARKED: UnixTime = 5;

/// Lines of a terminal below which titles and blank lines are left out.
const SMALL: usize = 10;

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: usize,
    /// Characters of a line.
    pub columns: usize,
}

/// Where somebody wants to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scroll {
    /// A line up.
    Up,
    /// A line down.
    Down,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the top.
    Top,
    /// To the end.
    End,
}

/// What is being watched.
#[derive(Debug)]
pub struct Watch {
    filter: Filter,
    report: StatusReport,
    marks: Marks,
    /// Since when, and why, the report is an old one.
    silence: Option<(UnixTime, String)>,
    /// Lines that have gone out at the top.
    offset: usize,
    /// Lines that were shown the last time, and that there were.
    shown: (usize, usize),
}

impl Watch {
    /// Begins with a report in which nothing has changed yet.
    pub fn new(filter: Filter, report: StatusReport, now: UnixTime) -> Self {
        let mut marks = Marks::default();
        marks.note(&whole(&report, &filter, now), now);
        marks.changed.clear();
        Self { filter, report, marks, silence: None, offset: 0, shown: (0, 0) }
    }

    /// Takes the daemon's answer, or why there is none.
    pub fn take(&mut self, answer: Result<StatusReport, String>, now: UnixTime) {
        match answer {
            Ok(report) => {
                self.marks.note(&whole(&report, &self.filter, now), now);
                self.report = report;
                self.silence = None;
            }
            Err(why) => {
                let since = self.silence.as_ref().map_or(now, |(since, _)| *since);
                self.silence = Some((since, why));
            }
        }
    }

    /// Looks elsewhere.
    pub fn scroll(&mut self, to: Scroll) {
        let (shown, all) = self.shown;
        let offset = match to {
            Scroll::Up => self.offset.saturating_sub(1),
            Scroll::Down => self.offset + 1,
            Scroll::PageUp => self.offset.saturating_sub(shown.max(1)),
            Scroll::PageDown => self.offset + shown.max(1),
            Scroll::Top => 0,
            Scroll::End => all,
        };
        self.offset = offset.min(all.saturating_sub(shown));
    }

    /// The lines for a terminal of this size: as many as it has at most, and none longer.
    ///
    /// A line in which something has changed begins with an asterisk. One line is enough to see how many
    /// are down.
    pub fn screen(&mut self, size: Size, colours: Colours, now: UnixTime) -> Vec<String> {
        // The first character is the asterisk's.
        let width = size.columns.saturating_sub(1);
        let mut lines = lines(&self.report, &self.filter, width, now);
        let misses = self.filter.misses(&self.report);
        lines.extend(misses.iter().map(|miss| Line::text("", miss, Paint::Notice)));
        self.marks.apply(&mut lines, now);
        if size.rows < SMALL {
            lines.retain(|line| line.kind != Kind::Trim);
        }
        let room = size.rows.saturating_sub(1);
        if room == 0 {
            lines.retain(|line| line.kind == Kind::Summary);
            let line = self.silence(now).or_else(|| lines.pop());
            self.shown = (0, 0);
            return line.iter().map(|line| draw(line, width, colours)).take(size.rows).collect();
        }
        self.offset = self.offset.min(lines.len().saturating_sub(room));
        let shown = &lines[self.offset..lines.len().min(self.offset + room)];
        self.shown = (shown.len(), lines.len());
        let mut screen: Vec<String> = shown.iter().map(|line| draw(line, width, colours)).collect();
        screen.resize(room, String::new());
        screen.push(draw(&self.foot(now), width, colours));
        screen
    }

    fn foot(&self, now: UnixTime) -> Line {
        if let Some(line) = self.silence(now) {
            return line;
        }
        let (shown, all) = self.shown;
        let text = if shown < all {
            let (first, last) = (self.offset + 1, self.offset + shown);
            format!("lines {first}-{last} of {all}, arrow keys for more; q ends")
        } else {
            "q ends".to_owned()
        };
        Line::new(Kind::Text, "", vec![Span::loose(text, Paint::Faint)])
    }

    fn silence(&self, now: UnixTime) -> Option<Line> {
        let (since, why) = self.silence.as_ref()?;
        let text = format!("NO ANSWER for {}: {why}", age(*since, now));
        Some(Line::text("", text, Paint::Bad))
    }
}

/// All lines as if there were room for everything: what is left out now may be shown later.
fn whole(report: &StatusReport, filter: &Filter, now: UnixTime) -> Vec<Line> {
    lines(report, filter, usize::MAX, now)
}

fn draw(line: &Line, width: usize, colours: Colours) -> String {
    let mark = if line.is_marked() { "*" } else { " " };
    let text = line.draw(width, colours);
    if text.is_empty() { String::new() } else { format!("{mark}{text}") }
}

/// What has just changed.
#[derive(Debug, Default)]
struct Marks {
    /// What each line said last, by its subject and the part of it.
    said: HashMap<String, HashMap<&'static str, String>>,
    /// When a part began to say something else.
    changed: HashMap<(String, &'static str), UnixTime>,
}

impl Marks {
    fn note(&mut self, lines: &[Line], now: UnixTime) {
        self.changed.retain(|_, at| (now - MARKED..=now).contains(at));
        let mut said = HashMap::new();
        for line in lines.iter().filter(|line| !line.key.is_empty()) {
            let parts = line.spans.iter().filter_map(|span| Some((span.slot?, span.text.clone())));
            let parts: HashMap<&'static str, String> = parts.collect();
            let before = self.said.get(&line.key);
            for (&slot, text) in &parts {
                if before.and_then(|before| before.get(slot)) != Some(text) {
                    self.changed.insert((line.key.clone(), slot), now);
                }
            }
            said.insert(line.key.clone(), parts);
        }
        self.said = said;
    }

    fn apply(&self, lines: &mut [Line], now: UnixTime) {
        for line in lines {
            for span in &mut line.spans {
                let Some(slot) = span.slot else { continue };
                let at = self.changed.get(&(line.key.clone(), slot));
                span.marked = at.is_some_and(|at| now - at < MARKED);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{NOW, report, server, service};
    use super::super::{OverrideStatus, ServerState};
    use super::*;

    const LARGE: Size = Size { rows: 24, columns: 120 };

    fn two_up() -> StatusReport {
        let up = |address| server(address, ServerState::Up, None);
        report(vec![
            service("10.0.0.1:80", vec![up("10.0.1.1:80"), up("10.0.1.2:80")]),
            service("10.0.0.2:80", vec![up("10.0.1.1:80")]),
        ])
    }

    fn one_down() -> StatusReport {
        let mut report = two_up();
        report.services[0].servers[1] =
            server("10.0.1.2:80", ServerState::Down, Some("connection refused"));
        report
    }

    fn watch(report: StatusReport) -> Watch {
        Watch::new(Filter::default(), report, NOW)
    }

    fn marked(screen: &[String]) -> Vec<&str> {
        screen.iter().filter(|line| line.starts_with('*')).map(|line| line.trim_end()).collect()
    }

    #[test]
    fn what_has_changed_is_marked_for_a_moment() {
        let mut watch = watch(two_up());
        assert_eq!(marked(&watch.screen(LARGE, Colours::Off, NOW)), [""; 0]);
        let mut older = two_up();
        older.services[0].servers[0].active += 1;
        watch.take(Ok(older), NOW + 1);
        let quiet = watch.screen(LARGE, Colours::Off, NOW + 1);
        assert_eq!(marked(&quiet), [""; 0], "ages and connections change all the time");
        watch.take(Ok(one_down()), NOW + 2);
        let screen = watch.screen(LARGE, Colours::Off, NOW + 2);
        assert_eq!(
            marked(&screen),
            [
                "*2 services, 3 real servers: 1 down",
                "*tcp 10.0.0.1:80 wrr, 1 of 2 up",
                "*  DOWN   10.0.1.2:80  gate    -       12/30        4m14s  5s ago, 1 ms  connection refused",
            ]
        );
        let colours = watch.screen(LARGE, Colours::On, NOW + 2);
        assert!(
            colours.iter().any(|line| line.contains("\x1b[1;7;31m  DOWN\x1b[0m   10.0.1.2:80"))
        );
        watch.take(Ok(one_down()), NOW + 6);
        assert_eq!(marked(&watch.screen(LARGE, Colours::Off, NOW + 6)).len(), 3);
        assert_eq!(marked(&watch.screen(LARGE, Colours::Off, NOW + 7)), [""; 0]);
    }

    #[test]
    fn what_comes_is_marked_and_another_size_marks_nothing() {
        let mut watch = watch(two_up());
        let narrow = Size { columns: 40, ..LARGE };
        assert_eq!(marked(&watch.screen(narrow, Colours::Off, NOW)), [""; 0]);
        watch.take(Ok(two_up()), NOW + 1);
        assert_eq!(marked(&watch.screen(LARGE, Colours::Off, NOW + 1)), [""; 0]);
        let mut more = two_up();
        more.services[1].servers.push(server("10.0.1.9:80", ServerState::Unknown, None));
        more.services[0].servers[0].operator = Some(OverrideStatus {
            target: "10.0.1.1:80".into(),
            what: "drain".into(),
            weight: Some(0),
            since: NOW,
            until: None,
            by: "root".into(),
            reason: String::new(),
        });
        watch.take(Ok(more), NOW + 2);
        let screen = watch.screen(narrow, Colours::Off, NOW + 2);
        let has = |text: &str| marked(&screen).iter().any(|line| line.starts_with(text));
        assert!(has("*  unknown  10.0.1.9:80") && has("*  drained  10.0.1.1:80"), "{screen:?}");
    }

    #[test]
    fn every_size_is_kept_to_and_the_smallest_says_how_many_are_down() {
        let mut report = one_down();
        report.services[0].servers[1].why = Some("x\u{1b}[2J".repeat(50));
        let mut watch = watch(report);
        for rows in 0..30 {
            for columns in [0, 1, 2, 20, 80, 200] {
                let screen = watch.screen(Size { rows, columns }, Colours::Off, NOW);
                assert!(screen.len() <= rows, "{rows} {columns} {screen:?}");
                let fits = |line: &String| line.chars().count() <= columns;
                assert!(screen.iter().all(fits), "{rows} {columns} {screen:?}");
                assert!(!screen.concat().contains('\u{1b}'));
            }
        }
        let one = watch.screen(Size { rows: 1, columns: 60 }, Colours::Off, NOW);
        assert_eq!(one, [" 2 services, 3 real servers: 1 down"]);
        let narrow = watch.screen(Size { rows: 1, columns: 20 }, Colours::Off, NOW);
        assert_eq!(narrow, [" 1 down of 3"]);
        let few = watch.screen(Size { rows: 4, columns: 20 }, Colours::Off, NOW);
        assert_eq!(
            few,
            [
                " 1 down of 3",
                " tcp 10.0.0.1:80 wrr",
                "   DOWN   10.0.1.2:8",
                " lines 1-3 of 6, arr",
            ]
        );
    }

    #[test]
    fn what_does_not_fit_is_scrolled_to() {
        let mut watch = watch(one_down());
        let size = Size { rows: 4, columns: 80 };
        let mut seen = |to| {
            watch.screen(size, Colours::Off, NOW);
            watch.scroll(to);
            let foot = watch.screen(size, Colours::Off, NOW).pop().expect("a last line");
            foot.split_whitespace().nth(1).map(str::to_owned)
        };
        for (to, lines) in [
            (Scroll::Up, "1-3"),
            (Scroll::Down, "2-4"),
            (Scroll::PageDown, "4-6"),
            (Scroll::Down, "4-6"),
            (Scroll::PageUp, "1-3"),
            (Scroll::End, "4-6"),
            (Scroll::Top, "1-3"),
        ] {
            assert_eq!(seen(to).as_deref(), Some(lines), "{to:?}");
        }
        // A larger terminal shows what had gone out at the top.
        watch.scroll(Scroll::End);
        let all = watch.screen(LARGE, Colours::Off, NOW);
        assert!(all[0].starts_with(" /etc/ha.d/web.cf") && all[23] == " q ends", "{all:?}");
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_told_beside_its_last_report() {
        let mut watch = watch(two_up());
        watch.take(Err("refused\u{7}".into()), NOW + 1);
        watch.take(Err("refused\u{7}".into()), NOW + 3);
        let screen = watch.screen(LARGE, Colours::Off, NOW + 4);
        assert_eq!(screen[23], " NO ANSWER for 3s: refused");
        assert!(screen[1].contains("3 real servers"));
        let one = watch.screen(Size { rows: 1, columns: 80 }, Colours::Off, NOW + 4);
        assert_eq!(one, [" NO ANSWER for 3s: refused"]);
        watch.take(Ok(two_up()), NOW + 5);
        assert_eq!(watch.screen(LARGE, Colours::Off, NOW + 5)[23], " q ends");
    }

    #[test]
    fn what_is_asked_for_and_not_there_is_said() {
        let down = Filter { down: true, ..Filter::default() };
        let mut watch = Watch::new(down, two_up(), NOW);
        let screen = watch.screen(LARGE, Colours::Off, NOW);
        assert!(screen.contains(&" no such real server is down".to_owned()), "{screen:?}");
        watch.take(Ok(one_down()), NOW + 1);
        let screen = watch.screen(LARGE, Colours::Off, NOW + 1);
        assert!(screen.iter().any(|line| line.starts_with("*  DOWN   10.0.1.2:80")), "{screen:?}");
        assert!(!screen.concat().contains("10.0.1.1:80"));
    }
}
