//! Running a program as another user: `checkcommanduser`, `fallbackcommanduser`.
//!
//! The program itself is executed anew, takes the user's groups, his group and his number, and
//! executes the other program in its place. So all three are taken at once, by a process that does
//! nothing else; the standard library sets the number alone and drops all groups for it.

use crate::model::User;
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, dup2_stderr, getgroups, getresgid, getresuid};
use nix::unistd::{setgroups, setresgid, setresuid};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The argument that makes the program become a user: `--as-user UID GID GROUPS PROGRAM [ARGUMENT…]`.
/// Its standard error takes the number of the error, if there is one.
pub const ARGUMENT: &str = "--as-user";

/// The command that runs another one as this user, from the same directory, with his `HOME`, `USER`
/// and `LOGNAME`. Standard input, output and error are still to be said: what is written to standard
/// error, before the program runs, is for [`failure`].
pub fn wrap(command: &Command, user: &User) -> Command {
    let mut wrapped = Command::new("/proc/self/exe");
    let groups: Vec<String> = user.groups.iter().map(u32::to_string).collect();
    wrapped.arg0(command.get_program()).arg(ARGUMENT);
    wrapped.args([user.uid.to_string(), user.gid.to_string(), groups.join(",")]);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped.env("HOME", &user.home).env("USER", &user.name).env("LOGNAME", &user.name);
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

/// What standard error of a wrapped command says: `None` if the program runs.
pub fn failure(said: &[u8]) -> Option<io::Error> {
    match std::str::from_utf8(said).ok()?.trim().parse() {
        Ok(number) => Some(io::Error::from_raw_os_error(number)),
        Err(_) if said.is_empty() => None,
        Err(_) => Some(io::Error::other("it has not become another user")),
    }
}

/// Becomes the user and executes the program; returns only when that fails, with the words after
/// [`ARGUMENT`].
pub fn become_and_run(words: &[OsString]) -> io::Error {
    // A copy that is closed when the program runs, so that whoever reads hears its end.
    let report = io::stderr().as_fd().try_clone_to_owned();
    let error = match &report {
        Ok(_) => run(words),
        Err(error) => io::Error::from(error.kind()),
    };
    if let Ok(report) = report {
        tell(report, &error);
    }
    error
}

fn tell(report: OwnedFd, error: &io::Error) {
    let number = error.raw_os_error().unwrap_or(Errno::EINVAL as i32);
    // Nobody may be left to read it.
    let _ = std::fs::File::from(report).write_all(number.to_string().as_bytes());
}

fn run(words: &[OsString]) -> io::Error {
    let [uid, gid, groups, program, arguments @ ..] = words else {
        return io::ErrorKind::InvalidInput.into();
    };
    let prepared = numbers(uid, gid, groups)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
        .and_then(|(uid, gid, groups)| become_user(uid, gid, &groups))
        .and_then(|()| OpenOptions::new().write(true).open("/dev/null"))
        .and_then(|null| Ok(dup2_stderr(null)?));
    match prepared {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error,
    }
}

fn numbers(uid: &OsString, gid: &OsString, groups: &OsString) -> Option<(u32, u32, Vec<Gid>)> {
    let number = |text: &str| text.parse().ok();
    let groups = groups.to_str()?.split(',').filter(|group| !group.is_empty());
    let groups = groups.map(|group| number(group).map(Gid::from_raw)).collect::<Option<_>>()?;
    Some((number(uid.to_str()?)?, number(gid.to_str()?)?, groups))
}

fn become_user(uid: u32, gid: u32, groups: &[Gid]) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let (users, group) = (getresuid()?, getresgid()?);
    // Whoever is the user already needs no right to become him.
    if [users.real, users.effective, users.saved] == [uid; 3] && group.effective == gid {
        let has = getgroups()?;
        if groups.iter().all(|group| *group == gid || has.contains(group)) {
            return Ok(());
        }
    }
    setgroups(groups)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_the_error() {
        assert!(failure(b"").is_none());
        assert_eq!(failure(b"2").and_then(|error| error.raw_os_error()), Some(2));
        assert!(failure(b"junk").is_some());
    }

    #[test]
    fn words_are_numbers_or_nothing() {
        let words = |words: [&str; 3]| {
            let [uid, gid, groups] = words.map(OsString::from);
            numbers(&uid, &gid, &groups).map(|(uid, gid, groups)| (uid, gid, groups.len()))
        };
        assert_eq!(words(["1", "2", "2,3"]), Some((1, 2, 2)));
        assert_eq!(words(["1", "2", ""]), Some((1, 2, 0)));
        for wrong in [["-1", "2", ""], ["1", "x", ""], ["1", "2", "3,y"]] {
            assert_eq!(words(wrong), None, "{wrong:?}");
        }
    }
}
