//! Servers, a client and a judge for the anycast lab; std only.
//!
//! ```text
//! serve SITE SERVER ADDRESS…       DNS over UDP and TCP (port 53) and HTTP (port 80), until killed
//! ask FILE DNS-ADDRESS WEB-ADDRESS a request of each kind every 20 ms, one line each in FILE, until killed
//! watch DNS-ADDRESS WEB-ADDRESS    the same, shown live, one line a second, until killed
//! judge FILE FROM TO               what happened to the requests sent in that time (ms since 1970)
//! ```
//!
//! A server names itself in every answer: the A record 192.0.2.12 and the body `12` are site 1, server
//! 2. A line of FILE is `kind sent-ms answered-ms site server`, or `kind sent-ms lost`. A request is lost
//! after one second.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const INTERVAL: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(1);
/// Threads per kind of TCP request; each has its turn when its last request is surely over.
const TURNS: u32 = 64;
/// example.com, A, IN.
const QUESTION: &[u8] = b"\x07example\x03com\0\0\x01\0\x01";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", site, server, ref addresses @ ..] => serve(site, server, addresses),
        ["ask", file, dns, web] => {
            let file = Mutex::new(File::create(file).unwrap());
            ask(dns.parse().unwrap(), web.parse().unwrap(), move |line| {
                file.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
            });
        }
        ["watch", dns, web] => watch(dns.parse().unwrap(), web.parse().unwrap()),
        ["judge", file, from, to] => {
            judge(
                &std::fs::read_to_string(file).unwrap(),
                from.parse().unwrap(),
                to.parse().unwrap(),
            );
        }
        _ => panic!("usage: see the beginning of traffic.rs"),
    }
}

// ---- servers ----

fn serve(site: &str, server: &str, addresses: &[&str]) {
    let name = format!("{site}{server}");
    let number: u8 = name.parse().unwrap();
    for address in addresses {
        // Each address on its own: the answer to a datagram must come from where it was sent to.
        let at = |port| SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
        let udp = UdpSocket::bind(at(53)).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            loop {
                // An error is what somebody else's ICMP said about an earlier answer.
                if let Ok((length, client)) = udp.recv_from(&mut buffer)
                    && let Some(answer) = answer(&buffer[..length], number)
                {
                    let _ = udp.send_to(&answer, client);
                }
            }
        });
        listen(at(53), move |mut stream| {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query)?;
            let answer = answer(&query, number).unwrap_or_default();
            stream.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat())
        });
        let name = name.clone();
        listen(at(80), move |mut stream| {
            let _ = stream.read(&mut [0; 4096])?;
            let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n";
            stream.write_all(format!("{head}{name}").as_bytes())
        });
    }
    loop {
        thread::park();
    }
}

/// Answers connections, a few at a time: after a failover there are some whose client is gone.
fn listen(
    at: SocketAddr,
    serve: impl Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static,
) {
    let listener = TcpListener::bind(at).unwrap();
    for _ in 0..8 {
        let (listener, serve) = (listener.try_clone().unwrap(), serve.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = serve(stream);
            }
        });
    }
}

/// The answer to any question: one A record, 192.0.2.`number`.
fn answer(query: &[u8], number: u8) -> Option<Vec<u8>> {
    // The question ends with the root label, type and class.
    let name = query.get(12..)?.iter().position(|byte| *byte == 0)? + 13;
    let question = query.get(12..name + 4)?;
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend(question);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, number]);
    Some(answer)
}

// ---- client ----

/// Sends requests for ever and tells how each ended: `udp|tcp|http sent answered site server`.
fn ask(dns: IpAddr, web: IpAddr, tell: impl Fn(String) + Send + Sync + 'static) {
    let tell = Arc::new(tell);
    let (dns, web) = (SocketAddr::new(dns, 53), SocketAddr::new(web, 80));
    for turn in 0..TURNS {
        for (kind, server, request) in
            [("tcp", dns, ask_dns_tcp as fn(SocketAddr) -> _), ("http", web, ask_http)]
        {
            let tell = tell.clone();
            thread::spawn(move || {
                let mut next = Instant::now() + INTERVAL * turn;
                loop {
                    sleep(next.saturating_duration_since(Instant::now()));
                    next += INTERVAL * TURNS;
                    let sent = now();
                    tell(line(kind, sent, request(server).ok()));
                }
            });
        }
    }
    ask_dns_udp(dns, &*tell);
}

/// All datagrams through one socket; the message's id tells which request is answered.
fn ask_dns_udp(server: SocketAddr, tell: &dyn Fn(String)) {
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
    let mut waiting: HashMap<u16, (u64, Instant)> = HashMap::new();
    let mut buffer = [0; 512];
    let mut next = Instant::now();
    let mut id = 0_u16;
    loop {
        if Instant::now() >= next {
            next += INTERVAL;
            id = id.wrapping_add(1);
            waiting.insert(id, (now(), Instant::now()));
            // Not connected, it hears nothing of unreachable networks; sending may still fail.
            let _ = socket.send_to(&query(id), server);
            waiting.retain(|_, (sent, since)| {
                let lost = since.elapsed() > PATIENCE;
                if lost {
                    tell(line("udp", *sent, None));
                }
                !lost
            });
        }
        let pause = next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(pause)).unwrap();
        if let Ok((length, _)) = socket.recv_from(&mut buffer)
            && let [high, low, .., number] = buffer[..length]
            && let Some((sent, _)) = waiting.remove(&u16::from_be_bytes([high, low]))
        {
            tell(line("udp", sent, Some(number)));
        }
    }
}

fn query(id: u16) -> Vec<u8> {
    [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0], QUESTION].concat()
}

fn ask_dns_tcp(server: SocketAddr) -> std::io::Result<u8> {
    let query = query(1);
    let request = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
    last_byte(server, &request)
}

fn ask_http(server: SocketAddr) -> std::io::Result<u8> {
    // The body is two digits.
    let request = b"GET / HTTP/1.0\r\n\r\n";
    let (tens, ones) = last_two_bytes(server, request)?;
    Ok((tens - b'0') * 10 + ones - b'0')
}

fn last_byte(server: SocketAddr, request: &[u8]) -> std::io::Result<u8> {
    Ok(last_two_bytes(server, request)?.1)
}

fn last_two_bytes(server: SocketAddr, request: &[u8]) -> std::io::Result<(u8, u8)> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    let remaining = deadline.saturating_duration_since(Instant::now());
    stream.set_read_timeout(Some(remaining.max(Duration::from_millis(1))))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer[..] {
        [.., tens, ones] => Ok((tens, ones)),
        _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

fn line(kind: &str, sent: u64, number: Option<u8>) -> String {
    match number {
        Some(number) => format!("{kind} {sent} {} {} {}", now(), number / 10, number % 10),
        None => format!("{kind} {sent} lost"),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Every second: for each kind of request, how many were answered by which site, and how many lost.
fn watch(dns: IpAddr, web: IpAddr) {
    let counts: Arc<Mutex<BTreeMap<(String, String), u32>>> = Arc::default();
    let shared = counts.clone();
    thread::spawn(move || {
        loop {
            sleep(PATIENCE);
            let counted = std::mem::take(&mut *shared.lock().unwrap());
            let shown = ["udp", "tcp", "http"].map(|kind| {
                let of_kind = counted.iter().filter(|((k, _), _)| k == kind);
                let parts: Vec<_> =
                    of_kind.map(|((_, who), count)| format!("{who} {count:>2}")).collect();
                format!("{kind}: {:<20}", parts.join(", "))
            });
            println!("  {}", shown.join(" "));
        }
    });
    ask(dns, web, move |line| {
        let words: Vec<&str> = line.split(' ').collect();
        let who = words.get(3).map_or("LOST".to_owned(), |site| format!("site{site}"));
        *counts.lock().unwrap().entry((words[0].to_owned(), who)).or_default() += 1;
    });
}

// ---- judge ----

/// Prints, to be read by a shell:
///
/// * `total`, `lost`: requests;
/// * `outage`: ms from FROM to the end of the last loss, 0 without one;
/// * `first1`, `first2`: ms from FROM to the first request that site 1, 2 answered; empty if none;
/// * `lost_by`: requests lost, of DNS over UDP, DNS over TCP and HTTP;
/// * `last`: the sites (or `lost`) that the requests of the final half second met.
fn judge(text: &str, from: u64, to: u64) {
    let (mut total, mut lost, mut outage) = (0, 0, 0);
    let mut first: BTreeMap<&str, u64> = BTreeMap::new();
    let mut last = BTreeSet::new();
    let mut lost_by: BTreeMap<&str, u64> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let sent: u64 = words[1].parse().unwrap();
        if sent < from || sent >= to {
            continue;
        }
        total += 1;
        let who = words.get(3).copied().unwrap_or("lost");
        if who == "lost" {
            lost += 1;
            *lost_by.entry(words[0]).or_default() += 1;
            outage = outage.max(sent - from + INTERVAL.as_millis() as u64);
        } else {
            let since = sent - from;
            first.entry(who).and_modify(|known| *known = since.min(*known)).or_insert(since);
        }
        if sent + 500 >= to {
            last.insert(who);
        }
    }
    let first = |site| first.get(site).map_or(String::new(), ToString::to_string);
    let last = last.into_iter().collect::<Vec<_>>().join("+");
    let (first1, first2) = (first("1"), first("2"));
    let lost_by = ["udp", "tcp", "http"].map(|kind| lost_by.get(kind).unwrap_or(&0).to_string());
    println!("total={total} lost={lost} outage={outage} first1={first1} first2={first2}");
    println!("lost_by={} last={last}", lost_by.join("/"));
}
