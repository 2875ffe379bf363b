//! Lines to directives and sections.

use super::assemble::Assembled;
use super::ast::{Ast, Directive, Place, RealServer, Section};
use super::diagnostic::{Diagnostics, Found};
use super::directive::{
    CHECKCOUNT, EXECUTE, FALLBACK, FALLBACK6, FALLBACKSERVER, FALLBACKSERVER6, Kind, LOGFILE,
    MAINTENANCEDIR, MONITORFILE, NETMASK, PROTOCOL, REAL, REAL6, Row, SERVICE, SUPERVISED,
    VIRTUAL6, directive,
};
use super::line::{INDENTATION, Line, without_comment};
use super::look_alike::look_alike;
use super::real_server::{Brackets, is_bracketed, real_server, virtual_address};
use super::source::as_latin1;
use super::suggestion::{near, suggestion};
use super::value::{Position, Reading, Refusal, prefix_length, read};
use crate::config::{Value, VirtualAddress};
use nom::bytes::complete::take_while1;
use nom::character::complete::{char, space0};
use nom::combinator::rest;
use nom::sequence::{delimited, separated_pair};
use nom::{IResult, Offset, Parser};
use std::borrow::Cow;

/// Reads a whole file. Whatever is wrong with a line is reported and the line left out; the tree
/// holds the rest.
pub fn parse(text: &str) -> (Ast<'_>, Diagnostics) {
    parse_parts(text, &[])
}

/// Reads a configuration that has been put together.
pub fn parse_assembled(assembled: &Assembled) -> (Ast<'_>, Diagnostics) {
    let (mut ast, mut diagnostics) = parse_parts(&assembled.text, &assembled.breaks);
    ast.origins = assembled.origins.clone();
    diagnostics.append(assembled.diagnostics.clone());
    (ast, diagnostics)
}

/// No section crosses a line of `breaks`.
fn parse_parts<'t>(text: &'t str, breaks: &[usize]) -> (Ast<'t>, Diagnostics) {
    let mut parser =
        Parsing { text, ast: Ast::default(), diagnostics: Diagnostics::default(), section: None };
    let mut breaks = breaks.iter().peekable();
    let mut last = 1;
    for (index, raw) in text.split_inclusive('\n').enumerate() {
        last = index + 1;
        if breaks.next_if_eq(&&last).is_some() {
            parser.end_section(last);
        }
        parser.line(Line { number: last, raw });
    }
    parser.end_of_file(last);
    parser.unended_line(last);
    (parser.ast, parser.diagnostics)
}

struct Parsing<'t> {
    text: &'t str,
    ast: Ast<'t>,
    diagnostics: Diagnostics,
    section: Option<OpenSection<'t>>,
}

struct OpenSection<'t> {
    section: Section<'t>,
    /// A blank line, with which the original would have ended the section.
    ended: Option<usize>,
}

/// `NAME = VALUE`
pub(super) fn assignment(input: &str) -> IResult<&str, (&str, &str)> {
    let name = take_while1(|c: char| c.is_ascii_alphanumeric());
    separated_pair(delimited(space0, name, space0), (char('='), space0), rest).parse(input)
}

impl<'t> Parsing<'t> {
    /// A program that is still writing the file may be in the middle of a word.
    fn unended_line(&mut self, last: usize) {
        let start = self.text.rfind('\n').map_or(0, |at| at + 1);
        let content = self.text[start..].trim();
        let place = self.place(Line { number: last, raw: content }, content);
        note_unended(&mut self.diagnostics, content, &place);
    }

    fn line(&mut self, line: Line<'t>) {
        let content = line.content().trim();
        if content.contains('\r') {
            let place = self.place(line, content);
            let text = "there is a CR within this line";
            let hint =
                "lines end in LF, or in CR LF; what stands behind a CR alone is the same line";
            self.diagnostics.note(Found::Line(line.number), &place, text, hint);
        }
        if content.is_empty() {
            if let Some(open) = &mut self.section {
                open.ended.get_or_insert(line.number);
            }
            return;
        }
        if content.starts_with('#') {
            return;
        }
        match line.indentation() {
            0 => {
                self.end_section(line.number);
                self.global_line(line);
            }
            INDENTATION.. if self.section.is_some() => self.section_line(line),
            _ => self.stray_line(line),
        }
    }

    /// An indented line that is in no section, or not indented enough to be in one.
    fn stray_line(&mut self, line: Line<'t>) {
        if let Some(open) = &mut self.section {
            open.ended.get_or_insert(line.number);
        }
        let hint = match self.section {
            Some(_) => "the lines of a virtual section are indented by a tab or four blanks",
            None => "global lines begin in the first column, and no virtual section is open here",
        };
        self.unknown_global(line, line.content().trim(), hint);
    }

    fn end_section(&mut self, line: usize) {
        if let Some(OpenSection { mut section, ended }) = self.section.take() {
            section.end = ended.unwrap_or(line);
            self.ast.sections.push(section);
        }
    }

    fn end_of_file(&mut self, last: usize) {
        if let Some(open) = &mut self.section {
            open.section.ends_file = open.ended.is_none();
        }
        self.end_section(last);
    }

    fn global_line(&mut self, line: Line<'t>) {
        let Ok((_, (name, value))) = assignment(line.content()) else {
            return self.global_line_without_value(line);
        };
        let Some(row) = directive(name) else {
            return self.unknown_global(line, name, suggestion(name));
        };
        match row.kind {
            _ if !row.is_global() => {
                self.unknown_global(line, name, "this directive belongs in a virtual section");
            }
            Kind::VirtualService => self.open_section(row, line, value),
            // They have been followed.
            Kind::Include | Kind::Template => {}
            _ => self.global_directive(row, line, value),
        }
    }

    fn global_line_without_value(&mut self, line: Line<'t>) {
        let content = line.content();
        // compat: whatever begins with this word is this directive
        if content.starts_with(SUPERVISED.name) {
            let place = self.place(line, content.trim_end());
            if content.trim_end() != SUPERVISED.name {
                self.diagnostics.error(Found::Line(line.number), &place, SUPERVISED.error);
                return;
            }
            let text = "please update your config not to use a bare supervised directive";
            self.diagnostics.warning(Found::Line(line.number), Some(&place), text);
            let directive = Directive { row: &SUPERVISED, place, value: Value::YesNo(true) };
            self.put_global(directive);
            return;
        }
        self.unknown_global(line, content.trim_end(), NO_VALUE);
    }

    fn global_directive(&mut self, row: &'static Row, line: Line<'t>, value: &'t str) {
        let value = without_comment(row, Position::Global, value);
        let reading = within_limit(row, value, &self.ast.globals)
            .and_then(|()| read(row, Position::Global, value));
        match self.take(row, line, value, reading) {
            Some(directive) if *row == EXECUTE => self.ast.executes.push(directive),
            Some(directive) => self.put_global(directive),
            None => {}
        }
    }

    fn put_global(&mut self, directive: Directive<'t>) {
        // Each is judged, or says where errors behind it are told.
        const JUDGED: [&Row; 5] = [&LOGFILE, &FALLBACK, &FALLBACK6, &MAINTENANCEDIR, &SUPERVISED];
        let replaced = put(&mut self.ast.globals, directive);
        self.ast.replaced.extend(replaced.filter(|it| JUDGED.contains(&it.row)));
    }

    fn open_section(&mut self, row: &'static Row, line: Line<'t>, value: &'t str) {
        let brackets = if *row == VIRTUAL6 { Brackets::Allowed } else { Brackets::Refused };
        let place = self.place(line, value.trim_end());
        let address = virtual_address(value, brackets);
        if address.is_none() {
            let text = if brackets == Brackets::Refused && is_bracketed(value) {
                "cannot specify an IPv6 address here. please use \"virtual6\" instead."
            } else {
                row.error
            };
            let error = self.diagnostics.error(Found::Line(line.number), &place, text);
            if let Some(odd) = look_alike(line.raw) {
                error.hint(odd);
            } else if value.starts_with(|c: char| c.is_ascii_digit()) {
                error.hint("write ADDRESS:PORT, or a number alone for a firewall mark");
            }
        }
        if let Some(VirtualAddress::Address { host, port }) = address {
            self.dropped_of_address(row, line, value, (host, port));
        }
        let section = Section {
            row,
            place,
            address,
            directives: Vec::new(),
            real_servers: Vec::new(),
            broken: Vec::new(),
            end: line.number,
            ends_file: false,
        };
        self.section = Some(OpenSection { section, ended: None });
    }

    /// compat: what follows the port is not looked at; it may be the other ports that were meant
    fn dropped_of_address(
        &mut self,
        row: &'static Row,
        line: Line<'t>,
        value: &'t str,
        (host, port): (&'t str, &'t str),
    ) {
        let rest = value[value.offset(port) + port.len()..].trim();
        if rest.is_empty() || rest.starts_with('#') {
            return;
        }
        let place = self.place(line, rest);
        let text = format!("{} is taken as {host}:{port}", row.name);
        let hint = match rest.starts_with([',', ';', '-']) {
            true => "the rest of the value is dropped; ports takes more than one port",
            false => "the rest of the value is dropped",
        };
        self.diagnostics.note(Found::Line(line.number), &place, text, hint);
    }

    fn section_line(&mut self, line: Line<'t>) {
        let Some(open) = &mut self.section else { return };
        open.ended = None;
        let (virtual6, address) = (*open.section.row == VIRTUAL6, open.section.address);
        let Ok((_, (name, value))) = assignment(line.content()) else {
            return self.unknown_in_section(line, line.content().trim(), NO_VALUE);
        };
        let Some(row) = directive(name) else {
            open.section.broken.extend(near(name));
            return self.unknown_in_section(line, name, suggestion(name));
        };
        if !row.is_virtual() {
            return self.unknown_in_section(line, name, "this directive is a global one");
        }
        if let Some(instead) = other_family(row, virtual6) {
            let text = format!("cannot specify \"{name}\" here.  please use \"{instead}\" instead");
            let place = self.place(line, name);
            self.diagnostics.error(Found::Line(line.number), &place, text);
            return;
        }
        if row.kind == Kind::Use {
            return;
        }
        let value = without_comment(row, Position::Section, value);
        if row.kind == Kind::RealServer {
            return self.real_server(line, value);
        }
        let reading = if *row == NETMASK && virtual6 {
            prefix_length(value)
        } else if *row == PROTOCOL {
            protocol(value, address)
        } else {
            read(row, Position::Section, value)
        };
        let reading = within_limit(row, value, &open.section.directives).and(reading);
        let directive = self.take(row, line, value, reading);
        if let (Some(directive), Some(open)) = (directive, &mut self.section) {
            let replaced = put(&mut open.section.directives, directive);
            let judged = |it: &Directive<'_>| *it.row == MONITORFILE || *it.row == SERVICE;
            self.ast.replaced.extend(replaced.filter(judged));
        }
    }

    fn real_server(&mut self, line: Line<'t>, value: &'t str) {
        let parts = real_server(value);
        let server = RealServer {
            place: self.place(line, value.trim_end()),
            address: parts.address,
            forwarding: parts.forwarding,
            options: parts.options,
            hint: look_alike(line.raw).or(parts.hint),
        };
        if let Some(open) = &mut self.section {
            open.section.real_servers.push(server);
        }
    }

    /// The directive of a reading, or a report of what is wrong with it.
    fn take(
        &mut self,
        row: &'static Row,
        line: Line<'t>,
        value: &'t str,
        reading: Result<Reading<'t>, Refusal<'t>>,
    ) -> Option<Directive<'t>> {
        let found = Found::Line(line.number);
        if let (Err(_), Some(open)) = (&reading, &mut self.section) {
            open.section.broken.push(row);
        }
        match reading {
            Ok(Reading { value: read, doubt }) => {
                if let Some(doubt) = doubt {
                    let place = self.place(line, doubt.at);
                    self.diagnostics.note(found, &place, doubt.text, doubt.hint);
                }
                let place = self.place(line, value.trim());
                if *row == CHECKCOUNT {
                    self.diagnostics.warning(found, Some(&place), CHECKCOUNT_WARNING);
                }
                Some(Directive { row, place, value: read })
            }
            Err(Refusal { text: Some(text), at, hint }) => {
                let place = self.place(line, at);
                self.diagnostics.error(found, &place, as_latin1(&text)).hint =
                    hint.or_else(|| look_alike(line.raw)).map(Cow::Borrowed);
                None
            }
            Err(Refusal { text: None, at, hint }) => {
                let hint = hint.unwrap_or(NO_VALUE);
                match self.section {
                    Some(_) => self.unknown_in_section(line, at, hint),
                    None => self.unknown_global(line, at, hint),
                }
                None
            }
        }
    }

    /// compat: the line end is in the message, and a blank follows it.
    fn unknown_global(&mut self, line: Line<'t>, at: &'t str, hint: impl Into<Cow<'static, str>>) {
        let place = self.place(line, at);
        let text = format!("Unknown command {} ", as_latin1(line.raw));
        let hint = look_alike(line.raw).map_or_else(|| hint.into(), Cow::Borrowed);
        self.diagnostics.error(Found::Line(line.number), &place, text).hint(hint);
    }

    fn unknown_in_section(
        &mut self,
        line: Line<'t>,
        at: &'t str,
        hint: impl Into<Cow<'static, str>>,
    ) {
        let place = self.place(line, at);
        let text = format!("Unknown command \"{}\"", as_latin1(line.raw));
        let hint = look_alike(line.raw).map_or_else(|| hint.into(), Cow::Borrowed);
        self.diagnostics.error(Found::Line(line.number), &place, text).hint(hint);
    }

    fn place(&self, line: Line<'t>, at: &'t str) -> Place {
        let start = self.text.offset(at);
        Place { line: line.number, span: start..start + at.len() }
    }
}

/// A file's last line, if it is without a line end and not a comment.
pub(super) fn note_unended(diagnostics: &mut Diagnostics, line: &str, place: &Place) {
    if line.is_empty() || line.starts_with('#') {
        return;
    }
    let text = "the last line has no line end";
    let hint = "a file that is not written to its end looks like this";
    diagnostics.note(Found::After(place.line), place, text, hint);
}

/// The last one holds, unless it is repeatable; that no list is longer than the table keeps a file of repeated lines quick.
/// Returns the one that is replaced.
fn put<'t>(directives: &mut Vec<Directive<'t>>, directive: Directive<'t>) -> Option<Directive<'t>> {
    let replaces =
        |known: &&mut Directive<'t>| known.row == directive.row && !directive.row.repeatable;
    match directives.iter_mut().find(replaces) {
        Some(known) => Some(std::mem::replace(known, directive)),
        None => {
            directives.push(directive);
            None
        }
    }
}

/// Lines of a repeatable directive in one place: every service may have all of them.
const REPEATS: usize = 64;

fn within_limit<'t>(row: &Row, value: &'t str, known: &[Directive<'_>]) -> Result<(), Refusal<'t>> {
    let repeats = known.iter().filter(|known| known.row == row).count();
    if !row.repeatable || repeats < REPEATS {
        return Ok(());
    }
    let text = Some(format!("more than {REPEATS} lines of {}", row.name));
    Err(Refusal { text, at: value.trim(), hint: None })
}

const CHECKCOUNT_WARNING: &str =
    "checkcount option is deprecated and slated for removal.  please see 'failurecount'";

const NO_VALUE: &str = "a directive is written NAME = VALUE";

/// The directive that is meant for this section's family.
fn other_family(row: &Row, virtual6: bool) -> Option<&'static str> {
    let pairs = [(&REAL, &REAL6), (&FALLBACK, &FALLBACK6), (&FALLBACKSERVER, &FALLBACKSERVER6)];
    pairs.into_iter().find_map(|(inet, inet6)| {
        if virtual6 {
            (row == inet).then_some(inet6.name)
        } else {
            (row == inet6).then_some(inet.name)
        }
    })
}

/// `protocol` has to fit the section's address.
fn protocol<'t>(
    value: &'t str,
    address: Option<VirtualAddress<'t>>,
) -> Result<Reading<'t>, Refusal<'t>> {
    let refuse = |text: &str| Refusal { text: Some(text.to_owned()), at: value.trim(), hint: None };
    if !value.contains(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return Err(refuse(PROTOCOL.error));
    }
    let text = match address {
        Some(VirtualAddress::Mark(_)) => {
            "protocol must be fwm if the virtual service is a fwmark (a number)"
        }
        _ => "protocol must be tcp or udp if the virtual service is an address and port",
    };
    let reading = read(&PROTOCOL, Position::Section, value).map_err(|_| refuse(text))?;
    let fits = match address {
        None => true,
        Some(address) => {
            matches!(address, VirtualAddress::Mark(_)) == (reading.value == Value::Word("fwm"))
        }
    };
    if fits { Ok(reading) } else { Err(refuse(text)) }
}
