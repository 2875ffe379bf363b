//! Bytes of servers as text that plays no tricks on a terminal.

use std::fmt::Write;

/// Characters of one line that are shown.
pub(super) const LINE: usize = 200;

/// Text as it is; a control character, a byte that is no UTF-8 and what would change the direction of
/// writing as `\n`, `\x1b` or `\u{202e}`; a backslash as two.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(c, &mut shown));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

fn push(c: char, shown: &mut String) {
    match c {
        '\r' => shown.push_str("\\r"),
        '\n' => shown.push_str("\\n"),
        '\t' => shown.push_str("\\t"),
        '\\' => shown.push_str("\\\\"),
        c if c.is_ascii_control() => {
            let _ = write!(shown, "\\x{:02x}", u32::from(c));
        }
        c if c.is_control() || is_invisible(c) => {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        }
        c => shown.push(c),
    }
}

/// What has no width, ends a line, or turns the direction of writing.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A text of the configuration or a message, without what could play tricks; backslashes stay.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' { shown.push(c) } else { push(c, &mut shown) }
    }
    shown
}

/// The lines of a part of a conversation, each with its line end, escaped and cut; and what was left out.
pub(super) fn lines(bytes: &[u8], left_out: u64) -> Vec<String> {
    let mut lines: Vec<String> = bytes.split_inclusive(|&byte| byte == b'\n').map(line).collect();
    if left_out > 0 {
        lines.push(format!("({left_out} more bytes)"));
    }
    lines
}

fn line(bytes: &[u8]) -> String {
    let shown = escape(bytes);
    if shown.chars().count() <= LINE {
        return shown;
    }
    // As many bytes as are shown whole.
    let (mut end, mut used) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        let parts = chunk.valid().char_indices().map(|(_, c)| c.len_utf8());
        for length in parts.chain(chunk.invalid().iter().map(|_| 1)) {
            used += escape(&bytes[end..end + length]).chars().count();
            if used > LINE {
                let (shown, left) = (escape(&bytes[..end]), bytes.len() - end);
                return format!("{shown} ({left} more bytes)");
            }
            end += length;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_raw() {
        for (bytes, shown) in [
            (&b"200 OK\r\n"[..], "200 OK\\r\\n"),
            (b"\x1b[2J\x07\x00\x7f", "\\x1b[2J\\x07\\x00\\x7f"),
            ("grüße\u{9b}1m\u{202e}".as_bytes(), "grüße\\u{9b}1m\\u{202e}"),
            (b"\xff\xc3(", "\\xff\\xc3("),
            (b"a\\x00", "a\\\\x00"),
        ] {
            assert_eq!(escape(bytes), shown);
            assert!(!escape(bytes).contains(char::is_control));
        }
        assert_eq!(plain("a\\d\n"), "a\\d\\n");
    }

    #[test]
    fn long_lines_say_how_much_of_them_is_missing() {
        assert_eq!(lines(b"a\r\nb", 0), ["a\\r\\n", "b"]);
        assert_eq!(lines(b"a\n", 70), ["a\\n", "(70 more bytes)"]);
        let long = [b"x".repeat(300), b"\r\ny".to_vec()].concat();
        assert_eq!(lines(&long, 0), [format!("{} (102 more bytes)", "x".repeat(200)), "y".into()]);
        let binary = line(&[0; 100]);
        assert_eq!(binary, format!("{} (50 more bytes)", "\\x00".repeat(50)));
        assert_eq!(line("é".repeat(201).as_bytes()), format!("{} (2 more bytes)", "é".repeat(200)));
    }
}
