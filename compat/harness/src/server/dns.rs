//! A name server with the records of its script: `NAME TYPE VALUE`, over UDP and TCP.

use std::io;
use std::net::IpAddr;

use super::stream::Connection;
use super::{Behaviour, Context};

pub(crate) fn datagram(query: &[u8], behaviour: &Behaviour) -> (String, Option<Vec<u8>>) {
    let (note, answer) = respond(query, behaviour, "udp");
    if behaviour.option("truncate").is_some()
        && let Some(mut answer) = answer
    {
        // Only the question, with the TC bit: RFC 1035 section 4.2.1.
        answer.truncate(query.len());
        answer[2] |= 0x02;
        answer[6..12].fill(0);
        return (note, Some(answer));
    }
    (note, answer)
}

pub(crate) fn answer(connection: &mut dyn Connection, context: &Context) -> io::Result<()> {
    let mut length = [0; 2];
    connection.read_exact(&mut length)?;
    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
    connection.read_exact(&mut query)?;
    let (note, answer) = respond(&query, &context.behaviour(), "tcp");
    context.note(note);
    if let Some(answer) = answer {
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        connection.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
    }
    connection.finish();
    Ok(())
}

fn respond(query: &[u8], behaviour: &Behaviour, over: &str) -> (String, Option<Vec<u8>>) {
    let Some((name, end)) = question_name(query) else { return ("bad query".to_owned(), None) };
    let Some(&[high, low, ..]) = query.get(end..end + 4) else {
        return ("bad query".to_owned(), None);
    };
    let kind = u16::from_be_bytes([high, low]);
    let note = format!("{over} {} {name}", type_name(kind));
    if behaviour.option("hang").is_some() {
        return (note, None);
    }
    let records: Vec<(u16, Vec<u8>)> = behaviour
        .script
        .iter()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [owner, record, value] = words.as_slice() else { return None };
            owner.eq_ignore_ascii_case(&name).then(|| (type_number(record), data(record, value)))
        })
        .collect();
    let mut answer = query[..end + 4].to_vec();
    answer[2] = 0x85;
    answer[3] = if records.is_empty() { 0x83 } else { 0x80 };
    answer[6..12].copy_from_slice(&[0, u8::try_from(records.len()).unwrap_or(0), 0, 0, 0, 0]);
    for (kind, data) in records {
        answer.extend_from_slice(&[0xc0, 12]);
        answer.extend_from_slice(&kind.to_be_bytes());
        answer.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        answer.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        answer.extend_from_slice(&data);
    }
    (note, Some(answer))
}

/// Name of the first question and where its type begins.
fn question_name(query: &[u8]) -> Option<(String, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((if labels.is_empty() { ".".to_owned() } else { labels.join(".") }, at));
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).into_owned());
        at += length;
    }
}

fn type_number(name: &str) -> u16 {
    match name {
        "A" => 1,
        "CNAME" => 5,
        "PTR" => 12,
        "TXT" => 16,
        _ => 28,
    }
}

fn type_name(number: u16) -> String {
    match number {
        1 => "A".to_owned(),
        12 => "PTR".to_owned(),
        28 => "AAAA".to_owned(),
        other => format!("TYPE{other}"),
    }
}

fn data(record: &str, value: &str) -> Vec<u8> {
    match (record, value.parse::<IpAddr>()) {
        ("A" | "AAAA", Ok(IpAddr::V4(ip))) => ip.octets().to_vec(),
        ("A" | "AAAA", Ok(IpAddr::V6(ip))) => ip.octets().to_vec(),
        ("TXT", _) => [&[u8::try_from(value.len()).unwrap_or(0)], value.as_bytes()].concat(),
        _ => {
            let mut name = Vec::new();
            for label in value.split('.').filter(|label| !label.is_empty()) {
                name.push(u8::try_from(label.len()).unwrap_or(0));
                name.extend_from_slice(label.as_bytes());
            }
            name.push(0);
            name
        }
    }
}
