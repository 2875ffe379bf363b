//! A machine that has nothing left: no descriptor, no thread, no process. No check is a verdict then,
//! nothing panics, and all goes on when there is something again.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use ldirectord::alert::MonitorFiles;
use ldirectord::check::{self, CheckOutcome, Deadline, Failure, LookUps, Unresolved};
use ldirectord::daemon::execute::Instances;
use ldirectord::model::{
    CertificateCheck, CheckMethod, CheckPlan, Exchange, SERVICES, Script, Service, Step, Transport,
};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use support::plan::{With, exchange, plan};

const LONG: Duration = Duration::from_secs(20);

/// Set in the process that is starved.
const INSIDE: &str = "TEST_STARVED_INSIDE";

/// Runs a test of this name in a process of its own, since limits are the whole process's.
fn alone(name: &str, test: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// Does something with a lower limit; the caller may only lower it for a while.
fn limited<T>(resource: Resource, limit: rlim_t, act: impl FnOnce() -> T) -> T {
    let (soft, hard) = getrlimit(resource).unwrap();
    setrlimit(resource, limit, hard).unwrap();
    let result = act();
    setrlimit(resource, soft, hard).unwrap();
    result
}

fn without_descriptors<T>(act: impl FnOnce() -> T) -> T {
    // Whatever is open stays open, and nothing else can be opened: no number is left free below.
    let file = fs::File::open("/dev/null").unwrap();
    let next = file.as_raw_fd() as rlim_t;
    drop(file);
    limited(Resource::RLIMIT_NOFILE, next, act)
}

/// As a user whom the number of processes and threads is limited for: it is not for root.
fn without_threads<T>(act: impl FnOnce() -> T) -> T {
    limited(Resource::RLIMIT_NPROC, 1, act)
}

fn become_somebody() {
    if nix::unistd::geteuid().is_root() {
        nix::unistd::setuid(54_321.into()).unwrap();
    }
}

#[track_caller]
fn is_ours(what: &str, outcome: &CheckOutcome) {
    assert!(matches!(outcome, CheckOutcome::Down(Failure::Local(_))), "{what}: {outcome:?}");
}

fn script(command: &str) -> Script {
    Script {
        command: command.to_owned(),
        arguments: std::array::from_fn(|_| "x".to_owned()),
        user: None,
    }
}

/// An exchange for a service with everything that it asks for.
fn complete(service: Service) -> Exchange {
    Exchange { secret: "s".into(), database: "d".into(), ..exchange(service) }
        .request(match service {
            Service::Mysql | Service::Pgsql | Service::Oracle => "/SELECT 1",
            Service::HttpProxy => "http://192.0.2.1/",
            Service::Snmp => "1.3.6.1",
            Service::Udp => "00",
            _ => "/www",
        })
        .receive(".")
        .login("login", "passwd")
}

/// Every method, every service, over each transport.
fn plans(target: SocketAddr) -> Vec<(String, CheckPlan)> {
    let mut methods = vec![
        ("connect".to_owned(), CheckMethod::Connect),
        ("ping".to_owned(), CheckMethod::Ping { attempts: 2 }),
        ("external".to_owned(), CheckMethod::External(script("/bin/true"))),
        ("external-perl".to_owned(), CheckMethod::ExternalPerl(script("/dev/null"))),
    ];
    for row in SERVICES.iter().filter(|row| row.service != Service::None) {
        if row.service == Service::Oracle && !cfg!(feature = "oracle") {
            continue;
        }
        if row.service == Service::Mysql && !cfg!(feature = "mysql") {
            continue;
        }
        for transport in [Transport::Tcp, Transport::Udp] {
            let exchange = Exchange { transport, ..complete(row.service) };
            let method = CheckMethod::Negotiate(Arc::new(exchange));
            methods.push((format!("{} over {transport:?}", row.word), method));
        }
    }
    methods.into_iter().map(|(what, method)| (what, plan(method, target, LONG))).collect()
}

#[test]
fn without_a_descriptor_no_check_is_a_verdict() {
    alone("without_a_descriptor_no_check_is_a_verdict", || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let plans = plans(listener.local_addr().unwrap());
        assert!(plans.len() > 30);
        let outcomes = without_descriptors(|| {
            let run = |plan| check::run(plan, Step::Full, None, Deadline::after(LONG));
            plans.iter().map(|(what, plan)| (what, run(plan))).collect::<Vec<_>>()
        });
        outcomes.iter().for_each(|(what, outcome)| is_ours(what, outcome));
    });
}

/// A server of line protocols that has been connected to.
fn server(lines: &'static [(&'static str, &'static str)]) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    thread::spawn(move || {
        let mut line = String::new();
        loop {
            let answers = |word: &str| line.starts_with(word) && word.is_empty() == line.is_empty();
            let reply = lines.iter().find(|(word, _)| answers(word));
            if reply.is_some_and(|(_, reply)| stream.write_all(reply.as_bytes()).is_err()) {
                return;
            }
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
        }
    });
    client
}

#[test]
fn a_check_that_wants_a_descriptor_half_way_is_no_verdict() {
    alone("a_check_that_wants_a_descriptor_half_way_is_no_verdict", || {
        let moved: [&[(&str, &str)]; 2] = [
            &[(
                "GET",
                "HTTP/1.1 302 \r\nContent-Length: 0\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
            )],
            &[(
                "GET",
                "HTTP/1.1 302 \r\nContent-Length: 0\r\nLocation: http://www.example.org/\r\n\r\n",
            )],
        ];
        let file = tempfile::NamedTempFile::new().unwrap();
        let with_file = Exchange {
            ca_file: Some(file.path().to_owned()),
            ..exchange(Service::Https).certificate(CertificateCheck::Chain)
        };
        let cases = [
            ("a redirect", exchange(Service::Http), server(moved[0])),
            ("a redirect to a name", exchange(Service::Http), server(moved[1])),
            ("checkcafile", with_file, server(&[])),
            ("the search list", complete(Service::Dns), server(&[])),
            (
                "a file over ftp",
                complete(Service::Ftp),
                server(&[
                    ("", "220 hello\r\n"),
                    ("USER", "230 in\r\n"),
                    ("TYPE", "200 ok\r\n"),
                    ("PASV", "227 (127,0,0,1,4,1)\r\n"),
                ]),
            ),
        ];
        // OpenSSL opens its own files before.
        openssl_is_ready();
        let outcomes = without_descriptors(|| {
            cases.map(|(what, exchange, stream)| {
                let target = stream.peer_addr().unwrap();
                let plan = plan(CheckMethod::Negotiate(Arc::new(exchange)), target, LONG);
                (what, check::run(&plan, Step::Full, Some(stream), Deadline::after(LONG)))
            })
        });
        outcomes.iter().for_each(|(what, outcome)| is_ours(what, outcome));
    });
}

fn openssl_is_ready() {
    openssl::ssl::SslContextBuilder::new(openssl::ssl::SslMethod::tls_client()).unwrap();
}

#[test]
fn without_a_thread_or_process_no_check_is_a_verdict() {
    alone("without_a_thread_or_process_no_check_is_a_verdict", || {
        static LOOK_UPS: LookUps = LookUps::new(1);
        become_somebody();
        let external = CheckMethod::External(script("/bin/true"));
        let perl = CheckMethod::ExternalPerl(script("/dev/null"));
        let redirect = CheckMethod::Negotiate(Arc::new(exchange(Service::Http)));
        let moved = [(
            "GET",
            "HTTP/1.1 302 \r\nContent-Length: 0\r\nLocation: http://www.example.org/\r\n\r\n",
        )];
        let stream = server(Box::leak(Box::new(moved)));
        let target = stream.peer_addr().unwrap();
        let cases = [
            ("external", external, None),
            ("external-perl", perl, None),
            ("a name", redirect, Some(stream)),
        ];
        without_threads(|| {
            for (what, method, stream) in cases {
                let plan = plan(method, target, LONG);
                is_ours(what, &check::run(&plan, Step::Full, stream, Deadline::after(LONG)));
            }
            let asked = LOOK_UPS.addresses("localhost", 1, Deadline::after(LONG));
            assert!(matches!(asked, Err(Unresolved::NotAsked(_))), "{asked:?}");
        });
        assert!(LOOK_UPS.addresses("localhost", 1, Deadline::after(LONG)).is_ok());
    });
}

#[test]
fn instances_and_files_outlive_a_time_without_threads() {
    alone("instances_and_files_outlive_a_time_without_threads", || {
        become_somebody();
        let directory = tempfile::tempdir().unwrap();
        let (calls, lines) = (directory.path().join("calls"), directory.path().join("lines"));
        let program = directory.path().join("program");
        let write = r#"printf '#!/bin/sh\necho "$*" >> %s\n' "$1" > "$2" && chmod 755 "$2""#;
        let made = Command::new("sh").args(["-c", write, "sh"]).args([&calls, &program]).status();
        assert!(made.unwrap().success());
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut late = Instances::new(&program);
        let mut instances = Instances::new(&program);
        instances.set(&names(&["a"]));
        wait_for(&calls, "a start");
        // It has a thread, the others get none; and no command can be run either.
        let files = without_threads(|| {
            late.set(&names(&["x"]));
            instances.set(&names(&["a", "b", "c"]));
            thread::sleep(Duration::from_millis(300));
            MonitorFiles::start()
        });
        instances.set(&names(&["a", "b", "c", "d"]));
        late.set(&names(&["x", "y"]));
        for call in ["a reload", "b reload", "c reload", "d start", "x reload", "y start"] {
            wait_for(&calls, call);
        }
        instances.finish();
        late.finish();
        thread::sleep(Duration::from_millis(1100));
        files.append(&lines, "a line\n".to_owned());
        wait_for(&lines, "a line");
    });
}

#[track_caller]
fn wait_for(file: &Path, line: &str) {
    let patience = Instant::now() + LONG;
    while !fs::read_to_string(file).unwrap_or_default().lines().any(|it| it == line) {
        let seen = fs::read_to_string(file);
        assert!(Instant::now() < patience, "no {line} in {}: {seen:?}", file.display());
        thread::sleep(Duration::from_millis(10));
    }
}
