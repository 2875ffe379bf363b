//! A physical line: its indentation and its comment.

use super::directive::{Kind, Row};
use super::value::Position;

/// Columns by which the lines of a section are indented at least; a tab counts as four.
pub(super) const INDENTATION: usize = 4;

/// A line of the file.
#[derive(Clone, Copy)]
pub(super) struct Line<'t> {
    pub(super) number: usize,
    /// With its line end.
    pub(super) raw: &'t str,
}

impl<'t> Line<'t> {
    pub(super) fn content(self) -> &'t str {
        let content = self.raw.strip_suffix('\n').unwrap_or(self.raw);
        content.strip_suffix('\r').unwrap_or(content)
    }

    pub(super) fn indentation(self) -> usize {
        let blanks = self.raw.bytes().take_while(|byte| matches!(byte, b' ' | b'\t'));
        blanks.map(|byte| if byte == b'\t' { INDENTATION } else { 1 }).sum()
    }

    /// Whether it is blank or a comment.
    pub(super) fn is_passed_over(self) -> bool {
        let content = self.content().trim();
        content.is_empty() || content.starts_with('#')
    }

    /// Whether it is a global line, which ends a section.
    pub(super) fn is_global(self) -> bool {
        self.indentation() == 0 && !self.is_passed_over()
    }
}

/// Cuts a comment off.
///
/// A `#` in quotes that are closed again is part of the value. Free text in a section ends at any
/// `#`, as in the original; on a global line a text's comment needs a blank before it.
pub(super) fn without_comment<'t>(row: &Row, position: Position, value: &'t str) -> &'t str {
    let free_text = matches!(row.kind, Kind::Rest | Kind::RestUnquoted);
    if position == Position::Section && free_text {
        return value.split('#').next().unwrap_or(value);
    }
    let is_text =
        free_text || matches!(row.kind, Kind::Quoted | Kind::QuotedOrBare | Kind::Include);
    let needs_blank = position == Position::Global && is_text;
    let mut in_quotes = false;
    let mut before = ' ';
    for (at, c) in value.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes && value[at + 1..].contains('"'),
            '#' if !in_quotes && (!needs_blank || before.is_whitespace()) => return &value[..at],
            _ => {}
        }
        before = c;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::directive::{COMMENT, EXECUTE, QUIESCENT, REQUEST};
    use super::*;

    #[test]
    fn comments_end_values_but_not_within_quotes() {
        for (row, position, value, expected) in [
            (&REQUEST, Position::Section, "\"a#b\" # c", "\"a#b\" "),
            (&REQUEST, Position::Section, "\"a # b", "\"a "),
            (&COMMENT, Position::Section, "\"a#b\"", "\"a"),
            (&QUIESCENT, Position::Section, "yes#c", "yes"),
            (&QUIESCENT, Position::Global, "yes#c", "yes"),
            (&EXECUTE, Position::Global, "a#b # c", "a#b "),
            (&EXECUTE, Position::Global, "# c", ""),
        ] {
            assert_eq!(without_comment(row, position, value), expected, "{value}");
        }
    }
}
