//! Starting and ending real servers.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server has this long to come up, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// The addresses on which every server listens.
pub(crate) const LOOPBACKS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Installs what is missing of these packages.
pub(crate) fn install(packages: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deps");
    let status = Command::new(script).args(packages).status().unwrap();
    assert!(status.success(), "cannot install {packages:?}");
    assert!(nix::unistd::geteuid().is_root(), "these tests need root");
}

/// A port on which nobody listens, neither TCP nor UDP, neither IPv4 nor IPv6; a new one each time,
/// below those that the kernel gives to clients.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 50).unwrap() * 200 + 20_000;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        let free = |address| {
            TcpListener::bind((address, port)).is_ok() && UdpSocket::bind((address, port)).is_ok()
        };
        if LOOPBACKS.into_iter().all(free) {
            return port;
        }
    }
}

/// A directory for one server's files, which all users may read.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new(server: &str) -> Self {
        let directory = tempfile::Builder::new().prefix(&format!("{server}-")).tempdir().unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self(directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as text, for configurations.
    pub(crate) fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).unwrap();
        self.name(name)
    }

    /// A directory that anybody may write into.
    pub(crate) fn directory(&self, name: &str) -> String {
        fs::create_dir_all(self.path(name)).unwrap();
        fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o777)).unwrap();
        self.name(name)
    }

    /// Gives a file or directory to a user.
    pub(crate) fn give(&self, name: &str, user: &str) {
        run(Command::new("chown").arg("-R").arg(user).arg(self.path(name)));
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&text));
}

/// A running server; ended with all its children when it goes out of scope.
pub(crate) struct Server {
    process: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a server in the foreground; what it says goes into a file of its home.
    pub(crate) fn start(home: &Home, command: &mut Command) -> Self {
        let log = home.path("log");
        let out = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).process_group(0);
        let process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { process, log }
    }

    /// Waits until `ready`.
    pub(crate) fn wait(mut self, what: &str, ready: impl Fn() -> bool) -> Self {
        let begun = Instant::now();
        while !ready() {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: {ended:?}\n{}", self.said());
            assert!(begun.elapsed() < PATIENCE, "{what}: not ready\n{}", self.said());
            thread::sleep(Duration::from_millis(50));
        }
        self
    }

    /// Waits until both loopback addresses accept connections on these ports.
    pub(crate) fn wait_for_ports(self, what: &str, ports: &[u16]) -> Self {
        let connects = |port: u16| LOOPBACKS.into_iter().all(|ip| connects((ip, port).into()));
        self.wait(what, || ports.iter().copied().all(connects))
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _ = killpg(group, Signal::SIGTERM);
        let begun = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && begun.elapsed().as_secs() < 10 {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.said());
        }
    }
}

fn connects(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// A certification authority and a server certificate that it signed, for the name
/// `server.example`; file names.
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    pub(crate) fn new(home: &Home) -> Self {
        let authority_key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let authority = certificate("test authority", &authority_key, None);
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let server = certificate("server.example", &key, Some((&authority, &authority_key)));
        let files = Self {
            authority: home.path("ca.pem"),
            certificate: home.path("cert.pem"),
            key: home.path("key.pem"),
        };
        fs::write(&files.authority, authority.to_pem().unwrap()).unwrap();
        fs::write(&files.certificate, server.to_pem().unwrap()).unwrap();
        fs::write(&files.key, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).unwrap();
        files
    }
}

fn certificate(name: &str, key: &PKey<Private>, issuer: Option<(&X509, &PKey<Private>)>) -> X509 {
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(if issuer.is_some() { 2 } else { 1 }).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    match issuer {
        Some((certificate, signer)) => {
            builder.set_issuer_name(certificate.subject_name()).unwrap();
            let context = builder.x509v3_context(Some(certificate), None);
            let names = SubjectAlternativeName::new().dns(name).build(&context).unwrap();
            builder.append_extension(names).unwrap();
            builder.sign(signer, MessageDigest::sha256()).unwrap();
        }
        None => {
            builder.set_issuer_name(&subject).unwrap();
            let authority = BasicConstraints::new().critical().ca().build().unwrap();
            builder.append_extension(authority).unwrap();
            builder.sign(key, MessageDigest::sha256()).unwrap();
        }
    }
    builder.build()
}

/// The path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
