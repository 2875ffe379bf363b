//! Characters that look like others, or like nothing: what a line that is not understood may owe to them.

use super::source::foreign_byte;

/// What is odd about a line's characters, and what to write instead.
pub(crate) fn look_alike(line: &str) -> Option<&'static str> {
    line.trim_end_matches(['\r', '\n']).chars().find_map(|c| match (c, foreign_byte(c)) {
        // A byte order mark of UTF-16, or half of one of its characters.
        ('\0', _) | (_, Some(0xfe | 0xff)) => {
            Some("this looks like UTF-16: write the file as UTF-8, or in plain ASCII")
        }
        ('\r', _) => Some("there is a CR within this line: lines end in LF, or in CR LF"),
        ('\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{3000}', _) | (_, Some(0xa0)) => {
            Some("there is a no-break space in this line: write a plain blank")
        }
        ('\u{ab}' | '\u{bb}' | '\u{2018}'..='\u{201f}', _) | (_, Some(0x91..=0x94)) => {
            Some("there are typographic quotes in this line: write plain ones (\")")
        }
        ('\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}', _) => {
            Some("there is a character in this line that cannot be seen: write the line anew")
        }
        ('\u{2010}'..='\u{2015}' | '\u{2212}', _) | (_, Some(0x96 | 0x97)) => {
            Some("there is a typographic dash in this line: write a plain one (-)")
        }
        _ => None,
    })
}
