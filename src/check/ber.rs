//! BER, as far as ldap and snmp need it (X.690): definite lengths, short tags.

use bytes::BytesMut;
use lber::common::TagClass;
use lber::structure::{PL, StructureTag};

pub(super) fn encode(tag: StructureTag) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    // Writing to memory does not fail.
    let _ = lber::write::encode_into(&mut bytes, tag);
    bytes.to_vec()
}

pub(super) fn constructed(class: TagClass, id: u64, parts: Vec<StructureTag>) -> StructureTag {
    StructureTag { class, id, payload: PL::C(parts) }
}

pub(super) fn primitive(class: TagClass, id: u64, content: &[u8]) -> StructureTag {
    StructureTag { class, id, payload: PL::P(content.to_vec()) }
}

/// Below 128: one byte.
pub(super) fn integer(value: u8) -> StructureTag {
    primitive(TagClass::Universal, 2, &[value])
}

/// The first BER element: its tag, its content, and what follows it.
pub(super) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.is_empty() || bytes.len() > 4 {
            return None;
        }
        (bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
