//! A service of one's own: what its definition says is sent, what it expects is waited for; over TCP, with or
//! without TLS.

use super::connect::Probe;
use super::transcript::searched;
use super::{Deadline, Failure};
use crate::model::{Dialogue, Exchange, Turn};
use std::io::{Read, Write};

/// Bytes that are kept of what the server says between two lines of ours.
const HEARD_LIMIT: usize = 64 * 1024;

/// Runs the check.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    let dialogue = definition(probe.exchange)?;
    let deadline = probe.deadline;
    match dialogue.tls {
        true => hold(probe.tls()?, &dialogue, deadline),
        false => hold(probe.tcp()?, &dialogue, deadline),
    }
}

/// The conversation alone.
pub(super) fn talk<S: Read + Write>(
    stream: S,
    exchange: &Exchange,
    deadline: Deadline,
) -> Result<(), Failure> {
    hold(stream, &definition(exchange)?, deadline)
}

/// A plan has nothing but text, so that it can be handed to another process; this was read at load, too.
fn definition(exchange: &Exchange) -> Result<Dialogue, Failure> {
    Dialogue::parse(&exchange.request)
        .map_err(|error| Failure::Config(format!("definition of the service: {error}").into()))
}

fn hold<S: Read + Write>(
    mut stream: S,
    dialogue: &Dialogue,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mut heard = Vec::new();
    for turn in &dialogue.turns {
        match turn {
            Turn::Send(bytes) => {
                stream.write_all(bytes)?;
                stream.flush()?;
                heard.clear();
            }
            Turn::Expect(pattern) => {
                while !pattern.is_match(&heard) {
                    // Much may have come at once, and a pattern may take its time with it.
                    deadline.remaining()?;
                    if let Err(failure) = hear(&mut stream, &mut heard) {
                        searched(pattern, &heard, false);
                        return Err(failure);
                    }
                }
                searched(pattern, &heard, true);
            }
        }
    }
    Ok(())
}

/// Reads what has come; nothing more, or too much, is a mismatch of what came before.
fn hear(stream: &mut impl Read, heard: &mut Vec<u8>) -> Result<(), Failure> {
    let mut chunk = [0; 4096];
    if heard.len() >= HEARD_LIMIT {
        return Err(Failure::TooLong);
    }
    match stream.read(&mut chunk)? {
        0 if heard.is_empty() => Err(Failure::Closed),
        0 => Err(Failure::Mismatch(Failure::text(heard))),
        count => {
            heard.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::Service;
    use std::time::Duration;

    #[test]
    fn every_line_that_is_expected_must_come() {
        let definition = "expect = \"^220 \"\nsend = \"HELO x\\r\\n\"\nexpect = \"^250 \"\n\
                          expect = \"ready$\"\nsend = \"QUIT\\r\\n\"\n";
        let deadline = Deadline::after(Duration::from_secs(60));
        for (answer, expected) in [
            ("220 hi\r\n250 ready", "answer does not match receive"),
            ("220 hi\r\n", "answer does not match receive"),
            ("500 no\r\n", "answer does not match receive"),
            ("", "connection closed by the server"),
        ] {
            let plan = Exchange { request: definition.to_owned(), ..exchange(Service::Own) };
            let outcome = talk(Script::new(answer), &plan, deadline);
            assert_eq!(verdict(outcome), expected, "{answer:?}");
        }
        let plan = Exchange { request: definition.to_owned(), ..exchange(Service::Own) };
        // Seven bytes come at a time, so the answer to HELO is not there before it is sent.
        let mut script = Script::new("220 hi\n250 ready");
        talk(&mut script, &plan, deadline).unwrap();
        assert_eq!(script.heard(), "HELO x\r\nQUIT\r\n");
        let endless = "x".repeat(HEARD_LIMIT + 10);
        assert_eq!(verdict(talk(Script::new(endless), &plan, deadline)), "answer too long");
        let broken = Exchange { request: "junk".to_owned(), ..exchange(Service::Own) };
        assert!(verdict(talk(Script::new(""), &broken, deadline)).contains("line 1"));
    }
}
