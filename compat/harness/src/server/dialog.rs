//! A conversation written in the case: what is sent, what is waited for.

use std::io;
use std::thread;
use std::time::Duration;

use super::Context;
use super::stream::{Connection, drain, read_line};
use crate::words::unescape;

/// Script lines:
///
/// * `> TEXT` sends the text and CRLF; `>> TEXT` sends the text with its escapes undone;
/// * `< PREFIX` waits for a line, and closes unless it begins so; `<head` reads up to an empty line, `<eof` up to
///   the end;
/// * `drip SECONDS TEXT` sends one byte at a time; `sleep SECONDS`; `hang` waits until the peer closes;
/// * `PREFIX => TEXT` lines at the end are rules: from there on each line is answered by the first rule
///   that fits, an unknown one closes. TEXT `close` closes.
pub(crate) fn answer(connection: &mut dyn Connection, context: &Context) -> io::Result<()> {
    let script = context.behaviour().script;
    let mut heard = Vec::new();
    let result = converse(connection, &script, &mut heard);
    context.note(if heard.is_empty() { "connect".to_owned() } else { heard.join(" | ") });
    result
}

fn converse(
    connection: &mut dyn Connection,
    script: &[String],
    heard: &mut Vec<String>,
) -> io::Result<()> {
    for (at, line) in script.iter().enumerate() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            _ if line.contains(" => ") => return by_rules(connection, &script[at..], heard),
            ">" => connection.write_all(format!("{rest}\r\n").as_bytes())?,
            ">>" => connection.write_all(unescape(rest).as_bytes())?,
            "<" => match read_line(connection)? {
                Some(line) => {
                    let fits = line.starts_with(rest);
                    heard.push(line);
                    if !fits {
                        return Ok(());
                    }
                }
                None => return Ok(()),
            },
            "<head" => {
                while let Some(line) = read_line(connection)? {
                    if line.is_empty() {
                        break;
                    }
                    heard.push(line);
                }
            }
            "<eof" => {
                while let Some(line) = read_line(connection)? {
                    heard.push(line);
                }
                heard.push("EOF".to_owned());
            }
            "sleep" => thread::sleep(seconds(rest)),
            "hang" => return drain(connection),
            "drip" => {
                let (pause, text) = rest.split_once(' ').unwrap_or((rest, ""));
                for byte in unescape(text).bytes() {
                    connection.write_all(&[byte])?;
                    connection.flush()?;
                    thread::sleep(seconds(pause));
                }
            }
            other => return Err(io::Error::other(format!("no dialog word {other}"))),
        }
        connection.flush()?;
    }
    connection.finish();
    drain(connection)
}

fn by_rules(
    connection: &mut dyn Connection,
    rules: &[String],
    heard: &mut Vec<String>,
) -> io::Result<()> {
    while let Some(line) = read_line(connection)? {
        let rule = rules
            .iter()
            .filter_map(|rule| rule.split_once(" => "))
            .find(|(prefix, _)| line.starts_with(prefix.trim()));
        heard.push(line);
        match rule {
            None | Some((_, "close")) => return Ok(()),
            Some((_, text)) => {
                connection.write_all(format!("{}\r\n", unescape(text)).as_bytes())?;
            }
        }
        connection.flush()?;
    }
    Ok(())
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.trim().parse().unwrap_or(1.0))
}
