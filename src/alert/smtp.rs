//! Sending a mail over SMTP (RFC 5321), to port 25, within one deadline.

use super::mail::{Mail, Sender};
use crate::check::{Deadline, TimedStream};
use jiff::Zoned;
use jiff::fmt::rfc2822;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Bytes of one line of a reply (RFC 5321 allows 512; some servers do not care).
const LINE: u64 = 4096;

/// Lines of one reply.
const LINES: usize = 100;

/// Sends a mail: one RCPT for each address. An address that the server refuses is logged, and is an
/// error only if no other is left.
///
/// # Errors
/// What the server said, or why there was no answer.
pub(super) fn send(
    mail: &Mail,
    sender: &Sender,
    server: &str,
    deadline: Deadline,
) -> io::Result<()> {
    let mut error = io::Error::other("no address");
    let addresses = super::LOOK_UPS
        .addresses(server, 25, deadline)
        .map_err(|error| io::Error::other(error.to_string()))?;
    for address in addresses {
        match connect(address, deadline) {
            Ok(stream) => return Session::new(stream, deadline).deliver(mail, sender),
            Err(refusal) => error = refusal,
        }
    }
    Err(error)
}

fn connect(address: SocketAddr, deadline: Deadline) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, deadline.remaining()?)
}

struct Session {
    stream: BufReader<TimedStream>,
}

impl Session {
    fn new(stream: TcpStream, deadline: Deadline) -> Self {
        Self { stream: BufReader::new(TimedStream::new(stream, deadline)) }
    }

    fn deliver(&mut self, mail: &Mail, sender: &Sender) -> io::Result<()> {
        self.reply(2)?;
        // compat: the original's name (spec 5.12)
        if self.command("EHLO localhost.localdomain", 2).is_err() {
            self.command("HELO localhost.localdomain", 2)?;
        }
        self.command(&format!("MAIL FROM:<{}>", sender.mailbox()), 2)?;
        let mut refused = Vec::new();
        for address in &mail.to {
            if let Err(error) = self.command(&format!("RCPT TO:<{address}>"), 2) {
                refused.push((address, error));
            }
        }
        if refused.len() == mail.to.len() {
            return Err(refused.swap_remove(0).1);
        }
        for (address, error) in refused {
            log::error!("failed to send SMTP email message to {address}: {error}");
        }
        self.command("DATA", 3)?;
        let text = message(mail, sender, &Zoned::now());
        self.stream.get_mut().write_all(text.as_bytes())?;
        self.reply(2)?;
        // The mail is accepted; what the server says to this does not matter.
        let _ = self.command("QUIT", 2);
        Ok(())
    }

    fn command(&mut self, line: &str, class: u8) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.reply(class)
    }

    /// Reads a reply, of several lines if it has them; an error unless its code is of this class.
    fn reply(&mut self, class: u8) -> io::Result<()> {
        for _ in 0..LINES {
            let mut line = Vec::new();
            self.stream.by_ref().take(LINE).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.get(3) == Some(&b'-') {
                continue;
            }
            if line.first() == Some(&(b'0' + class)) {
                return Ok(());
            }
            let text: String =
                String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).collect();
            return Err(io::Error::other(text));
        }
        Err(io::Error::other("the reply does not end"))
    }
}

/// Headers and body with the final dot; no line of it can begin with a dot by itself (RFC 5321,
/// section 4.5.2).
fn message(mail: &Mail, sender: &Sender, now: &Zoned) -> String {
    let from = mail.from.clone().unwrap_or_else(|| sender.mailbox());
    // Every mail has one (RFC 5322, section 3.6); only years before the first have no form for it.
    let date = rfc2822::to_string(now).map(|date| format!("Date: {date}"));
    let headers = date.into_iter().chain([
        format!("From: {from}"),
        format!("To: {}", mail.to.join(", ")),
        format!("Subject: {}", mail.subject()),
        String::new(),
    ]);
    let mut text = String::new();
    for line in headers.chain(mail.body(sender)) {
        if line.starts_with('.') {
            text.push('.');
        }
        text.push_str(&line);
        text.push_str("\r\n");
    }
    text + ".\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AlertPolicy, Status};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    fn mail() -> Mail {
        let policy =
            AlertPolicy { to: vec!["a@x.org".into(), "b@x.org".into()], ..AlertPolicy::default() };
        Mail::new(&policy, Status::Running, "Deleted real server: r (v)").unwrap()
    }

    /// A server that answers each line by a rule; gives back what it was sent.
    fn deliver(answer: fn(&str) -> &'static str, seconds: u64) -> (io::Result<()>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer("").as_bytes()).unwrap();
            let mut seen = Vec::new();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let Ok(line) = line else { break };
                let reply = answer(&line);
                seen.push(line);
                if stream.write_all(reply.as_bytes()).is_err() {
                    break;
                }
            }
            seen
        });
        let deadline = Deadline::after(Duration::from_secs(seconds));
        let stream = connect(address, deadline).unwrap();
        let sender = Sender { host: "lb1".into(), user: "root".into() };
        let result = Session::new(stream, deadline).deliver(&mail(), &sender);
        (result, server.join().unwrap())
    }

    #[test]
    fn a_mail_has_one_recipient_command_for_each_address() {
        let (result, seen) = deliver(
            |line| match line {
                "" => "220-hello\r\n220 there\r\n",
                "EHLO localhost.localdomain" => "250-lb\r\n250 PIPELINING\r\n",
                "DATA" => "354 go\r\n",
                line if line.starts_with(|c: char| c == '.' || c.is_ascii_uppercase()) => {
                    if line.contains(": ") { "" } else { "250 ok\r\n" }
                }
                _ => "",
            },
            60,
        );
        result.unwrap();
        let mut seen = seen;
        let date = seen.remove(5);
        let date = rfc2822::parse(date.strip_prefix("Date: ").unwrap()).unwrap();
        assert!(date.duration_until(&Zoned::now()).abs() < jiff::SignedDuration::from_mins(1));
        assert_eq!(
            seen,
            [
                "EHLO localhost.localdomain",
                "MAIL FROM:<root@lb1>",
                "RCPT TO:<a@x.org>",
                "RCPT TO:<b@x.org>",
                "DATA",
                "From: root@lb1",
                "To: a@x.org, b@x.org",
                "Subject: Deleted real server: r (v)",
                "",
                "ldirectord host: lb1",
                "Log-Message: Deleted real server: r (v)",
                "Daemon-Status: running",
                ".",
                "QUIT",
            ]
        );
    }

    #[test]
    fn the_date_is_in_the_form_of_mails() {
        let now = "2026-11-05T09:08:07+01:00[+01:00]".parse().unwrap();
        let sender = Sender { host: "lb1".into(), user: "root".into() };
        let text = message(&mail(), &sender, &now);
        assert!(text.starts_with("Date: Thu, 5 Nov 2026 09:08:07 +0100\r\nFrom: "), "{text}");
    }

    #[test]
    fn a_server_whose_name_is_not_known_is_an_error_within_the_deadline() {
        let sender = Sender { host: "lb1".into(), user: "root".into() };
        let begun = std::time::Instant::now();
        let deadline = Deadline::after(Duration::from_secs(10));
        assert!(send(&mail(), &sender, "no.such.host.invalid", deadline).is_err());
        let over = Deadline::at(begun);
        let late = send(&mail(), &sender, "localhost", over).unwrap_err().to_string();
        assert_eq!(late, "the name was not looked up in time");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_refused_address_does_not_keep_the_others_from_their_mail() {
        let (result, seen) = deliver(
            |line| match line {
                "RCPT TO:<a@x.org>" => "550 no such user\r\n",
                "EHLO localhost.localdomain" => "502 what?\r\n",
                "DATA" => "354 go\r\n",
                line if line.contains(": ") => "",
                line if line.starts_with(|c: char| c == '.' || c.is_ascii_uppercase()) => {
                    "250 ok\r\n"
                }
                "" => "220 hello\r\n",
                _ => "",
            },
            60,
        );
        result.unwrap();
        assert!(seen.contains(&"HELO localhost.localdomain".to_owned()));
        assert!(seen.contains(&".".to_owned()));
    }

    #[test]
    fn refusals_and_silence_are_errors_in_the_server_s_words() {
        let (result, _) =
            deliver(|line| if line.starts_with("RCPT") { "550 no\r\n" } else { "250 ok\r\n" }, 60);
        assert_eq!(result.unwrap_err().to_string(), "550 no");
        let (result, _) = deliver(|_| "554 go away\r\n", 60);
        assert_eq!(result.unwrap_err().to_string(), "554 go away");
        let (result, _) = deliver(|_| "", 1);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (result, _) = deliver(|_| "250-and\r\n", 1);
        assert!(result.is_err());
    }
}
