//! `probe`: what it shows of every kind of server, in which words, and how it ends.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use ldirectord::check::transcript::{self, EVENTS, MASK, Seen, Transcript};
use ldirectord::check::{self, CheckOutcome, Deadline};
use ldirectord::director::CheckId;
use ldirectord::model::{CheckMethod, Exchange, Service, Step};
use ldirectord::prober::seam::{Run, TO_DIRECTOR, Word, put};
use ldirectord::prober::{ProberOptions, Transcriber};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use support::certificate::{Recipe, chain};
use support::hostile::{self, Behaviour};
use support::plan::{With, exchange, plan};
use support::rows::{Row, rows};
use support::scripted::Scripted;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ldirectord");

/// A configuration in a directory of its own.
struct Config {
    directory: TempDir,
}

impl Config {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let text = format!("logfile=\"{}\"\nnegotiatetimeout=20\n{text}", log.display());
        fs::write(directory.path().join("web.cf"), text).unwrap();
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("web.cf")
    }

    fn probe(&self, words: &str) -> Output {
        let output = Command::new(PROGRAM)
            .arg(self.path())
            .arg("probe")
            .args(words.split_whitespace())
            .output()
            .unwrap();
        assert!(!self.directory.path().join("log").exists(), "it leaves the log alone");
        output
    }

    /// Standard output and the exit status.
    fn shown(&self, words: &str) -> (String, i32) {
        let output = self.probe(words);
        assert_eq!(text(&output.stderr), "", "{words}");
        (text(&output.stdout).to_owned(), output.status.code().unwrap())
    }

    fn objects(&self, words: &str) -> Vec<Value> {
        let (shown, _) = self.shown(&format!("{words} --json"));
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A service with these servers and further lines.
fn service(port: u16, servers: &[SocketAddr], lines: &[&str]) -> String {
    let mut text = format!("virtual=192.0.2.1:{port}\n");
    for server in servers {
        text += &format!("\treal={server} masq\n");
    }
    lines.iter().for_each(|line| text += &format!("\t{line}\n"));
    text
}

fn read_head(stream: &mut (impl Read + Write)) {
    let mut head = BufReader::new(stream);
    let mut line = String::new();
    while head.read_line(&mut line).unwrap_or(0) > 2 {
        line.clear();
    }
}

/// An HTTP server with this body.
fn web(body: &'static str) -> Scripted {
    Scripted::new(move |mut stream| answer(&mut stream, body))
}

fn answer(stream: &mut (impl Read + Write), body: &str) {
    read_head(stream);
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
}

/// A server that says one line after another, each when it has heard one.
fn lines(said: &'static [&'static [u8]]) -> Scripted {
    Scripted::new(move |stream: TcpStream| {
        let mut heard = BufReader::new(stream);
        for line in said {
            if heard.get_mut().write_all(line).is_err()
                || heard.read_until(b'\n', &mut Vec::new()).is_err()
            {
                return;
            }
        }
    })
}

fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[track_caller]
fn assert_has(shown: &str, parts: &[&str]) {
    let mut rest = shown;
    for part in parts {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("{part:?} is not there, or too early, in:\n{shown}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_conversation_is_shown_with_the_place_of_the_match() {
    let server = web("<h1>It works</h1>\nand more\n");
    let config = Config::new(&service(
        80,
        &[server.address],
        &["service=http", "request=\"up.html\"", "receive=\"It w[a-z]+\"", "virtualhost=\"www.x\""],
    ));
    let (shown, status) = config.shown(&server.address.to_string());
    let address = server.address;
    assert_has(
        &shown,
        &[
            &format!("real server {address} (tcp:192.0.2.1:80): http\n"),
            &format!(" ms   connect to {address}\n"),
            " ms   connected from 127.0.0.1:",
            " ms   > GET /up.html HTTP/1.1\\r\\n\n                > host: www.x\\r\\n\n",
            " ms   < HTTP/1.1 200 OK\\r\\n\n",
            "                < <h1>It works</h1>\\n\n",
            " ms   pattern \"It w[a-z]+\" found at byte 4 of 27:\n",
            "                  <h1>It works</h1>\n                      ^^^^^^^^\n",
            " ms   up: 200 OK\n",
        ],
    );
    assert_eq!(status, 0);
}

#[test]
fn a_mismatch_says_what_was_searched_and_the_verdict_is_the_daemons() {
    let server = web("<h1>Sorry</h1>");
    let lines = ["service=http", "receive=\"It works\"", "failurecount=3"];
    let config = Config::new(&service(80, &[server.address], &lines));
    let (shown, status) = config.shown("127.0.0.1");
    assert_has(
        &shown,
        &[
            "pattern \"It works\" not found in 14 bytes\n",
            "  <h1>Sorry</h1>\n",
            "down: answer does not match receive (failurecount=3: down after 3 in a row)\n",
        ],
    );
    assert_eq!(status, 1);
}

/// An HTTPS server, and the file of the authority that it is from.
fn secure_web(directory: &TempDir) -> (Scripted, PathBuf) {
    let (authority, identity) = chain("www.example.com");
    let file = directory.path().join("authority.pem");
    fs::write(&file, authority.certificate.to_pem().unwrap()).unwrap();
    let acceptor = identity.acceptor_with(&[authority.certificate]);
    let server = Scripted::new(move |stream| {
        // Who does not trust us hangs up.
        if let Ok(mut stream) = acceptor.accept(stream) {
            answer(&mut stream, "secure");
            let _ = stream.shutdown();
        }
    });
    (server, file)
}

#[test]
fn of_tls_the_chain_is_shown_and_what_is_wrong_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (server, authority) = secure_web(&directory);
    let trusting = format!("checkcafile={}", authority.display());
    let https = |lines: &[&str]| {
        let lines = [&["service=https", "virtualhost=\"www.example.com\""], lines].concat();
        Config::new(&service(443, &[server.address], &lines))
    };
    let (shown, status) = https(&[]).shown("127.0.0.1");
    assert_has(
        &shown,
        &[
            "TLS handshake failed: TLSv1.",
            ", server name www.example.com\n",
            "certificate 0: CN=www.example.com\n",
            "issued by CN=Test authority ",
            "for www.example.com\n",
            "valid from ",
            "certificate 1: CN=Test authority ",
            "certificate 1 is not trusted: self-signed certificate in certificate chain\n",
            "down: TLS handshake failed: certificate not trusted: self-signed certificate in",
        ],
    );
    assert_eq!(status, 1);
    let (shown, status) = https(&[&trusting]).shown("127.0.0.1");
    assert_has(&shown, &["   TLS TLSv1.", "trusted (checkcertificate=chain)\n", "> GET /"]);
    assert_has(&shown, &["< HTTP/1.1 200 OK", "< secure\n", "up: 200 OK\n"]);
    assert_eq!(status, 0);
    let (shown, _) =
        https(&[&trusting, "checkcertificate=name", "virtualhost=\"other\""]).shown("127.0.0.1");
    assert_has(&shown, &["certificate 0 is not trusted: hostname mismatch\n", "down: TLS"]);
    let (shown, status) = https(&["checkcertificate=no"]).shown("127.0.0.1");
    assert_has(&shown, &["certificate 0: CN=www", "not verified (checkcertificate=no)\n", "up: "]);
    assert_eq!(status, 0);
}

#[test]
fn an_expired_certificate_is_named() {
    let expired = Recipe { days: (-30, -1), ..Recipe::new("old.example.com") }.make();
    let acceptor = expired.acceptor();
    let server = Scripted::new(move |stream| drop(acceptor.accept(stream)));
    let config = Config::new(&service(993, &[server.address], &["service=imaps"]));
    let (shown, _) = config.shown("127.0.0.1");
    assert_has(&shown, &["certificate 0: CN=old.example.com", ", EXPIRED\n", "is not trusted: "]);
}

#[test]
fn a_refused_connection_and_one_without_an_answer_have_the_daemons_words() {
    let silent = Scripted::new(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let refused = refusing();
    let file = service(80, &[refused, silent.address], &["service=http", "negotiatetimeout=1"]);
    let (shown, status) = Config::new(&file).shown("--all");
    assert_has(
        &shown,
        &[
            &format!("real server {refused} (tcp:192.0.2.1:80): http\n"),
            "ms   down: connection refused\n",
            &format!("\nreal server {} (tcp:192.0.2.1:80): http\n", silent.address),
            "> GET / HTTP/1.1",
            "ms   down: no answer in time\n",
        ],
    );
    assert_eq!(status, 1);
}

#[test]
fn passwords_are_masked_in_whatever_is_said() {
    let pop =
        lines(&[b"+OK hi\r\n", b"-ERR no CAPA\r\n", b"+OK and?\r\n", b"-ERR xyzzy-1 is wrong\r\n"]);
    let proxy = web("here");
    let login = ["service=pop", "login=\"tester\"", "passwd=\"xyzzy-1\""];
    let request = "request=\"http://tester:xyzzy-2@www.example.com/\"";
    let file = service(110, &[pop.address], &login)
        + &service(3128, &[proxy.address], &["service=http_proxy", request]);
    let config = Config::new(&file);
    for words in ["--all", "--all --json"] {
        let (shown, _) = config.shown(words);
        assert!(!shown.contains("xyzzy"), "{shown}");
        assert!(!shown.contains("dGVzdGVyOnh5enp5LTI="), "{shown}");
        assert_has(&shown, &["USER tester", "PASS ***", "-ERR *** is wrong"]);
        assert_has(&shown, &["login refused: *** is wrong", "authorization: Basic ***"]);
    }
}

#[test]
fn what_a_server_says_never_reaches_the_terminal_raw() {
    let hostile: &[&[u8]] = &[b"\x1b[2J\x07\xff\xe2\x80\xae\\ \0\n"];
    let server = Scripted::new(move |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 100]);
        let _ = stream.write_all(hostile[0]);
    });
    let lines = ["service=simpletcp", "request=\"PING\\n\"", "receive=\"PONG\""];
    let config = Config::new(&service(7, &[server.address], &lines));
    for words in ["--all", "--all --json"] {
        let output = config.probe(words);
        let raw = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
        assert!(!output.stdout.iter().any(raw), "{:?}", text(&output.stdout));
        assert!(!text(&output.stdout).contains('\u{202e}'));
    }
    let (shown, _) = config.shown("--all");
    assert_has(&shown, &["< \\x1b[2J\\x07\\xff\\u{202e}\\\\ \\x00\\n\n"]);
}

#[test]
fn long_answers_are_cut_and_the_match_is_shown_all_the_same() {
    let body: &'static str =
        Box::leak(format!("{}\n{}the end", "a".repeat(500), "line\n".repeat(2000)).into());
    let server = web(body);
    let lines = ["service=http", "receive=\"the end\""];
    let config = Config::new(&service(80, &[server.address], &lines));
    let (shown, status) = config.shown("--all");
    assert_has(
        &shown,
        &[
            &format!("< {} (301 more bytes)\n", "a".repeat(200)),
            "< line\\n\n",
            " more bytes)\n",
            "found at byte 10501 of 10508:\n",
            "  the end\n",
        ],
    );
    assert!(shown.len() < 16 * 1024, "{} bytes", shown.len());
    assert_eq!(status, 0);
}

#[test]
fn the_fields_for_programs_are_an_interface() {
    let directory = tempfile::tempdir().unwrap();
    let (server, authority) = secure_web(&directory);
    let trusting = format!("checkcafile={}", authority.display());
    let lines =
        ["service=https", "virtualhost=\"www.example.com\"", "receive=\"sec(u)re\"", &trusting];
    let config = Config::new(&service(443, &[server.address], &lines));
    let port = server.address.port();
    let mut objects = config.objects(&format!("localhost:{port} 192.0.2.1:443"));
    let mut probe = objects.pop().unwrap();
    assert!(objects.is_empty());
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&probe),
        [
            "answer",
            "check",
            "check_duration_us",
            "checked",
            "name",
            "round",
            "server",
            "services",
            "state",
            "steps",
            "steps_left_out",
            "target",
            "why"
        ]
    );
    assert_eq!(probe["server"], server.address.to_string());
    assert_eq!(probe["target"], server.address.to_string());
    assert_eq!(probe["name"], format!("localhost:{port}").split(':').next().unwrap());
    let services = serde_json::json!([{"address": "192.0.2.1:443", "protocol": "tcp"}]);
    assert_eq!(probe["services"], services);
    assert_eq!((&probe["check"], &probe["round"]), (&"https".into(), &1.into()));
    assert_eq!((&probe["state"], &probe["answer"]), (&"up".into(), &"200 OK".into()));
    assert_eq!(probe["why"], Value::Null);
    assert!(probe["checked"].as_i64().unwrap() > 1_700_000_000);
    let steps = probe["steps"].as_array_mut().unwrap();
    let mut before = 0;
    for step in steps.iter() {
        let at = step["at_us"].as_u64().unwrap();
        assert!(at >= before, "{step}");
        before = at;
    }
    let shape: Vec<(String, Vec<String>)> = steps
        .iter()
        .map(|step| {
            let mut fields = names(step);
            fields.retain(|name| name != "at_us" && name != "step");
            (step["step"].as_str().unwrap().to_owned(), fields)
        })
        .collect();
    let shape: Vec<(&str, Vec<&str>)> = shape
        .iter()
        .map(|(step, fields)| (step.as_str(), fields.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(
        shape,
        [
            ("connect", vec!["address"]),
            ("connected", vec!["from"]),
            (
                "tls",
                vec![
                    "agreed",
                    "certificates",
                    "checkcertificate",
                    "cipher",
                    "not_trusted",
                    "server_name",
                    "version"
                ]
            ),
            ("sent", vec!["left_out", "text"]),
            ("received", vec!["left_out", "text"]),
            ("search", vec!["bytes", "found", "offset", "pattern", "text"]),
        ]
    );
    let certificate = &steps[2]["certificates"][0];
    assert_eq!(names(certificate), ["issuer", "names", "not_after", "not_before", "subject"]);
    assert_eq!(certificate["subject"], "CN=www.example.com");
    assert_eq!(steps[5]["text"], "secure");
    let untrusting = Config::new(&service(443, &[server.address], &["service=https"]));
    let probe = untrusting.objects("127.0.0.1").remove(0);
    let tls = probe["steps"].as_array().unwrap().iter().find(|step| step["step"] == "tls");
    let not_trusted = &tls.unwrap()["not_trusted"];
    assert_eq!(names(not_trusted), ["certificate", "why"]);
    assert_eq!(not_trusted["certificate"], 1);
    assert_eq!((&probe["state"], &probe["answer"]), (&"down".into(), &Value::Null));
    assert!(probe["why"].as_str().unwrap().starts_with("TLS handshake failed: certificate"));
}

#[test]
fn it_probes_as_often_as_asked_and_sums_up() {
    let server = web("x");
    let config = Config::new(&service(80, &[server.address, refusing()], &["service=http"]));
    let objects = config.objects("--all --count 3 --interval 0");
    let rounds: Vec<_> = objects.iter().map(|probe| probe["round"].as_u64().unwrap()).collect();
    assert_eq!(rounds, [1, 1, 2, 2, 3, 3]);
    let states: Vec<_> = objects.iter().map(|probe| probe["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["up", "down"].repeat(3));
    let (shown, status) = config.shown("--all --count 2 --interval 0.01");
    assert_has(
        &shown,
        &[
            "http, probe 1\n",
            "http, probe 2\n",
            "http: 2 probes, 2 up, 0 down; ",
            " ms, on average ",
            "http: 2 probes, 0 up, 2 down; ",
        ],
    );
    assert_eq!(status, 1);
}

#[test]
fn a_server_of_several_services_is_probed_once_for_each_check() {
    let server = web("x");
    let address = server.address;
    let file = service(80, &[address], &["service=http"])
        + &service(81, &[address], &["service=http"])
        + &service(82, &[address], &["checktype=connect"])
        + &format!("virtual=7\n\treal={address} gate\n\tchecktype=on\n");
    let config = Config::new(&file);
    let headings = |words: &str| {
        let (shown, status) = config.shown(words);
        let heading = |line: &str| line.strip_prefix("real server ").map(str::to_owned);
        (shown.lines().filter_map(heading).collect::<Vec<_>>(), status)
    };
    let twice = format!("{address} (tcp:192.0.2.1:80, tcp:192.0.2.1:81): http");
    let connect = format!("{address} (tcp:192.0.2.1:82): connect");
    let on = format!("{address} (fwm:7): on");
    let all = vec![twice, connect.clone(), on.clone()];
    assert_eq!(headings(&address.to_string()), (all.clone(), 0));
    assert_eq!(headings("--all"), (all, 0));
    assert_eq!(headings(&format!("{address} 192.0.2.1:82")), (vec![connect.clone()], 0));
    assert_eq!(headings(&format!("{address} tcp:192.0.2.1:82")), (vec![connect], 0));
    assert_eq!(headings("--all 7"), (vec![on], 0));
    let (listed, status) = config.shown("--list");
    assert_eq!(listed.lines().count(), 4);
    assert_has(&listed, &[&format!("{address} tcp:192.0.2.1:80\n"), " fwm:7\n"]);
    assert_eq!(status, 0);
}

#[test]
fn commands_run_as_in_the_daemon_and_what_is_off_is_no_failure() {
    let nobody = refusing();
    let external = |command: &str| format!("checkcommand={command}");
    let file = service(80, &[nobody], &["checktype=external", &external("/bin/false")])
        + &service(81, &[nobody], &["checktype=external", &external("/bin/true")])
        + &service(82, &[nobody], &["checktype=off"]);
    let config = Config::new(&file);
    let (shown, status) = config.shown("--all 192.0.2.1:80");
    let port = nobody.port();
    assert_has(
        &shown,
        &[&format!("run /bin/false 192.0.2.1 80 127.0.0.1 {port}\n"), "down: exit status 1\n"],
    );
    assert_eq!(status, 1);
    assert_eq!(config.shown("--all 192.0.2.1:81").1, 0);
    let (shown, status) = config.shown("--all 192.0.2.1:82");
    assert_has(&shown, &["off: checktype=off, it is never checked\n"]);
    assert_eq!(status, 2, "nothing was probed");
}

#[test]
fn what_cannot_be_probed_ends_with_2_and_misuse_with_255() {
    let config = Config::new(&service(80, &[refusing()], &["service=http"]));
    let file = config.path().display().to_string();
    for (words, complaint) in [
        ("192.0.2.77", format!("probe: there is no real server 192.0.2.77 ({file})\n")),
        ("127.0.0.1:9 ", format!("probe: there is no real server 127.0.0.1:9 ({file})\n")),
        ("127.0.0.1 8", format!("probe: there is no virtual service 8 ({file})\n")),
    ] {
        let output = config.probe(words);
        assert_eq!((text(&output.stderr), text(&output.stdout)), (complaint.as_str(), ""));
        assert_eq!(output.status.code(), Some(2), "{words}");
    }
    for words in ["", "a b c", "--count x a", "--nope"] {
        let output = config.probe(words);
        assert!(text(&output.stdout).starts_with("Usage:\n"), "{words}");
        assert_eq!(output.status.code(), Some(255), "{words}");
    }
    let broken = Config::new("virtual=nonsense\n");
    let output = broken.probe("--all");
    assert!(text(&output.stderr).contains("nonsense"));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    let output = Command::new(PROGRAM).args(["/nonexistent.cf", "probe", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "Config file /nonexistent.cf not found\n");
    assert_eq!(Config::new("").probe("--all").status.code(), Some(2));
}

#[test]
fn who_stops_reading_ends_it() {
    let server = web("x");
    let config = Config::new(&service(80, &[server.address], &["service=http"]));
    let file = config.path();
    let script = format!("{PROGRAM} {} probe --all --interval 0 2>&1 | head -n 3", file.display());
    let output = Command::new("bash").arg("-c").arg(script).output().unwrap();
    assert_eq!(text(&output.stdout).lines().count(), 3);
}

#[test]
fn a_prober_that_dies_is_no_verdict() {
    let server = web("x");
    let http = CheckMethod::Negotiate(Arc::new(exchange(Service::Http)));
    let plans = vec![
        Arc::new(plan(http, server.address, Duration::from_secs(20))),
        Arc::new(plan(CheckMethod::On, server.address, Duration::from_secs(20))),
    ];
    let options = ProberOptions { program: "/bin/false".into(), ..ProberOptions::new("web.cf") };
    let transcriber = Transcriber::start(options, plans.clone()).unwrap();
    for _ in 0..2 {
        let mut all: Vec<_> = transcriber.round().into_iter().collect();
        all.sort_by_key(|one| one.plan);
        let words: Vec<_> = all.iter().map(|one| one.outcome.words()).collect();
        assert_eq!(words, ["cannot check: the prober is no more: exit status 1", "passed"]);
    }
    let options = ProberOptions { program: PROGRAM.into(), ..ProberOptions::new("web.cf") };
    let transcriber = Transcriber::start(options, plans).unwrap();
    let all: Vec<_> = transcriber.round().into_iter().collect();
    assert!(all.len() == 2 && all.iter().all(|one| one.outcome.is_up()), "{all:?}");
}

/// A transcript of a check that runs here.
fn record(exchange: &Exchange, target: SocketAddr) -> (CheckOutcome, Transcript) {
    record_within(exchange, target, Duration::from_secs(20))
}

fn record_within(
    exchange: &Exchange,
    target: SocketAddr,
    timeout: Duration,
) -> (CheckOutcome, Transcript) {
    let plan = plan(CheckMethod::Negotiate(Arc::new(exchange.clone())), target, timeout);
    transcript::record(&plan, || check::run(&plan, Step::Full, None, Deadline::after(timeout)))
}

#[test]
fn of_no_protocol_and_no_server_a_transcript_grows_or_tells_a_secret() {
    std::thread::scope(|scope| {
        for row in rows() {
            scope.spawn(move || no_transcript_grows_or_tells_a_secret(&row));
        }
    });
}

fn no_transcript_grows_or_tells_a_secret(row: &Row) {
    let password = "xyzzy-passw0rd";
    let behaviours = [
        Behaviour::Good,
        Behaviour::Silent,
        Behaviour::EndlessLine,
        Behaviour::EndlessLines,
        Behaviour::EndlessBody,
        Behaviour::Garbage,
        Behaviour::Half,
        Behaviour::RedirectLoop,
    ];
    let login = match row.exchange.login.as_str() {
        "" => "me",
        login => login,
    };
    let exchange = Exchange {
        login: login.to_owned(),
        passwd: password.to_owned(),
        secret: password.to_owned(),
        ..row.exchange.clone()
    };
    for behaviour in behaviours.into_iter().filter(|it| it.applies_to(row)) {
        let what = format!("{} and a server that {behaviour:?}", row.name);
        let server = hostile::server(row, behaviour);
        let good = behaviour == Behaviour::Good;
        let timeout = Duration::from_millis(if good && row.fixed { 20_000 } else { 500 });
        let (outcome, transcript) = record_within(&exchange, server.address, timeout);
        if good && row.fixed {
            assert!(outcome.is_up(), "{what}: {}", outcome.words());
        }
        assert!(!transcript.events.is_empty(), "{what}");
        assert!(transcript.events.len() <= EVENTS, "{what}");
        let run = Run { check: CheckId(1), step: Step::Full, run: 1 };
        let mut frame = Vec::new();
        put(&Word::Transcript(run, transcript), TO_DIRECTOR, &mut frame).expect("it fits");
        let holds = |word: &str| frame.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(!holds(password), "{what}");
        let logs_in = ["ftp", "pop", "pops", "imap", "imaps", "ldap", "ldaps", "mysql", "radius"];
        if good && logs_in.contains(&row.name) {
            assert!(holds(MASK), "{what}");
        }
    }
}

#[test]
fn a_short_password_is_masked_where_it_is_sent_and_only_there() {
    let server = lines(&[b"220 a\r\n", b"331 a?\r\n", b"230 a\r\n", b"221 a\r\n"]);
    let ftp = exchange(Service::Ftp).login("user", "a");
    let (outcome, transcript) = record(&ftp, server.address);
    assert!(outcome.is_up(), "{outcome:?}");
    let said: Vec<String> = transcript
        .events
        .iter()
        .filter_map(|event| match &event.seen {
            Seen::Sent(bytes) => Some(format!("> {}", text(&bytes.shown))),
            Seen::Received(bytes) => Some(format!("< {}", text(&bytes.shown))),
            _ => None,
        })
        .collect();
    assert_eq!(
        said,
        [
            "< 220 a\r\n",
            "> USER user\r\n",
            "< 331 a?\r\n",
            "> PASS ***\r\n",
            "< 230 a\r\n",
            "> QUIT\r\n",
            "< 221 a\r\n"
        ]
    );
}

#[test]
fn checks_leave_from_where_checkfrom_says() {
    let server = Scripted::new(|mut stream| {
        let peer = stream.peer_addr().unwrap().ip();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{peer}").as_bytes());
    });
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram_server = datagrams.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = datagrams.recv_from(&mut buffer) {
            let _ = datagrams.send_to(peer.ip().to_string().as_bytes(), peer);
        }
    });
    let from = |from: &str| format!("checkfrom={from}");
    for (source, seen) in [("127.0.0.9", "127.0.0.9"), ("lo", "127.0.0.1"), ("::1", "127.0.0.1")] {
        let receive = format!("receive=\"^{}$\"", seen.replace('.', "\\."));
        let lines = [&*from(source), "service=http", &*receive];
        let (shown, status) = Config::new(&service(80, &[server.address], &lines)).shown("--all");
        assert_eq!(status, 0, "{source}: {shown}");
        assert!(shown.contains(&format!("connected from {seen}:")), "{source}: {shown}");
        let lines =
            [&*from(source), "protocol=udp", "service=simpletcp", "request=\"x\"", &*receive];
        let (shown, status) =
            Config::new(&service(5000, &[datagram_server], &lines)).shown("--all");
        assert_eq!(status, 0, "{source}: {shown}");
    }
    for (source, why) in
        [("192.0.2.77", "Cannot assign requested address"), ("nosuch0", "checkfrom nosuch0: ")]
    {
        let lines = [&*from(source), "service=http"];
        let (shown, status) = Config::new(&service(80, &[server.address], &lines)).shown("--all");
        assert_ne!(status, 0, "{source}: {shown}");
        assert!(shown.contains(why) && !shown.contains(" down: "), "{source}: {shown}");
    }
}
