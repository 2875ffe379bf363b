//! Included files, on the disk.

use super::assemble::Library;
use super::source::{SIZE_LIMIT, Source, SourceError};
use std::path::{Path, PathBuf};

/// Files as they are.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

impl Library for Disk {
    fn read(&self, path: &Path) -> Result<Source, SourceError> {
        Source::read(path, SIZE_LIMIT)
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        matching(pattern)
    }
}

/// The files that a pattern matches, in alphabetical order. A name that begins with a dot is matched
/// only by a pattern that has the dot.
pub(super) fn matching(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let options = glob::MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..glob::MatchOptions::new()
    };
    let paths = glob::glob_with(pattern, options).map_err(|error| error.to_string())?;
    paths.map(|path| path.map_err(|error| error.error().to_string())).collect()
}
