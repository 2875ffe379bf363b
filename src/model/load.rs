//! A file to a model, in one step.

use super::look_ups::{LookedUp, build_again, build_side_by_side};
use super::{Model, Resolver};
use crate::config::{
    Assembled, Ast, Diagnostics, Disk, Files, Origins, SIZE_LIMIT, Severity, Source, SourceError,
    assemble, at_rest, parse_assembled,
};
use annotate_snippets::Renderer;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration that was accepted.
#[derive(Debug)]
pub struct Loaded {
    /// What it means.
    pub model: Model,
    /// What there is to say about it: warnings only.
    pub report: Report,
    /// The names and definitions in it, as they were found.
    pub looked_up: LookedUp,
}

/// What there is to say about a file, with all that is needed to show it.
#[derive(Debug)]
pub struct Report {
    /// The file, as the messages are to name it.
    pub path: PathBuf,
    /// Errors, warnings and notes.
    pub diagnostics: Diagnostics,
    /// It and those that it names, as they were read.
    pub files: Box<Files>,
    /// With all that it includes.
    assembled: Arc<Assembled>,
}

/// A configuration that was not accepted.
#[derive(Debug)]
pub enum LoadError {
    /// It could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: SourceError,
    },
    /// It has errors.
    Refused(Report),
}

/// Reads, parses and resolves a file that is about to be put into force; see [`at_rest`].
///
/// # Errors
/// When it cannot be read, or has errors; all of them are in the report.
pub fn load(path: &Path, resolver: &dyn Resolver) -> Result<Loaded, LoadError> {
    load_by(path, || Source::read(path, SIZE_LIMIT), resolver)
}

/// [`load`] for a text that has been read already; `path` is for messages.
///
/// # Errors
/// When it has errors, or the files that it includes do not come to rest.
pub fn load_source(
    path: &Path,
    source: Source,
    resolver: &dyn Resolver,
) -> Result<Loaded, LoadError> {
    load_by(path, || Ok(source.clone()), resolver)
}

fn load_by(
    path: &Path,
    read: impl Fn() -> Result<Source, SourceError>,
    resolver: &dyn Resolver,
) -> Result<Loaded, LoadError> {
    let read = || Ok(Attempt::at(path, read()?, resolver));
    at_rest(path, read)
        .map_err(|cause| LoadError::Unreadable { path: path.to_owned(), cause })?
        .accepted()
}

/// The text of a configuration that is in force, kept for its names: they can be followed whatever
/// becomes of its files.
#[derive(Debug)]
pub struct TextInForce {
    path: PathBuf,
    files: Files,
    assembled: Arc<Assembled>,
    looked_up: LookedUp,
}

impl TextInForce {
    /// Resolves it anew: followed names have the addresses that they have now, or keep those they
    /// had. All other names are as they were.
    ///
    /// # Errors
    /// When it has errors now: a file that it names is gone.
    pub fn again(&self, resolver: &dyn Resolver) -> Result<Loaded, LoadError> {
        let build = |ast: &Ast<'_>| build_again(ast, &self.looked_up, resolver);
        let assembled = Arc::clone(&self.assembled);
        Attempt::of(&self.path, assembled, self.files.clone(), build).accepted()
    }
}

impl Loaded {
    /// The text, if it has names to follow.
    pub fn text_in_force(&self) -> Option<TextInForce> {
        if self.looked_up.followed().is_empty() {
            return None;
        }
        let Report { path, files, assembled, .. } = &self.report;
        Some(TextInForce {
            path: path.clone(),
            files: (**files).clone(),
            assembled: Arc::clone(assembled),
            looked_up: self.looked_up.clone(),
        })
    }
}

/// What files mean that may be in the middle of a change.
struct Attempt {
    model: Option<Model>,
    report: Report,
    looked_up: LookedUp,
}

impl Attempt {
    fn at(path: &Path, source: Source, resolver: &dyn Resolver) -> Self {
        let config = source.fingerprint();
        let assembled = Arc::new(assemble(path, source, &Disk));
        let files = assembled.files(config);
        Self::of(path, assembled, files, |ast| build_side_by_side(ast, resolver))
    }

    fn of(
        path: &Path,
        assembled: Arc<Assembled>,
        files: Files,
        build: impl FnOnce(&Ast<'_>) -> (Option<Model>, Diagnostics, LookedUp),
    ) -> Self {
        let (ast, mut diagnostics) = parse_assembled(&assembled);
        let (model, more, looked_up) = build(&ast);
        diagnostics.append(more);
        drop(ast);
        diagnostics.merge_same(&assembled.origins);
        let mut files = Box::new(files);
        files.others.extend(looked_up.definitions());
        let report = Report { path: path.to_owned(), diagnostics, files, assembled };
        Self { model, report, looked_up }
    }

    fn accepted(self) -> Result<Loaded, LoadError> {
        let Self { model, report, looked_up } = self;
        match model {
            Some(model) if !report.diagnostics.has_errors() => {
                Ok(Loaded { model, report, looked_up })
            }
            _ => Err(LoadError::Refused(report)),
        }
    }
}

impl AsRef<Files> for Attempt {
    fn as_ref(&self) -> &Files {
        &self.report.files
    }
}

impl Report {
    /// Everything, for standard error: each in the original's form, errors also with the line and
    /// the place in it.
    pub fn render(&self, pid: u32, renderer: &Renderer) -> String {
        let mut out = String::new();
        for diagnostic in self.diagnostics.iter() {
            out.push_str(&diagnostic.one_line(pid, self.origins()));
            out.push('\n');
            if let Some(snippet) =
                diagnostic.snippet(self.origins(), &self.assembled.text, renderer)
            {
                out.push_str(&snippet);
                out.push_str("\n\n");
            }
        }
        if let Some(line) = self.left_out(pid) {
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    /// Everything in the original's form, one message each, for the log.
    pub fn messages(&self, pid: u32) -> impl Iterator<Item = String> {
        self.of(pid, |_| true).chain(self.left_out(pid))
    }

    /// The warnings, as [`Report::messages`].
    pub fn warnings(&self, pid: u32) -> impl Iterator<Item = String> {
        self.of(pid, |severity| severity != Severity::Error).chain(self.left_out(pid))
    }

    /// The errors, as [`Report::messages`].
    pub fn errors(&self, pid: u32) -> impl Iterator<Item = String> {
        self.of(pid, |severity| severity == Severity::Error)
    }

    fn of(&self, pid: u32, wanted: fn(Severity) -> bool) -> impl Iterator<Item = String> {
        let chosen = self.diagnostics.iter().filter(move |it| wanted(it.severity));
        chosen.map(move |diagnostic| diagnostic.one_line(pid, self.origins()))
    }

    /// Where the lines come from that its diagnostics name.
    pub fn origins(&self) -> &Origins {
        &self.assembled.origins
    }

    /// The configuration as one file; see [`Assembled::expanded`].
    pub fn expanded(&self) -> Vec<u8> {
        self.assembled.expanded()
    }

    fn left_out(&self, pid: u32) -> Option<String> {
        self.diagnostics.left_out().map(|line| format!("Warning [{pid}]: {line}"))
    }
}

impl LoadError {
    /// The line at which the original stops reading: that of the first error.
    pub fn line(&self) -> Option<usize> {
        let Self::Refused(report) = self else { return None };
        let mut errors = report.diagnostics.iter().filter(|it| it.severity == Severity::Error);
        errors.next().and_then(|error| error.place.as_ref()).map(|place| place.line)
    }

    /// As [`Report::render`].
    pub fn render(&self, pid: u32, renderer: &Renderer) -> String {
        match self {
            Self::Refused(report) => report.render(pid, renderer),
            Self::Unreadable { .. } => self.messages(pid).map(|message| message + "\n").collect(),
        }
    }

    /// As [`Report::messages`].
    pub fn messages(&self, pid: u32) -> Box<dyn Iterator<Item = String> + '_> {
        match self {
            Self::Refused(report) => Box::new(report.messages(pid)),
            Self::Unreadable { path, .. } => Box::new(std::iter::once(format!(
                "Error [{pid}]: can not open file {}",
                path.display()
            ))),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, cause } => write!(f, "read {}: {cause}", path.display()),
            Self::Refused(report) => write!(f, "{} has errors", report.path.display()),
        }
    }
}

impl std::error::Error for LoadError {}
