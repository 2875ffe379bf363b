//! An LDAP server (RFC 4511) with canned entries.

use std::io;

use super::Context;
use super::stream::Connection;

/// Options: `entries=1`, `dn=` of them, `bind=fail`.
pub(crate) fn answer(connection: &mut dyn Connection, context: &Context) -> io::Result<()> {
    let mut heard = vec!["connect".to_owned()];
    let result = converse(connection, context, &mut heard);
    context.note(heard.join(" | "));
    result
}

fn converse(
    connection: &mut dyn Connection,
    context: &Context,
    heard: &mut Vec<String>,
) -> io::Result<()> {
    let behaviour = context.behaviour();
    while let Some(message) = read_element(connection)? {
        let mut rest = message.as_slice();
        let id = take(&mut rest).map(|(_, value)| value.to_vec()).unwrap_or_default();
        let Some((operation, body)) = take(&mut rest) else { return Ok(()) };
        match operation {
            0x60 => {
                let mut body = body;
                let _version = take(&mut body);
                let name = take(&mut body).map(|(_, v)| text(v)).unwrap_or_default();
                let password = take(&mut body).map(|(_, v)| text(v)).unwrap_or_default();
                heard.push(format!("bind {name:?} {password:?}"));
                let failed = behaviour.option("bind") == Some("fail");
                respond(connection, &id, 0x61, if failed { 49 } else { 0 })?;
            }
            0x63 => {
                let mut body = body;
                let base = take(&mut body).map(|(_, v)| text(v)).unwrap_or_default();
                let scope = take(&mut body).map(|(_, v)| v.to_vec()).unwrap_or_default();
                heard.push(format!("search {base:?} scope {scope:?}"));
                let entries: usize = behaviour.text("entries", "1").parse().unwrap_or(1);
                for _ in 0..entries {
                    let dn = element(0x04, behaviour.text("dn", "dc=example,dc=com").as_bytes());
                    let entry = element(0x64, &[dn, element(0x30, &[])].concat());
                    send(connection, &id, &entry)?;
                }
                respond(connection, &id, 0x65, 0)?;
            }
            _ => {
                heard.push(format!("operation {operation:#x}"));
                return Ok(());
            }
        }
    }
    Ok(())
}

fn respond(connection: &mut dyn Connection, id: &[u8], operation: u8, code: u8) -> io::Result<()> {
    let body = [element(0x0a, &[code]), element(0x04, &[]), element(0x04, &[])].concat();
    send(connection, id, &element(operation, &body))
}

fn send(connection: &mut dyn Connection, id: &[u8], operation: &[u8]) -> io::Result<()> {
    connection.write_all(&element(0x30, &[element(0x02, id), operation.to_vec()].concat()))?;
    connection.flush()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// BER with lengths below 64 KiB.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u16::try_from(content.len()) {
        Ok(length) if length < 128 => out.push(length.to_be_bytes()[1]),
        Ok(length) => {
            out.push(0x82);
            out.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => out.push(0),
    }
    out.extend_from_slice(content);
    out
}

/// Reads one element and gives its content.
fn read_element(connection: &mut dyn Connection) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 2];
    if connection.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    connection.read_exact(&mut head[1..])?;
    let mut length = usize::from(head[1]);
    if length >= 128 {
        let mut bytes = vec![0; length - 128];
        connection.read_exact(&mut bytes)?;
        length = bytes.iter().take(3).fold(0, |sum, b| sum * 256 + usize::from(*b));
    }
    let mut content = vec![0; length];
    connection.read_exact(&mut content)?;
    Ok(Some(content))
}

/// Takes one element from the front.
fn take<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, tail) = rest.split_first()?;
    let (&first, mut tail) = tail.split_first()?;
    let mut length = usize::from(first);
    if length >= 128 {
        let count = length - 128;
        length = tail.get(..count)?.iter().take(3).fold(0, |sum, b| sum * 256 + usize::from(*b));
        tail = &tail[count..];
    }
    let value = tail.get(..length)?;
    *rest = &tail[length..];
    Some((tag, value))
}
