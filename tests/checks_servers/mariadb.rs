//! mysql against MariaDB.

#![cfg(feature = "mysql")]

use crate::check::Check;
use crate::server::{Certificates, Home, LOOPBACKS, Server, free_port, install, run, text};
use ldirectord::model::{Service, Tls};
use std::process::Command;

const ACCOUNTS: &str = "
CREATE DATABASE shop;
CREATE TABLE shop.goods (name varchar(80));
INSERT INTO shop.goods VALUES ('bread'), ('wine');
CREATE TABLE shop.empty (name varchar(80));
INSTALL SONAME 'auth_ed25519';
CREATE USER native@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('right');
CREATE USER modern@'%' IDENTIFIED VIA ed25519 USING PASSWORD('right');
CREATE USER open@'%' IDENTIFIED BY '';
CREATE USER private@'%' IDENTIFIED VIA ed25519 USING PASSWORD('right') REQUIRE SSL;
CREATE USER certain@'%' IDENTIFIED VIA ed25519 USING PASSWORD('right') REQUIRE X509;
GRANT SELECT ON shop.* TO native@'%', modern@'%', open@'%', private@'%', certain@'%';
FLUSH PRIVILEGES;
";

#[test]
fn mysql_rows_with_native_and_ed25519_accounts() {
    install(&["mariadb-server"]);
    let home = Home::new("mariadb");
    let port = free_port();
    let certificates = Certificates::new(&home);
    let data = home.name("data");
    run(Command::new("mariadb-install-db").args([
        "--no-defaults",
        "--user=root",
        "--skip-test-db",
        "--skip-name-resolve",
        "--auth-root-authentication-method=normal",
        "--innodb-log-file-size=8M",
        &format!("--datadir={data}"),
    ]));
    let accounts = home.write("accounts.sql", ACCOUNTS);
    let mut command = Command::new("mariadbd");
    command.args([
        "--no-defaults",
        "--user=root",
        "--bind-address=127.0.0.1,::1",
        "--skip-name-resolve",
        "--innodb-log-file-size=8M",
        "--innodb-buffer-pool-size=8M",
        "--performance-schema=off",
        &format!("--datadir={data}"),
        &format!("--port={port}"),
        &format!("--socket={}", home.name("socket")),
        &format!("--pid-file={}", home.name("pid")),
        &format!("--init-file={accounts}"),
        &format!("--ssl-ca={}", text(&certificates.authority)),
        &format!("--ssl-cert={}", text(&certificates.certificate)),
        &format!("--ssl-key={}", text(&certificates.key)),
    ]);
    let open = Check::new(Service::Mysql, port).login("open", "").request("SELECT 1");
    let _server = Server::start(&home, &mut command)
        .wait("mariadb", || LOOPBACKS.into_iter().all(|address| open.run_at(address) == "up"));

    for login in ["native", "modern"] {
        let check = Check::new(Service::Mysql, port).login(login, "right");
        check.clone().request("SELECT 1").expect("up");
        check.clone().request("SELECT * FROM shop.goods").expect("up");
        let shop = check.clone().database("shop");
        shop.clone().request("SELECT name FROM goods WHERE name = 'wine'").expect("up");
        shop.clone().request("SELECT name FROM goods WHERE name = 'beer'").expect("nothing found");
        shop.clone().request("SELECT * FROM empty").expect("nothing found");
        shop.clone().request("SET @x = 1").expect("nothing found");
        shop.clone().request("SELECT * FROM nothing").expect("rejected: 11"); // 1142 or 1146
        shop.clone().request("SELEKT 1").expect("rejected: 1064");
        shop.clone().login(login, "wrong").request("SELECT 1").expect("login refused: 1045");
        shop.clone().login(login, "").request("SELECT 1").expect("login refused: 1045");
        check.clone().database("none").request("SELECT 1").expect("login refused: 1044");
        // Sixteen megabytes of rows, and one row of a megabyte.
        let many = "SELECT repeat('x', 16000) FROM seq_1_to_1000".to_owned();
        check.clone().database("shop").request(&many).expect("up");
        check.clone().request("SELECT repeat('x', 1000000)").expect("up");
        check.expect("service=mysql needs login and request");
    }
    open.expect("up");

    let private = Check::new(Service::Mysql, port).login("private", "right").request("SELECT 1");
    private.expect("login refused: 1045");
    let tls = private.tls(Tls::Start);
    tls.expect("TLS handshake failed: certificate not trusted");
    let tls = tls.ca_file(&certificates.authority);
    tls.expect("up");
    tls.clone().login("native", "right").expect("up");
    tls.clone().login("private", "wrong").expect("login refused: 1045");
    let certain = tls.login("certain", "right");
    certain.expect("login refused: 1045");
    certain.client(&certificates.certificate, &certificates.key).expect("up");

    let nobody = Check::new(Service::Mysql, free_port()).login("native", "right");
    nobody.request("SELECT 1").expect("connection refused");
}
