//! The control sockets: a running daemon is asked what it knows, and told what to do.
//!
//! One request a connection, a line. The answer is a line, `ok` or `error` and the reason, then the text,
//! then the end. There are two sockets: one for every request, for root and the group of `controlgroup`, and
//! one for those that change nothing, also for the group `ldirectord`.

use super::request::{self, Request};
use crate::check::Deadline;
use crate::wait::ready;
use nix::poll::PollFlags;
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockType, UnixAddr, getsockopt, socket, sockopt::PeerCredentials,
};
use nix::unistd::{Gid, Uid};
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Clients that are served at a time; the next ones wait in the listener's queue.
const THREADS: usize = 4;

/// The same on the socket that only reads.
const READERS: usize = 2;

/// How long one client is served, from its first byte to our last.
const SERVICE: Duration = Duration::from_secs(5);

/// How long it may take to say what it wants.
const QUESTION: Duration = Duration::from_secs(1);

/// Bytes of an answer: a hundred thousand servers are far below.
const LIMIT: usize = 256 << 20;

/// Gives the answers: to what, to whom; the error is told in one line. It may take a moment, and is called on
/// one of the control threads.
pub type Answers = Box<dyn Fn(Request, Peer) -> Result<Vec<u8>, String> + Send + Sync>;

/// Who asks, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user.
    pub uid: Uid,
    /// The process.
    pub pid: i32,
}

/// Who may ask, beside root and the daemon's own user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Groups {
    /// The group that may ask what changes nothing.
    pub reading: Option<Gid>,
    /// The group that may ask everything.
    pub changing: Option<Gid>,
}

/// The two listening sockets; their files are removed when dropped.
#[derive(Debug)]
pub struct Control {
    paths: Sockets,
}

/// The paths of an instance's sockets. Who may connect is decided by the kernel, by their group and mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// For every request.
    pub all: PathBuf,
    /// For requests that change nothing.
    pub reading: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        // If somebody was quicker, they are gone all the same.
        let _ = fs::remove_file(&self.paths.all);
        let _ = fs::remove_file(&self.paths.reading);
    }
}

impl Control {
    /// Lets these groups ask from now on.
    pub fn allow(&self, groups: Groups) {
        let paths = [(&self.paths.all, groups.changing), (&self.paths.reading, groups.reading)];
        for (path, group) in paths {
            if let Err(error) = share(path, group) {
                log::warn!("{}: {error}", path.display());
            }
        }
    }
}

/// Listens for root and the daemon's own user, and for these groups. Answers from threads of its own:
/// a slow client keeps no other one waiting.
///
/// # Errors
/// When another daemon listens there, or a socket cannot be made.
pub fn serve(paths: Sockets, groups: Groups, answers: Answers) -> io::Result<Control> {
    if is_served(&paths.all) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let all = listen(&paths.all, groups.changing)?;
    // From here on, whatever fails, the files go.
    let control = Control { paths };
    let reading = listen(&control.paths.reading, groups.reading)?;
    let answers = Arc::new(answers);
    for (listener, may_change, threads) in [(all, true, THREADS), (reading, false, READERS)] {
        let shared = Arc::new(listener);
        for number in 0..threads {
            let (listener, answers) = (Arc::clone(&shared), Arc::clone(&answers));
            let thread = thread::Builder::new().name("control".into()).stack_size(256 * 1024);
            match thread.spawn(move || answer_all(&listener, may_change, &answers)) {
                Ok(_) => {}
                Err(error) if number == 0 => return Err(error),
                Err(error) => {
                    log::warn!("control socket: {number} threads instead of {threads}: {error}");
                    break;
                }
            }
        }
    }
    Ok(control)
}

/// A socket under its name once its group and mode are right: before, nobody can reach it.
fn listen(path: &Path, group: Option<Gid>) -> io::Result<UnixListener> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let private = directory.join("private");
    DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    // An earlier version kept it for root alone.
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&private)?;
    let first = private.join(name);
    match fs::remove_file(&first) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&first)?;
    share(&first, group)?;
    fs::rename(&first, path)?;
    Ok(listener)
}

/// Whoever may write to a socket may connect: this group, or nobody but its owner if it cannot be given.
fn share(path: &Path, group: Option<Gid>) -> io::Result<()> {
    let given = match group.map(|group| nix::unistd::chown(path, None, Some(group))) {
        None => false,
        Some(Ok(())) => true,
        Some(Err(error)) => {
            log::warn!("{}: {error}; only root may ask", path.display());
            false
        }
    };
    fs::set_permissions(path, Permissions::from_mode(if given { 0o660 } else { 0o600 }))
}

/// Whether somebody listens there. One whose queue is full does.
fn is_served(path: &Path) -> bool {
    match connect(path) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

fn answer_all(listener: &UnixListener, may_change: bool, answers: &Answers) {
    for client in listener.incoming() {
        let served = client.and_then(|client| answer(client, may_change, answers));
        if let Err(error) = served {
            log::debug!("control socket: {error}");
            // Out of descriptors, for example: not at once again.
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn answer(mut client: UnixStream, may_change: bool, answers: &Answers) -> io::Result<()> {
    client.set_nonblocking(true)?;
    let peer = getsockopt(&client, PeerCredentials)?;
    let line = read_line(&mut client, Deadline::after(QUESTION))?;
    let answer = match Request::parse(&line) {
        Ok(request) if request.changes() && !may_change => {
            Err("this socket only reads; use the other one".to_owned())
        }
        Ok(request) => answers(request, Peer { uid: Uid::from_raw(peer.uid()), pid: peer.pid() }),
        Err(why) => Err(why),
    };
    // The answer may have taken its time.
    let deadline = Deadline::after(SERVICE);
    match answer {
        Ok(text) => {
            write_all(&mut client, b"ok\n", deadline)?;
            write_all(&mut client, &text, deadline)
        }
        Err(why) => {
            let line = format!("error {}\n", why.replace('\n', " "));
            write_all(&mut client, line.as_bytes(), deadline)
        }
    }
}

impl Peer {
    /// The user's name, and that of who has logged in as somebody else before (`sudo`), if the kernel knows.
    /// Looking names up may take long where they are in a directory server, so only who needs them asks.
    pub fn name(&self) -> String {
        let user = |uid| {
            let user = nix::unistd::User::from_uid(uid).ok().flatten();
            user.map_or_else(|| format!("uid {uid}"), |user| user.name)
        };
        let login = fs::read_to_string(format!("/proc/{}/loginuid", self.pid)).ok();
        let login = login.and_then(|text| text.trim().parse().ok());
        match login {
            Some(login) if login != self.uid.as_raw() && login != u32::MAX => {
                format!("{} ({})", user(self.uid), user(Uid::from_raw(login)))
            }
            _ => user(self.uid),
        }
    }
}

/// What a client asks; as far as it has come, if it says no more.
fn read_line(client: &mut UnixStream, deadline: Deadline) -> io::Result<String> {
    let mut line = Vec::new();
    while line.len() < request::LONGEST && !line.contains(&b'\n') {
        let mut chunk = [0; request::LONGEST];
        match read(client, &mut chunk, deadline)? {
            0 => break,
            count => line.extend_from_slice(&chunk[..count]),
        }
    }
    line.truncate(request::LONGEST);
    Ok(String::from_utf8_lossy(line.split(|&byte| byte == b'\n').next().unwrap_or_default()).into())
}

/// Reads what there is, waiting for it until the deadline; the stream does not block.
fn read(stream: &mut UnixStream, buffer: &mut [u8], deadline: Deadline) -> io::Result<usize> {
    loop {
        deadline.remaining()?;
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready(&*stream, PollFlags::POLLIN, deadline.instant())?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Writes all of it until the deadline; the stream does not block.
fn write_all(stream: &mut UnixStream, mut bytes: &[u8], deadline: Deadline) -> io::Result<()> {
    while !bytes.is_empty() {
        deadline.remaining()?;
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready(&*stream, PollFlags::POLLOUT, deadline.instant())?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Connects without waiting: `WouldBlock` if the listener's queue is full. The stream does not block.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket.into())
}

/// Asks a running daemon, by the socket for everything, else by the one that only reads.
///
/// # Errors
/// When it does not listen, does not answer in time, or refuses.
pub fn ask(paths: &Sockets, request: &Request) -> io::Result<String> {
    ask_within(paths, request, request.patience())
}

/// The same by somebody who cannot wait so long.
///
/// # Errors
/// As [`ask`].
pub fn ask_within(paths: &Sockets, request: &Request, patience: Duration) -> io::Result<String> {
    let deadline = Deadline::after(patience);
    match ask_until(&paths.all, request, deadline) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !request.changes() => {
            ask_until(&paths.reading, request, deadline)
        }
        result => result,
    }
}

fn ask_until(path: &Path, request: &Request, deadline: Deadline) -> io::Result<String> {
    let mut stream = loop {
        match connect(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // A queue cannot be waited for.
                thread::sleep(Duration::from_millis(20).min(deadline.remaining()?));
            }
            result => break result?,
        }
    };
    write_all(&mut stream, request.line().as_bytes(), deadline)?;
    let mut answer = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match read(&mut stream, &mut chunk, deadline)? {
            0 => break,
            count => answer.extend_from_slice(&chunk[..count]),
        }
        if answer.len() > LIMIT {
            return Err(io::Error::other("the answer does not end"));
        }
    }
    let answer = String::from_utf8(answer)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the answer is no text"))?;
    match answer.split_once('\n') {
        Some(("ok", text)) => Ok(text.to_owned()),
        Some((error, _)) => {
            Err(io::Error::other(error.strip_prefix("error ").unwrap_or(error).to_owned()))
        }
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn answers() -> Answers {
        Box::new(|request, who| match request {
            Request::Status => Ok(format!("for {}", who.name()).into_bytes()),
            Request::Listing => Ok(b"IP Virtual Server\nx\n".to_vec()),
            _ => Err("line 7:\nnonsense".to_owned()),
        })
    }

    fn sockets(directory: &Path) -> Sockets {
        Sockets { all: directory.join("web.sock"), reading: directory.join("web.read.sock") }
    }

    fn serve_in(directory: &Path, answers: Answers) -> (Sockets, Control) {
        let paths = sockets(directory);
        let control = serve(paths.clone(), Groups::default(), answers).unwrap();
        (paths, control)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn questions_are_answered() {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run");
        let (paths, control) = serve_in(&run, answers());
        let own = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
        let status = ask(&paths, &Request::Status).unwrap();
        assert!(status.starts_with(&format!("for {own}")), "{status}");
        assert_eq!(ask(&paths, &Request::Listing).unwrap(), "IP Virtual Server\nx\n");
        let refused = ask(&paths, &Request::HandOver).unwrap_err();
        assert_eq!(refused.to_string(), "line 7: nonsense", "in one line");
        assert_eq!((mode(&paths.all), mode(&paths.reading)), (0o600, 0o600));
        assert!(
            serve(paths.clone(), Groups::default(), answers()).is_err(),
            "one daemon, one socket"
        );
        drop(control);
        assert!(!paths.all.exists() && !paths.reading.exists());
    }

    #[test]
    fn one_socket_only_reads_and_each_has_its_group() {
        let directory = tempfile::tempdir().unwrap();
        let (paths, control) = serve_in(directory.path(), answers());
        let ask_reading = |request: &Request| {
            ask_until(&paths.reading, request, Deadline::after(Duration::from_secs(5)))
        };
        assert!(ask_reading(&Request::Listing).is_ok());
        let refused = ask_reading(&Request::HandOver).unwrap_err();
        assert_eq!(refused.to_string(), "this socket only reads; use the other one");
        control.allow(Groups { reading: Some(nix::unistd::getegid()), changing: None });
        assert_eq!((mode(&paths.all), mode(&paths.reading)), (0o600, 0o660));
        control.allow(Groups::default());
        assert_eq!(mode(&paths.reading), 0o600);
    }

    #[test]
    fn a_dead_daemon_s_socket_is_replaced_and_bad_clients_harm_nobody() {
        let directory = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(sockets(directory.path()).all).unwrap());
        let (paths, _control) = serve_in(directory.path(), answers());
        let mut noise = UnixStream::connect(&paths.all).unwrap();
        noise.write_all(&[0xff; 5000]).unwrap();
        drop(noise);
        drop(UnixStream::connect(&paths.all).unwrap());
        let mut other = UnixStream::connect(&paths.all).unwrap();
        other.write_all(b"stop\n").unwrap();
        let mut text = String::new();
        other.read_to_string(&mut text).unwrap();
        assert_eq!(text, "error unknown request\n");
        assert!(ask(&paths, &Request::Listing).is_ok());
    }

    #[test]
    fn slow_clients_keep_no_other_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let long: Answers = Box::new(|_, _| Ok(vec![b'x'; 10 << 20]));
        let (paths, _control) = serve_in(directory.path(), long);
        // Silent, and dripping: as many as there are threads, and as many again.
        let slow: Vec<UnixStream> =
            (0..2 * THREADS).map(|_| UnixStream::connect(&paths.all).unwrap()).collect();
        let mut dripping: Vec<UnixStream> =
            slow.iter().map(|stream| stream.try_clone().unwrap()).collect();
        thread::spawn(move || {
            // A byte each 100 ms: a timeout of each read would never end them.
            for _ in 0..200 {
                dripping.iter_mut().skip(1).for_each(|stream| drop(stream.write(b"s")));
                thread::sleep(Duration::from_millis(100));
            }
        });
        let begun = Instant::now();
        assert!(ask(&paths, &Request::Listing).is_ok());
        assert!(begun.elapsed() < 2 * QUESTION + Duration::from_secs(1), "{:?}", begun.elapsed());
        // One that does not take its answer has a thread for itself, and the others go on.
        let mut deaf = UnixStream::connect(&paths.all).unwrap();
        deaf.write_all(b"listing\n").unwrap();
        let begun = Instant::now();
        assert!(ask(&paths, &Request::Listing).is_ok());
        assert!(begun.elapsed() < Duration::from_secs(1) + QUESTION, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_daemon_that_drips_or_does_not_accept_is_given_up_at_the_deadline() {
        let directory = tempfile::tempdir().unwrap();
        let path = sockets(directory.path()).all;
        let listener = UnixListener::bind(&path).unwrap();
        let patience = Duration::from_millis(500);
        let give_up = || {
            let begun = Instant::now();
            let deadline = Deadline::after(patience);
            let error = ask_until(&path, &Request::Status, deadline).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        };
        thread::scope(|scope| {
            let drip = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                while stream.write_all(b"ok\n").is_ok() {
                    thread::sleep(Duration::from_millis(100));
                }
            });
            give_up();
            drip.join().unwrap();
        });
        // Nobody accepts any more, and the queue is full.
        let mut queue = Vec::new();
        while let Ok(stream) = connect(&path) {
            queue.push(stream);
        }
        give_up();
        let again = serve(sockets(directory.path()), Groups::default(), answers());
        assert!(again.is_err(), "somebody listens, however slowly");
    }
}
