//! The checks against the servers that people run, from Debian's packages.
//!
//! Each server is started by its test on a loopback port, IPv4 and IPv6, with a configuration and
//! files of its own in a temporary directory. Needs root: servers are installed, and some change
//! their user.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "checks_servers/check.rs"]
mod check;
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "checks_servers/server.rs"]
mod server;

#[path = "checks_servers/brokers.rs"]
mod brokers;
#[path = "checks_servers/chrony.rs"]
mod chrony;
#[path = "checks_servers/dovecot.rs"]
mod dovecot;
#[path = "checks_servers/exim.rs"]
mod exim;
#[path = "checks_servers/freeradius.rs"]
mod freeradius;
#[path = "checks_servers/kamailio.rs"]
mod kamailio;
#[path = "checks_servers/leafnode.rs"]
mod leafnode;
#[path = "checks_servers/mariadb.rs"]
mod mariadb;
#[path = "checks_servers/others.rs"]
mod others;
#[path = "checks_servers/postgresql.rs"]
mod postgresql;
#[path = "checks_servers/service_names.rs"]
mod service_names;
#[path = "checks_servers/slapd.rs"]
mod slapd;
#[path = "checks_servers/stores.rs"]
mod stores;
#[path = "checks_servers/unbound.rs"]
mod unbound;
#[path = "checks_servers/vsftpd.rs"]
mod vsftpd;
