//! How services spell what they ask for.

/// Bytes of a datagram that is sent.
const DATAGRAM: usize = 1400;

/// `00ff 0a`: bytes in hexadecimal, with blanks and colons between them or not.
pub fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace() && *c != ':')
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    (1..=DATAGRAM).contains(&pairs.len()).then(|| pairs.iter().map(|[a, b]| a << 4 | b).collect())
}

/// `1.3.6.1.2.1.1.3.0`, as BER has it (X.690, section 8.19).
pub fn object_identifier(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix('.').unwrap_or(text);
    let parts: Vec<u32> = text.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [first @ 0..=2, second @ 0..=39, rest @ ..] = parts.as_slice() else { return None };
    // RFC 3416, section 4.1: at most 128 parts.
    if rest.len() > 126 {
        return None;
    }
    let mut bytes = vec![(first * 40 + second) as u8];
    for part in rest {
        let groups = (1..5).rev().filter(|group| part >> (7 * group) > 0);
        bytes.extend(groups.map(|group| (part >> (7 * group)) as u8 & 0x7f | 0x80));
        bytes.push(*part as u8 & 0x7f);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(bytes_of_hex("00ff:0A b"), None);
        assert_eq!(bytes_of_hex("00ff:0A bc"), Some(vec![0, 255, 10, 0xbc]));
        for text in ["", "0", "0x00", "gg", &"00".repeat(DATAGRAM + 1)] {
            assert_eq!(bytes_of_hex(text), None, "{text}");
        }
    }

    #[test]
    fn object_identifiers_have_the_bytes_of_the_standard() {
        assert_eq!(
            object_identifier(".1.3.6.1.4.1.8072.4294967295"),
            Some(b"\x2b\x06\x01\x04\x01\xbf\x08\x8f\xff\xff\xff\x7f".to_vec())
        );
        let long = format!("1.3{}", ".1".repeat(200));
        for text in ["", "1", "3.1", "1.40", "1.3.", "1.3.x", "1.3.4294967296", &long] {
            assert_eq!(object_identifier(text), None, "{text}");
        }
    }
}
