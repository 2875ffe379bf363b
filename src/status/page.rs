//! Lines for a terminal: what they say, and apart from it how it is drawn.

/// Whether a terminal shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// No sequence but text.
    Off,
    /// The colours of the terminal's own palette.
    On,
}

/// What a piece of a line is to the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    /// All is well.
    Good,
    /// Not as configured, and somebody wants it so.
    Notice,
    /// Somebody is needed.
    Bad,
    /// What is there to be looked up.
    Faint,
    /// A service.
    Title,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) paint: Paint,
    /// What it tells of its line's subject, if a change of it matters.
    pub(super) slot: Option<&'static str>,
    /// It has just changed.
    pub(super) marked: bool,
}

impl Span {
    /// A piece whose changes matter.
    pub(super) fn new(slot: &'static str, text: impl Into<String>, paint: Paint) -> Self {
        Self { text: text.into(), paint, slot: Some(slot), marked: false }
    }

    /// A piece that changes all the time, or never.
    pub(super) fn loose(text: impl Into<String>, paint: Paint) -> Self {
        Self { text: text.into(), paint, slot: None, marked: false }
    }
}

/// What a line is about, for whoever has too little room for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Blank lines, titles of columns, what seldom matters.
    Trim,
    /// How many services and servers there are, and how many are down.
    Summary,
    /// Everything else.
    Text,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) kind: Kind,
    /// Its subject; the same in each page.
    pub(super) key: String,
    pub(super) spans: Vec<Span>,
}

impl Line {
    pub(super) fn new(kind: Kind, key: impl Into<String>, spans: Vec<Span>) -> Self {
        Self { kind, key: key.into(), spans }
    }

    /// A line of one piece.
    pub(super) fn text(key: &str, text: impl Into<String>, paint: Paint) -> Self {
        Self::new(Kind::Text, key, vec![Span::new("text", text, paint)])
    }

    pub(super) fn is_marked(&self) -> bool {
        self.spans.iter().any(|span| span.marked)
    }

    /// The line in at most `width` characters, without its end.
    pub(super) fn draw(&self, width: usize, colours: Colours) -> String {
        let pieces = self.spans.iter().map(|span| (span, span.text.chars().map(printable)));
        let mut shown: Vec<(char, &str)> = pieces
            .flat_map(|(span, text)| {
                let sequence = if colours == Colours::On { sequence(span) } else { "" };
                text.map(move |c| (c, sequence))
            })
            .take(width)
            .collect();
        while shown.last().is_some_and(|(c, _)| *c == ' ') {
            shown.pop();
        }
        let mut text = String::with_capacity(shown.len());
        let mut current = "";
        for (c, sequence) in shown {
            if sequence != current {
                if !current.is_empty() {
                    text.push_str(RESET);
                }
                text.push_str(sequence);
                current = sequence;
            }
            text.push(c);
        }
        if !current.is_empty() {
            text.push_str(RESET);
        }
        text
    }
}

const RESET: &str = "\x1b[0m";

fn sequence(span: &Span) -> &'static str {
    match (span.paint, span.marked) {
        (Paint::Plain, false) => "",
        (Paint::Good, false) => "\x1b[32m",
        (Paint::Notice, false) => "\x1b[33m",
        (Paint::Bad, false) => "\x1b[1;31m",
        (Paint::Faint, false) => "\x1b[2m",
        (Paint::Title, false) => "\x1b[1m",
        (Paint::Plain | Paint::Faint, true) => "\x1b[7m",
        (Paint::Good, true) => "\x1b[7;32m",
        (Paint::Notice, true) => "\x1b[7;33m",
        (Paint::Bad, true) => "\x1b[1;7;31m",
        (Paint::Title, true) => "\x1b[1;7m",
    }
}

/// Text from servers and configurations must not play tricks on a terminal: neither control characters,
/// nor those that turn the direction of what follows or cannot be seen.
pub fn printable(c: char) -> char {
    let tricky = matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
    );
    if c.is_control() || tricky { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let mut spans = vec![
            Span::loose("  ", Paint::Plain),
            Span::new("state", "DOWN", Paint::Bad),
            Span::loose("  ", Paint::Plain),
            Span::new("server", "a\u{1b}[2J\u{9b}\u{202e}b", Paint::Plain),
            Span::loose("    ", Paint::Faint),
        ];
        spans[1].marked = true;
        Line::new(Kind::Text, "a", spans)
    }

    #[test]
    fn colours_are_sequences_around_their_text() {
        assert_eq!(line().draw(80, Colours::Off), "  DOWN  a [2J  b");
        assert_eq!(line().draw(80, Colours::On), "  \x1b[1;7;31mDOWN\x1b[0m  a [2J  b");
    }

    #[test]
    fn a_cut_line_ends_its_colour_and_counts_no_sequence() {
        assert_eq!(line().draw(4, Colours::On), "  \x1b[1;7;31mDO\x1b[0m");
        assert_eq!(line().draw(8, Colours::Off), "  DOWN");
        assert_eq!(line().draw(0, Colours::On), "");
    }
}
