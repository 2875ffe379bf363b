//! The values of directives, by the kinds of the table.

use super::ast::{FallbackServer, Value};
use super::directive::{CHECK_TYPES, Kind, RECEIVE, Row, STATES};
use super::real_server::{fallback, number, weighted_fallback};
use super::source::{as_latin1, as_pattern};
use crate::model::SERVICES;
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

/// No check can be run more often, or has to be over sooner.
const SHORTEST: Duration = Duration::from_millis(10);

/// Ports of one section: each is a service of its own, with a check of its own.
const PORTS_LIMIT: usize = 1024;

/// What a value was read as.
#[derive(Debug)]
pub(super) struct Reading<'t> {
    pub(super) value: Value<'t>,
    /// A value that probably does not mean what its writer thinks.
    pub(super) doubt: Option<Doubt<'t>>,
}

/// A remark about a value that is accepted.
#[derive(Debug)]
pub(super) struct Doubt<'t> {
    pub(super) at: &'t str,
    pub(super) text: String,
    pub(super) hint: &'static str,
}

/// A value that is not accepted.
#[derive(Debug)]
pub(super) struct Refusal<'t> {
    /// `None`: with this value the line is no directive at all.
    pub(super) text: Option<String>,
    pub(super) at: &'t str,
    pub(super) hint: Option<&'static str>,
}

/// Where the line stands: messages and tabs are treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    Global,
    Section,
}

struct Context<'t> {
    row: &'static Row,
    position: Position,
    /// The value without the comment and without blanks around it.
    trimmed: &'t str,
}

/// Reads the value of any directive but `virtual` and `real`.
pub(super) fn read<'t>(
    row: &'static Row,
    position: Position,
    text: &'t str,
) -> Result<Reading<'t>, Refusal<'t>> {
    let context = Context { row, position, trimmed: text.trim() };
    match row.kind {
        Kind::Number { least } => context.number(least),
        Kind::Time => context.time(),
        Kind::LeadingNumber => context.leading_number(),
        Kind::Port => context.port(),
        Kind::CountOrPercent => context.count_or_percent(),
        Kind::YesNo | Kind::YesNoOrBare => context.yes_no(),
        Kind::Quoted => context.quoted(),
        Kind::QuotedOrBare => context.quoted_or_bare(),
        Kind::Rest => context.text_or_error(context.trimmed),
        Kind::RestUnquoted => context.text_or_error(within_quotes(context.trimmed)),
        Kind::HostName => context.host_name(),
        Kind::MailServer => context.mail_server(),
        Kind::Word(words) => context.word(words, |word, known| word == known),
        Kind::AnyCaseWord(words) => context.word(words, str::eq_ignore_ascii_case),
        Kind::Exactly(words) => context.exactly(words),
        Kind::Service => context.service(),
        Kind::CheckType => context.check_type(),
        Kind::States => context.states(),
        Kind::Scheduler => context.scheduler(),
        Kind::SchedulerFlags => context.scheduler_flags(),
        Kind::DottedQuad => context.dotted_quad(),
        Kind::Ports => context.ports(),
        Kind::Statuses => context.statuses(),
        Kind::FallbackServer => context.fallback_server(text, fallback(text)),
        Kind::WeightedFallback => context.fallback_server(text, weighted_fallback(text)),
        Kind::Ignored => context.ignored(),
        Kind::Withdrawn
        | Kind::VirtualService
        | Kind::RealServer
        | Kind::Include
        | Kind::Template
        | Kind::Use => Err(context.refuse()),
    }
}

/// A prefix length, which takes the place of a dotted quad in a `virtual6` section.
pub(super) fn prefix_length(text: &str) -> Result<Reading<'_>, Refusal<'_>> {
    let trimmed = text.trim();
    let length = trimmed.parse::<u64>().ok().filter(|_| is_digits(trimmed));
    match length {
        Some(length @ 1..=128) => Ok(Value::Number(length).into()),
        _ => Err(Refusal {
            text: Some("invalid netmask: a prefix length between 1 and 128 is required".to_owned()),
            at: trimmed,
            hint: None,
        }),
    }
}

impl<'t> From<Value<'t>> for Reading<'t> {
    fn from(value: Value<'t>) -> Self {
        Self { value, doubt: None }
    }
}

type Read<'t> = Result<Reading<'t>, Refusal<'t>>;

impl<'t> Context<'t> {
    fn error(&self) -> &'static str {
        match self.position {
            Position::Global => self.row.error,
            Position::Section => self.row.section_error,
        }
    }

    fn refuse_at(&self, at: &'t str, text: impl Into<String>) -> Refusal<'t> {
        Refusal { text: Some(text.into()), at, hint: None }
    }

    fn refuse(&self) -> Refusal<'t> {
        self.refuse_at(self.trimmed, self.error())
    }

    fn no_directive(&self, hint: &'static str) -> Refusal<'t> {
        Refusal { text: None, at: self.trimmed, hint: Some(hint) }
    }

    fn doubt(&self, value: Value<'t>, text: String, hint: &'static str) -> Reading<'t> {
        Reading { value, doubt: Some(Doubt { at: self.trimmed, text, hint }) }
    }

    /// A value of which only a part was taken: what was dropped may have been meant.
    fn doubt_rest(&self, value: Value<'t>, kept: &str) -> Reading<'t> {
        // The original's manual writes `=>` here and there.
        let written = self.trimmed.trim_start_matches('>').trim_start();
        if within_quotes(written).trim() == kept {
            return value.into();
        }
        let text = format!("{} is taken as {kept}", self.row.name);
        self.doubt(value, text, "the rest of the value is dropped")
    }

    fn text(&self, text: &'t str) -> Value<'t> {
        let text = match self.position {
            Position::Section => expand_tabs(text),
            Position::Global => text.into(),
        };
        let readable = if *self.row == RECEIVE { as_pattern(&text) } else { as_latin1(&text) };
        match readable {
            Cow::Owned(readable) => Value::Text(readable.into()),
            Cow::Borrowed(_) => Value::Text(text),
        }
    }

    fn text_or_error(&self, text: &'t str) -> Read<'t> {
        if text.is_empty() && !self.error().is_empty() {
            return Err(self.refuse());
        }
        if text.contains('\0') {
            return Err(self.refuse_at(text, format!("{} contains a NUL byte", self.row.name)));
        }
        Ok(self.text(text).into())
    }

    /// compat: digits are picked out of anything; `00` is refused (C10), and so is
    /// anything but digits where the directive is an addition.
    fn number(&self, least: u64) -> Read<'t> {
        let digits = first_run(self.trimmed, |c| c.is_ascii_digit());
        let value = number(digits);
        if digits.is_empty() || value < least || (self.row.addition && digits != self.trimmed) {
            return Err(self.refuse());
        }
        Ok(self.doubt_digits(digits))
    }

    /// The original takes the first digits only, of whatever there is: a fraction or another unit than
    /// seconds is an addition, and a difference.
    fn time(&self) -> Read<'t> {
        let written = within_quotes(self.trimmed).trim();
        if is_digits(written.strip_suffix('s').unwrap_or(written)) {
            return self.number(1).map(|reading| Reading { doubt: None, ..reading });
        }
        let Some(time) = time(written) else { return self.number(1) };
        if time < SHORTEST {
            return Err(self.refuse());
        }
        if self.row.addition {
            return Ok(Value::Time(time).into());
        }
        let text = format!("{} is taken as {} s", self.row.name, time.as_secs_f64());
        Ok(self.doubt(Value::Time(time), text, "ldirectord takes the first digits, as seconds"))
    }

    fn doubt_digits(&self, digits: &str) -> Reading<'t> {
        let value = Value::Number(number(digits));
        if digits == within_quotes(self.trimmed) || self.trimmed.strip_prefix('>').is_some() {
            return value.into();
        }
        self.doubt(
            value,
            format!("{} is taken as {digits}", self.row.name),
            "only the first digits of the value count",
        )
    }

    fn leading_number(&self) -> Read<'t> {
        let end = self.trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.trimmed.len());
        if end == 0 {
            return Err(self.refuse());
        }
        Ok(self.doubt_digits(&self.trimmed[..end]))
    }

    fn port(&self) -> Read<'t> {
        let reading = self.number(0)?;
        match reading.value {
            Value::Number(1..=65535) => Ok(reading),
            _ => Err(self
                .refuse_at(self.trimmed, format!("{} must be in range 1..65536", self.row.name))),
        }
    }

    fn count_or_percent(&self) -> Read<'t> {
        let digits = self.trimmed.strip_suffix('%').unwrap_or(self.trimmed);
        let value = number(digits);
        if !is_digits(digits) || value == 0 {
            return Err(self.refuse());
        }
        if digits == self.trimmed {
            return Ok(Value::Number(value).into());
        }
        if value > 100 {
            return Err(self.refuse());
        }
        Ok(Value::Percent(value).into())
    }

    fn yes_no(&self) -> Read<'t> {
        match self.trimmed {
            "yes" => Ok(Value::YesNo(true).into()),
            "no" => Ok(Value::YesNo(false).into()),
            _ => Err(self.refuse()),
        }
    }

    fn quoted(&self) -> Read<'t> {
        let Some(text) = quoted(self.trimmed) else {
            return Err(self.no_directive("the value must be written in double quotes"));
        };
        self.text_or_error(text).map(|reading| self.doubt_rest(reading.value, text.trim()))
    }

    /// compat: a global `""` is an empty string, in a section it is an error. What the original knows
    /// only in quotes has no error text of its own, and is not this directive with half of them.
    fn quoted_or_bare(&self) -> Read<'t> {
        let half = self.trimmed.starts_with('"') && quoted(self.trimmed).is_none();
        if half && self.row.error.is_empty() {
            return Err(self.no_directive("the second quote is missing"));
        }
        let text = quoted(self.trimmed).unwrap_or(self.trimmed);
        if self.position == Position::Global && text.is_empty() && !self.trimmed.is_empty() {
            return Ok(self.text(text).into());
        }
        self.text_or_error(text).map(|reading| self.doubt_rest(reading.value, text.trim()))
    }

    fn host_name(&self) -> Read<'t> {
        let text = self.trimmed.strip_prefix('"').unwrap_or(self.trimmed);
        let end = text.find('"').unwrap_or(text.len());
        let name = text[..end].trim_end();
        let reading = self.text_or_error(name)?;
        match text[end..].trim_start_matches('"').trim() {
            "" => Ok(reading),
            _ => Ok(self.doubt_rest(reading.value, name)),
        }
    }

    fn mail_server(&self) -> Read<'t> {
        let end = self
            .trimmed
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-')))
            .unwrap_or(self.trimmed.len());
        let server = &self.trimmed[..end];
        self.text_or_error(server).map(|reading| self.doubt_rest(reading.value, server))
    }

    fn word(&self, words: &[&'static str], same: impl Fn(&str, &str) -> bool) -> Read<'t> {
        let word = first_run(self.trimmed, is_word);
        let known = words.iter().find(|known| same(word, known));
        let value = known.map(|known| self.doubt_rest(Value::Word(known), word));
        value.ok_or_else(|| self.refuse())
    }

    fn exactly(&self, words: &[&'static str]) -> Read<'t> {
        let known = words.iter().find(|known| within_quotes(self.trimmed) == **known);
        known.map(|known| Value::Word(known).into()).ok_or_else(|| self.refuse())
    }

    fn service(&self) -> Read<'t> {
        let word = first_run(self.trimmed, is_word);
        let row = SERVICES.iter().find(|row| row.word == word);
        match row {
            Some(row) => Ok(self.doubt_rest(Value::Word(row.word), word)),
            // Whether a file defines it is not a matter of spelling.
            None if !word.is_empty() && within_quotes(self.trimmed) == word => {
                Ok(self.text(word).into())
            }
            None => Err(self.refuse()),
        }
    }

    /// compat: any digit makes it the combined type.
    fn check_type(&self) -> Read<'t> {
        let digits = first_run(self.trimmed, |c| c.is_ascii_digit());
        if !digits.is_empty() {
            return Ok(self.doubt_digits(digits));
        }
        let word = first_run(self.trimmed, |c| is_word(c) || c == '-');
        let known = CHECK_TYPES.iter().find(|known| **known == word);
        let value = known.map(|known| self.doubt_rest(Value::Word(known), word));
        value.ok_or_else(|| self.refuse())
    }

    fn states(&self) -> Read<'t> {
        let list = self.trimmed.trim_end_matches(|c: char| c == ',' || c.is_whitespace());
        if list.is_empty() {
            return Ok(Value::Words(Vec::new()).into());
        }
        let words = || list.split(',').map(str::trim);
        let none = words().any(|word| word == "none");
        let known = |word: &'t str| {
            let known = STATES.iter().find(|known| **known == word);
            let text = match known {
                Some(known) if *known == "none" || !none => return Ok(*known),
                Some(known) => format!("{}: \"{known}\" specified with \"none\"", self.error()),
                None => format!("{} at: \"{word}\"", self.error()),
            };
            let hint = Some("words are all, none, starting, running, stopping and reloading");
            Err(Refusal { hint, ..self.refuse_at(word, text) })
        };
        let known: Result<Vec<_>, _> = words().map(known).collect();
        known.map(|words| Value::Words(words).into())
    }

    fn scheduler(&self) -> Read<'t> {
        let word = first_run(self.trimmed, |c| c.is_ascii_alphabetic());
        if word.is_empty() || word.contains(|c: char| c.is_ascii_uppercase()) {
            return Err(self.refuse());
        }
        Ok(self.doubt_rest(self.text(word), word))
    }

    fn scheduler_flags(&self) -> Read<'t> {
        let flags = self.trimmed.split_ascii_whitespace().next().unwrap_or_default();
        self.text_or_error(flags).map(|reading| self.doubt_rest(reading.value, flags))
    }

    /// Ports and ranges of them, separated by commas.
    /// Numbers within these, and ranges of them, separated by commas.
    fn ranges(&self, within: RangeInclusive<u16>) -> Result<Vec<(u16, u16)>, Refusal<'t>> {
        let number = |digits: &str| {
            let digits = digits.trim();
            digits.parse().ok().filter(|number| within.contains(number) && is_digits(digits))
        };
        let range = |part: &'t str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => Ok((first, last)),
                _ => Err(self.refuse_at(part, self.error())),
            }
        };
        self.trimmed.split(',').map(str::trim).map(range).collect()
    }

    fn statuses(&self) -> Read<'t> {
        Ok(Value::Ranges(self.ranges(100..=999)?).into())
    }

    fn ports(&self) -> Read<'t> {
        let ranges = self.ranges(1..=u16::MAX)?;
        let count: usize = ranges.iter().map(|(first, last)| usize::from(last - first) + 1).sum();
        if count > PORTS_LIMIT {
            let text = format!("{}: more than {PORTS_LIMIT} of them", self.error());
            let hint = Some("a service of a firewall mark takes any number of ports");
            return Err(Refusal { text: Some(text), at: self.trimmed, hint });
        }
        Ok(Value::Ranges(ranges).into())
    }

    fn fallback_server(
        &self,
        text: &'t str,
        server: Result<FallbackServer<'t>, &'t str>,
    ) -> Read<'t> {
        let server = server.map_err(|at| self.refuse_at(at, self.error()))?;
        let written = text.split_ascii_whitespace().next().unwrap_or_default();
        let taken = match server.port {
            Some(port) => format!("{}:{port}", server.host),
            None => server.host.to_owned(),
        };
        let value = Value::Fallback(server);
        if written == taken {
            return Ok(value.into());
        }
        let text = format!("{} is taken as {taken}", self.row.name);
        Ok(self.doubt(value, text, "the rest of the address is dropped"))
    }

    fn dotted_quad(&self) -> Read<'t> {
        let parts: Vec<&str> = self.trimmed.split('.').collect();
        if parts.len() != 4
            || !parts.iter().all(|part| (1..=3).contains(&part.len()) && is_digits(part))
        {
            return Err(self.refuse());
        }
        Ok(self.text(self.trimmed).into())
    }

    fn ignored(&self) -> Read<'t> {
        let Some(text) = quoted(self.trimmed) else {
            return Err(self.no_directive("the value must be written in double quotes"));
        };
        if !text.contains(is_word) {
            return Err(self.refuse());
        }
        let value = self.text(text);
        Ok(self.doubt(
            value,
            format!("{} has no effect", self.row.name),
            "it never had one; the line can go",
        ))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `1.5`, `1.5s`, `500ms`, `2m`.
fn time(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let milliseconds = match unit {
        "ms" => 1.0,
        "" | "s" => 1000.0,
        "m" => 60_000.0,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    // More than a century is a century.
    let milliseconds = (number.parse::<f64>().ok()? * milliseconds).min(3.2e12).round();
    Some(Duration::from_millis(milliseconds as u64))
}

fn first_run(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    let start = text.find(&belongs).unwrap_or(text.len());
    let end = text[start..].find(|c| !belongs(c)).map_or(text.len(), |length| start + length);
    &text[start..end]
}

/// From a `"` at the beginning to the last one.
fn quoted(text: &str) -> Option<&str> {
    let text = text.strip_prefix('"')?;
    text.rfind('"').map(|end| &text[..end])
}

/// Without one pair of quotes that encloses the whole.
fn within_quotes(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// compat: in a section every tab is four blanks, in values too.
pub(super) fn expand_tabs(text: &str) -> Cow<'_, str> {
    if text.contains('\t') { text.replace('\t', "    ").into() } else { text.into() }
}
