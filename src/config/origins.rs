//! Which file, and which line of it, a line of a configuration comes from.

use std::path::{Path, PathBuf};

/// The origins of all lines.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    /// The configuration's own file first.
    files: Vec<PathBuf>,
    /// Lines that follow one another in one file, by the first of them.
    runs: Vec<Run>,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    /// Of the configuration, from 1.
    first: usize,
    file: usize,
    /// Of the file, from 1.
    line: usize,
}

impl Run {
    fn line(self, line: usize) -> usize {
        self.line + line.saturating_sub(self.first)
    }
}

impl Origins {
    /// All of one file.
    pub(super) fn of_file(path: &Path) -> Self {
        Self { files: vec![path.to_owned()], runs: Vec::new() }
    }

    /// The next line is this one of a file.
    pub(super) fn push(&mut self, next: usize, file: usize, line: usize) {
        let goes_on = |run: &Run| run.file == file && run.line(next) == line;
        if !self.runs.last().is_some_and(goes_on) {
            self.runs.push(Run { first: next, file, line });
        }
    }

    pub(super) fn name_files(&mut self, files: impl Iterator<Item = PathBuf>) {
        self.files = files.collect();
    }

    /// Whether each line stands where it stands in the one file.
    pub(super) fn is_one_file(&self) -> bool {
        self.runs.is_empty()
    }

    fn run(&self, line: usize) -> Run {
        let after = self.runs.partition_point(|run| run.first <= line);
        let run = after.checked_sub(1).and_then(|last| self.runs.get(last));
        run.copied().unwrap_or(Run { first: 1, file: 0, line: 1 })
    }

    /// The file that this line of the configuration stands in, and its number there.
    pub fn of(&self, line: usize) -> (&Path, usize) {
        let run = self.run(line);
        (self.files.get(run.file).map_or(Path::new(""), PathBuf::as_path), run.line(line))
    }

    /// The line for a message: `line 5`, or `line 5 of conf.d/web.cf` if that is not the
    /// configuration's own file.
    pub fn name(&self, line: usize) -> String {
        let run = self.run(line);
        let number = run.line(line);
        match self.files.get(run.file).filter(|_| run.file > 0) {
            Some(file) => format!("line {number} of {}", file.display()),
            None => format!("line {number}"),
        }
    }
}
