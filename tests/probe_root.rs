//! `probe` by root: whoever reads what a server says is behind the prober's walls.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use ldirectord::model::{CheckMethod, CheckPlan, ForwardingMethod, MARKS, ServicePath, Way};
use ldirectord::prober::{ProberOptions, Transcriber};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::certificate::chain;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ldirectord");

/// Far beyond what anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn status_of(pid: &str) -> Option<HashMap<String, String>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.split_whitespace().next().unwrap_or_default().to_owned()))
    };
    Some(status.lines().filter_map(line).collect())
}

/// The processes that hold the client's end of a connection to this port of 127.0.0.1.
fn connected_to(port: u16) -> Vec<String> {
    let remote = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets: Vec<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(2) == Some(&remote.as_str()))
        .map(|fields| format!("socket:[{}]", fields[9]))
        .collect();
    let holds = |pid: &str| {
        let held = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let held = held.filter_map(|entry| fs::read_link(entry.path()).ok());
        held.into_iter().any(|held| sockets.iter().any(|socket| held == Path::new(socket)))
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.bytes().all(|byte| byte.is_ascii_digit()).then_some(name)
    });
    pids.filter(|pid| holds(pid)).collect()
}

#[test]
fn the_process_that_reads_a_server_is_behind_the_walls() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.cf");
    let text = format!(
        "logfile=\"{}\"\nvirtual=192.0.2.1:25\n\treal={address} masq\n\tservice=smtp\n\
         \tnegotiatetimeout=60\n",
        directory.path().join("log").display()
    );
    fs::write(&file, text).unwrap();
    let mut probe = Command::new(PROGRAM)
        .arg(&file)
        .args(["probe", "--all"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut connection, client) = server.accept().unwrap();
    assert!(client.ip().is_loopback());
    // It waits for the greeting.
    let readers = connected_to(address.port());
    let own = std::process::id().to_string();
    let readers: Vec<String> = readers.into_iter().filter(|pid| *pid != own).collect();
    let [reader] = readers.as_slice() else { panic!("{readers:?}") };
    assert_ne!(*reader, probe.id().to_string());
    let status = status_of(reader).unwrap();
    let none = "0000000000000000";
    for (field, value) in [
        ("Name", "ldir-prober"),
        ("PPid", &*probe.id().to_string()),
        ("CapPrm", none),
        ("CapEff", none),
        ("CapBnd", none),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("Groups", ""),
    ] {
        assert_eq!(status[field], value, "{field}");
    }
    assert_ne!(status["Uid"], "0");
    let title = fs::read_to_string(format!("/proc/{reader}/cmdline")).unwrap();
    assert!(title.starts_with("ldirectord: prober for probe web.cf\0"), "{title}");
    assert_eq!(status_of(&probe.id().to_string()).unwrap()["Uid"], "0", "the other one is root");
    // Good-bye, in the middle of it: the prober ends with who started it.
    probe.kill().unwrap();
    probe.wait().unwrap();
    let patience = Instant::now() + PATIENCE;
    while status_of(reader).is_some_and(|status| status["State"] != "Z") {
        assert!(Instant::now() < patience, "the prober goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = connection.write_all(b"220 too late\r\n");
}

#[test]
fn a_checkcafile_for_root_only_is_read_all_the_same() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root");
    let directory = tempfile::tempdir().unwrap();
    let (authority, identity) = chain("www.example.com");
    let trusted = directory.path().join("trusted.pem");
    fs::write(&trusted, authority.certificate.to_pem().unwrap()).unwrap();
    fs::set_permissions(&trusted, PermissionsExt::from_mode(0o600)).unwrap();
    let (acceptor, server) = (identity.acceptor(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut stream = acceptor.accept(server.accept().unwrap().0).unwrap();
        let mut head = BufReader::new(&mut stream);
        let mut line = String::new();
        while head.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        let _ = stream.write_all(b"HTTP/1.1 204 Fine\r\n\r\n");
        let _ = stream.shutdown();
        let _ = stream.get_ref().read(&mut [0; 16]);
    });
    let file = directory.path().join("web.cf");
    let text = format!(
        "logfile=\"{}\"\nvirtual=192.0.2.1:443\n\treal={address} masq\n\tservice=https\n\
         \tcheckcafile=\"{}\"\n",
        directory.path().join("log").display(),
        trusted.display()
    );
    fs::write(&file, text).unwrap();
    let output = Command::new(PROGRAM).arg(&file).args(["probe", "--all"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("trusted (checkcertificate=chain)"), "{shown}");
    assert!(shown.ends_with("up: 204 Fine\n"), "{shown}");
    assert_eq!(output.status.code(), Some(0));
}

/// The prober may mark packets and choose their port, and reaches the virtual address by them; where
/// ip_vs would forward, this machine answers itself.
#[test]
fn checks_through_a_service_are_marked_and_leave_from_another_address() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root");
    let server = TcpListener::bind("127.0.0.5:0").unwrap();
    let target = server.local_addr().unwrap();
    let path = |address: [u8; 4], server: [u8; 4]| {
        let forwarding = ForwardingMethod::Gate;
        let (address, server) = (address.into(), server.into());
        let way = Way {
            source: None,
            path: Some(ServicePath { address, server, forwarding, mark: *MARKS.start() }),
        };
        let own = SocketAddr::new(server, target.port());
        Arc::new(CheckPlan { way, ..CheckPlan::new(own, CheckMethod::Connect) })
    };
    let plans = vec![path([127, 0, 0, 5], [127, 0, 0, 2]), path([127, 0, 0, 1], [127, 0, 0, 2])];
    let options = ProberOptions { program: PROGRAM.into(), ..ProberOptions::new("web.cf") };
    let transcriber = Transcriber::start(options, plans).unwrap();
    let mut all: Vec<_> = transcriber.round().into_iter().collect();
    all.sort_by_key(|one| one.plan);
    assert!(all[0].outcome.is_up(), "{all:?}");
    let (_, client) = server.accept().unwrap();
    assert_eq!(client.ip().to_string(), "127.0.0.1");
    assert!((32_768..61_000).contains(&client.port()), "{client}");
    let words = all[1].outcome.words();
    assert!(words.contains("would leave from the virtual address"), "{words}");
}
