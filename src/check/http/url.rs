//! The URLs of a check: made from `request`, or followed from an answer.

use super::super::transcript::{self, Seen};
use super::super::{Deadline, Failure, LookUps};
use crate::model::{Exchange, Service};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// `http` or `https`; nothing else is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Port 80
    Http,
    /// Port 443
    Https,
}

impl Scheme {
    fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An absolute URL without fragment, percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    scheme: Scheme,
    /// `user:password`, as written.
    user: Option<String>,
    /// Host and port as written.
    authority: String,
    /// From the path's slash on.
    path_and_query: String,
}

impl Url {
    /// What a check asks for first.
    ///
    /// A real server's own request may be an absolute URL of the service's scheme, as may any
    /// request of http_proxy, whose every request must be one.
    ///
    /// # Errors
    /// [`Failure::Config`] if it cannot be asked for.
    pub(super) fn first(exchange: &Exchange, target: SocketAddr) -> Result<Self, Failure> {
        let request = exchange.request.strip_prefix('/').unwrap_or(&exchange.request);
        let scheme = if exchange.service == Service::Https { Scheme::Https } else { Scheme::Http };
        let own_url = exchange.request_is_own
            && request.strip_prefix(scheme.word()).is_some_and(|rest| rest.starts_with("://"));
        let wrong = || Failure::Config(format!("request is not a URL: {request}").into());
        if own_url || exchange.service == Service::HttpProxy {
            return Self::parse(request.as_bytes()).ok_or_else(wrong);
        }
        let path_and_query = format!("/{}", encode(without_fragment(request.as_bytes())));
        Ok(Self { scheme, user: None, authority: target.to_string(), path_and_query })
    }

    /// An absolute URL.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = encode(without_fragment(text));
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            _ if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => return None,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user.to_owned()), authority),
            None => (None, authority),
        };
        let (host, port) = split_port(authority);
        let proper = !host.is_empty() && (port.is_empty() || port.parse::<u16>().is_ok());
        let path_and_query =
            if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        proper.then(|| Self { scheme, user, authority: authority.to_owned(), path_and_query })
    }

    /// The URL that a Location header means, seen from this one (RFC 3986, section 5.2).
    ///
    /// # Errors
    /// [`Failure::Protocol`] if it is not a URL of http or https.
    pub(super) fn join(&self, location: &[u8]) -> Result<Self, Failure> {
        let location = location.trim_ascii();
        let wrong = || {
            let text = format!("redirect to {}", String::from_utf8_lossy(location));
            Failure::Protocol(Failure::text(text.as_bytes()).into())
        };
        if has_scheme(location) {
            return Self::parse(location).ok_or_else(wrong);
        }
        if location.starts_with(b"//") {
            let full = [self.scheme.word().as_bytes(), b":", location].concat();
            return Self::parse(&full).ok_or_else(wrong);
        }
        let reference = encode(without_fragment(location));
        let base = self.path_and_query.split('?').next().unwrap_or_default();
        let path_and_query = match reference.chars().next() {
            None => self.path_and_query.clone(),
            Some('?') => format!("{base}{reference}"),
            Some('/') => without_dots(&reference),
            Some(_) => {
                let directory = base.rfind('/').map_or("/", |at| &base[..=at]);
                without_dots(&format!("{directory}{reference}"))
            }
        };
        Ok(Self { path_and_query, ..self.clone() })
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// `user:password`, percent-encoded as written.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Host and port as written.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Without port; brackets around IPv6 as written.
    pub(super) fn host(&self) -> &str {
        split_port(&self.authority).0
    }

    /// Port as written, else the scheme's.
    fn port(&self) -> u16 {
        split_port(&self.authority).1.parse().unwrap_or(self.scheme.port())
    }

    /// `http://host:port`, without user.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.word(), self.authority)
    }

    /// From the path's slash on.
    pub(super) fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// Where it leads, if the host is an address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let host = self.host();
        let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, self.port()))
    }

    /// Where it leads; asks the system's resolver for a name.
    ///
    /// # Errors
    /// [`Failure::Io`] if there is no such name, [`Failure::TimedOut`], [`Failure::Local`].
    pub(super) fn resolve(&self, deadline: Deadline) -> Result<SocketAddr, Failure> {
        match self.address() {
            Some(address) => Ok(address),
            None => {
                let found = LOOK_UPS.addresses(self.host(), self.port(), deadline);
                transcript::tell(|| Seen::Resolved {
                    name: self.host().to_owned(),
                    address: found.as_ref().ok().map(|found| found[0].ip()),
                });
                found.map(|found| found[0]).map_err(|why| why.failure(self.host()))
            }
        }
    }
}

/// Whatever the servers redirect to.
static LOOK_UPS: LookUps = LookUps::new(16);

/// `10.0.0.1` or `[fd00::1]`.
pub(super) fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Host, and port as written or empty.
fn split_port(authority: &str) -> (&str, &str) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    }
}

fn without_fragment(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == b'#').next().unwrap_or_default()
}

/// RFC 3986, section 3.1, before the colon.
fn has_scheme(text: &[u8]) -> bool {
    let letters = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
        .count();
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.get(letters) == Some(&b':')
}

/// Percent-encodes what may not stand in a URL; what is encoded already stays (RFC 2396, section 2).
fn encode(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b";/?:@&=+$,[]-_.!~*'()%".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string");
        }
    }
    encoded
}

/// RFC 3986, section 5.2.4; the query is left alone.
fn without_dots(path_and_query: &str) -> String {
    let (path, query) = match path_and_query.find('?') {
        Some(at) => path_and_query.split_at(at),
        None => (path_and_query, ""),
    };
    let mut segments: Vec<&str> = Vec::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = rest.next() {
        let last = rest.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    segments.pop();
                }
                if last {
                    segments.push("");
                }
            }
            _ => segments.push(segment),
        }
    }
    format!("/{}{query}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::exchange;
    use std::time::Duration;

    fn url(text: &str) -> Url {
        Url::parse(text.as_bytes()).expect(text)
    }

    fn text(url: &Url) -> String {
        format!("{}{}", url.origin(), url.path_and_query())
    }

    #[test]
    fn the_first_url_comes_from_the_request() {
        let v4 = "10.0.0.2:8080".parse().unwrap();
        let v6 = "[fd00::2]:80".parse().unwrap();
        for (service, own, request, target, expected) in [
            (Service::Http, false, "/", v4, "http://10.0.0.2:8080/"),
            (Service::Http, false, "/a b?c={d}#e", v4, "http://10.0.0.2:8080/a%20b?c=%7Bd%7D"),
            (Service::Http, false, "/%41é", v4, "http://10.0.0.2:8080/%41%C3%A9"),
            (Service::Http, false, "//x/../y", v4, "http://10.0.0.2:8080//x/../y"),
            (Service::Https, false, "/x", v6, "https://[fd00::2]:80/x"),
            (Service::Http, false, "/http://a/b", v4, "http://10.0.0.2:8080/http://a/b"),
            (Service::Http, true, "/http://a:81/b", v4, "http://a:81/b"),
            (Service::Http, true, "/https://a/b", v4, "http://10.0.0.2:8080/https://a/b"),
            (Service::Https, true, "/https://a?b", v4, "https://a/?b"),
            (Service::HttpProxy, false, "/http://a/b", v4, "http://a/b"),
            (Service::HttpProxy, false, "/HTTPS://a/b", v4, "https://a/b"),
        ] {
            let exchange =
                Exchange { request: request.to_owned(), request_is_own: own, ..exchange(service) };
            assert_eq!(text(&Url::first(&exchange, target).unwrap()), expected, "{request}");
        }
        let relative = exchange(Service::HttpProxy);
        assert!(matches!(Url::first(&relative, v4), Err(Failure::Config(_))));
    }

    #[test]
    fn redirects_are_resolved_against_the_url() {
        let base = url("http://10.0.0.2:8080/a/b/c?d");
        for (location, expected) in [
            ("http://other/x", "http://other/x"),
            ("HTTPS://other:444", "https://other:444/"),
            ("//other/x", "http://other/x"),
            ("/x y", "http://10.0.0.2:8080/x%20y"),
            ("x", "http://10.0.0.2:8080/a/b/x"),
            ("../x?y=../z", "http://10.0.0.2:8080/a/x?y=../z"),
            ("../../../..", "http://10.0.0.2:8080/"),
            ("./", "http://10.0.0.2:8080/a/b/"),
            ("?x", "http://10.0.0.2:8080/a/b/c?x"),
            ("", "http://10.0.0.2:8080/a/b/c?d"),
            ("#top", "http://10.0.0.2:8080/a/b/c?d"),
        ] {
            assert_eq!(text(&base.join(location.as_bytes()).unwrap()), expected, "{location}");
        }
        for location in ["ftp://other/", "javascript:alert(1)", "http://", "http://a:99999/", "//"]
        {
            assert!(base.join(location.as_bytes()).is_err(), "{location}");
        }
    }

    #[test]
    fn the_parts_of_an_authority() {
        let url = url("http://me:p%40ss@[fd00::1]:81/");
        assert_eq!(url.user(), Some("me:p%40ss"));
        assert_eq!(url.authority(), "[fd00::1]:81");
        assert_eq!(url.host(), "[fd00::1]");
        assert_eq!(url.address(), Some("[fd00::1]:81".parse().unwrap()));
        assert_eq!(
            Url::parse(b"https://10.0.0.1").unwrap().address(),
            Some("10.0.0.1:443".parse().unwrap())
        );
        assert_eq!(Url::parse(b"http://name/").unwrap().address(), None);
    }

    #[test]
    fn names_are_looked_up_within_the_deadline() {
        let deadline = Deadline::after(Duration::from_secs(20));
        let found = url("http://localhost:81/").resolve(deadline).unwrap();
        assert!(found.ip().is_loopback() && found.port() == 81);
        let spent = Deadline::after(Duration::ZERO);
        assert_eq!(url("http://localhost/").resolve(spent), Err(Failure::TimedOut));
    }
}
