//! Names looked up once each.

use crate::model::resolver::literal;
use crate::model::{Family, Protocol, Resolver};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;

/// The resolver, with a memory: a configuration names the same hosts over and over, and a slow
/// name server must be waited for only once.
pub(super) struct Names<'a> {
    resolver: &'a dyn Resolver,
    hosts: RefCell<HashMap<(String, Family), Option<IpAddr>>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(resolver: &'a dyn Resolver) -> Self {
        Self { resolver, hosts: RefCell::default() }
    }

    /// A host as it is written, in brackets or not.
    ///
    /// compat: IPv6 addresses need the brackets, names and IPv4 addresses do without
    pub(super) fn host(&self, written: &str, family: Family) -> Option<IpAddr> {
        let bare = written.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && family == Family::Inet6 && written.contains(':') {
            return None;
        }
        let name = bare.unwrap_or(written);
        if let Some(address) = literal(name, family) {
            return Some(address);
        }
        let key = (name.to_owned(), family);
        if let Some(known) = self.hosts.borrow().get(&key) {
            return *known;
        }
        let found = self.resolver.host(name, family).ok();
        self.hosts.borrow_mut().insert(key, found);
        found
    }

    /// A port number or service name; `None` for any protocol.
    pub(super) fn port(&self, written: &str, protocol: Option<Protocol>) -> Option<u16> {
        if written.bytes().all(|byte| byte.is_ascii_digit()) {
            return written.parse().ok();
        }
        self.resolver.port(written, protocol).ok()
    }
}
