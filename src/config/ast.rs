//! The syntax tree: what a file says, before any of it is looked up or inherited.

use super::diagnostic::Found;
use super::directive::Row;
use super::origins::Origins;
use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

/// A whole file.
#[derive(Debug, Default)]
pub struct Ast<'t> {
    /// The global directives, but for those below: of each, the last one, unless it is repeatable.
    pub globals: Vec<Directive<'t>>,
    /// Global directives that a later one has replaced, and that the original has judged before:
    /// files to be written, fallback servers, `maintenancedir`; and `monitorfile` and `service` of
    /// sections.
    pub replaced: Vec<Directive<'t>>,
    /// The `execute` lines in the order of the file.
    pub executes: Vec<Directive<'t>>,
    /// The virtual sections in the order of the file.
    pub sections: Vec<Section<'t>>,
    /// Where the lines come from.
    pub origins: Origins,
}

impl<'t> Ast<'t> {
    /// The global directives, also those that are [`Ast::replaced`].
    pub fn judged(&self) -> impl Iterator<Item = &Directive<'t>> {
        self.globals.iter().chain(&self.replaced)
    }
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// Bytes of the file.
    pub span: Range<usize>,
}

/// A directive with a value that is well spelled.
#[derive(Debug)]
pub struct Directive<'t> {
    /// Which.
    pub row: &'static Row,
    /// The value's place.
    pub place: Place,
    /// The value.
    pub value: Value<'t>,
}

/// A value by its spelling; which one a directive has follows from its [`Row::kind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'t> {
    /// A number too large for `u64` is `u64::MAX`.
    Number(u64),
    /// `500ms`
    Time(Duration),
    /// `50%`
    Percent(u64),
    /// `yes`, `no`
    YesNo(bool),
    /// A word of the directive's list.
    Word(&'static str),
    /// Words of the directive's list.
    Words(Vec<&'static str>),
    /// Text; tabs in a section have become four blanks.
    Text(Cow<'t, str>),
    /// Ports or statuses, each with the last one of its range.
    Ranges(Vec<(u16, u16)>),
    /// A fallback server.
    Fallback(FallbackServer<'t>),
}

/// A virtual section.
#[derive(Debug)]
pub struct Section<'t> {
    /// `virtual` or `virtual6`.
    pub row: &'static Row,
    /// Place of the address.
    pub place: Place,
    /// `None` if it is malformed; that has been reported.
    pub address: Option<VirtualAddress<'t>>,
    /// Its directives, but for real servers: of each, the last one, unless it is repeatable.
    pub directives: Vec<Directive<'t>>,
    /// Its real servers in the order of the file.
    pub real_servers: Vec<RealServer<'t>>,
    /// Directives that it was meant to have and that are in error: what is left without them is not
    /// what was meant, and no reason to warn.
    pub broken: Vec<&'static Row>,
    /// The line that ends it; of a section that goes on to the end of the file, its last line.
    pub end: usize,
    /// Whether it goes on to the end of the file.
    pub ends_file: bool,
}

impl Section<'_> {
    /// Whether the section was meant to have this directive, which is in error.
    pub(crate) fn is_broken(&self, row: &Row) -> bool {
        self.broken.contains(&row)
    }

    /// When the original comes upon what is wrong with the section as a whole.
    pub(crate) fn found(&self) -> Found {
        if self.ends_file { Found::After(self.end) } else { Found::SectionEnd(self.end) }
    }
}

/// The value of `virtual`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VirtualAddress<'t> {
    /// An address or name, without brackets, and a port or service name.
    Address {
        /// As written.
        host: &'t str,
        /// As written.
        port: &'t str,
    },
    /// A firewall mark.
    Mark(u64),
}

/// The value of `fallback` and `fallbackserver`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackServer<'t> {
    /// As written, with its brackets; may be empty.
    pub host: &'t str,
    /// As written.
    pub port: Option<&'t str>,
    /// `gate`, `masq` or `ipip`.
    pub forwarding: &'static str,
    /// As written, of `fallbackserver` only.
    pub weight: Option<u64>,
}

/// The value of `real`. Its parts are judged in the order in which the original looks at them, so
/// what is wrong with one is kept until the others have been.
#[derive(Debug)]
pub struct RealServer<'t> {
    /// The value's place.
    pub place: Place,
    /// `None` if there is no address, or nothing after it.
    pub address: Option<RealAddress<'t>>,
    /// `None` if the word is another.
    pub forwarding: Option<&'static str>,
    /// What follows the forwarding method, or what of it makes no sense.
    pub options: Result<RealOptions<'t>, &'t str>,
    /// What is missing, where there is an address and the original finds none.
    pub hint: Option<&'static str>,
}

/// `HOST[->LAST][:PORT]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealAddress<'t> {
    /// As written, with its brackets.
    pub host: &'t str,
    /// The end of a range.
    pub last: Option<&'t str>,
    /// As written.
    pub port: Option<&'t str>,
}

/// What may follow the forwarding method.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RealOptions<'t> {
    /// As written; default 1.
    pub weight: Option<u64>,
    /// Request and receive.
    pub strings: Option<(Cow<'t, str>, Cow<'t, str>)>,
    /// `l:N`
    pub lower: Option<u64>,
    /// `u:N`
    pub upper: Option<u64>,
    /// Text between the recognised parts, which is passed over.
    pub skipped: Option<&'t str>,
}
