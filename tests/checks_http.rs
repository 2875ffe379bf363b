//! http, https and http_proxy against scripted servers.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use ldirectord::model::{
    CertificateCheck, CheckMethod, Exchange, HttpMethod, HttpOptions, Service,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::certificate::{Identity, Recipe, chain};
use support::plan::{With, exchange, negotiate, plan, run, words};
use support::scripted::Scripted;

/// A server that gives one answer to everything, and what it was asked.
fn answering(answer: impl Into<Vec<u8>>) -> (Scripted, Arc<Mutex<Vec<String>>>) {
    at("127.0.0.1", answer)
}

fn at(address: &str, answer: impl Into<Vec<u8>>) -> (Scripted, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let answer = answer.into();
    let remember = Arc::clone(&heard);
    let server = Scripted::at(address, move |mut stream| {
        remember.lock().unwrap().push(read_head(&mut stream));
        let _ = stream.write_all(&answer);
    });
    (server, heard)
}

fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn redirect(code: u16, to: &str) -> String {
    format!("HTTP/1.1 {code} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

/// What was asked: the request line and the value of a header.
fn line_and(head: &str, header: &str) -> (String, String) {
    let line = head.lines().next().unwrap_or_default().to_owned();
    let prefix = format!("{header}:");
    let value = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with(&prefix))
        .map(|line| line[prefix.len()..].trim().to_owned());
    (line, value.unwrap_or_default())
}

#[test]
fn the_request_is_the_originals() {
    let (server, heard) = answering(ok("hello"));
    let http = || exchange(Service::Http);
    for (exchange, line, host) in [
        (http(), "GET / HTTP/1.1", "127.0.0.1"),
        (
            Exchange {
                http_method: HttpMethod::Head,
                ..http().request("/a b/c?d=e&f").host("www.example.com")
            },
            "HEAD /a%20b/c?d=e&f HTTP/1.1",
            "www.example.com",
        ),
        (http().own_request("/x"), "GET /x HTTP/1.1", "127.0.0.1"),
    ] {
        assert!(negotiate(exchange, server.address).is_up());
        let head = heard.lock().unwrap().pop().unwrap();
        assert_eq!(line_and(&head, "host"), (line.to_owned(), host.to_owned()));
        assert_eq!(line_and(&head, "connection").1, "close");
        assert!(line_and(&head, "user-agent").1.starts_with("libwww-perl/"));
    }
}

#[test]
fn ipv6_has_brackets_in_the_host() {
    let (server, heard) = at("::1", ok("hello"));
    assert!(negotiate(exchange(Service::Http), server.address).is_up());
    assert_eq!(line_and(&heard.lock().unwrap()[0], "host").1, "[::1]");
}

/// Each verdict was the original's too, with a pattern of `OK` and in a run of its own, but for those
/// marked.
#[test]
fn verdicts_on_answers() {
    let many: String = (0..120).map(|n| format!("X-H{n}: y\r\n")).collect();
    let cases: &[(&str, &str)] = &[
        ("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nOK", "up: 200 Fine"),
        ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nOK", "up: 200 OK"),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nOK", "up: 200 OK"),
        ("HTTP/1.0 200 OK\r\n\r\nit is OK", "up: 200 OK"),
        ("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nOK", "up: 200 OK"),
        ("HTTP/1.1 206 Partial Content\r\n\r\nOK", "up: 206 Partial Content"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "answer does not match receive"),
        (
            "HTTP/1.1 200 OK\r\nX: OK\r\nContent-Length: 2\r\n\r\nNO",
            "answer does not match receive",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nNO OK", "answer does not match receive"),
        ("HTTP/1.1 404 Nothing Here\r\n\r\nOK", "status 404 Nothing Here"),
        ("HTTP/1.1 401 Unauthorized\r\n\r\nOK", "status 401 Unauthorized"),
        ("HTTP/1.1 500 Oh\r\n\r\nOK", "status 500 Oh"),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", "status 304 Not Modified"),
        ("HTTP/1.1 300 Multi\r\nLocation: /\r\n\r\nOK", "status 300 Multi"),
        ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "status 302 Found"),
        // chunks, whole and cut
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nO\r\n1\r\nK\r\n0\r\n\r\n",
            "up: 200 OK",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nOK", "up: 200 OK"),
        // less than promised
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nOK", "up: 200 OK"),
        // heads that a strict reader refuses
        ("HTTP/1.1 200 OK\r\nFoo : bar\r\n folded\r\nContent-Length: 2\r\n\r\nOK", "up: 200 OK"),
        ("HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\nOK", "up: 200 OK"),
        ("HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\nOK", "up: 200 OK"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nOK", "up: 200 OK"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nOK", "up: 200 OK"),
        (&format!("HTTP/1.1 200 OK\r\n{many}\r\nOK"), "up: 200 OK"),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
            "up: 200 OK",
        ),
        ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nOK", "up: 200 OK"),
        ("\r\nHTTP/1.0 200 OK\r\n\r\nOK", "up: 200 OK"),
        // the head is not complete
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "connection closed by the server"),
        // differs: the original takes what is not HTTP for an answer of HTTP/0.9 (K6)
        ("SSH-2.0-OK\r\n", "not a proper answer: it does not speak HTTP"),
        ("HTTP/1.1 099 OK\r\n\r\nOK", "not a proper answer: the status line is not one of HTTP"),
        ("", "connection closed by the server"),
    ];
    for (answer, expected) in cases {
        let (server, _) = answering(*answer);
        let outcome = negotiate(exchange(Service::Http).receive("OK"), server.address);
        assert_eq!(words(&outcome), *expected, "{answer:?}");
    }
}

#[test]
fn receive_is_searched_as_perl_does() {
    let (server, _) = answering(ok("Hello\nline2\n"));
    for (pattern, up) in [
        ("Hello", true),
        ("hello", false),
        ("(?i)hello", true),
        ("^line2", false),
        ("(?m)^line2", true),
        ("line2$", true),
        ("Hello.line2", false),
        ("(?s)Hello.line2", true),
    ] {
        let outcome = negotiate(exchange(Service::Http).receive(pattern), server.address);
        assert_eq!(outcome.is_up(), up, "{pattern}");
    }
    let head =
        Exchange { http_method: HttpMethod::Head, ..exchange(Service::Http).receive("Hello") };
    assert!(!negotiate(head, server.address).is_up());
}

#[test]
fn a_mismatch_keeps_the_beginning_of_the_body() {
    let (server, _) = answering(ok(&"x".repeat(5000)));
    let outcome = negotiate(exchange(Service::Http).receive("y"), server.address);
    let ldirectord::check::CheckOutcome::Down(ldirectord::check::Failure::Mismatch(text)) = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(text.len(), 1024);
}

fn with(http: HttpOptions) -> Exchange {
    Exchange { http, ..exchange(Service::Http) }
}

#[test]
fn statuses_that_are_taken_for_good() {
    let range =
        |ranges: &[(u16, u16)]| HttpOptions { statuses: ranges.to_vec(), ..HttpOptions::default() };
    for (status, ranges, up) in [
        (200, &[][..], true),
        (299, &[], true),
        (401, &[], false),
        (401, &[(200, 299), (401, 401)], true),
        (200, &[(401, 401)], false),
        (404, &[(400, 499)], true),
        (500, &[(400, 499)], false),
        (304, &[(304, 304)], true),
    ] {
        let (server, _) = answering(format!("HTTP/1.1 {status} So\r\nContent-Length: 2\r\n\r\nOK"));
        let outcome = negotiate(with(range(ranges)), server.address);
        assert_eq!(outcome.is_up(), up, "{status} {ranges:?}: {}", words(&outcome));
    }
}

#[test]
fn a_redirect_that_is_not_followed_is_an_answer() {
    let (last, heard) = answering(ok("the end"));
    let (first, _) = answering(redirect(302, &format!("http://{}/", last.address)));
    let stays = HttpOptions { stays: true, ..HttpOptions::default() };
    assert_eq!(words(&negotiate(with(stays.clone()), first.address)), "status 302 Moved");
    let fine = HttpOptions { statuses: vec![(302, 302)], ..stays };
    assert_eq!(words(&negotiate(with(fine), first.address)), "up: 302 Moved");
    assert!(heard.lock().unwrap().is_empty());
}

#[test]
fn headers_and_a_body_are_sent_to_the_host_that_was_asked_first_only() {
    let headers =
        [("X-Health", "director"), ("Authorization", "Bearer s3cret"), ("User-Agent", "check")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let body = "{\"ping\":1}".to_owned();
    let http = HttpOptions { headers, body: body.clone(), ..HttpOptions::default() };
    let post = Exchange { http_method: HttpMethod::Post, ..with(http.clone()) };

    // What came, with the body.
    let heard = Arc::new(Mutex::new(Vec::new()));
    let whole = |answer: String| {
        let remember = Arc::clone(&heard);
        Scripted::at("127.0.0.1", move |mut stream| {
            let mut text = read_head(&mut stream);
            let length = line_and(&text, "content-length").1.parse().unwrap_or(0);
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            text += std::str::from_utf8(&body).unwrap();
            remember.lock().unwrap().push(text);
            let _ = stream.write_all(answer.as_bytes());
        })
    };
    let last = whole(ok("the end"));
    for (code, method, sent) in
        [(302, "GET", ""), (303, "GET", ""), (307, "POST", &*body), (308, "POST", &body)]
    {
        let first = whole(redirect(code, &format!("http://{}/there", last.address)));
        assert_eq!(words(&negotiate(post.clone(), first.address)), "up: 200 OK", "{code}");
        let both = std::mem::take(&mut *heard.lock().unwrap());
        let [asked, then] = &both[..] else { panic!("{both:?}") };
        assert_eq!(
            line_and(asked, "x-health"),
            ("POST / HTTP/1.1".to_owned(), "director".to_owned())
        );
        assert_eq!(line_and(asked, "authorization").1, "Bearer s3cret");
        assert_eq!(line_and(asked, "user-agent").1, "check");
        assert!(asked.ends_with(&format!("\r\n\r\n{body}")), "{asked}");
        assert_eq!(
            line_and(then, "x-health"),
            (format!("{method} /there HTTP/1.1"), String::new())
        );
        assert_eq!(line_and(then, "authorization").1, "", "credentials are no other's");
        assert!(then.ends_with(&format!("\r\n\r\n{sent}")), "{then}");
    }
    // To itself, they are sent again.
    let (own, asked) = answering(redirect(301, "/again"));
    let get = with(http);
    assert_eq!(words(&negotiate(get, own.address)), "status 301 Moved");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 8, "seven redirects");
    assert!(asked.iter().all(|head| line_and(head, "authorization").1 == "Bearer s3cret"));
}

#[test]
fn redirects_are_followed_to_any_host() {
    let (last, heard) = answering(ok("the end"));
    for code in [301, 302, 303, 307, 308] {
        let to = format!("http://user:p%40ss@{}/x y?q={{a}}#frag", last.address);
        let (first, asked) = answering(redirect(code, &to));
        let http = exchange(Service::Http).receive("the end").host("www.example.com");
        assert_eq!(words(&negotiate(http, first.address)), "up: 200 OK", "{code}");
        assert_eq!(line_and(&asked.lock().unwrap()[0], "host").1, "www.example.com");
        let head = heard.lock().unwrap().pop().unwrap();
        let (line, host) = line_and(&head, "host");
        assert_eq!(line, "GET /x%20y?q=%7Ba%7D HTTP/1.1");
        assert_eq!(host, last.address.to_string());
        assert_eq!(line_and(&head, "authorization").1, "Basic dXNlcjpwQHNz");
    }
}

#[test]
fn a_redirect_loop_ends_after_eight_requests() {
    let (server, heard) = answering(redirect(302, "sub/../again"));
    let outcome = negotiate(exchange(Service::Http), server.address);
    assert_eq!(words(&outcome), "status 302 Moved");
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 8);
    assert_eq!(line_and(&heard[7], "host").0, "GET /again HTTP/1.1");
    assert_eq!(line_and(&heard[7], "host").1, server.address.to_string());
}

#[test]
fn a_redirect_to_nowhere_is_down() {
    for (to, expected) in [
        ("ftp://127.0.0.1/", "not a proper answer: redirect to ftp://127.0.0.1/"),
        ("http://127.0.0.1:1/", "connection refused"),
        ("http://name.invalid/", "cannot resolve name.invalid"),
    ] {
        let (server, _) = answering(redirect(302, to));
        let outcome = negotiate(exchange(Service::Http), server.address);
        assert_eq!(words(&outcome), expected, "{to}");
    }
}

#[test]
fn an_own_absolute_url_is_fetched_from_there() {
    let (other, heard) = answering(ok("OK"));
    let refused = support::daemon::free_port("127.0.0.1");
    let url = format!("/http://{}/abs", other.address);
    let own = exchange(Service::Http).own_request(&url);
    assert!(negotiate(own, refused).is_up());
    let head = heard.lock().unwrap().pop().unwrap();
    assert_eq!(line_and(&head, "host"), ("GET /abs HTTP/1.1".to_owned(), "127.0.0.1".to_owned()));
    // the service's request is a path, whatever it looks like
    assert!(negotiate(exchange(Service::Http).request(&url), other.address).is_up());
    let head = heard.lock().unwrap().pop().unwrap();
    assert_eq!(line_and(&head, "host").0, format!("GET /http://{}/abs HTTP/1.1", other.address));
}

#[test]
fn a_proxy_is_asked_in_absolute_form() {
    let (proxy, heard) = answering(ok("OK"));
    let via = |request: &str| {
        let proxied = exchange(Service::HttpProxy).request(request).host("not used").receive("OK");
        words(&negotiate(proxied, proxy.address))
    };
    assert_eq!(via("/http://www.example.com:81/a b"), "up: 200 OK");
    let head = heard.lock().unwrap().pop().unwrap();
    let line = "GET http://www.example.com:81/a%20b HTTP/1.1".to_owned();
    assert_eq!(line_and(&head, "host"), (line, "www.example.com:81".to_owned()));
    assert_eq!(via("/relative"), "request is not a URL: relative");
    // compat: https is fetched directly (spec 4.4)
    let nobody = support::daemon::free_port("127.0.0.1");
    assert_eq!(via(&format!("/https://{nobody}/")), "connection refused");
}

/// A TLS server that answers 200 and tells which name it was asked for.
fn tls_server(identity: &Identity, more: &[&Identity]) -> (Scripted, Arc<Mutex<Option<String>>>) {
    let asked = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&asked);
    let identity = identity.clone();
    let more: Vec<_> = more.iter().map(|it| it.certificate.clone()).collect();
    let server = Scripted::new(move |stream: TcpStream| {
        let acceptor = identity.acceptor_with(&more);
        let Ok(mut stream) = acceptor.accept(stream) else { return };
        *heard.lock().unwrap() =
            stream.ssl().servername(openssl::ssl::NameType::HOST_NAME).map(str::to_owned);
        read_head(&mut stream);
        let _ = stream.write_all(ok("OK").as_bytes());
        let _ = stream.shutdown();
    });
    (server, asked)
}

fn https(
    certificate: CertificateCheck,
    authority: Option<&Identity>,
    host: Option<&str>,
) -> impl Fn(SocketAddr) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let mut asked = exchange(Service::Https).receive("OK").certificate(certificate);
    asked.virtual_host = host.map(str::to_owned);
    if let Some(authority) = authority {
        std::fs::write(&file, authority.certificate.to_pem().unwrap()).unwrap();
        asked.ca_file = Some(file);
    }
    move |target| {
        let _keep = &directory;
        words(&negotiate(asked.clone(), target))
    }
}

#[test]
fn the_chain_is_verified_and_the_name_only_if_asked() {
    use CertificateCheck::{Chain, Name, No};
    let (authority, server) = chain("www.example.com");
    let (address, asked) = tls_server(&server, &[]);
    let to = address.address;
    let untrusted =
        "TLS handshake failed: certificate not trusted: unable to get local issuer certificate";
    assert_eq!(https(Chain, None, None)(to), untrusted);
    assert_eq!(https(No, None, None)(to), "up: 200 OK");
    assert_eq!(https(Chain, Some(&authority), None)(to), "up: 200 OK");
    assert_eq!(*asked.lock().unwrap(), None, "an address is no server name");
    assert_eq!(https(Chain, Some(&authority), Some("other.example.com"))(to), "up: 200 OK");
    assert_eq!(asked.lock().unwrap().as_deref(), Some("other.example.com"));
    assert_eq!(https(Name, Some(&authority), Some("www.example.com"))(to), "up: 200 OK");
    let wrong = https(Name, Some(&authority), Some("other.example.com"))(to);
    assert_eq!(wrong, "TLS handshake failed: certificate not trusted: hostname mismatch");
    let wrong = https(Name, Some(&authority), None)(to);
    assert_eq!(wrong, "TLS handshake failed: certificate not trusted: IP address mismatch");

    let by_address = Recipe { issuer: Some(&authority), ..Recipe::new("127.0.0.1") }.make();
    let (address, _) = tls_server(&by_address, &[]);
    assert_eq!(https(Name, Some(&authority), None)(address.address), "up: 200 OK");
}

#[test]
fn bad_certificates_are_down_and_say_why() {
    let chain_check = CertificateCheck::Chain;
    let (authority, _) = chain("x");
    let expired = Recipe { issuer: Some(&authority), days: (-30, -1), ..Recipe::new("x") }.make();
    let early = Recipe { issuer: Some(&authority), days: (1, 30), ..Recipe::new("x") }.make();
    let own = Recipe::new("x").make();
    for (identity, why) in [
        (&expired, "certificate has expired"),
        (&early, "certificate is not yet valid"),
        (&own, "self-signed certificate"),
    ] {
        let (server, _) = tls_server(identity, &[]);
        let words = https(chain_check, Some(&authority), None)(server.address);
        assert_eq!(words, format!("TLS handshake failed: certificate not trusted: {why}"));
        let words = https(CertificateCheck::No, None, None)(server.address);
        assert_eq!(words, "up: 200 OK", "{why}");
    }
    // a self-signed certificate that is itself trusted
    let (server, _) = tls_server(&own, &[]);
    assert_eq!(https(chain_check, Some(&own), None)(server.address), "up: 200 OK");
}

#[test]
fn an_intermediate_must_be_sent_or_be_trusted() {
    let (root, _) = chain("x");
    let middle = Recipe { issuer: Some(&root), authority: true, ..Recipe::new("Middle") }.make();
    let leaf = Recipe { issuer: Some(&middle), ..Recipe::new("x") }.make();
    let (complete, _) = tls_server(&leaf, &[&middle]);
    let (incomplete, _) = tls_server(&leaf, &[]);
    let check = https(CertificateCheck::Chain, Some(&root), None);
    assert_eq!(check(complete.address), "up: 200 OK");
    assert!(check(incomplete.address).contains("unable to get local issuer certificate"));
}

#[test]
fn a_ca_file_is_read_again_when_it_changes_and_named_when_it_is_bad() {
    let (first, _) = chain("x");
    let (second, server) = chain("x");
    let (server, _) = tls_server(&server, &[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let mut asked = exchange(Service::Https);
    asked.ca_file = Some(file.clone());
    let check = || words(&negotiate(asked.clone(), server.address));
    assert!(check().starts_with(&format!("checkcafile {}: No such file", file.display())));
    std::fs::write(&file, "no certificate").unwrap();
    assert!(check().ends_with("no certificate in it"), "{}", check());
    std::fs::write(&file, first.certificate.to_pem().unwrap()).unwrap();
    assert!(check().contains("certificate not trusted"));
    let both = [first.certificate.to_pem().unwrap(), second.certificate.to_pem().unwrap()].concat();
    std::fs::write(&file, both).unwrap();
    assert_eq!(check(), "up: 200 OK");
}

#[test]
fn a_redirect_may_lead_from_http_to_https() {
    let (authority, identity) = chain("x");
    let (secure, _) = tls_server(&identity, &[]);
    let (plain, _) = answering(redirect(301, &format!("https://{}/", secure.address)));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, authority.certificate.to_pem().unwrap()).unwrap();
    let mut asked = exchange(Service::Http).receive("OK");
    assert!(!negotiate(asked.clone(), plain.address).is_up());
    asked.ca_file = Some(file);
    assert_eq!(words(&negotiate(asked, plain.address)), "up: 200 OK");
}

#[test]
fn a_catastrophic_pattern_does_not_hold_up_a_check() {
    let body = "a".repeat(100).repeat(600) + "\n" + &("a".repeat(200) + "\n").repeat(2000);
    let (http, _) = answering(ok(&body));
    let lines = body.clone();
    let simple = Scripted::new(move |mut stream| {
        let _ = stream.write_all(lines.as_bytes());
    });
    for pattern in ["(a+)+[xy]", "(a|aa)+[xy]", "a.*.*[xy]", "(?s).*.*.*[xy]"] {
        for (service, address) in
            [(Service::Http, http.address), (Service::Simpletcp, simple.address)]
        {
            let method = CheckMethod::Negotiate(Arc::new(exchange(service).receive(pattern)));
            let verdict = run(&plan(method, address, Duration::from_secs(2)));
            assert!(!verdict.outcome.is_up(), "{service} {pattern}");
            assert!(verdict.took < Duration::from_secs(10), "{service} {pattern}: {verdict:?}");
        }
    }
}
