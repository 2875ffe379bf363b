//! What is wrong with a file: collected, put in order, and shown.

use super::ast::Place;
use super::origins::Origins;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write;
use std::path::PathBuf;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// A warning that the original gives too.
    Warning,
    /// A hazard that only this program warns of.
    Note,
}

/// One thing to say about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// Where; `None` if it is about no line.
    pub place: Option<Place>,
    /// What: for errors and warnings that the original has, its words.
    pub text: String,
    /// What to do about it.
    pub hint: Option<Cow<'static, str>>,
    /// How many more places of the file the same is true of.
    pub more: usize,
    found: Found,
}

/// When the original would have come upon it: at the end of a section, then at the line itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Found {
    /// At the end of the section that this line ends.
    SectionEnd(usize),
    /// At this line.
    Line(usize),
    /// After everything at this line: at the end of the file, or what only this program minds.
    After(usize),
    /// When all was read.
    End,
}

impl Found {
    fn key(self) -> (usize, u8) {
        match self {
            Self::SectionEnd(line) => (line, 0),
            Self::Line(line) => (line, 1),
            Self::After(line) => (line, 2),
            Self::End => (usize::MAX, 0),
        }
    }
}

/// Everything to say about a file, in the order in which the original would have found it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    left_out: [usize; 3],
}

/// Of each severity so many are kept, the first ones of the file; nobody reads more. Each has a limit
/// of its own, so that no number of warnings displaces an error.
const LIMIT: usize = 200;

/// Places that one note is shown for; the rest are counted.
const NOTES_OF_A_KIND: usize = 2;

impl Diagnostics {
    /// All that are kept, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// Whether the file is refused.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn error(
        &mut self,
        found: Found,
        place: &Place,
        text: impl Into<String>,
    ) -> &mut Diagnostic {
        self.push(Severity::Error, found, Some(place.clone()), text.into())
    }

    pub(crate) fn warning(&mut self, found: Found, place: Option<&Place>, text: impl Into<String>) {
        self.push(Severity::Warning, found, place.cloned(), text.into());
    }

    /// Only what makes the other file refused.
    pub(crate) fn append_errors(&mut self, mut other: Self) {
        other.list.retain(|diagnostic| diagnostic.severity == Severity::Error);
        other.left_out = [other.left_out[0], 0, 0];
        self.append(other);
    }

    /// Notes with the same hint are one kind, of which only a few are kept.
    pub(crate) fn note(
        &mut self,
        found: Found,
        place: &Place,
        text: impl Into<String>,
        hint: &'static str,
    ) {
        let mut same = self.list.iter_mut().filter(|other| other.hint.as_deref() == Some(hint));
        if let Some(last) = same.nth(NOTES_OF_A_KIND - 1) {
            last.more += 1;
            return;
        }
        self.push(Severity::Note, found, Some(place.clone()), text.into()).hint(hint);
    }

    /// A line about what is not kept, if that is anything.
    pub fn left_out(&self) -> Option<String> {
        let [errors, warnings, notes] = self.left_out;
        match (errors, warnings + notes) {
            (0, 0) => None,
            (0, warnings) => Some(format!("{warnings} more warnings are not shown")),
            (errors, 0) => Some(format!("{errors} more errors are not shown")),
            (errors, warnings) => {
                Some(format!("{errors} more errors and {warnings} more warnings are not shown"))
            }
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.list.extend(other.list);
        for (ours, theirs) in self.left_out.iter_mut().zip(other.left_out) {
            *ours += theirs;
        }
        self.put_in_order();
        for severity in [Severity::Error, Severity::Warning, Severity::Note] {
            self.keep_first(severity);
        }
    }

    /// What is said several times of one line, by sections that use one template, is said once.
    pub(crate) fn merge_same(&mut self, origins: &Origins) {
        if origins.is_one_file() {
            return;
        }
        let mut known: HashMap<(PathBuf, usize, String), usize> = HashMap::new();
        let list = std::mem::take(&mut self.list);
        for diagnostic in list {
            let Some(place) = &diagnostic.place else {
                self.list.push(diagnostic);
                continue;
            };
            let (path, line) = origins.of(place.line);
            match known.entry((path.to_owned(), line, diagnostic.text.clone())) {
                Entry::Occupied(first) => self.list[*first.get()].more += 1 + diagnostic.more,
                Entry::Vacant(first) => {
                    first.insert(self.list.len());
                    self.list.push(diagnostic);
                }
            }
        }
    }

    fn push(
        &mut self,
        severity: Severity,
        found: Found,
        place: Option<Place>,
        text: String,
    ) -> &mut Diagnostic {
        let same = self.list.iter().filter(|known| known.severity == severity).count();
        // Not at each one, so that a file full of mistakes is quick.
        if same >= 2 * LIMIT {
            self.put_in_order();
            self.keep_first(severity);
        }
        self.list.push(Diagnostic { severity, place, text, hint: None, more: 0, found });
        self.list.last_mut().expect("one was pushed")
    }

    fn put_in_order(&mut self) {
        self.list.sort_by_key(|diagnostic| diagnostic.found.key());
    }

    fn keep_first(&mut self, severity: Severity) {
        let mut seen = 0;
        self.list.retain(|diagnostic| {
            let counts = diagnostic.severity == severity;
            seen += usize::from(counts);
            !counts || seen <= LIMIT
        });
        self.left_out[severity as usize] += seen.saturating_sub(LIMIT);
    }
}

impl Diagnostic {
    /// Adds what to do about it.
    pub(crate) fn hint(&mut self, hint: impl Into<Cow<'static, str>>) {
        self.hint = Some(hint.into());
    }

    /// The original's form: `Error [pid] reading file FILE at line N: text`.
    pub fn one_line(&self, pid: u32, origins: &Origins) -> String {
        let severity = match self.severity {
            Severity::Error => "Error",
            Severity::Warning | Severity::Note => "Warning",
        };
        let mut line = match &self.place {
            Some(place) => {
                let (path, line) = origins.of(place.line);
                format!("{severity} [{pid}] reading file {} at line {line}: ", path.display())
            }
            None => format!("{severity} [{pid}]: "),
        };
        line.push_str(&self.text);
        if self.more > 0 {
            let _ = write!(line, " (and {} more like this)", self.more);
        }
        line
    }

    /// The line with the place underlined, and the hint; `None` if there is no line to show.
    pub fn snippet(&self, origins: &Origins, text: &str, renderer: &Renderer) -> Option<String> {
        let place = self.place.as_ref()?;
        let (path, number) = origins.of(place.line);
        let start = text[..place.span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[start..end].trim_end_matches('\r');
        let from = (place.span.start - start).min(line.len());
        let to = (place.span.end - start).clamp(from, line.len());
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning | Severity::Note => Level::WARNING,
        };
        let origin = path.to_string_lossy();
        let title = self.text.lines().next().unwrap_or_default();
        let snippet = Snippet::source(line)
            .line_start(number)
            .path(origin.as_ref())
            .annotation(AnnotationKind::Primary.span(from..to));
        let mut group = Group::with_title(level.primary_title(title)).element(snippet);
        if let Some(hint) = self.hint.as_deref() {
            group = group.element(Level::HELP.message(hint));
        }
        Some(renderer.render(&[group]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize) -> Place {
        Place { line, span: 0..0 }
    }

    /// Whatever comes before, between and after it, and whoever finds it.
    #[test]
    fn nothing_displaces_an_error_and_the_first_of_each_severity_are_kept() {
        const MANY: usize = 5 * LIMIT;
        for error_at in [0, LIMIT - 1, LIMIT, 3 * LIMIT + 1, MANY - 1] {
            for same_list in [true, false] {
                let mut all = Diagnostics::default();
                let mut more = Diagnostics::default();
                for line in 0..MANY {
                    all.warning(Found::Line(line), Some(&place(line)), "w");
                    all.push(Severity::Note, Found::Line(line), None, line.to_string());
                    if line == error_at {
                        let list = if same_list { &mut all } else { &mut more };
                        list.error(Found::Line(line), &place(line), "e").hint("hint");
                    }
                }
                all.append(more);
                assert!(all.has_errors(), "{error_at} {same_list}");
                let count = |severity| all.iter().filter(|it| it.severity == severity).count();
                assert_eq!(count(Severity::Error), 1);
                assert_eq!((count(Severity::Warning), count(Severity::Note)), (LIMIT, LIMIT));
                let left_out = format!("{} more warnings are not shown", 8 * LIMIT);
                assert_eq!(all.left_out(), Some(left_out));
            }
        }
    }

    #[test]
    fn the_first_error_of_the_file_is_kept_though_it_is_found_last() {
        let mut all = Diagnostics::default();
        for line in (1..=5 * LIMIT).rev() {
            all.error(Found::Line(line), &place(line), "e");
        }
        all.append(Diagnostics::default());
        let lines = all.iter().filter_map(|it| it.place.as_ref()).map(|place| place.line);
        assert!(lines.eq(1..=LIMIT));
        assert_eq!(all.left_out(), Some(format!("{} more errors are not shown", 4 * LIMIT)));
    }
}
