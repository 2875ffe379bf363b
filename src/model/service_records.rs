//! SRV records (RFC 2782), asked of the name servers of `/etc/resolv.conf`: getaddrinfo(3) has none.

use super::resolver::ResolveError;
use crate::dns::{Fault, Query, word_of};
use resolv_conf::Config;
use simple_dns::rdata::RData;
use simple_dns::{PacketFlag, RCODE, TYPE, header_buffer};
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// The port of name servers.
const PORT: u16 = 53;

/// As resolv.conf(5) has it.
const SERVERS: usize = 3;

/// Times that all name servers are asked at most, whatever resolv.conf says.
const ATTEMPTS: u32 = 5;

/// Seconds that one is waited for at most, whatever resolv.conf says.
const SECONDS: u32 = 30;

/// Servers that one name may stand for.
const RECORDS: usize = 256;

/// A server that offers a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    /// Its name.
    pub(super) target: String,
    pub(super) port: u16,
    pub(super) weight: u16,
}

/// Whether a name is that of a service: `_http._tcp.example.com`.
pub fn is_service_name(name: &str) -> bool {
    let mut labels = name.split('.');
    let has_underscore =
        |label: Option<&str>| label.is_some_and(|label| label.len() > 1 && label.starts_with('_'));
    has_underscore(labels.next()) && has_underscore(labels.next()) && labels.next().is_some()
}

/// The servers of the lowest priority number; `resolv_conf` is the text of that file.
pub(super) fn look_up(name: &str, resolv_conf: &[u8]) -> Result<Vec<Record>, ResolveError> {
    let config = Config::parse(resolv_conf).map_err(|cause| error("/etc/resolv.conf", cause))?;
    let servers = config.nameservers.iter().map(IpAddr::from).take(SERVERS);
    let mut servers: Vec<SocketAddr> = servers.map(|ip| SocketAddr::new(ip, PORT)).collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    let patience = Duration::from_secs(u64::from(config.timeout.clamp(1, SECONDS)));
    let mut last = None;
    for _ in 0..config.attempts.clamp(1, ATTEMPTS) {
        for &server in &servers {
            let query = question(name)?;
            let answer = ask(&query, server, Instant::now() + patience);
            match answer.map_err(|cause| error(server, cause)).and_then(|it| records(&query, &it)) {
                Ok(Answer::Records(records)) => return Ok(records),
                Ok(Answer::None(why)) => return Err(ResolveError(why.to_owned())),
                Err(cause) => last = Some(cause),
            }
        }
    }
    Err(last.unwrap_or_else(|| ResolveError("no name server".to_owned())))
}

/// Reads bytes as the answer to a question, for fuzzing.
#[doc(hidden)]
pub fn read_answer(bytes: &[u8]) {
    if let Ok(query) = numbered(7, "_http._tcp.example.com") {
        let _ = records(&query, bytes);
    }
}

fn error(who: impl Display, why: impl Display) -> ResolveError {
    ResolveError(format!("{who}: {why}"))
}

/// What a name server has said.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Records(Vec<Record>),
    /// There are none, and no other server will know any.
    None(&'static str),
}

/// A question of a random number.
fn question(name: &str) -> Result<Query, ResolveError> {
    let mut id = [0; 2];
    openssl::rand::rand_bytes(&mut id).map_err(|cause| error("no random bytes", cause))?;
    numbered(u16::from_be_bytes(id), name)
}

fn numbered(id: u16, name: &str) -> Result<Query, ResolveError> {
    let query = Query::numbered(id, name.trim_end_matches('.'), TYPE::SRV);
    query.map_err(|_| ResolveError("not a domain name".to_owned()))
}

/// Over TCP if the answer does not fit into a datagram.
fn ask(query: &Query, server: SocketAddr, deadline: Instant) -> io::Result<Vec<u8>> {
    let answer = by_udp(query, server, deadline)?;
    match header_buffer::has_flags(&answer, PacketFlag::TRUNCATION) {
        Ok(true) => by_tcp(query, server, deadline),
        _ => Ok(answer),
    }
}

fn by_udp(query: &Query, server: SocketAddr, deadline: Instant) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.send(query.message())?;
    let mut buffer = [0; 4096];
    loop {
        socket.set_read_timeout(Some(left(deadline)?))?;
        let length = socket.recv(&mut buffer)?;
        // What answers another question is not for us.
        if query.accepts(&buffer[..length]) {
            return Ok(buffer[..length].to_vec());
        }
    }
}

fn by_tcp(query: &Query, server: SocketAddr, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(&query.framed())?;
    let mut length = [0; 2];
    read_all(&mut stream, &mut length, deadline)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    read_all(&mut stream, &mut answer, deadline)?;
    match query.accepts(&answer) {
        true => Ok(answer),
        false => Err(io::Error::other("not an answer to the question")),
    }
}

fn records(query: &Query, bytes: &[u8]) -> Result<Answer, ResolveError> {
    let packet = match query.answer(bytes) {
        Ok(packet) => packet,
        Err(Fault::Refused(RCODE::NameError)) => return Ok(Answer::None("no such name")),
        Err(Fault::Refused(code)) => return Err(ResolveError(word_of(code))),
        Err(Fault::AnotherQuestion) => {
            return Err(ResolveError("not an answer to the question".to_owned()));
        }
        Err(Fault::Malformed) => return Err(ResolveError("not a DNS message".to_owned())),
    };
    let found = packet.answers.iter().filter_map(|record| match &record.rdata {
        RData::SRV(srv) => {
            let (target, port, weight) = (srv.target.to_string(), srv.port, srv.weight);
            Some((srv.priority, Record { target, port, weight }))
        }
        _ => None,
    });
    let found: Vec<(u16, Record)> = found.collect();
    let Some(first) = found.iter().map(|(priority, _)| *priority).min() else {
        return Ok(Answer::None("no SRV record"));
    };
    let records = found.into_iter().filter(|(priority, _)| *priority == first);
    let mut records: Vec<Record> = records.map(|(_, record)| record).collect();
    if records.iter().all(|record| record.target.trim_matches('.').is_empty()) {
        return Ok(Answer::None("the service is said not to be offered"));
    }
    if records.len() > RECORDS {
        return Ok(Answer::None("too many SRV records"));
    }
    records.sort_unstable();
    Ok(Answer::Records(records))
}

fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

fn read_all(stream: &mut TcpStream, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => buffer = &mut buffer[count..],
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::rdata::SRV;
    use simple_dns::{CLASS, Name, Packet, ResourceRecord};

    const NAME: &str = "_http._tcp.example.com";

    fn query() -> Query {
        numbered(7, NAME).unwrap()
    }

    /// An answer with these records: priority, weight, port, target.
    fn answer(records: &[(u16, u16, u16, &'static str)]) -> Vec<u8> {
        let asked = query();
        let asked = Packet::parse(asked.message()).unwrap();
        let mut packet = Packet::new_reply(7);
        packet.questions.clone_from(&asked.questions);
        for &(priority, weight, port, target) in records {
            let srv = SRV { priority, weight, port, target: Name::new_unchecked(target) };
            let name = Name::new_unchecked(NAME);
            packet.answers.push(ResourceRecord::new(name, CLASS::IN, 60, RData::SRV(srv)));
        }
        packet.build_bytes_vec().unwrap()
    }

    #[test]
    fn only_the_servers_of_the_best_priority_are_taken() {
        let bytes = answer(&[
            (20, 1, 80, "later.example.com"),
            (10, 5, 8080, "two.example.com"),
            (10, 0, 8080, "one.example.com"),
        ]);
        assert!(query().accepts(&bytes));
        let record = |target: &str, weight| Record { target: target.into(), port: 8080, weight };
        let expected = vec![record("one.example.com", 0), record("two.example.com", 5)];
        assert_eq!(records(&query(), &bytes).unwrap(), Answer::Records(expected));
    }

    #[test]
    fn a_service_that_is_not_offered_has_no_servers() {
        assert_eq!(
            records(&query(), &answer(&[(0, 0, 0, "")])).unwrap(),
            Answer::None("the service is said not to be offered")
        );
        assert_eq!(records(&query(), &answer(&[])).unwrap(), Answer::None("no SRV record"));
    }

    #[test]
    fn whatever_bytes_come_are_an_error_at_most() {
        let whole = answer(&[(1, 1, 80, "one.example.com")]);
        for length in 0..whole.len() {
            let _ = records(&query(), &whole[..length]);
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let _ = records(&query(), &bytes);
        }
    }

    #[test]
    fn a_service_s_name_has_two_words_with_an_underscore() {
        for (name, expected) in [
            (NAME, true),
            ("_sip._udp.a", true),
            ("_http.example.com", false),
            ("_._tcp.example.com", false),
            ("_http._tcp", false),
            ("www.example.com", false),
        ] {
            assert_eq!(is_service_name(name), expected, "{name}");
        }
    }

    #[test]
    fn a_long_answer_comes_over_tcp_and_another_s_answer_is_passed_over() {
        let whole = answer(&[(1, 1, 80, "one.example.com")]);
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = udp.local_addr().unwrap();
        let tcp = std::net::TcpListener::bind(server).unwrap();
        let expected = whole.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let (_, client) = udp.recv_from(&mut buffer).unwrap();
            let mut stray = whole.clone();
            stray[1] ^= 1;
            let mut short = whole.clone();
            short[2] |= 2;
            for datagram in [b"".as_slice(), &stray, &short] {
                udp.send_to(datagram, client).unwrap();
            }
            let (mut stream, _) = tcp.accept().unwrap();
            let length = u16::try_from(whole.len()).unwrap();
            stream.write_all(&length.to_be_bytes()).unwrap();
            stream.write_all(&whole).unwrap();
        });
        let deadline = Instant::now() + Duration::from_secs(30);
        assert_eq!(ask(&query(), server, deadline).unwrap(), expected);
        thread.join().unwrap();
    }
}
