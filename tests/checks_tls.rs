//! https against OpenSSL's own server in every state of repair.
//!
//! Each verdict was also Debian bookworm's ldirectord's (LWP over IO::Socket::SSL), with the same
//! certificates trusted through SSL_CERT_FILE.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use ldirectord::check::CheckOutcome;
use ldirectord::model::{
    CertificateCheck, ClientCertificate, Exchange, Resolver, Service, SystemResolver,
};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::certificate::{Identity, Recipe, ec_key, rsa_key};
use support::daemon::{Daemon, packages};
use support::plan::{With, exchange, negotiate, words};

/// One kind of server: name, certificate, more options, verdict.
struct Kind {
    name: &'static str,
    certificate: &'static str,
    options: &'static str,
    verdict: &'static str,
}

const fn kind(
    name: &'static str,
    certificate: &'static str,
    options: &'static str,
    verdict: &'static str,
) -> Kind {
    Kind { name, certificate, options, verdict }
}

const UP: &str = "up";
const WEAK: &str = "-cipher DEFAULT:@SECLEVEL=0";

fn kinds() -> Vec<Kind> {
    vec![
        kind("ordinary", "rsa", "", UP),
        kind("TLS 1.3 only", "rsa", "-tls1_3", UP),
        kind("RSA key exchange", "rsa", "-tls1_2 -cipher AES128-GCM-SHA256", UP),
        kind("RSA key exchange, CBC", "rsa", "-tls1_2 -cipher AES128-SHA", UP),
        kind("DHE", "rsa", "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", UP),
        kind("CBC", "rsa", "-tls1_2 -cipher ECDHE-RSA-AES128-SHA", UP),
        kind("ChaCha20", "rsa", "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305", UP),
        kind("P-256", "p256", "", UP),
        kind("P-521", "p521", "", UP),
        kind("Ed25519", "ed25519", "", UP),
        kind("key exchange over P-521", "rsa", "-groups P-521", UP),
        kind("whole chain", "leaf", "-cert_chain middle.pem", UP),
        kind("incomplete chain", "leaf", "", "unable to get local issuer certificate"),
        kind("chain to a trusted intermediate", "leaf2", "", UP),
        kind("client certificate welcome", "rsa", "-verify 1", UP),
        kind("client certificate demanded", "rsa", "-Verify 1", "certificate required"),
        kind("expired", "expired", "", "certificate has expired"),
        kind("self-signed", "own", "", "self-signed certificate"),
        kind(
            "signed by what is no authority",
            "fake",
            "-cert_chain rsa.pem",
            "invalid CA certificate",
        ),
        kind("SHA-1 signature", "sha1", WEAK, "CA signature digest algorithm too weak|EE"),
        kind("RSA of 1024 bits", "rsa1024", WEAK, "EE certificate key too weak"),
        kind("TLS 1.1 only", "rsa", "-tls1_1 -cipher DEFAULT:@SECLEVEL=0", "legacy sigalg"),
        kind("TLS 1.0 only", "rsa", "-tls1 -cipher DEFAULT:@SECLEVEL=0", "legacy sigalg"),
        kind("Camellia only", "rsa", "-tls1_2 -cipher CAMELLIA128-SHA", "handshake failure"),
        kind(
            "no encryption",
            "rsa",
            "-tls1_2 -cipher NULL-SHA256:@SECLEVEL=0",
            "handshake failure",
        ),
        kind(
            "anonymous",
            "",
            "-nocert -tls1_2 -cipher ADH-AES128-SHA:@SECLEVEL=0",
            "handshake failure",
        ),
        kind(
            "another certificate without SNI",
            "own",
            "-servername www.example.com -cert2 rsa.pem -key2 rsa.key",
            "self-signed certificate",
        ),
    ]
}

/// Writes every certificate, and the file of those that are trusted.
fn certificates(directory: &Path) -> PathBuf {
    let write = |name: &str, identity: &Identity| {
        let path = |kind: &str| directory.join(format!("{name}.{kind}"));
        identity.write(&path("pem"), &path("key"));
    };
    let name = "www.example.com";
    let authority = |name| Recipe { authority: true, ..Recipe::new(name) };
    let root = authority("Root").make();
    let root2 = authority("Unknown root").make();
    let middle = Recipe { issuer: Some(&root), ..authority("Middle") }.make();
    let middle2 = Recipe { issuer: Some(&root2), ..authority("Trusted middle") }.make();
    let from = |issuer| Recipe { issuer: Some(issuer), ..Recipe::new(name) };
    let rsa = Recipe { key: rsa_key(2048), ..from(&root) }.make();
    write("middle", &middle);
    write("rsa", &rsa);
    write("p256", &from(&root).make());
    write("p521", &Recipe { key: ec_key(Nid::SECP521R1), ..from(&root) }.make());
    let ed25519 = PKey::generate_ed25519().unwrap();
    write("ed25519", &Recipe { key: ed25519, ..from(&root) }.make());
    write("leaf", &from(&middle).make());
    write("leaf2", &from(&middle2).make());
    write("expired", &Recipe { days: (-30, -1), ..from(&root) }.make());
    write("own", &Recipe::new("own.example.com").make());
    write("fake", &from(&rsa).make());
    write("sha1", &Recipe { digest: MessageDigest::sha1(), ..from(&root) }.make());
    write("rsa1024", &Recipe { key: rsa_key(1024), ..from(&root) }.make());
    let trusted = directory.join("trusted.pem");
    let pem = [&root, &middle2].map(|it| it.certificate.to_pem().unwrap()).concat();
    std::fs::write(&trusted, pem).unwrap();
    trusted
}

/// Starts OpenSSL's server on a port of its choice.
fn start(kind: &Kind, directory: &Path) -> (Daemon, SocketAddr) {
    packages(&["openssl"]);
    let own = directory.join(kind.name);
    std::fs::create_dir(&own).unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:0", "-www"]).current_dir(directory);
    if !kind.certificate.is_empty() {
        command.arg("-cert").arg(format!("{}.pem", kind.certificate));
        command.arg("-key").arg(format!("{}.key", kind.certificate));
    }
    command.args(kind.options.split_whitespace());
    let mut daemon = Daemon::spawn(&mut command, &own);
    let mut address = None;
    let output = own.join("output");
    daemon.wait_for(|| {
        let text = std::fs::read_to_string(&output).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("ACCEPT "));
        address = line.and_then(|address| address.parse().ok());
        address.is_some()
    });
    (daemon, address.unwrap())
}

#[test]
fn servers_old_and_new_are_judged_as_the_original_does() {
    let directory = tempfile::tempdir().unwrap();
    let trusted = certificates(directory.path());
    let mut wrong = Vec::new();
    for kind in kinds() {
        let (_daemon, address) = start(&kind, directory.path());
        let mut https = exchange(Service::Https).receive("Cipher");
        https.ca_file = Some(trusted.clone());
        let verdict = words(&negotiate(https, address));
        if !kind.verdict.split('|').any(|it| verdict.contains(it)) {
            wrong.push(format!("{}: {verdict}, not {}", kind.name, kind.verdict));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The result of the verification is named if, and only if, it is what the handshake failed for.
#[test]
fn each_failure_names_the_step_that_failed() {
    let directory = tempfile::tempdir().unwrap();
    let trusted = certificates(directory.path());
    let mut wrong = Vec::new();
    for kind in kinds() {
        let (_daemon, address) = start(&kind, directory.path());
        let verdict = |check| {
            let mut https = exchange(Service::Https).receive("Cipher").certificate(check);
            https.ca_file = Some(trusted.clone());
            words(&negotiate(https, address))
        };
        let (verified, blind) = (verdict(CertificateCheck::Chain), verdict(CertificateCheck::No));
        let by_certificate = verified.contains("certificate not trusted: ");
        let right = match by_certificate {
            // What is left when nobody asks for the certificate is no matter of the certificate.
            true => !blind.contains("certificate not trusted"),
            false => verified == blind,
        };
        if !right {
            wrong.push(format!("{}: {verified}, and without verification: {blind}", kind.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_server_that_asks_who_we_are_is_shown_the_client_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let trusted = certificates(directory.path());
    let demands = kind("demands", "rsa", "-Verify 2 -verify_return_error -CAfile trusted.pem", "");
    let (_daemon, address) = start(&demands, directory.path());
    let file = |name: &str| directory.path().join(name);
    let verdict = |client: Option<(&str, &str)>| {
        let mut https = exchange(Service::Https).receive("Cipher");
        https.ca_file = Some(trusted.clone());
        https.client = client.map(|(certificate, key)| ClientCertificate {
            certificate: file(certificate),
            key: file(key),
        });
        words(&negotiate(https, address))
    };
    assert!(verdict(None).contains("certificate required"), "{}", verdict(None));
    assert_eq!(verdict(Some(("p256.pem", "p256.key"))), "up: 200 ok");
    // With the issuers between it and a trusted one.
    let chain = ["leaf.pem", "middle.pem"].map(|name| std::fs::read(file(name)).unwrap());
    std::fs::write(file("chain.pem"), chain.concat()).unwrap();
    assert_eq!(verdict(Some(("chain.pem", "leaf.key"))), "up: 200 ok");
    let unknown = verdict(Some(("own.pem", "own.key")));
    assert!(!unknown.starts_with("up"), "{unknown}");

    let key = PKey::private_key_from_pem(&std::fs::read(file("p256.key")).unwrap()).unwrap();
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    let encrypted = key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap();
    std::fs::write(file("encrypted.key"), encrypted).unwrap();
    std::fs::write(
        file("both.pem"),
        [std::fs::read(file("p256.pem")).unwrap(), std::fs::read(file("p256.key")).unwrap()]
            .concat(),
    )
    .unwrap();
    assert_eq!(verdict(Some(("both.pem", "both.pem"))), "up: 200 ok");
    let resolver = SystemResolver::new();
    let pair = |certificate, key| {
        resolver.key_pair(&file(certificate), &file(key)).map_err(|error| error.to_string())
    };
    assert_eq!(pair("both.pem", "both.pem"), Ok(()));
    for (certificate, key, cause) in [
        ("p256.pem", "p521.key", "p521.key: not the key of the certificate"),
        ("p256.pem", "encrypted.key", "encrypted.key: the key is encrypted"),
        ("p256.pem", "p256.pem", "p256.pem: no private key in it"),
        ("p256.key", "p256.key", "p256.key: no certificate in it"),
        ("none.pem", "p256.key", "none.pem: no such file"),
    ] {
        let error = pair(certificate, key).unwrap_err();
        assert!(error.ends_with(cause), "{error}");
    }
}

#[test]
fn the_end_of_a_certificate_is_seen_where_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    Recipe { days: (-1, 10), ..Recipe::new("www.example.com") }
        .make()
        .write(&directory.path().join("ten.pem"), &directory.path().join("ten.key"));
    // A second may pass meanwhile.
    for (certificate, days) in [("ten", 9..=10), ("expired", -2..=-1)] {
        let (_daemon, address) = start(&kind(certificate, certificate, "", ""), directory.path());
        let https = exchange(Service::Https).certificate(CertificateCheck::No);
        let seen = |https| match negotiate(https, address) {
            CheckOutcome::Up(note) => note.certificate,
            CheckOutcome::Down(failure) => panic!("{failure}"),
        };
        assert_eq!(seen(https.clone()), None);
        let end = seen(Exchange { certificate_days: Some(1), ..https }).unwrap();
        assert!(days.contains(&end.days), "{certificate}: {end:?}");
    }
}

#[test]
fn a_server_that_insists_on_sni_gets_the_virtual_host() {
    let directory = tempfile::tempdir().unwrap();
    let trusted = certificates(directory.path());
    let two = "-servername www.example.com -cert2 rsa.pem -key2 rsa.key";
    let (_daemon, address) = start(&kind("sni", "own", two, ""), directory.path());
    let mut https = exchange(Service::Https).host("www.example.com").receive("Cipher");
    https.ca_file = Some(trusted);
    assert!(negotiate(https.clone(), address).is_up());
    let by_name = https.clone().certificate(CertificateCheck::Name);
    assert!(negotiate(by_name, address).is_up());
    // The port is for the Host header only.
    let with_port = https.clone().host("www.example.com:8443").certificate(CertificateCheck::Name);
    assert!(negotiate(with_port, address).is_up());
    let other = https.host("other.example.com");
    assert!(words(&negotiate(other, address)).contains("self-signed"));
}
