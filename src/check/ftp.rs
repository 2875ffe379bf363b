//! `service=ftp`: login, and a file (RFC 959, RFC 2428).
//!
//! Up when the login is accepted and, if `receive` is given, the file `request` matches it. The file
//! comes over a passive connection, and always from the server itself, whatever address it names.
//!
//! With `checktls`, both connections are TLS (RFC 4217). The one of the file does not resume the session of the
//! other: a server that demands it (vsftpd's `require_ssl_reuse`) gives no file.

use super::Failure;
use super::connect::{Probe, Stream};
use super::line::{Lines, Reply};
use super::transcript::{search, secret};
use crate::model::{Exchange, Tls};
use std::io::{Read, Write};
use std::net::SocketAddr;

/// Bytes of the file that are matched; of a longer one its beginning.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Connects, logs in, and fetches the file if there is a pattern for it.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    let mut control = match probe.exchange.tls {
        Tls::Start => {
            let (stream, ()) = probe.start_tls(start_tls)?;
            Control { lines: Lines::new(Stream::Tls(Box::new(stream))), server: probe.target }
        }
        Tls::No | Tls::Yes => {
            let mut lines = Lines::new(probe.stream()?);
            read_greeting(&mut lines)?;
            Control { lines, server: probe.target }
        }
    };
    control.log_in(probe.exchange)?;
    if let Some(pattern) = &probe.exchange.receive {
        let file = control.fetch(&probe.exchange.request, &probe)?;
        if !search(pattern, &file) {
            return Err(match file.len() {
                length if length as u64 >= FILE_LIMIT => Failure::MismatchSoFar(length),
                _ => Failure::Mismatch(Failure::text(&file)),
            });
        }
    }
    // A courtesy; what is answered changes nothing.
    let _ = control.command("QUIT");
    Ok(())
}

/// The control connection.
struct Control {
    lines: Lines<Stream>,
    server: SocketAddr,
}

impl Control {
    fn command(&mut self, command: &str) -> Result<Reply, Failure> {
        self.lines.send(format!("{command}\r\n"))?;
        self.lines.read_reply()
    }

    /// USER and, if asked for, PASS (RFC 959 section 5.4).
    fn log_in(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        let mut reply = self.command(&format!("USER {}", exchange.login))?;
        if reply.code == 331 {
            reply = self.command(&format!("PASS {}", secret(exchange.passwd.as_str())))?;
        }
        if reply.is_success() { Ok(()) } else { Err(Failure::LoginRefused(reply.to_string())) }
    }

    /// The beginning of a file; the leading slash is part of its name.
    fn fetch(&mut self, path: &str, probe: &Probe<'_>) -> Result<Vec<u8>, Failure> {
        let over_tls = probe.exchange.tls != Tls::No;
        if over_tls {
            // RFC 4217, section 9: the file is as private as the login.
            self.command("PBSZ 0")?.accepted()?;
            self.command("PROT P")?.accepted()?;
        }
        self.command("TYPE I")?.accepted()?;
        let port = self.passive_port()?;
        let data = probe.another(SocketAddr::new(self.server.ip(), port))?;
        let reply = self.command(&format!("RETR {path}"))?;
        if !matches!(reply.code / 100, 1 | 2) {
            return Err(reply.rejected());
        }
        let data = match over_tls {
            true => Stream::Tls(Box::new(probe.upgrade(data)?)),
            false => Stream::Plain(data),
        };
        let mut file = Vec::new();
        data.take(FILE_LIMIT).read_to_end(&mut file)?;
        // The end of the transfer, unless RETR has already told it.
        if reply.code / 100 == 1 {
            let _ = self.lines.read_reply();
        }
        Ok(file)
    }

    /// Where the server waits for the data connection: EPSV over IPv6, PASV over IPv4, and there EPSV
    /// for servers that no longer know PASV.
    fn passive_port(&mut self) -> Result<u16, Failure> {
        let no_port = || Failure::Protocol("no port in the answer to PASV or EPSV".into());
        if self.server.is_ipv4() {
            let reply = self.command("PASV")?;
            if reply.code == 227 {
                return pasv_port(&reply.text).ok_or_else(no_port);
            }
        }
        let reply = self.command("EPSV")?.accepted()?;
        epsv_port(&reply.text).ok_or_else(no_port)
    }
}

fn read_greeting<S: Read + Write>(lines: &mut Lines<S>) -> Result<(), Failure> {
    let mut greeting = lines.read_reply()?;
    while greeting.code / 100 == 1 {
        // 120: ready in a few minutes; 220 follows.
        greeting = lines.read_reply()?;
    }
    greeting.accepted().map(drop)
}

/// RFC 4217, section 4.
fn start_tls<S: Read + Write>(lines: &mut Lines<S>) -> Result<(), Failure> {
    read_greeting(lines)?;
    lines.send("AUTH TLS\r\n")?;
    let reply = lines.read_reply()?;
    if reply.code == 234 { Ok(()) } else { Err(Failure::no_tls(reply)) }
}

/// `(h1,h2,h3,h4,p1,p2)`, with or without the parentheses (RFC 1123 section 4.1.2.6).
pub fn pasv_port(text: &str) -> Option<u16> {
    let begin = text.find(|c: char| c.is_ascii_digit())?;
    let numbers = text[begin..].split(|c: char| !c.is_ascii_digit()).take(6);
    let numbers: Vec<u8> = numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [_, _, _, _, high, low] = numbers[..] else { return None };
    Some(u16::from_be_bytes([high, low])).filter(|&port| port != 0)
}

/// `(|||6446|)`, with any delimiter (RFC 2428 section 3).
pub fn epsv_port(text: &str) -> Option<u16> {
    let inside = &text[text.find('(')? + 1..];
    let delimiter = inside.chars().next()?;
    let mut fields = inside.split(delimiter).skip(3);
    fields.next()?.parse().ok().filter(|&port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::super::Deadline;
    use super::super::script::verdict;
    use super::super::tests::exchange;
    use super::*;
    use crate::model::{Pattern, Service, Way};
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    #[test]
    fn passive_answers_name_a_port() {
        let pasv = [
            ("Entering Passive Mode (127,0,0,1,4,1).", Some(1025)),
            ("Entering Passive Mode 10,0,0,1,255,255", Some(65535)),
            ("(1,2,3,4,5)", None),
            ("(1,2,3,4,256,1)", None),
            ("(1,2,3,4,0,0)", None),
            ("none", None),
        ];
        for (text, port) in pasv {
            assert_eq!(pasv_port(text), port, "{text}");
        }
        let epsv = [
            ("Entering Extended Passive Mode (|||6446|)", Some(6446)),
            ("(!!!1!)", Some(1)),
            ("(|||65536|)", None),
            ("(|||)", None),
            ("()", None),
            ("(", None),
        ];
        for (text, port) in epsv {
            assert_eq!(epsv_port(text), port, "{text}");
        }
    }

    /// Answers each command by the first entry that begins it; RETR also sends the file.
    fn server(
        address: &str,
        replies: Vec<(&'static str, String)>,
    ) -> (SocketAddr, JoinHandle<Vec<String>>) {
        let control = TcpListener::bind((address, 0)).unwrap();
        let data = TcpListener::bind((address, 0)).unwrap();
        let at = control.local_addr().unwrap();
        let port = data.local_addr().unwrap().port();
        let run = move || {
            let mut heard = Vec::new();
            let (stream, _) = control.accept().unwrap();
            let mut stream = BufReader::new(stream);
            stream.get_mut().write_all(b"120 soon\r\n220 ready\r\n").unwrap();
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap_or(0) > 0 {
                let command = line.trim_end().to_owned();
                line.clear();
                let reply = replies.iter().find(|(word, _)| command.starts_with(word));
                let reply = reply.map_or("500 what?", |(_, reply)| reply);
                let [high, low] = port.to_be_bytes();
                let reply = reply
                    .replace("PASV", &format!("127,0,0,1,{high},{low}"))
                    .replace("EPSV", &format!("(|||{port}|)"));
                let out = stream.get_mut();
                match reply.strip_prefix("FILE ") {
                    Some(file) => {
                        out.write_all(b"150 here\r\n").unwrap();
                        data.accept().unwrap().0.write_all(file.as_bytes()).unwrap();
                        out.write_all(b"226 done\r\n").unwrap();
                    }
                    None => out.write_all(format!("{reply}\r\n").as_bytes()).unwrap(),
                }
                heard.push(command);
            }
            heard
        };
        (at, thread::spawn(run))
    }

    fn run(
        address: &str,
        receive: Option<&str>,
        replies: &[(&'static str, &str)],
    ) -> (String, Vec<String>) {
        let replies = replies.iter().map(|(word, reply)| (*word, (*reply).to_owned())).collect();
        let (target, server) = server(address, replies);
        let plan = Exchange {
            login: "anonymous".into(),
            passwd: "me@here".into(),
            request: "/pub/file".into(),
            receive: receive.map(|pattern| Pattern::new(pattern).unwrap()),
            ..exchange(Service::Ftp)
        };
        let deadline = Deadline::after(Duration::from_secs(30));
        let outcome =
            check(Probe { exchange: &plan, target, deadline, way: &Way::default(), dialled: None });
        (verdict(outcome), server.join().unwrap())
    }

    const LOGIN: [(&str, &str); 3] =
        [("USER", "331 password?"), ("PASS", "230 in"), ("TYPE", "200 ok")];

    #[test]
    fn without_receive_the_login_decides() {
        let (said, heard) = run("127.0.0.1", None, &LOGIN);
        assert_eq!(said, "up");
        assert_eq!(heard, ["USER anonymous", "PASS me@here", "QUIT"]);
        assert_eq!(run("127.0.0.1", None, &[("USER", "230 welcome")]).0, "up");
        let (said, _) = run("127.0.0.1", None, &[("USER", "331 ?"), ("PASS", "530 no")]);
        assert_eq!(said, "login refused: 530 no");
    }

    #[test]
    fn the_file_is_fetched_over_a_passive_connection() {
        let pasv = [("PASV", "227 Entering Passive Mode (PASV)"), ("RETR", "FILE all is well\n")];
        let epsv = [("EPSV", "229 Entering EPSV"), ("RETR", "FILE all is well\n")];
        for (address, passive) in [("127.0.0.1", pasv), ("127.0.0.1", epsv), ("::1", epsv)] {
            let replies = [&LOGIN[..], &passive].concat();
            let (said, heard) = run(address, Some("^all .* well$"), &replies);
            assert_eq!(said, "up", "{address} {heard:?}");
            assert!(heard.contains(&"RETR /pub/file".to_owned()));
            let (said, _) = run(address, Some("ill"), &replies);
            assert_eq!(said, "answer does not match receive");
        }
        let replies = [&LOGIN[..], &pasv[..1], &[("RETR", "550 no such file")]].concat();
        assert_eq!(run("127.0.0.1", Some("."), &replies).0, "rejected: 550 no such file");
        assert_eq!(run("127.0.0.1", Some("."), &LOGIN).0, "rejected: 500 what?");
    }
}
