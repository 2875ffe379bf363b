//! For the tests of the protocols: a server that says its lines whatever it hears.

use super::Failure;
use std::io::{self, Read, Write};

/// Says its answers a few bytes at a time and remembers what it was sent.
#[derive(Debug)]
pub(super) struct Script {
    answers: io::Cursor<Vec<u8>>,
    heard: Vec<u8>,
}

impl Script {
    pub(super) fn new(answers: impl AsRef<[u8]>) -> Self {
        Self { answers: io::Cursor::new(answers.as_ref().to_vec()), heard: Vec::new() }
    }

    /// What the check has sent.
    pub(super) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(7);
        self.answers.read(&mut buffer[..count])
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `up`, or the failure as it is logged.
pub(super) fn verdict(outcome: Result<(), Failure>) -> String {
    outcome.map_or_else(|failure| failure.to_string(), |()| "up".to_owned())
}
