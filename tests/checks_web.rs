//! http, https and http_proxy against nginx and squid.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use ldirectord::model::{
    CertificateCheck, Exchange, HttpMethod, HttpOptions, ProxyProtocol, Service,
};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::certificate::chain;
use support::daemon::{Daemon, free_port, packages};
use support::plan::{With, exchange, negotiate, words};

/// nginx with two names, on IPv4 and IPv6, in clear and over TLS.
struct Nginx {
    _daemon: Daemon,
    v4: SocketAddr,
    v6: SocketAddr,
    tls: SocketAddr,
    /// Takes connections with a header of the PROXY protocol only.
    proxied: SocketAddr,
    proxied_tls: SocketAddr,
    authority: PathBuf,
}

fn nginx(directory: &Path) -> Nginx {
    packages(&["nginx-light"]);
    let (v4, v6, tls) = (free_port("127.0.0.1"), free_port("::1"), free_port("127.0.0.1"));
    let (proxied, proxied_tls) = (free_port("127.0.0.1"), free_port("127.0.0.1"));
    let (root, server) = chain("www.example.com");
    let file = |name: &str| directory.join(name);
    server.write(&file("server.pem"), &file("server.key"));
    fs::write(file("ca.pem"), root.certificate.to_pem().unwrap()).unwrap();
    fs::create_dir(file("html")).unwrap();
    fs::write(file("html/index.html"), "<h1>It works</h1>\n".repeat(5000)).unwrap();
    fs::write(file("html/end.html"), format!("{}the end\n", "x\n".repeat(100_000))).unwrap();
    let directory_name = directory.display();
    let configuration = format!(
        "daemon off; master_process off; pid {directory_name}/pid; error_log stderr;
        events {{}}
        http {{
            access_log off; gzip on;
            client_body_temp_path {directory_name}/t1; proxy_temp_path {directory_name}/t2;
            fastcgi_temp_path {directory_name}/t3; uwsgi_temp_path {directory_name}/t4;
            scgi_temp_path {directory_name}/t5;
            server {{
                listen {v4} default_server; listen {v6} default_server; listen {tls} ssl;
                ssl_certificate server.pem; ssl_certificate_key server.key;
                root {directory_name}/html;
                location /moved {{ return 301 /index.html; }}
                location /away {{ return 302 http://{v4}/end.html; }}
                location /secure {{ return 302 https://{tls}/; }}
                location /loop {{ return 302 /loop; }}
                location /broken {{ return 503; }}
                location /text {{ return 200 \"$host $request_method $http_user_agent $server_protocol\"; }}
            }}
            server {{
                listen {proxied} proxy_protocol; listen {proxied_tls} ssl proxy_protocol;
                ssl_certificate server.pem; ssl_certificate_key server.key;
                return 200 \"from <$proxy_protocol_addr>\";
            }}
            server {{
                listen {v4}; server_name www.example.com;
                return 200 \"another server\";
            }}
        }}"
    );
    fs::write(file("nginx.conf"), configuration).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(directory).arg("-c").arg(file("nginx.conf"));
    let daemon = Daemon::start(&mut command, directory, v4);
    Nginx { _daemon: daemon, v4, v6, tls, proxied, proxied_tls, authority: file("ca.pem") }
}

#[test]
fn nginx_takes_the_proxy_protocol_and_an_older_http() {
    let directory = tempfile::tempdir().unwrap();
    let nginx = nginx(directory.path());
    for (proxy, expected) in [
        (None, "connection closed by the server"),
        (Some(ProxyProtocol::V1), "up: 200 OK"),
        (Some(ProxyProtocol::V2), "up: 200 OK"),
    ] {
        let http = Exchange { proxy, ..exchange(Service::Http) };
        assert_eq!(words(&negotiate(http, nginx.proxied)), expected, "{proxy:?}");
        let https = Exchange { proxy, ..exchange(Service::Https) };
        let https = Exchange { ca_file: Some(nginx.authority.clone()), ..https };
        let outcome = words(&negotiate(https, nginx.proxied_tls));
        assert_eq!(outcome.starts_with("up"), proxy.is_some(), "{outcome}");
    }
    let v1 = Exchange { proxy: Some(ProxyProtocol::V1), ..exchange(Service::Http) };
    let v1 = v1.receive("^from <127.0.0.1>$");
    assert_eq!(words(&negotiate(v1, nginx.proxied)), "up: 200 OK");
    for (old, version) in [(false, "HTTP/1.1$"), (true, "HTTP/1.0$")] {
        let options = HttpOptions { old, ..HttpOptions::default() };
        let http = Exchange { http: options, ..exchange(Service::Http) };
        let outcome = negotiate(http.request("/text").receive(version), nginx.v4);
        assert_eq!(words(&outcome), "up: 200 OK", "{version}");
    }
}

#[test]
fn nginx_is_judged_by_status_and_body() {
    let directory = tempfile::tempdir().unwrap();
    let nginx = nginx(directory.path());
    let http = || exchange(Service::Http);
    let head = |it: Exchange| Exchange { http_method: HttpMethod::Head, ..it };
    for (exchange, expected) in [
        (http(), "up: 200 OK"),
        (http().receive("It works"), "up: 200 OK"),
        (http().receive("It fails"), "answer does not match receive"),
        (http().request("/end.html").receive("the end$"), "up: 200 OK"),
        (http().request("/missing"), "status 404 Not Found"),
        (http().request("/broken"), "status 503 Service Temporarily Unavailable"),
        (http().request("/moved").receive("It works"), "up: 200 OK"),
        (http().request("/away").receive("the end"), "up: 200 OK"),
        (http().request("/loop"), "status 302 Moved Temporarily"),
        (
            http().request("/secure"),
            "TLS handshake failed: certificate not trusted: unable to get local issuer certificate",
        ),
        (http().request("/text").receive("^127.0.0.1 GET libwww-perl"), "up: 200 OK"),
        (http().host("www.example.com").receive("^another server$"), "up: 200 OK"),
        (head(http()), "up: 200 OK"),
        (head(http()).receive("It works"), "answer does not match receive"),
    ] {
        for address in [nginx.v4, nginx.v6] {
            // The other name and the redirects are on IPv4 only.
            let v4_only = exchange.virtual_host.is_some() || exchange.request == "/text";
            if address.is_ipv6() && v4_only {
                continue;
            }
            let verdict = words(&negotiate(exchange.clone(), address));
            assert_eq!(verdict, expected, "{} at {address}", exchange.request);
        }
    }
}

#[test]
fn nginx_over_tls_is_judged_by_its_certificate_too() {
    let directory = tempfile::tempdir().unwrap();
    let nginx = nginx(directory.path());
    let trusting = |it: Exchange| Exchange { ca_file: Some(nginx.authority.clone()), ..it };
    let https = || trusting(exchange(Service::Https).receive("It works"));
    let name = CertificateCheck::Name;
    for (exchange, up) in [
        (https(), true),
        (https().host("www.example.com").certificate(name), true),
        (https().host("other.example.com").certificate(name), false),
        (exchange(Service::Https), false),
        (exchange(Service::Https).certificate(CertificateCheck::No), true),
        (https().receive("It fails"), false),
    ] {
        let outcome = negotiate(exchange, nginx.tls);
        assert_eq!(outcome.is_up(), up, "{}", words(&outcome));
    }
    // clear text where TLS is spoken, and the other way round
    let outcome = negotiate(exchange(Service::Http), nginx.tls);
    assert_eq!(words(&outcome), "status 400 Bad Request");
    assert!(words(&negotiate(https(), nginx.v4)).starts_with("TLS handshake failed"));
}

#[test]
fn squid_fetches_what_the_request_names() {
    packages(&["squid"]);
    let directory = tempfile::tempdir().unwrap();
    let squid_directory = tempfile::tempdir().unwrap();
    let nginx = nginx(directory.path());
    // squid gives up root for the user proxy, which must reach its directory.
    fs::set_permissions(squid_directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let name = squid_directory.path().display();
    let port = free_port("127.0.0.1");
    let configuration = format!(
        "http_port {port}
        acl refused urlpath_regex ^/text
        http_access deny refused
        http_access allow all
        cache deny all
        pid_filename {name}/pid
        access_log none
        cache_log {name}/cache.log
        coredump_dir {name}
        shutdown_lifetime 0 seconds
        via off
        forwarded_for delete\n"
    );
    let file = squid_directory.path().join("squid.conf");
    fs::write(&file, configuration).unwrap();
    let mut command = Command::new("squid");
    command.arg("-N").arg("-f").arg(&file);
    let _squid = Daemon::start(&mut command, squid_directory.path(), port);
    let v4 = nginx.v4;
    let closed = free_port("127.0.0.1");
    for (request, receive, expected) in [
        (format!("/http://{v4}/"), Some("It works"), "up: 200 OK"),
        (format!("/http://{v4}/moved"), Some("It works"), "up: 200 OK"),
        (format!("/http://{v4}/"), Some("It fails"), "answer does not match receive"),
        (format!("/http://{v4}/missing"), None, "status 404 Not Found"),
        (format!("/http://{v4}/text"), None, "status 403 Forbidden"),
        (format!("/http://{closed}/"), None, "status 503 Service Unavailable"),
        ("/".to_owned(), None, "request is not a URL: "),
    ] {
        let mut proxied = exchange(Service::HttpProxy).request(&request);
        if let Some(pattern) = receive {
            proxied = proxied.receive(pattern);
        }
        assert_eq!(words(&negotiate(proxied, port)), expected, "{request}");
    }
}
