//! Programs that are to be run, and files that are to be written; none is run, opened or made.

use crate::doctor::facts::{Program, Surroundings};
use crate::doctor::rules::{commands, log_file, state_directories};
use crate::model::Model;
use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, eaccess};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The commands that the configuration names.
pub(super) fn programs(model: &Model) -> BTreeMap<String, Program> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&search).collect();
    let state = |name: String| {
        let state = program(&name, &directories);
        (name, state)
    };
    commands(model).into_iter().map(|named| state(named.program)).collect()
}

fn program(name: &str, directories: &[PathBuf]) -> Program {
    let of_path = |path: &Path| match path.metadata() {
        Ok(it) if it.is_file() && it.permissions().mode() & 0o111 != 0 => Program::Fine,
        Ok(_) => Program::NotExecutable,
        Err(_) => Program::Missing,
    };
    if name.contains('/') {
        return of_path(Path::new(name));
    }
    let fine = directories.iter().any(|it| of_path(&it.join(name)) == Program::Fine);
    if fine { Program::Fine } else { Program::Missing }
}

/// Whether a program of this name is in a directory of PATH or one of the system's.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    let candidates = std::env::split_paths(&search).chain(system).map(|it| it.join(name));
    let mut candidates = candidates.filter(|path| path.is_absolute());
    candidates.find(|path| program(&path.to_string_lossy(), &[]) == Program::Fine)
}

/// What the daemon or its hook could not write.
pub(super) fn unwritable(model: &Model, surroundings: &Surroundings) -> BTreeMap<PathBuf, String> {
    let mut obstacles = BTreeMap::new();
    let mut note = |path: &Path, obstacle: Option<String>| {
        if let Some(why) = obstacle {
            obstacles.insert(path.to_owned(), why);
        }
    };
    if let Some(path) = log_file(&model.settings) {
        note(path, file_obstacle(path));
    }
    let pid_file = &surroundings.pid_file;
    let is_link = pid_file.is_symlink().then(|| "it is a symbolic link".to_owned());
    note(pid_file, is_link.or_else(|| file_obstacle(pid_file)));
    for path in [&surroundings.runtime, &surroundings.state] {
        note(path, directory_obstacle(path));
    }
    for path in state_directories(model) {
        note(&path, directory_obstacle(&path));
    }
    obstacles
}

/// Why a file cannot be written or made; its directory has to be there.
fn file_obstacle(path: &Path) -> Option<String> {
    if path.is_dir() {
        return Some("it is a directory".to_owned());
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let result = match eaccess(path, AccessFlags::W_OK) {
        // A socket or device, like /dev/log, is not made by who writes to it.
        Err(Errno::ENOENT) if directory == Path::new("/dev") => Err(Errno::ENOENT),
        Err(Errno::ENOENT) => eaccess(directory, AccessFlags::W_OK | AccessFlags::X_OK),
        result => result,
    };
    result.err().map(|errno| errno.desc().to_owned()).or_else(|| full(directory))
}

/// Why nothing can be made in a directory that is made itself if it is missing.
fn directory_obstacle(path: &Path) -> Option<String> {
    let existing = path.ancestors().find(|it| it.symlink_metadata().is_ok())?;
    if !existing.is_dir() {
        return Some(format!("{} is no directory", existing.display()));
    }
    let result = eaccess(existing, AccessFlags::W_OK | AccessFlags::X_OK);
    result.err().map(|errno| errno.desc().to_owned()).or_else(|| full(existing))
}

fn full(directory: &Path) -> Option<String> {
    let space = statvfs(directory).ok()?;
    let no_blocks = space.blocks() > 0 && space.blocks_available() == 0;
    // A file system that makes them as it needs has none to count.
    let no_files = space.files() > 0 && space.files_available() == 0;
    (no_blocks || no_files).then(|| "there is no space left".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_program_is_there_and_executable_by_its_path_or_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (name, mode) in [("good", 0o755), ("plain", 0o644)] {
            fs::write(at(name), "").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let directories = [directory.path().to_owned()];
        for (name, state) in [
            (at("good").display().to_string(), Program::Fine),
            (at("plain").display().to_string(), Program::NotExecutable),
            (directory.path().display().to_string(), Program::NotExecutable),
            (at("none").display().to_string(), Program::Missing),
            ("good".to_owned(), Program::Fine),
            ("plain".to_owned(), Program::Missing),
            ("none".to_owned(), Program::Missing),
        ] {
            assert_eq!(program(&name, &directories), state, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_written_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "").unwrap();
        for path in ["file", "new"] {
            assert_eq!(file_obstacle(&at(path)), None, "{path}");
        }
        assert_eq!(file_obstacle(directory.path()).as_deref(), Some("it is a directory"));
        assert!(file_obstacle(&at("no/file")).unwrap().contains("No such file"));
        assert!(file_obstacle(Path::new("/dev/no-such-socket")).unwrap().contains("No such file"));
        assert_eq!(directory_obstacle(directory.path()), None);
        assert_eq!(directory_obstacle(&at("is/made")), None);
        assert!(directory_obstacle(&at("file/x")).unwrap().contains("is no directory"));
    }
}
