//! pgsql against PostgreSQL.

use crate::check::Check;
use crate::server::{Certificates, Home, LOOPBACKS, Server, free_port, install, run, text};
use ldirectord::model::{CertificateCheck, Service, Tls};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Of the newest version that is installed.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").unwrap();
    let mut versions: Vec<u32> =
        versions.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable();
    format!("/usr/lib/postgresql/{}/bin/{name}", versions.last().unwrap()).into()
}

/// PostgreSQL refuses to be root.
fn as_postgres(program: PathBuf) -> Command {
    let user = nix::unistd::User::from_name("postgres").unwrap().unwrap();
    let mut command = Command::new(program);
    command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir("/");
    command
}

/// One statement a line.
const ACCOUNTS: &str = "
SET password_encryption = 'scram-sha-256';
CREATE ROLE modern LOGIN PASSWORD 'right';
CREATE ROLE plain LOGIN PASSWORD 'right';
CREATE ROLE clear LOGIN PASSWORD 'right';
CREATE ROLE outsider LOGIN PASSWORD 'right';
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD 'right';
CREATE TABLE goods (name text);
INSERT INTO goods VALUES ('bread'), ('wine');
GRANT SELECT ON goods TO public;
";

const ACCESS: &str = "
hostssl all modern all scram-sha-256
hostnossl all plain all scram-sha-256
host all old all md5
host all clear all password
";

fn start(home: &Home, port: u16, ssl: &str, access: &str) -> Server {
    home.directory("data");
    home.give("data", "postgres");
    let data = home.name("data");
    run(as_postgres(program("initdb")).args(["-N", "-A", "trust", "-D", &data]));
    let accounts = home.write("accounts.sql", ACCOUNTS);
    let mut single = as_postgres(program("postgres"));
    single.args(["--single", "-D", &data, "postgres"]);
    run(single.stdin(fs::File::open(accounts).unwrap()).stdout(Stdio::null()));
    home.write("data/pg_hba.conf", access);
    let configuration = format!(
        "listen_addresses = '127.0.0.1,::1'
port = {port}
unix_socket_directories = ''
shared_buffers = 4MB
fsync = off
{ssl}
"
    );
    home.write("data/postgresql.conf", configuration);
    home.write("log", "");
    let probe = Check::new(Service::Pgsql, port).login("modern", "right").request("SELECT 1");
    Server::start(home, as_postgres(program("postgres")).args(["-D", &data]))
        .wait_for_ports("postgresql", &[port])
        .wait("postgresql", || !probe.run_at(LOOPBACKS[0]).contains("starting up"))
}

#[test]
fn pgsql_rows_with_scram_and_md5_accounts() {
    install(&["postgresql"]);
    let home = Home::new("postgresql");
    let port = free_port();
    let certificates = Certificates::new(&home);
    home.give("key.pem", "postgres");
    let ssl = format!(
        "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'",
        text(&certificates.certificate),
        text(&certificates.key)
    );
    let server = start(&home, port, &ssl, ACCESS);

    let check = Check::new(Service::Pgsql, port).database("postgres");
    for login in ["modern", "plain", "old", "clear"] {
        let check = check.clone().login(login, "right");
        check.clone().request("SELECT 1").expect("up");
        check.clone().request("SELECT * FROM goods WHERE name = 'wine'").expect("up");
        check.clone().request("SELECT * FROM goods WHERE name = 'beer'").expect("nothing found");
        check.clone().request("SET work_mem = '1MB'").expect("nothing found");
        check.clone().request("SELECT * FROM nothing").expect("rejected: relation \"nothing\"");
        check.clone().request("SELECT 1/0").expect("rejected: division by zero");
        check.clone().login(login, "wrong").request("SELECT 1").expect("login refused: password");
        check.clone().database("none").request("SELECT 1").expect("rejected: database \"none\"");
        check
            .clone()
            .request("SELECT repeat('x', 16000) FROM generate_series(1, 1000)")
            .expect("up");
        check.clone().request("SELECT repeat('x', 10000000)").expect("up");
        check.expect("service=pgsql needs login and request");
    }
    let private = check.clone().login("modern", "right").request("SELECT 1").tls(Tls::Start);
    private.expect("TLS handshake failed: certificate not trusted");
    private.clone().certificate(CertificateCheck::No).expect("up");
    private.clone().ca_file(&certificates.authority).expect("up");
    let plain = private.ca_file(&certificates.authority).login("plain", "right");
    plain.expect("login refused: no pg_hba.conf entry");
    let outsider = check.clone().login("outsider", "right").request("SELECT 1");
    outsider.expect("login refused: no pg_hba.conf entry");
    drop(server);
    check.clone().login("modern", "right").request("SELECT 1").expect("connection refused");
}

#[test]
fn pgsql_without_tls() {
    install(&["postgresql"]);
    let home = Home::new("postgresql");
    let port = free_port();
    let _server = start(&home, port, "ssl = off", "host all all all scram-sha-256\n");
    // Without `database` it is the one that has the login's name.
    let check = Check::new(Service::Pgsql, port).request("SELECT 1");
    check.clone().login("modern", "right").expect("rejected: database \"modern\" does not exist");
    let check = check.database("postgres");
    check.clone().login("modern", "right").expect("up");
    check.clone().login("modern", "wrong").expect("login refused: password");
    let refused = "TLS handshake failed: refused: the server does not offer it";
    check.login("modern", "right").tls(Tls::Start).expect(refused);
}
