//! HTTP as far as a check sees it: one request, one answer, close.

use std::io;
use std::thread;
use std::time::Duration;

use super::Context;
use super::stream::{Connection, drain, read_line};

/// Options: `status=200`, `reason=`, `body=`, `header=` (repeatable), `location=`, `after=SECONDS` before the
/// answer, `hang` (no answer), `stall` (head, then nothing), `length=N` (another Content-Length), `fill=N` (so many bytes before the body), `headers=` (comma list of
/// request headers to note besides Host), `only=PATH` (404 for others).
pub(crate) fn answer(connection: &mut dyn Connection, context: &Context) -> io::Result<()> {
    let mut head = Vec::new();
    while let Some(line) = read_line(connection)? {
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let Some(request) = head.first() else {
        context.note("connect".to_owned());
        return Ok(());
    };
    let behaviour = context.behaviour();
    let wanted = behaviour.text("headers", "").to_ascii_lowercase();
    let mut note = request.clone();
    for line in &head[1..] {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if name == "host" || wanted.split(',').any(|w| w == name) {
            note.push_str(" | ");
            note.push_str(line);
        }
    }
    context.note(note);
    if behaviour.option("hang").is_some() {
        return drain(connection);
    }
    if let Some(seconds) = behaviour.option("after").and_then(|s| s.parse().ok()) {
        thread::sleep(Duration::from_secs_f64(seconds));
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let mut status = behaviour.text("status", "200");
    if behaviour.option("only").is_some_and(|only| only != path) {
        status = "404";
    }
    let fill = behaviour.option("fill").and_then(|count| count.parse().ok()).unwrap_or(0);
    let body = "x".repeat(fill) + behaviour.text("body", "");
    let mut answer = format!("HTTP/1.1 {status} {}\r\n", behaviour.text("reason", "OK"));
    for header in behaviour.all("header") {
        answer.push_str(&format!("{header}\r\n"));
    }
    if let Some(location) = behaviour.option("location") {
        answer.push_str(&format!("Location: {location}\r\n"));
    }
    let length = body.len().to_string();
    let length = behaviour.text("length", &length);
    answer.push_str(&format!("Content-Length: {length}\r\nConnection: close\r\n\r\n"));
    if !request.starts_with("HEAD ") {
        answer.push_str(&body);
    }
    connection.write_all(answer.as_bytes())?;
    connection.flush()?;
    if behaviour.option("stall").is_some() {
        return drain(connection);
    }
    connection.finish();
    // The peer's own close, so that no reset overtakes the answer.
    drain(connection)
}
