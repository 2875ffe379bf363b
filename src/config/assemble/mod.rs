//! `include`, `template` and `use`: a configuration of several files as one text, of which each line is known by
//! its file.

mod gather;
#[cfg(test)]
mod tests;

use super::ast::Place;
use super::diagnostic::{Diagnostics, Found};
use super::directive::{INCLUDE, TEMPLATE, USE, VIRTUAL, VIRTUAL6};
use super::fingerprint::{Files, Fingerprint};
use super::grammar::{assignment, note_unended};
use super::line::Line;
use super::origins::Origins;
use super::source::{SIZE_LIMIT, Source, SourceError, encode};
use gather::{Gathered, Problem, Read, gather};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// Templates that use one another, each within the one before.
const DEPTH: usize = 8;

/// Templates that one section may come to.
const TEMPLATES: usize = 64;

/// Where included files come from.
pub trait Library {
    /// The file's text.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &Path) -> Result<Source, SourceError>;

    /// The files that a pattern matches, in alphabetical order.
    ///
    /// # Errors
    /// In words, when it is no pattern or a directory cannot be read.
    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String>;
}

/// The files that a configuration includes.
#[derive(Debug, Clone, Default)]
pub struct Included {
    /// Each as it was read; `None` for one that could not be read.
    pub files: BTreeMap<PathBuf, Option<Fingerprint>>,
    /// The patterns that they were found by.
    pub patterns: BTreeSet<String>,
}

/// A configuration with all that it includes and uses.
#[derive(Debug)]
pub struct Assembled {
    /// The lines, each as it stands in its file.
    pub text: String,
    /// Where each line stands.
    pub origins: Origins,
    /// What is wrong with `include`, `template` and `use`.
    pub diagnostics: Diagnostics,
    /// The other files.
    pub included: Included,
    /// Lines at which another file begins or goes on: no section crosses them.
    pub(super) breaks: Vec<usize>,
    /// Lines that this module has followed.
    followed: Vec<usize>,
}

impl Assembled {
    fn new(origins: Origins) -> Self {
        Self {
            text: String::new(),
            origins,
            diagnostics: Diagnostics::default(),
            included: Included::default(),
            breaks: Vec::new(),
            followed: Vec::new(),
        }
    }

    /// One file that means the same: what has been followed is a comment.
    pub fn expanded(&self) -> Vec<u8> {
        let mut out = String::with_capacity(self.text.len() + 2 * self.followed.len());
        let mut followed = self.followed.iter().peekable();
        for (index, line) in self.text.split_inclusive('\n').enumerate() {
            if followed.next_if(|number| **number == index + 1).is_some() {
                out.push_str("# ");
            }
            out.push_str(line);
        }
        encode(&out)
    }

    /// The files to watch, of which this is the configuration's own.
    pub fn files(&self, config: Fingerprint) -> Files {
        let Included { files, patterns } = self.included.clone();
        Files { config, others: files, patterns }
    }
}

/// Puts a configuration together from its own text, the files that it includes and its templates.
/// What cannot be followed is told in [`Assembled::diagnostics`] and left out.
pub fn assemble(path: &Path, source: Source, library: &dyn Library) -> Assembled {
    let words = [INCLUDE.name, TEMPLATE.name, USE.name];
    let mut lines = source.text.lines().map(str::trim_start);
    if !lines.any(|line| words.iter().any(|word| line.starts_with(word))) {
        let origins = Origins::of_file(path);
        return Assembled { text: source.text, ..Assembled::new(origins) };
    }
    let gathered = gather(path, source, library);
    let mut assembling = Assembling {
        gathered: &gathered,
        heads: Vec::new(),
        out: Assembled::new(Origins::default()),
        line: 0,
        too_large: false,
    };
    assembling.lines();
    assembling.unused_templates();
    let mut out = assembling.out;
    out.origins.name_files(gathered.files.into_iter().map(|(path, _)| path));
    out.included = gathered.included;
    out
}

struct Assembling<'g> {
    gathered: &'g Gathered,
    /// The names of templates, and where they begin.
    heads: Vec<(&'g str, Place)>,
    out: Assembled,
    /// The number of the last line.
    line: usize,
    too_large: bool,
}

impl<'g> Assembling<'g> {
    fn lines(&mut self) {
        let gathered = self.gathered;
        let mut rest = gathered.lines.as_slice();
        let mut file = 0;
        while let [read, after @ ..] = rest {
            if read.file != file {
                file = read.file;
                self.out.breaks.push(self.line + 1);
            }
            let place = self.put(read);
            rest = after;
            let name = gathered.template(read);
            self.heads.extend(name.zip(place).filter(|_| read.problem.is_none()));
            if opens_section(gathered.line(read)) {
                let goes_on = |read: &&Read| read.file == file && !gathered.line(read).is_global();
                let length = rest.iter().take_while(goes_on).count();
                let (section, after) = rest.split_at(length);
                self.section(section);
                rest = after;
            }
        }
    }

    /// The lines of a section, after those of the templates that it uses, so that its own hold.
    fn section(&mut self, section: &'g [Read]) {
        let mut templates = Vec::new();
        let mut own = Vec::with_capacity(section.len());
        for read in section {
            let result = self
                .gathered
                .uses(read)
                .map(|names| add_templates(self.gathered, names, &mut templates, &mut Vec::new()));
            own.push((read, result.and_then(Result::err)));
        }
        for name in templates {
            for read in &self.gathered.templates[name] {
                if self.gathered.uses(read).is_none() {
                    self.put(read);
                }
            }
        }
        for (read, problem) in own {
            self.put(&read.with(problem));
        }
    }

    /// Adds a line, and returns where it is.
    fn put(&mut self, read: &Read) -> Option<Place> {
        let line = self.gathered.line(read);
        let at = self.out.text.len();
        if (at + line.raw.len()) as u64 > SIZE_LIMIT {
            // Told once, at the line that was too much; nothing is added that would be left open.
            if !std::mem::replace(&mut self.too_large, true) {
                let text =
                    format!("with its templates it is {}", SourceError::TooLarge(SIZE_LIMIT));
                let place = Place { line: self.line.max(1), span: at..at };
                self.out.diagnostics.error(Found::Line(self.line), &place, text);
            }
            return None;
        }
        self.line += 1;
        self.out.origins.push(self.line, read.file, read.number);
        self.out.text.push_str(line.raw);
        let content = line.content().trim_end();
        let place = Place { line: self.line, span: at..at + content.len() };
        if !line.raw.ends_with('\n') {
            note_unended(&mut self.out.diagnostics, content, &place);
            self.out.text.push('\n');
        }
        if let Some(Problem { text, hint }) = &read.problem {
            let error = self.out.diagnostics.error(Found::Line(self.line), &place, text.clone());
            error.hint = hint.map(Into::into);
        }
        if self.gathered.is_followed(read) {
            self.out.followed.push(self.line);
        }
        Some(place)
    }

    fn unused_templates(&mut self) {
        let lines = self.gathered.lines.iter().chain(self.gathered.templates.values().flatten());
        let used: HashSet<&str> =
            lines.filter_map(|read| self.gathered.uses(read)).flat_map(names).collect();
        for (name, place) in self.heads.iter().filter(|(name, _)| !used.contains(name)) {
            let text = format!("no virtual service uses template {name}");
            let hint = "nothing in it has been checked";
            self.out.diagnostics.note(Found::Line(place.line), place, text, hint);
        }
    }
}

/// Adds these templates, and before each those that it uses itself, unless they are there already.
fn add_templates<'g>(
    gathered: &'g Gathered,
    value: &'g str,
    templates: &mut Vec<&'g str>,
    within: &mut Vec<&'g str>,
) -> Result<(), Problem> {
    let mut found = false;
    for name in names(value) {
        found = true;
        let Some(template) = gathered.templates.get(name) else {
            return Err(format!("there is no template {name}").into());
        };
        if within.len() >= DEPTH {
            return Err(format!("templates use one another more than {DEPTH} deep").into());
        }
        if templates.len() >= TEMPLATES {
            return Err(format!("more than {TEMPLATES} templates").into());
        }
        if within.contains(&name) {
            return Err(format!("template {name} uses itself").into());
        }
        if templates.contains(&name) {
            continue;
        }
        within.push(name);
        for names in template.iter().filter_map(|read| gathered.uses(read)) {
            add_templates(gathered, names, templates, within)?;
        }
        within.pop();
        templates.push(name);
    }
    if found { Ok(()) } else { Err(USE.error.into()) }
}

/// The names in a value of `use`.
fn names(value: &str) -> impl Iterator<Item = &str> {
    value.split([',', ' ', '\t']).filter(|name| !name.is_empty())
}

fn opens_section(line: Line<'_>) -> bool {
    let name = assignment(line.content()).map(|(_, (name, _))| name);
    line.is_global() && name.is_ok_and(|name| [VIRTUAL.name, VIRTUAL6.name].contains(&name))
}
