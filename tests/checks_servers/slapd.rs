//! ldap and ldaps against OpenLDAP.

use crate::check::Check;
use crate::server::{Certificates, Home, Server, free_port, install, run, text};
use ldirectord::model::{CertificateCheck, Service, Tls};
use std::process::Command;

#[test]
fn ldap_and_ldaps_anonymous_and_bound() {
    install(&["slapd"]);
    let home = Home::new("slapd");
    let certificates = Certificates::new(&home);
    let [ldap, ldaps] = [(); 2].map(|()| free_port());
    let configuration = format!(
        "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {pid}
TLSCACertificateFile {ca}
TLSCertificateFile {cert}
TLSCertificateKeyFile {key}
database mdb
suffix dc=example
rootdn cn=admin,dc=example
rootpw right
directory {directory}
maxsize 10485760
access to dn.base=\"ou=secret,dc=example\" by users read by anonymous auth
access to * by * read
",
        pid = home.name("pid"),
        ca = text(&certificates.authority),
        cert = text(&certificates.certificate),
        key = text(&certificates.key),
        directory = home.directory("db"),
    );
    let file = home.write("slapd.conf", configuration);
    let entries = home.write(
        "entries.ldif",
        "dn: dc=example
objectClass: domain
dc: example

dn: ou=people,dc=example
objectClass: organizationalUnit
ou: people
description: fifty thousand bytes and more, which nobody asks for

dn: ou=secret,dc=example
objectClass: organizationalUnit
ou: secret

dn: cn=checker,dc=example
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: checker
userPassword: right
",
    );
    run(Command::new("slapadd").args(["-f", &file, "-l", &entries]));
    let urls = format!(
        "ldap://127.0.0.1:{ldap} ldap://[::1]:{ldap} ldaps://127.0.0.1:{ldaps} ldaps://[::1]:{ldaps}"
    );
    let _server =
        Server::start(&home, Command::new("slapd").args(["-d", "0", "-f", &file, "-h", &urls]))
            .wait_for_ports("slapd", &[ldap, ldaps]);

    for check in [Check::new(Service::Ldap, ldap), Check::new(Service::Ldaps, ldaps)] {
        // The root entry, which every server has.
        check.expect("up");
        let people = check.clone().request("ou=people,dc=example");
        people.expect("up");
        people.clone().receive("^ou=people,dc=example$").expect("up");
        people.clone().receive("ou=animals").expect("answer does not match receive");
        check.clone().request("ou=animals,dc=example").expect("rejected: no such object (32)");
        check.clone().request("not a name").expect("rejected: invalid name (34)");

        let secret = check.clone().request("ou=secret,dc=example");
        secret.expect("rejected: insufficient access rights (50)");
        secret.clone().login("cn=checker,dc=example", "right").expect("up");
        let refused = "login refused: invalid credentials (49)";
        secret.clone().login("cn=checker,dc=example", "wrong").expect(refused);
        secret.clone().login("cn=nobody,dc=example", "right").expect(refused);
        // Half a login is none.
        secret.login("cn=checker,dc=example", "").expect("rejected: insufficient access rights");
    }
    // ldaps verifies nothing by default, which checkcertificate changes.
    let check = Check::new(Service::Ldaps, ldaps).certificate(CertificateCheck::Chain);
    check.expect("TLS handshake failed: certificate not trusted");
    check.clone().ca_file(&certificates.authority).expect("up");
    for (port, tls) in [(ldap, Tls::Start), (ldaps, Tls::Yes)] {
        let check = Check::new(Service::Ldap, port).tls(tls);
        check.expect("TLS handshake failed: certificate not trusted");
        let check = check.ca_file(&certificates.authority);
        check.expect("up");
        let secret = check.clone().request("ou=secret,dc=example");
        secret.expect("rejected: insufficient access rights (50)");
        secret.login("cn=checker,dc=example", "right").expect("up");
    }
}
