//! `service=dns`: one question, and an answer that matches `receive` (RFC 1035, RFC 7766).
//!
//! `request` is a name, asked for its addresses (A), or an IP address, asked for its name (PTR). A
//! type in front asks for something else: `request="MX example.org"`; a name has no blank, so no
//! request of the original is read differently. A name without a dot is completed from the search
//! list of `/etc/resolv.conf`. Up when a record of the type asked for, in its text form, matches
//! `receive`; without `receive` always down.

use super::connect::Probe;
use super::datagram::{Heard, ask, nonce};
use super::ours::is_want;
use super::transcript::search;
use super::{Deadline, Failure};
use crate::dns::{self, Fault};
use crate::model::{Pattern, Transport};
use simple_dns::rdata::{RData, TXT};
use simple_dns::{PacketFlag, TYPE, header_buffer};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Bytes of one answer. A parsed record takes far more memory than its bytes, and an answer that
/// one looks for a pattern in is short.
const ANSWER_LIMIT: usize = 16 * 1024;

/// Bytes read of `/etc/resolv.conf`.
const RESOLV_CONF_LIMIT: u64 = 64 * 1024;

/// Asks the server, over TCP if the virtual service is tcp.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    // compat: without a pattern nothing can match (spec 10.4, K19)
    let pattern = (probe.exchange.receive.as_ref())
        .ok_or(Failure::Config("service=dns needs receive: without it nothing matches".into()))?;
    let asked = Asked::parse(&probe.exchange.request)?;
    let mut outcome = Err(Failure::Empty);
    for name in asked.full_names(|| search_list(Path::new("/etc/resolv.conf")))? {
        let query = Query::new(&name, asked.kind)?;
        outcome = answer(&mut probe, &query)
            .and_then(|answer| query.records(&answer))
            .and_then(|records| find(&records, pattern, probe.deadline));
        // As a resolver does: the next name only if this one does not exist or has no such record.
        if !matches!(&outcome, Err(Failure::Empty | Failure::Rejected(_))) {
            break;
        }
    }
    outcome
}

/// What `request` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// A name, perhaps without a dot; empty is the root.
    pub name: String,
    /// The record type.
    pub kind: Kind,
}

/// The record types that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Kind {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Txt,
}

impl Kind {
    /// The word in front of the name.
    fn of_word(word: &str) -> Option<Self> {
        let known = [
            ("A", Self::A),
            ("AAAA", Self::Aaaa),
            ("CNAME", Self::Cname),
            ("MX", Self::Mx),
            ("NS", Self::Ns),
            ("PTR", Self::Ptr),
            ("TXT", Self::Txt),
        ];
        known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, kind)| kind)
    }

    fn code(self) -> TYPE {
        match self {
            Self::A => TYPE::A,
            Self::Aaaa => TYPE::AAAA,
            Self::Cname => TYPE::CNAME,
            Self::Mx => TYPE::MX,
            Self::Ns => TYPE::NS,
            Self::Ptr => TYPE::PTR,
            Self::Txt => TYPE::TXT,
        }
    }
}

impl Asked {
    /// Reads a `request`, with or without its leading `/`.
    ///
    /// # Errors
    /// [`Failure::Config`] for a word before the name that is no record type.
    pub fn parse(request: &str) -> Result<Self, Failure> {
        let request = request.strip_prefix('/').unwrap_or(request).trim();
        let (kind, name) = match request.split_once(char::is_whitespace) {
            None => (None, request),
            Some((word, name)) => match Kind::of_word(word) {
                Some(kind) => (Some(kind), name.trim_start()),
                None => {
                    return Err(Failure::Config(
                        format!("request: {word} is not one of A AAAA CNAME MX NS PTR TXT").into(),
                    ));
                }
            },
        };
        let asked = match (kind, name.parse::<IpAddr>()) {
            (None | Some(Kind::Ptr), Ok(address)) => {
                Self { name: reverse_name(address), kind: Kind::Ptr }
            }
            _ => Self { name: name.to_owned(), kind: kind.unwrap_or(Kind::A) },
        };
        Ok(asked)
    }

    /// The names to ask for, in order: the name itself if it has a dot, else completed.
    fn full_names(
        &self,
        search_list: impl FnOnce() -> Result<Vec<String>, Failure>,
    ) -> Result<Vec<String>, Failure> {
        let itself = || Ok(vec![self.name.clone()]);
        if self.name.is_empty() || self.name.contains('.') {
            return itself();
        }
        let domains = search_list()?;
        if domains.is_empty() {
            return itself();
        }
        Ok(domains.iter().map(|domain| format!("{}.{domain}", self.name)).collect())
    }
}

/// The name under which an address is looked up (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles =
                address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            let mut name: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            name.push_str("ip6.arpa");
            name
        }
    }
}

/// The domains that complete a name without a dot; empty if there are none.
fn search_list(file: &Path) -> Result<Vec<String>, Failure> {
    let mut text = Vec::new();
    let read =
        File::open(file).and_then(|file| file.take(RESOLV_CONF_LIMIT).read_to_end(&mut text));
    match read {
        Ok(_) => Ok(search_domains(&String::from_utf8_lossy(&text))),
        Err(error) if is_want(&error) => Err(error.into()),
        Err(_) => Ok(Vec::new()),
    }
}

/// resolv.conf(5): the last of `search` and `domain` counts.
pub fn search_domains(text: &str) -> Vec<String> {
    let mut domains = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("search") => domains = words.map(str::to_owned).collect(),
            Some("domain") => domains = words.take(1).map(str::to_owned).collect(),
            _ => {}
        }
    }
    domains.iter_mut().for_each(|domain| *domain = domain.trim_matches('.').to_owned());
    domains.retain(|domain| !domain.is_empty());
    domains
}

/// The answer to a query; over TCP if it does not fit into a datagram (RFC 7766 section 5).
fn answer(probe: &mut Probe<'_>, query: &Query) -> Result<Vec<u8>, Failure> {
    if probe.exchange.transport == Transport::Tcp {
        return answer_over(probe.stream()?, query);
    }
    let udp = probe.udp()?;
    let answer = ask(&udp, probe.deadline, query.query.message(), |bytes| {
        if query.query.accepts(bytes) { Heard::Answer(bytes.to_vec()) } else { Heard::Stray }
    })?;
    match header_buffer::has_flags(&answer, PacketFlag::TRUNCATION) {
        Ok(true) => answer_over(probe.tcp()?, query),
        _ => Ok(answer),
    }
}

/// RFC 1035 section 4.2.2: two bytes of length before each message.
fn answer_over<S: Read + Write>(mut stream: S, query: &Query) -> Result<Vec<u8>, Failure> {
    stream.write_all(&query.query.framed())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > ANSWER_LIMIT {
        return Err(Failure::TooLong);
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    if query.query.accepts(&answer) {
        Ok(answer)
    } else {
        Err(Failure::Protocol("not an answer to the question".into()))
    }
}

/// A question with its number, and its bytes.
#[derive(Debug)]
pub struct Query {
    query: dns::Query,
    kind: Kind,
}

impl Query {
    fn new(name: &str, kind: Kind) -> Result<Self, Failure> {
        Self::numbered(u16::from_be_bytes(nonce()?), name, kind)
    }

    /// The query with this number.
    ///
    /// # Errors
    /// [`Failure::Config`] if the name cannot be one (a label over 63 bytes, for example).
    pub fn numbered(id: u16, name: &str, kind: Kind) -> Result<Self, Failure> {
        let query = dns::Query::numbered(id, name, kind.code())
            .map_err(|_| Failure::Config(format!("request: {name} is not a domain name").into()))?;
        Ok(Self { query, kind })
    }

    /// The texts of the answer's records of the type asked for, at least one.
    ///
    /// # Errors
    /// [`Failure::Empty`], [`Failure::Rejected`] with the response code, [`Failure::Protocol`].
    pub fn records(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let packet = self.query.answer(bytes).map_err(|fault| match fault {
            Fault::Malformed => Failure::Protocol("not a DNS message".into()),
            Fault::AnotherQuestion => Failure::Protocol("not an answer to the question".into()),
            Fault::Refused(code) => Failure::Rejected(dns::word_of(code)),
        })?;
        let texts: Vec<_> = packet
            .answers
            .iter()
            .filter(|record| record.rdata.type_code() == self.kind.code())
            .filter_map(|record| record_text(&record.rdata))
            .collect();
        if texts.is_empty() { Err(Failure::Empty) } else { Ok(texts) }
    }
}

/// Whether a record matches.
fn find(records: &[Vec<u8>], pattern: &Pattern, deadline: Deadline) -> Result<(), Failure> {
    for text in records {
        if search(pattern, text) {
            return Ok(());
        }
        // There may be hundreds, and a pattern may take its time with each.
        deadline.remaining()?;
    }
    Err(Failure::Mismatch(Failure::text(&records.concat())))
}

/// What a record says, as zone files write it (RFC 1035 section 5), without the final dot of names;
/// the strings of a TXT record are joined.
fn record_text(data: &RData<'_>) -> Option<Vec<u8>> {
    let text = match data {
        RData::A(record) => Ipv4Addr::from(record.address).to_string(),
        RData::AAAA(record) => Ipv6Addr::from(record.address).to_string(),
        RData::CNAME(record) => record.0.to_string(),
        RData::NS(record) => record.0.to_string(),
        RData::PTR(record) => record.0.to_string(),
        RData::MX(record) => format!("{} {}", record.preference, record.exchange),
        RData::TXT(record) => return Some(txt_bytes(record)),
        _ => return None,
    };
    Some(text.into_bytes())
}

fn txt_bytes(record: &TXT<'_>) -> Vec<u8> {
    match String::try_from(record.clone()) {
        Ok(text) => text.into_bytes(),
        // Not UTF-8: the library gives the bytes away only as attributes.
        Err(_) => record
            .iter_raw()
            .flat_map(|(key, value)| match value {
                Some(value) => [key, b"=", value].concat(),
                None => key.to_vec(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn asked(name: &str, kind: Kind) -> Result<Asked, Failure> {
        Ok(Asked { name: name.to_owned(), kind })
    }

    #[test]
    fn a_request_is_a_name_an_address_or_a_type_and_a_name() {
        let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        let cases = [
            ("/www.example.org", asked("www.example.org", Kind::A)),
            ("/", asked("", Kind::A)),
            ("/192.0.2.7", asked("7.2.0.192.in-addr.arpa", Kind::Ptr)),
            ("/2001:db8::1", asked(v6, Kind::Ptr)),
            ("/MX example.org", asked("example.org", Kind::Mx)),
            ("aaaa  www", asked("www", Kind::Aaaa)),
            ("/PTR 192.0.2.7", asked("7.2.0.192.in-addr.arpa", Kind::Ptr)),
            ("/A 192.0.2.7", asked("192.0.2.7", Kind::A)),
        ];
        for (request, expected) in cases {
            assert_eq!(Asked::parse(request), expected, "{request}");
        }
        assert!(matches!(Asked::parse("/SPF example.org"), Err(Failure::Config(_))));
    }

    #[test]
    fn only_a_name_without_a_dot_is_completed() {
        let list = || Ok(vec!["a.example".to_owned(), "b.example".to_owned()]);
        let names = |request: &str| Asked::parse(request).unwrap().full_names(list).unwrap();
        assert_eq!(names("/www"), ["www.a.example", "www.b.example"]);
        assert_eq!(names("/www."), ["www."]);
        assert_eq!(names("/www.example"), ["www.example"]);
        assert_eq!(names("/"), [""]);
        assert_eq!(Asked::parse("/www").unwrap().full_names(|| Ok(Vec::new())).unwrap(), ["www"]);
    }

    #[test]
    fn the_last_search_or_domain_line_counts() {
        let cases: [(&str, &[&str]); 4] = [
            ("nameserver 192.0.2.1\n", &[]),
            ("domain a.example\nsearch b.example c.example.\n", &["b.example", "c.example"]),
            ("search b.example\ndomain a.example ignored\n", &["a.example"]),
            ("search .\n", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(search_domains(text), expected, "{text}");
        }
    }

    /// A response to `query` with this code and these answers, which are given as bytes: type, data.
    fn response(query: &Query, code: u8, answers: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = query.query.message().to_vec();
        bytes[2] |= 0x80;
        bytes[3] = code;
        bytes[7] = u8::try_from(answers.len()).unwrap();
        for (kind, data) in answers {
            bytes.extend_from_slice(b"\xc0\x0c");
            bytes.extend_from_slice(&kind.to_be_bytes());
            bytes.extend_from_slice(b"\0\x01\0\0\0\x3c");
            bytes.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(data);
        }
        bytes
    }

    #[test]
    fn a_record_of_the_asked_type_decides() {
        let name = b"\x02ns\x07example\x00".as_slice();
        let mx = b"\x00\x0a\x02ns\x07example\x00".as_slice();
        let mismatch = |text: &str| Err(Failure::Mismatch(text.to_owned()));
        let rejected = |text: &str| Err(Failure::Rejected(text.to_owned()));
        let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        type Case<'a> = (Kind, u8, &'a [(u16, &'a [u8])], &'a str, Result<(), Failure>);
        let cases: [Case<'_>; 11] = [
            (Kind::A, 0, &[(1, &[192, 0, 2, 7])], r"^192\.0\.2\.7$", Ok(())),
            (Kind::A, 0, &[(5, name), (1, &[192, 0, 2, 8])], r"\.8$", Ok(())),
            (Kind::A, 0, &[(1, &[192, 0, 2, 8])], r"\.7$", mismatch("192.0.2.8")),
            (Kind::A, 0, &[(5, name)], "ns", Err(Failure::Empty)),
            (Kind::Aaaa, 0, &[(28, &v6)], "^2001:db8::1$", Ok(())),
            (Kind::Ptr, 0, &[(12, name)], "^ns.example$", Ok(())),
            (Kind::Mx, 0, &[(15, mx)], "^10 ns.example$", Ok(())),
            (Kind::Txt, 0, &[(16, b"\x03v=s\x02pf")], "^v=spf$", Ok(())),
            (Kind::Txt, 0, &[(16, b"\x04a=\xff\xfe")], r"^a=\xff", Ok(())),
            (Kind::A, 3, &[], ".", rejected("NXDOMAIN")),
            (Kind::A, 2, &[], ".", rejected("SERVFAIL")),
        ];
        for (kind, code, answers, pattern, expected) in cases {
            let query = Query::numbered(7, "www.Example.org.", kind).unwrap();
            let bytes = response(&query, code, answers);
            assert!(query.query.accepts(&bytes));
            let pattern = Pattern::new(pattern).unwrap();
            let deadline = Deadline::after(Duration::from_secs(60));
            let outcome = query.records(&bytes).and_then(|it| find(&it, &pattern, deadline));
            assert_eq!(outcome, expected, "{kind:?} {answers:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_no_answer() {
        let query = Query::numbered(7, "www.example.org", Kind::A).unwrap();
        let other = Query::numbered(7, "example.org", Kind::A).unwrap();
        let wrong_question = response(&other, 0, &[(1, &[192, 0, 2, 7])]);
        let mut many = response(&query, 0, &[]);
        many[6..8].copy_from_slice(&[0xff, 0xff]);
        let cut = response(&query, 0, &[(1, &[192, 0, 2, 7])]);
        for bytes in [wrong_question.as_slice(), &many, &cut[..cut.len() - 1], &cut[..11], b""] {
            let outcome = query.records(bytes);
            assert!(matches!(outcome, Err(Failure::Protocol(_))), "{outcome:?}");
        }
        assert!(!query.query.accepts(query.query.message()));
        assert!(!query.query.accepts(&response(
            &Query::numbered(8, "a.b", Kind::A).unwrap(),
            0,
            &[]
        )));
    }
}
