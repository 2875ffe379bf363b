//! What is wrong with a file: collected, put in order, and shown.

use super::ast::Place;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

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
}

/// Errors and warnings that are kept; nobody reads more.
const LIMIT: usize = 200;

/// Places that one note is shown for; the rest are counted.
const NOTES_OF_A_KIND: usize = 2;

impl Diagnostics {
    /// All, in order.
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

    pub(crate) fn append(&mut self, other: Self) {
        self.list.extend(other.list);
        self.list.sort_by_key(|diagnostic| diagnostic.found.key());
    }

    fn push(
        &mut self,
        severity: Severity,
        found: Found,
        place: Option<Place>,
        text: String,
    ) -> &mut Diagnostic {
        // The one beyond the limit is replaced by the next, so that there is one to return.
        self.list.truncate(LIMIT);
        self.list.push(Diagnostic { severity, place, text, hint: None, more: 0, found });
        self.list.last_mut().expect("one was pushed")
    }
}

impl Diagnostic {
    /// Adds what to do about it.
    pub(crate) fn hint(&mut self, hint: impl Into<Cow<'static, str>>) {
        self.hint = Some(hint.into());
    }

    /// The original's form: `Error [pid] reading file FILE at line N: text`.
    pub fn one_line(&self, pid: u32, path: &Path) -> String {
        let severity = match self.severity {
            Severity::Error => "Error",
            Severity::Warning | Severity::Note => "Warning",
        };
        let mut line = match &self.place {
            Some(place) => {
                format!(
                    "{severity} [{pid}] reading file {} at line {}: ",
                    path.display(),
                    place.line
                )
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
    pub fn snippet(&self, path: &Path, text: &str, renderer: &Renderer) -> Option<String> {
        let place = self.place.as_ref()?;
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
            .line_start(place.line)
            .path(origin.as_ref())
            .annotation(AnnotationKind::Primary.span(from..to));
        let mut group = Group::with_title(level.primary_title(title)).element(snippet);
        if let Some(hint) = self.hint.as_deref() {
            group = group.element(Level::HELP.message(hint));
        }
        Some(renderer.render(&[group]))
    }
}
