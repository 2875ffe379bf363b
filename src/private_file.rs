//! Small state files that only this program writes and only it may have written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Reads a file of whole lines, less than `limit` bytes.
///
/// # Errors
/// When it is no regular file of this user, others may have written it, it is too long, or its last
/// line is cut off.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)?;
    check(&file)?;
    let mut text = String::new();
    let length = file.take(limit).read_to_string(&mut text)?;
    if length as u64 == limit {
        return Err(io::Error::other("too long"));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(io::Error::other("cut off"));
    }
    Ok(text)
}

fn check(file: &File) -> io::Result<()> {
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if about.uid() != nix::unistd::geteuid().as_raw() || about.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may have written it"));
    }
    Ok(())
}

/// Appends to a file that is there.
///
/// # Errors
/// As the system calls have them.
pub(crate) fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().append(true).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
    file.write_all(lines.as_bytes())
}

/// Writes a new file, which takes the old one's place: a crash leaves one of the two.
///
/// # Errors
/// As the system calls have them; the old file stays.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    // It may have to survive a power cut: the data before the name.
    file.sync_all()?;
    fs::rename(new, path)
}
