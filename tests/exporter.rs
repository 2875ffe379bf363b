//! The exporter beside daemons that run, are gone, come back, lie or say nothing, and with clients that are
//! slow, rude or many.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

#[path = "support/exporter.rs"]
mod exporter;
#[path = "support/sandbox.rs"]
mod sandbox;

use exporter::Exporter;
use sandbox::{Sandbox, wait_for};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

const CONFIG: &str = "checkinterval=1
virtual=10.9.0.1:80
    real=127.0.0.2:80 masq
    real=127.0.0.3:80 masq
    checktype=on
virtual=10.9.0.2:80
    real=127.0.0.4:81 masq
    fallback=127.0.0.1:80 masq
    checktype=connect
";

fn machine() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::write(sandbox.seen("/etc/ha.d/web.cf"), CONFIG).unwrap();
    sandbox.ldirectord("--table memory web.cf start").expect(0, "", "");
    sandbox
}

#[test]
fn a_daemon_is_shown_and_so_is_that_it_is_gone_and_back() {
    let machine = machine();
    let exporter = Exporter::start(&machine.seen("/run/ldirectord-rs"));
    wait_for("the daemon", || {
        exporter.get("/metrics").contains("state=\"down\"} 1\n")
            && exporter.get("/healthz") == "ok\n"
    });
    let metrics = exporter.get("/metrics");
    for line in [
        "ldirectord_up{config=\"web.cf\"} 1\n",
        "local_address=\"10.9.0.2\",local_port=\"80\",local_mark=\"\",proto=\"TCP\"} 1\n",
        "remote_address=\"127.0.0.2\",remote_port=\"80\"",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let openmetrics = exporter.ask("/metrics", "application/openmetrics-text; version=1.0.0");
    assert!(openmetrics.ends_with("# EOF\n"), "{openmetrics}");
    let status: serde_json::Value = serde_json::from_str(&exporter.get("/status.json")).unwrap();
    assert_eq!(status["version"], 1);
    assert_eq!(status["instances"][0]["name"], "web.cf");
    assert_eq!(
        status["instances"][0]["report"]["status"]["services"][1]["servers"][0]["state"],
        "down"
    );
    let page = exporter.get("/");
    for text in [
        "tcp:10.9.0.2:80",
        "NO REAL SERVER is up, of 1",
        "FALLBACK 127.0.0.1:80",
        "connection refused",
    ] {
        assert!(page.contains(text), "{text}\n{page}");
    }

    machine.signal("web.cf", "KILL");
    wait_for("its end to be seen", || {
        exporter.get("/metrics").contains("ldirectord_up{config=\"web.cf\"} 0\n")
    });
    assert!(!exporter.get("/metrics").contains("remote_address"), "what was is no metric");
    let page = exporter.get("/");
    assert!(page.contains("NO ANSWER") && page.contains("tcp:10.9.0.2:80"), "{page}");

    machine.ldirectord("--table memory web.cf start").expect(0, "", "");
    wait_for("its return", || {
        exporter.get("/metrics").contains("ldirectord_up{config=\"web.cf\"} 1\n")
    });
    wait_for("the page", || !exporter.get("/").contains("NO ANSWER"));
    assert!(exporter.end().success());
}

/// Answers each question on a socket like this.
fn liar(directory: &Path, name: &str, answer: impl Fn(UnixStream) + Send + 'static) {
    let listener = UnixListener::bind(directory.join(format!("{name}.read.sock"))).unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
}

#[test]
fn liars_are_named_and_do_the_others_no_harm() {
    let machine = machine();
    let directory = tempfile::tempdir().unwrap();
    let real = machine.seen("/run/ldirectord-rs/web.cf.read.sock");
    std::os::unix::fs::symlink(real, directory.path().join("web.cf.read.sock")).unwrap();
    let say = |name: &str, words: &'static [u8]| {
        liar(directory.path(), name, move |mut client| {
            let _ = client.read(&mut [0; 100]);
            let _ = client.write_all(words);
        });
    };
    say("closes", b"");
    say("garbage", b"\xff\xfe\x00garbage\n");
    say("half", b"ok\n{\"version\":1,\"status\":{\"serv");
    say("other", b"ok\n{\"version\":999}");
    say("refuses", b"error <script>alert(1)</script> \x1b[2J\n");
    liar(directory.path(), "silent", std::mem::forget);
    liar(directory.path(), "drips", |mut client| {
        std::thread::spawn(move || {
            while client.write_all(b"o").is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    });
    liar(directory.path(), "floods", |mut client| {
        std::thread::spawn(move || while client.write_all(&[b'x'; 1 << 16]).is_ok() {});
    });
    // Nobody listens; and no socket at all.
    drop(UnixListener::bind(directory.path().join("absent.read.sock")).unwrap());
    fs::create_dir(directory.path().join("folder.read.sock")).unwrap();
    fs::write(directory.path().join("\u{1b}[2J<b>.read.sock"), "").unwrap();

    let exporter = Exporter::start(directory.path());
    let liars = [
        "closes", "garbage", "half", "other", "refuses", "silent", "drips", "floods", "absent",
        "folder",
    ];
    wait_for("all answers", || {
        let metrics = exporter.get("/metrics");
        let up = |name: &str, up| {
            metrics.contains(&format!("ldirectord_up{{config=\"{name}\"}} {up}\n"))
        };
        up("web.cf", 1) && liars.iter().all(|name| up(name, 0))
    });
    let page = exporter.get("/");
    for text in
        liars.iter().copied().chain(["the daemon says: &lt;script&gt;", "version 999", "in time"])
    {
        assert!(page.contains(text), "{text}\n{page}");
    }
    assert!(!page.contains("<script>alert") && !page.contains('\u{1b}'), "{page}");
    // Again and again.
    for _ in 0..3 {
        let metrics = exporter.get("/metrics");
        assert!(metrics.contains("remote_address=\"127.0.0.2\""), "{metrics}");
    }
    assert!(exporter.resident() < 384 << 20, "{} bytes", exporter.resident());
    assert!(exporter.end().success());
}

#[test]
fn every_scrape_that_finds_old_answers_has_a_question_of_its_own() {
    let machine = machine();
    let sockets = machine.seen("/run/ldirectord-rs");
    let exporter = Exporter::start_with(&sockets, "3600");
    wait_for("the daemon", || {
        exporter.get("/metrics").contains("ldirectord_up{config=\"web.cf\"} 1\n")
    });
    // A question that is lost ends only with the exporter's patience, which is four seconds.
    let mut in_vain = 0;
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(1100));
        let begun = Instant::now();
        exporter.get("/metrics");
        in_vain += usize::from(begun.elapsed() >= Duration::from_secs(4));
    }
    assert!(in_vain < 3, "{in_vain} of 6 scrapes were given old answers");
    assert!(exporter.end().success());
}

#[test]
fn clients_that_are_slow_rude_or_many_do_the_others_no_harm() {
    let machine = machine();
    let exporter = Exporter::start(&machine.seen("/run/ldirectord-rs"));
    let served = || exporter.get("/metrics").contains("ldirectord_up{config=\"web.cf\"} 1\n");
    wait_for("the daemon", served);

    let say = |words: &[u8]| {
        let mut client = exporter.connect();
        // It may hang up before it has read all.
        let _ = client.write_all(words);
        let mut answer = Vec::new();
        let _ = client.take(1 << 20).read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let close = "Connection: close\r\nHost: x\r\n\r\n";
    for (request, status) in [
        ("GET /nothing HTTP/1.1\r\n", " 404 "),
        ("GET /../../etc/passwd HTTP/1.1\r\n", " 404 "),
        ("GET /fragment/service/99999999999999999999 HTTP/1.1\r\n", " 404 "),
        ("GET /fragment/service/%00%ff HTTP/1.1\r\n", " 4"),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n", " 405 "),
        ("DELETE /metrics HTTP/1.1\r\n", " 405 "),
    ] {
        let answer = say(format!("{request}{close}").as_bytes());
        assert!(
            answer.lines().next().is_some_and(|line| line.contains(status)),
            "{request}: {answer}"
        );
        assert!(
            answer.contains("content-security-policy: default-src 'none'"),
            "{request}: {answer}"
        );
    }
    for nonsense in [
        "\r\n\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "get\r\n\r\n",
        "\x16\x03\x01\r\n\r\n",
    ] {
        let answer = say(nonsense.as_bytes());
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{nonsense:?}: {answer}");
    }
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n{close}", "x".repeat(1 << 20));
    assert!(!say(long.as_bytes()).contains(" 200 "));
    assert!(served());

    // Within its limits nobody waits; beyond them not long: who says nothing has to go.
    let idle: Vec<TcpStream> = (0..200).map(|_| exporter.connect()).collect();
    assert!(served());
    let more: Vec<TcpStream> = (0..300).map(|_| exporter.connect()).collect();
    assert!(served());
    drop((idle, more));

    // Who reads nothing, of what is long.
    let deaf: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut client = exporter.connect();
            client
                .write_all("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100).as_bytes())
                .unwrap();
            client
        })
        .collect();
    assert!(served());
    drop(deaf);

    // Those who are told of changes are counted, too.
    let follow = || {
        let mut client = exporter.connect();
        client.write_all(b"GET /changes HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut head = [0; 12];
        client.read_exact(&mut head).unwrap();
        (client, String::from_utf8_lossy(&head).into_owned())
    };
    let followers: Vec<(TcpStream, String)> = (0..64).map(|_| follow()).collect();
    assert!(followers.iter().all(|(_, head)| head == "HTTP/1.1 200"));
    assert_eq!(follow().1, "HTTP/1.1 503");
    let mut first = &followers[0].0;
    let begun = Instant::now();
    machine.ldirectord("web.cf drain 127.0.0.2:80 of 10.9.0.1:80").succeeds();
    let mut told = String::new();
    while !told.contains("event: update") {
        let mut bytes = [0; 512];
        let length = first.read(&mut bytes).unwrap();
        assert!(length > 0 && begun.elapsed() < sandbox::PATIENCE, "{told}");
        told += &String::from_utf8_lossy(&bytes[..length]);
    }
    assert!(served());
    drop(followers);
    wait_for("room for another", || follow().1 == "HTTP/1.1 200");
    assert!(exporter.end().success());
}

#[test]
fn a_machine_without_a_daemon_and_a_directory_that_is_not_there_are_served_as_well() {
    let directory = tempfile::tempdir().unwrap();
    for sockets in [directory.path().to_owned(), directory.path().join("none")] {
        let exporter = Exporter::start(&sockets);
        wait_for("the first look", || exporter.get("/healthz") == "ok\n");
        assert!(exporter.get("/").contains("No daemon of ldirectord runs on this machine."));
        assert_eq!(exporter.get("/status.json").matches("\"instances\":[]").count(), 1);
        assert!(exporter.end().success());
    }
}
