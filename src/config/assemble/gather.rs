//! The lines of a configuration and of the files that it includes, with the templates taken out.

use super::super::directive::{INCLUDE, Row, TEMPLATE, USE};
use super::super::fingerprint::Stamp;
use super::super::grammar::assignment;
use super::super::line::{Line, without_comment};
use super::super::source::{SIZE_LIMIT, Source, SourceError};
use super::super::value::Position;
use super::{Included, Library};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Files that include one another, each within the one before.
const DEPTH: usize = 8;

/// Files that one configuration may include.
const FILES: usize = 4096;

/// A line that was read.
#[derive(Debug, Clone)]
pub(super) struct Read {
    /// Its file's place in [`Gathered::files`].
    pub(super) file: usize,
    /// From 1.
    pub(super) number: usize,
    span: Range<usize>,
    /// What is wrong with the `include`, `template` or `use` in it.
    pub(super) problem: Option<Problem>,
}

impl Read {
    pub(super) fn with(&self, problem: Option<Problem>) -> Self {
        Self { problem, ..self.clone() }
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) text: String,
    pub(super) hint: Option<&'static str>,
}

impl<T: Into<String>> From<T> for Problem {
    fn from(text: T) -> Self {
        Self { text: text.into(), hint: None }
    }
}

/// All that was read.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) files: Vec<(PathBuf, Rc<str>)>,
    /// In order, without those in templates.
    pub(super) lines: Vec<Read>,
    /// The lines of each template.
    pub(super) templates: BTreeMap<String, Vec<Read>>,
    pub(super) included: Included,
}

impl Gathered {
    pub(super) fn line(&self, read: &Read) -> Line<'_> {
        Line { number: read.number, raw: &self.files[read.file].1[read.span.clone()] }
    }

    /// The value of `use`, if this line of a section is one.
    pub(super) fn uses(&self, read: &Read) -> Option<&str> {
        let line = self.line(read);
        (!line.is_passed_over()).then(|| value_of(&USE, line, Position::Section))?
    }

    /// The name of the template, if this line begins one.
    pub(super) fn template(&self, read: &Read) -> Option<&str> {
        let line = self.line(read);
        line.is_global().then(|| value_of(&TEMPLATE, line, Position::Global))?
    }

    /// Whether the line has been followed.
    pub(super) fn is_followed(&self, read: &Read) -> bool {
        let line = self.line(read);
        let include = || value_of(&INCLUDE, line, Position::Global).is_some();
        match line.is_global() {
            true => include() || self.template(read).is_some(),
            false => self.uses(read).is_some(),
        }
    }
}

pub(super) fn gather(path: &Path, source: Source, library: &dyn Library) -> Gathered {
    let mut gathering = Gathering {
        library,
        gathered: Gathered::default(),
        heads: BTreeMap::new(),
        within: Vec::new(),
        size: 0,
    };
    gathering.file(path, source);
    gathering.gathered
}

struct Gathering<'l> {
    library: &'l dyn Library,
    gathered: Gathered,
    /// The file and line at which each template begins.
    heads: BTreeMap<String, (usize, usize)>,
    /// The files that are being read, the innermost last.
    within: Vec<Option<Stamp>>,
    /// Bytes of all files.
    size: u64,
}

/// Where the lines of a file go.
enum Target {
    Configuration,
    Template(String),
    /// They are those of a template in error.
    Nowhere,
}

impl Gathering<'_> {
    fn file(&mut self, path: &Path, source: Source) {
        self.within.push(source.stamp);
        self.size += source.text.len() as u64;
        let file = self.gathered.files.len();
        let text: Rc<str> = source.text.into();
        self.gathered.files.push((path.to_owned(), Rc::clone(&text)));
        let mut target = Target::Configuration;
        let mut start = 0;
        for (index, raw) in text.split_inclusive('\n').enumerate() {
            let line = Line { number: index + 1, raw };
            let span = start..start + raw.len();
            start = span.end;
            let mut read = Read { file, number: line.number, span, problem: None };
            if !line.is_global() {
                match &target {
                    Target::Configuration => self.gathered.lines.push(read),
                    Target::Template(name) => {
                        self.gathered.templates.entry(name.clone()).or_default().push(read);
                    }
                    Target::Nowhere => {}
                }
                continue;
            }
            target = Target::Configuration;
            if let Some(value) = value_of(&INCLUDE, line, Position::Global) {
                let at = self.gathered.lines.len();
                self.gathered.lines.push(read);
                self.gathered.lines[at].problem = self.include(path, value).err();
            } else if let Some(name) = value_of(&TEMPLATE, line, Position::Global) {
                read.problem = self.template_problem(&read, name);
                target = match &read.problem {
                    Some(_) => Target::Nowhere,
                    None => Target::Template(name.to_owned()),
                };
                if read.problem.is_none() {
                    self.gathered.templates.insert(name.to_owned(), Vec::new());
                    self.heads.insert(name.to_owned(), (file, line.number));
                }
                self.gathered.lines.push(read);
            } else {
                self.gathered.lines.push(read);
            }
        }
        self.within.pop();
    }

    fn include(&mut self, from: &Path, value: &str) -> Result<(), Problem> {
        if value.is_empty() {
            return Err(INCLUDE.error.into());
        }
        let directory = from.parent().unwrap_or(Path::new(""));
        // Absolute, because a daemon leaves the directory that it was started in.
        let path = std::path::absolute(directory.join(value))
            .map_err(|error| cannot_include(value, error))?;
        if !value.contains(['*', '?', '[']) {
            return self.include_file(&path);
        }
        let Some(pattern) = path.to_str() else {
            return Err(cannot_include(value, "not UTF-8"));
        };
        let paths = self.library.matching(pattern).map_err(|error| cannot_include(value, error))?;
        self.gathered.included.patterns.insert(pattern.to_owned());
        paths.iter().try_for_each(|path| self.include_file(path))
    }

    fn include_file(&mut self, path: &Path) -> Result<(), Problem> {
        let shown = path.display();
        if self.within.len() > DEPTH {
            let text = format!("files include one another more than {DEPTH} deep");
            return Err(cannot_include(&shown, text));
        }
        let files = &mut self.gathered.included.files;
        if files.len() >= FILES {
            return Err(cannot_include(&shown, format!("more than {FILES} files")));
        }
        let read = self.library.read(path);
        files.insert(path.to_owned(), read.as_ref().ok().map(Source::fingerprint));
        let source = read.map_err(|error| cannot_include(&shown, error))?;
        let includes = |outer: &Option<Stamp>| {
            outer.zip(source.stamp).is_some_and(|(outer, inner)| outer.is_same_file(&inner))
        };
        if self.within.iter().any(includes) {
            let text = format!("{shown} includes itself");
            let hint = Some("does a pattern match the file that it stands in?");
            return Err(Problem { text, hint });
        }
        if self.size + source.text.len() as u64 > SIZE_LIMIT {
            return Err(cannot_include(shown, SourceError::TooLarge(SIZE_LIMIT)));
        }
        self.file(path, source);
        Ok(())
    }

    fn template_problem(&self, head: &Read, name: &str) -> Option<Problem> {
        let is_name_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || !name.chars().all(is_name_part) {
            return Some(TEMPLATE.error.into());
        }
        let (file, line) = *self.heads.get(name)?;
        let of = match file == head.file {
            true => String::new(),
            false => format!(" of {}", self.gathered.files[file].0.display()),
        };
        Some(format!("template {name} is defined already, at line {line}{of}").into())
    }
}

fn cannot_include(what: impl Display, why: impl Display) -> Problem {
    format!("cannot include {what}: {why}").into()
}

/// The value of this directive, without a comment and quotes, if the line is one.
fn value_of<'t>(row: &Row, line: Line<'t>, position: Position) -> Option<&'t str> {
    let (_, (name, value)) = assignment(line.content()).ok()?;
    if name != row.name {
        return None;
    }
    let value = without_comment(row, position, value).trim();
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    Some(unquoted.unwrap_or(value))
}
