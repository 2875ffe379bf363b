//! Line protocols: bounded lines in, bytes out.
//!
//! The common part of smtp, ftp, nntp, pop, imap, sip and simpletcp. A server may send what it
//! likes: a line is at most [`LINE_LIMIT`] bytes, all that is read from one connection at most
//! [`TOTAL_LIMIT`] bytes, and how long it takes is the business of the stream underneath.

use super::Failure;
use std::io::{self, Read, Write};

/// Bytes of one line, with its line end. The longest that a protocol here allows is 8 KiB
/// (RFC 9051, section 4); some IMAP and FTP servers do not care.
pub(super) const LINE_LIMIT: usize = 64 * 1024;

/// Bytes read from one connection.
pub(super) const TOTAL_LIMIT: usize = 1024 * 1024;

/// A stream that is read line by line.
#[derive(Debug)]
pub(super) struct Lines<S> {
    stream: S,
    buffer: Vec<u8>,
    /// How much of the buffer has been handed out.
    used: usize,
    received: usize,
    ended: bool,
}

impl<S: Read + Write> Lines<S> {
    /// Reads nothing yet.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), used: 0, received: 0, ended: false }
    }

    /// The stream, unless more has come than has been read.
    pub(super) fn into_stream(self) -> Option<S> {
        (self.used == self.buffer.len()).then_some(self.stream)
    }

    /// Sends all of these bytes; the line end belongs to them.
    ///
    /// # Errors
    /// As the stream's.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.stream.write_all(bytes.as_ref())?;
        Ok(self.stream.flush()?)
    }

    /// The next line without its line end (CRLF, or LF alone).
    ///
    /// # Errors
    /// [`Failure::Closed`] at the end, also in the middle of a line; [`Failure::TooLong`].
    pub(super) fn read_line(&mut self) -> Result<&[u8], Failure> {
        let line = self.read_raw_line()?.ok_or(Failure::Closed)?;
        let line = line.strip_suffix(b"\n").ok_or(Failure::Closed)?;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The next line with its line end; the last one may lack it. `None` at the end.
    ///
    /// # Errors
    /// [`Failure::TooLong`].
    pub(super) fn read_raw_line(&mut self) -> Result<Option<&[u8]>, Failure> {
        let mut searched = self.used;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|&byte| byte == b'\n') {
                return Ok(Some(self.take(searched + at + 1 - self.used)));
            }
            let pending = self.buffer.len() - self.used;
            if pending >= LINE_LIMIT {
                return Err(Failure::TooLong);
            }
            self.fill()?;
            searched = self.used + pending;
            if self.ended {
                return Ok((pending > 0).then(|| self.take(pending)));
            }
        }
    }

    /// Exactly this many bytes, such as an IMAP literal.
    ///
    /// # Errors
    /// [`Failure::Closed`] if there are fewer; [`Failure::TooLong`] for more than [`TOTAL_LIMIT`].
    pub(super) fn read_bytes(&mut self, count: usize) -> Result<&[u8], Failure> {
        if count > TOTAL_LIMIT {
            return Err(Failure::TooLong);
        }
        while self.buffer.len() - self.used < count {
            if self.ended {
                return Err(Failure::Closed);
            }
            self.fill()?;
        }
        Ok(self.take(count))
    }

    /// A reply of the three-digit kind (RFC 959 section 4.2, RFC 5321 section 4.2): one line, or
    /// from `250-first` to `250 last`.
    ///
    /// # Errors
    /// [`Failure::Protocol`] for anything else.
    pub(super) fn read_reply(&mut self) -> Result<Reply, Failure> {
        let first = self.read_line()?;
        let (code, mut more) = reply_code(first)
            .ok_or(Failure::Protocol("the reply does not begin with three digits".into()))?;
        let mut text = first.get(4..).unwrap_or_default().to_vec();
        while more {
            let line = self.read_line()?;
            more = reply_code(line) != Some((code, false));
            // An FTP server may leave out the code between the first line and the last.
            let words =
                if reply_code(line).is_some() { line.get(4..).unwrap_or_default() } else { line };
            if text.len() < Failure::TEXT_LIMIT {
                text.push(b'\n');
                text.extend_from_slice(words);
            }
        }
        Ok(Reply { code, text: Failure::text(&text) })
    }

    fn take(&mut self, count: usize) -> &[u8] {
        let from = self.used;
        self.used += count;
        &self.buffer[from..self.used]
    }

    /// Reads once.
    fn fill(&mut self) -> Result<(), Failure> {
        if self.received > TOTAL_LIMIT {
            return Err(Failure::TooLong);
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        let mut chunk = [0; 4096];
        let count = loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.ended = count == 0;
        self.received += count;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(())
    }
}

/// A reply of smtp, ftp or nntp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// 100 to 999.
    pub(super) code: u16,
    /// The words, at most [`Failure::TEXT_LIMIT`] bytes, lines joined by a newline.
    pub(super) text: String,
}

impl Reply {
    /// Whether the code is 2xx.
    pub(super) fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// The reply, if its code is 2xx.
    ///
    /// # Errors
    /// As [`Reply::rejected`].
    pub(super) fn accepted(self) -> Result<Self, Failure> {
        if self.is_success() { Ok(self) } else { Err(self.rejected()) }
    }

    /// The failure of being refused with this reply: code and words.
    pub(super) fn rejected(&self) -> Failure {
        Failure::Rejected(self.to_string())
    }
}

/// `550 no such user`
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// The code of a reply line, and whether more lines follow.
fn reply_code(line: &[u8]) -> Option<(u16, bool)> {
    let digits = std::str::from_utf8(line.get(..3)?).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.starts_with('0') {
        return None;
    }
    let more = match line.get(3) {
        None | Some(b' ') => false,
        Some(b'-') => true,
        Some(_) => return None,
    };
    Some((digits.parse().ok()?, more))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of `step`, then ends.
    struct Pieces<'a> {
        rest: &'a [u8],
        step: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.step.min(buffer.len()).min(self.rest.len());
            let (now, rest) = self.rest.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.rest = rest;
            Ok(count)
        }
    }

    impl Write for Pieces<'_> {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            Ok(buffer.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(rest: &[u8], step: usize) -> Lines<Pieces<'_>> {
        Lines::new(Pieces { rest, step })
    }

    #[test]
    fn lines_come_out_the_same_however_they_come_in() {
        for step in [1, 2, 3, 7, 100] {
            let mut lines = lines(b"+OK hello\r\n\nhalf", step);
            assert_eq!(lines.read_line(), Ok(b"+OK hello".as_slice()), "step {step}");
            assert_eq!(lines.read_line(), Ok(b"".as_slice()));
            assert_eq!(lines.read_line(), Err(Failure::Closed));
        }
    }

    #[test]
    fn the_last_raw_line_may_lack_its_end() {
        let mut lines = lines(b"one\ntwo", 2);
        assert_eq!(lines.read_raw_line(), Ok(Some(b"one\n".as_slice())));
        assert_eq!(lines.read_raw_line(), Ok(Some(b"two".as_slice())));
        assert_eq!(lines.read_raw_line(), Ok(None));
    }

    #[test]
    fn a_literal_is_followed_by_the_next_line() {
        let mut lines = lines(b"{5}\r\n12345 rest\r\n", 4);
        assert_eq!(lines.read_line(), Ok(b"{5}".as_slice()));
        assert_eq!(lines.read_bytes(5), Ok(b"12345".as_slice()));
        assert_eq!(lines.read_line(), Ok(b" rest".as_slice()));
        assert_eq!(lines.read_bytes(1), Err(Failure::Closed));
        assert_eq!(lines.read_bytes(TOTAL_LIMIT + 1), Err(Failure::TooLong));
    }

    #[test]
    fn an_endless_line_and_endless_lines_are_too_long() {
        let line = vec![b'x'; 2 * LINE_LIMIT];
        assert_eq!(lines(&line, 4096).read_line(), Err(Failure::TooLong));
        let many = b"x\n".repeat(TOTAL_LIMIT);
        let mut many = lines(&many, 4096);
        let failure = loop {
            if let Err(failure) = many.read_line() {
                break failure;
            }
        };
        assert_eq!(failure, Failure::TooLong);
    }

    #[test]
    fn replies_have_one_line_or_many() {
        type Case<'a> = (&'a [u8], Result<(u16, &'a str), Failure>);
        let cases: &[Case<'_>] = &[
            (b"220 ready\r\n", Ok((220, "ready"))),
            (b"250\r\n", Ok((250, ""))),
            (b"250-one\r\n250-two\r\n250 three\r\n", Ok((250, "one\ntwo\nthree"))),
            (
                b"220-Hi\r\n  free text\r\n221 other\r\n220 end\r\n",
                Ok((220, "Hi\n  free text\nother\nend")),
            ),
            (b"220-Hi\r\n", Err(Failure::Closed)),
            (
                b"hello\r\n",
                Err(Failure::Protocol("the reply does not begin with three digits".into())),
            ),
            (
                b"2200 x\r\n",
                Err(Failure::Protocol("the reply does not begin with three digits".into())),
            ),
            (
                b"\xff\xfe\r\n",
                Err(Failure::Protocol("the reply does not begin with three digits".into())),
            ),
        ];
        for (bytes, expected) in cases {
            let reply = lines(bytes, 3).read_reply();
            let reply = reply.as_ref().map(|reply| (reply.code, reply.text.as_str()));
            assert_eq!(
                reply,
                expected.as_ref().map(|it| *it),
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
