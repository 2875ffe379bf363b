//! The bytes of a file as text.

use super::{Fingerprint, Stamp};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A file as it was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its text; a byte that is not UTF-8 stands in it as a character that [`foreign_byte`] knows.
    pub text: String,
    /// MD5 of the bytes, by which a change is told from a mere touch.
    pub checksum: [u8; 16],
    /// What the system said of the file before it was read; `None` if the text is no file's.
    pub stamp: Option<Stamp>,
}

/// Bytes that a configuration may have.
pub const SIZE_LIMIT: u64 = 64 << 20;

/// A file that cannot be read at all.
#[derive(Debug)]
pub enum SourceError {
    /// The system says no.
    Io(io::Error),
    /// A directory, a device, a pipe.
    NotAFile,
    /// Longer than so many bytes.
    TooLarge(u64),
    /// Somebody is writing it, and does not come to an end.
    Changing,
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotAFile => f.write_str("not a regular file"),
            Self::TooLarge(limit) if limit >> 20 > 0 => {
                write!(f, "larger than {} MiB", limit >> 20)
            }
            Self::TooLarge(limit) => write!(f, "larger than {} KiB", limit >> 10),
            Self::Changing => f.write_str("it keeps changing while it is read"),
        }
    }
}

impl std::error::Error for SourceError {}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Source {
    /// Reads what is no regular file, to its end: standard input, a pipe. Waits for whoever writes it.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than [`SIZE_LIMIT`].
    pub fn read_stream(stream: impl Read) -> Result<Self, SourceError> {
        Self::read_up_to(stream, SIZE_LIMIT)
    }

    fn read_up_to(stream: impl Read, limit: u64) -> Result<Self, SourceError> {
        let mut bytes = Vec::new();
        stream.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(SourceError::TooLarge(limit));
        }
        Ok(Self::from_bytes(bytes))
    }

    /// Reads a regular file of at most so many bytes.
    ///
    /// # Errors
    /// When it cannot be opened or read, is something else than a file, or is too large.
    pub fn read(path: &Path, limit: u64) -> Result<Self, SourceError> {
        // Asked before it is opened, because opening a pipe would wait for a writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(SourceError::NotAFile);
        }
        let file = File::open(path)?;
        let stamp = Stamp::from(&file.metadata()?);
        Ok(Self { stamp: Some(stamp), ..Self::read_up_to(file, limit)? })
    }

    /// How a changed file is told from this one.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint { stamp: self.stamp, checksum: self.checksum }
    }

    /// Whether no byte had to be replaced.
    pub fn is_utf8(&self) -> bool {
        !self.text.contains(|c| foreign_byte(c).is_some())
    }

    /// A source that is no file.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let checksum = checksum(&bytes);
        // An editor's mark that the text is UTF-8; the original takes it for part of the first name.
        let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(text) => text.to_vec(),
            None => bytes,
        };
        let text = String::from_utf8(bytes).unwrap_or_else(|error| decode(error.as_bytes()));
        Self { text, checksum, stamp: None }
    }
}

fn checksum(bytes: &[u8]) -> [u8; 16] {
    use md5::Digest;
    md5::Md5::digest(bytes).into()
}

/// Where foreign bytes go: a corner of Unicode's private use area, so that text stays text and the
/// byte is not lost.
const FOREIGN: u32 = 0xF700;

fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(
            chunk.invalid().iter().filter_map(|byte| char::from_u32(FOREIGN + u32::from(*byte))),
        );
    }
    text
}

/// The byte that this character stands for, if it is not a character of the file.
pub(super) fn foreign_byte(c: char) -> Option<u8> {
    u8::try_from(u32::from(c).checked_sub(FOREIGN)?).ok().filter(|byte| !byte.is_ascii())
}

/// Text whose foreign bytes are read as Latin-1, the encoding such files usually have.
pub(super) fn as_latin1(text: &str) -> Cow<'_, str> {
    replace_foreign(text, |text, byte| text.push(char::from(byte)))
}

/// A pattern in which foreign bytes are written as `\xNN`, so that they match themselves.
pub(super) fn as_pattern(text: &str) -> Cow<'_, str> {
    replace_foreign(text, |text, byte| text.push_str(&format!("\\x{byte:02x}")))
}

/// The bytes that a text was read from.
pub(super) fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut utf8 = [0; 4];
    for c in text.chars() {
        match foreign_byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes()),
        }
    }
    bytes
}

fn replace_foreign(text: &str, mut put: impl FnMut(&mut String, u8)) -> Cow<'_, str> {
    if !text.contains(|c| foreign_byte(c).is_some()) {
        return text.into();
    }
    let mut replaced = String::with_capacity(text.len());
    for c in text.chars() {
        match foreign_byte(c) {
            Some(byte) => put(&mut replaced, byte),
            None => replaced.push(c),
        }
    }
    replaced.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_survive() {
        let source = Source::from_bytes(b"caf\xe9 caf\xc3\xa9".to_vec());
        assert_eq!(as_latin1(&source.text), "café café");
        assert_eq!(as_pattern(&source.text), "caf\\xe9 café");
    }
}
