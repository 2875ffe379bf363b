//! Takes what the daemon sends out: mail over SMTP, syslog.

use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;

use super::stream::{Connection, Running, read_line, wait};
use super::{Context, Journal};

/// An SMTP server that takes every mail.
pub(crate) fn smtp(connection: &mut dyn Connection, context: &Context) -> io::Result<()> {
    let mut envelope = Vec::new();
    connection.write_all(b"220 sink\r\n")?;
    while let Some(line) = read_line(connection)? {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "MAIL" | "RCPT" => {
                envelope.push(line);
                connection.write_all(b"250 ok\r\n")?;
            }
            "DATA" => {
                connection.write_all(b"354 go\r\n")?;
                let mut lines = Vec::new();
                while let Some(line) = read_line(connection)? {
                    if line == "." {
                        break;
                    }
                    lines.push(line);
                }
                context.journal.mail(format!("{} | {}", envelope.join(" | "), mail(&lines)));
                envelope.clear();
                connection.write_all(b"250 taken\r\n")?;
            }
            "QUIT" => {
                connection.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => connection.write_all(b"250 sink\r\n")?,
        }
    }
    Ok(())
}

/// The headers that matter and the body, in one line.
pub(crate) fn mail(lines: &[String]) -> String {
    let mut shown = Vec::new();
    let mut in_body = false;
    for line in lines {
        let wanted = ["From: ", "To: ", "Subject: "].iter().any(|name| line.starts_with(name));
        if in_body || wanted {
            shown.push(line.trim_end().to_owned());
        } else if line.is_empty() {
            in_body = true;
            shown.sort();
            shown.push(String::new());
        }
    }
    while shown.last().is_some_and(String::is_empty) {
        shown.pop();
    }
    shown.join(" | ")
}

/// /dev/log: the messages with their priority.
pub(crate) fn syslog(journal: &Journal) -> Result<Running, String> {
    let _ = fs::remove_file("/dev/log");
    let socket = UnixDatagram::bind("/dev/log").map_err(|e| format!("bind /dev/log: {e}"))?;
    let journal = journal.clone();
    Running::start(move |stopped| {
        let mut buffer = [0; 4096];
        while wait(&socket, &stopped) {
            let Ok(length) = socket.recv(&mut buffer) else { continue };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let text = text.trim_end_matches(['\0', '\n']).to_owned();
            journal.lock().syslog.push(without_time(&text));
        }
    })
}

/// `<30>Nov 22 22:42:57 ldirectord[17]: text` without the time.
fn without_time(line: &str) -> String {
    let Some((priority, rest)) = line.split_once('>') else { return line.to_owned() };
    let rest = rest.get(16..).filter(|_| rest.as_bytes().get(9) == Some(&b':')).unwrap_or(rest);
    format!("{priority}> {rest}")
}
