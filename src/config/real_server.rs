//! The values of `virtual`, `real` and `fallback`: addresses, and what follows them.

use super::ast::{FallbackServer, RealAddress, RealOptions, VirtualAddress};
use nom::branch::alt;
use nom::bytes::complete::{tag, take_until, take_while1};
use nom::character::complete::{char, digit1, one_of, space0, space1};
use nom::combinator::{map, opt, recognize, rest, verify};
use nom::sequence::{delimited, preceded, separated_pair, terminated};
use nom::{IResult, Offset, Parser};
use std::borrow::Cow;
use std::ops::Range;

/// The words of forwarding methods.
pub(super) const FORWARDING: [&str; 3] = ["gate", "masq", "ipip"];

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_port(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn is_virtual_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-')
}

fn is_inet6(c: char) -> bool {
    c.is_ascii_hexdigit() || c == ':'
}

fn port(input: &str) -> IResult<&str, &str> {
    take_while1(is_port).parse(input)
}

/// `HOST:PORT`; what follows is not looked at, as in the original.
fn named_address(input: &str) -> IResult<&str, VirtualAddress<'_>> {
    map(separated_pair(take_while1(is_virtual_name), char(':'), port), |(host, port)| {
        VirtualAddress::Address { host, port }
    })
    .parse(input)
}

fn bracketed_address(input: &str) -> IResult<&str, VirtualAddress<'_>> {
    let host = delimited(char('['), take_while1(is_inet6), char(']'));
    map(separated_pair(host, char(':'), port), |(host, port)| VirtualAddress::Address {
        host,
        port,
    })
    .parse(input)
}

/// A number with nothing, a blank or a comment after it: digits that go on as something else are a
/// forgotten port, not a mark.
fn mark(input: &str) -> IResult<&str, VirtualAddress<'_>> {
    let end = verify(rest, |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t', '#']));
    map(terminated(digit1, end), |digits: &str| VirtualAddress::Mark(number(digits))).parse(input)
}

/// The value of `virtual` and `virtual6`; whether the address is of the section's family is found
/// out when it is looked up.
pub(super) fn virtual_address(input: &str, brackets: Brackets) -> Option<VirtualAddress<'_>> {
    match brackets {
        Brackets::Refused => alt((named_address, mark)).parse(input),
        Brackets::Allowed => alt((named_address, mark, bracketed_address)).parse(input),
    }
    .ok()
    .map(|(_, address)| address)
}

/// Whether an IPv6 address is welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brackets {
    /// In `virtual`.
    Refused,
    /// In `virtual6`.
    Allowed,
}

/// Whether the value is an IPv6 address with a port: the original has a message for it.
pub(super) fn is_bracketed(input: &str) -> bool {
    bracketed_address(input).is_ok()
}

/// Digits as a number; too many of them are `u64::MAX`.
pub(super) fn number(digits: &str) -> u64 {
    digits.parse().unwrap_or(u64::MAX)
}

/// `HOST[:PORT] [gate|masq|ipip]`; `Err` is the place of another word.
pub(super) fn fallback(input: &str) -> Result<FallbackServer<'_>, &str> {
    let mut words = input.split_ascii_whitespace();
    let address = words.next().unwrap_or(&input[..0]);
    let forwarding = match (words.next(), words.next()) {
        (None, _) => FORWARDING[0],
        (Some(word), None) => *FORWARDING.iter().find(|known| **known == word).ok_or(word)?,
        (_, Some(extra)) => return Err(extra),
    };
    let (host, port) = bracketed_host(address).unwrap_or_else(|| plain_host(address));
    Ok(FallbackServer { host, port, forwarding, weight: None })
}

/// `HOST[:PORT] [gate|masq|ipip] [WEIGHT]`; `Err` is the place of what is no such part.
pub(super) fn weighted_fallback(input: &str) -> Result<FallbackServer<'_>, &str> {
    let input = input.trim();
    let (rest, last) = match input.rsplit_once([' ', '\t']) {
        Some((rest, last)) if last.bytes().all(|byte| byte.is_ascii_digit()) => (rest, Some(last)),
        _ => (input, None),
    };
    if rest.is_empty() {
        return Err(rest);
    }
    Ok(FallbackServer { weight: last.map(number), ..fallback(rest)? })
}

/// compat: what follows a bracketed address and its port is not looked at.
fn bracketed_host(address: &str) -> Option<(&str, Option<&str>)> {
    let in_brackets = recognize(delimited(char('['), take_until("]"), char(']')));
    let mut address_and_port = (in_brackets, opt(preceded(char(':'), port)));
    address_and_port.parse(address).ok().map(|(_, found): (&str, _)| found)
}

fn plain_host(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.chars().all(is_port) => (host, Some(port)),
        _ => (address, None),
    }
}

fn host(input: &str) -> IResult<&str, &str> {
    let bracketed = recognize(delimited(char('['), take_while1(is_inet6), char(']')));
    alt((bracketed, name)).parse(input)
}

/// A name, also that of a service with its underscores, or an IPv4 address; a `-` that begins `->` is
/// not part of it.
fn name(input: &str) -> IResult<&str, &str> {
    let begins_label = |at: usize| at == 0 || input[..at].ends_with('.');
    let is_service_s = input.starts_with('_');
    let end = input
        .char_indices()
        .find(|(at, c)| match c {
            '_' => !(is_service_s && begins_label(*at)),
            c => {
                !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
                    || input[*at..].starts_with("->")
            }
        })
        .map_or(input.len(), |(at, _)| at);
    verify(rest, |name: &str| !name.is_empty())
        .parse(&input[..end])
        .map(|(_, name)| (&input[end..], name))
}

fn real_address(input: &str) -> IResult<&str, RealAddress<'_>> {
    // compat: the original finds the address after the manual's `=>`, and after a quote
    let arrow = (opt(one_of(">\"")), space0);
    let last = preceded(tag("->"), host);
    let port = preceded(char(':'), port);
    map(preceded(arrow, (host, opt(last), opt(port))), |(host, last, port)| RealAddress {
        host,
        last,
        port,
    })
    .parse(input)
}

/// The parts of a `real` value.
pub(super) struct RealParts<'t> {
    pub(super) address: Option<RealAddress<'t>>,
    pub(super) forwarding: Option<&'static str>,
    pub(super) options: Result<RealOptions<'t>, &'t str>,
    pub(super) hint: Option<&'static str>,
}

/// Takes a `real` value apart.
pub(super) fn real_server(input: &str) -> RealParts<'_> {
    let nothing = |hint| RealParts {
        address: None,
        forwarding: None,
        options: Ok(RealOptions::default()),
        hint,
    };
    let host = input.split_whitespace().next().unwrap_or_default();
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return nothing(Some("an IPv6 address is written in brackets"));
    }
    let Ok((after, address)) = real_address(input) else { return nothing(None) };
    if !after.starts_with(is_blank) {
        return nothing(Some(after_address(after)));
    }
    let word_start =
        after.find(|c: char| c.is_ascii_alphanumeric() || c == '_').unwrap_or(after.len());
    let word_end = after[word_start..]
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .map_or(after.len(), |length| word_start + length);
    let word = &after[word_start..word_end];
    RealParts {
        address: Some(address),
        forwarding: FORWARDING.into_iter().find(|known| *known == word),
        options: real_options(&after[word_end..]),
        hint: None,
    }
}

/// What follows an address without a blank; to the original it is then no address.
fn after_address(after: &str) -> &'static str {
    match after.trim() {
        "" => "the forwarding method is missing: gate, masq or ipip",
        rest if FORWARDING.iter().any(|word| rest.contains(word)) => {
            "the address is fine; a blank belongs between it and the forwarding method"
        }
        _ => "after the address comes a blank, and then gate, masq or ipip",
    }
}

/// `"REQUEST", "RECEIVE"` and the bytes that they take up.
struct Strings<'t> {
    request: &'t str,
    receive: &'t str,
    place: Range<usize>,
}

/// The first string goes on to the last `", "`, the second to the last `"`, as in the original, so
/// that quotes may occur in both.
fn strings(input: &str) -> Option<Strings<'_>> {
    let quotes: Vec<usize> = input.match_indices('"').map(|(at, _)| at).collect();
    let (first, start) =
        quotes.iter().enumerate().find_map(|(i, at)| Some((i, blanks_before(&input[..*at])?)))?;
    let inner = quotes.get(first + 1..quotes.len() - 1)?;
    let (close, open) = inner
        .windows(2)
        .rev()
        .map(|pair| (pair[0], pair[1]))
        .find(|(close, open)| is_separator(&input[close + 1..*open]))?;
    let end = *quotes.last()?;
    Some(Strings {
        request: &input[quotes[first] + 1..close],
        receive: &input[open + 1..end],
        place: start..end + 1,
    })
}

/// Where the blanks begin with which this text ends, if it ends with any.
fn blanks_before(text: &str) -> Option<usize> {
    let before = text.trim_end().len();
    (before < text.len()).then_some(before)
}

/// Whether this is what separates the two strings: one comma or blank, and blanks.
fn is_separator(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c == ',' || is_blank(c)) && chars.all(is_blank)
}

/// `l:N`, `u:N`
fn threshold(input: &str) -> IResult<&str, (char, &str)> {
    separated_pair(one_of("lu"), char(':'), digit1).parse(input)
}

/// Reads a weight or a threshold that has not been given yet; the bytes that it takes up.
///
/// `after` is what stands before: within a run of blanks, a threshold has been tried already.
fn option(after: &str, input: &str, options: &mut RealOptions<'_>) -> Option<usize> {
    if options.weight.is_none()
        && let Ok((after, digits)) = weight(input)
    {
        options.weight = Some(number(digits));
        return Some(input.offset(after));
    }
    if after.ends_with(is_blank) {
        return None;
    }
    let (after, (which, digits)) = preceded(space1, threshold).parse(input).ok()?;
    let slot = if which == 'l' { &mut options.lower } else { &mut options.upper };
    if slot.is_some() {
        return None;
    }
    *slot = Some(number(digits));
    Some(input.offset(after))
}

fn weight(input: &str) -> IResult<&str, &str> {
    preceded(one_of(" \t"), digit1).parse(input)
}

/// Reads `[WEIGHT] ["REQUEST", "RECEIVE"] [l:N] [u:N]` in any order and passes over what stands
/// between, as the original does; `Err` is what stands behind all of it.
fn real_options(input: &str) -> Result<RealOptions<'_>, &str> {
    let strings = strings(input);
    let limit = strings.as_ref().map_or(input.len(), |strings| strings.place.start);
    let mut options = RealOptions::default();
    let mut at = 0;
    let mut done = 0;
    while let Some(c) = input[at..].chars().next() {
        let end = match &strings {
            Some(strings) if at == strings.place.start => {
                take_strings(strings, &mut options);
                Some(strings.place.end)
            }
            _ => {
                let part = if at < limit { &input[at..limit] } else { &input[at..] };
                option(&input[done..at], part, &mut options).map(|length| at + length)
            }
        };
        let Some(end) = end else {
            at += c.len_utf8();
            continue;
        };
        skip(&input[done..at], &mut options);
        (at, done) = (end, end);
    }
    // compat: behind a request that begins with `/`, the original looks at nothing
    if options.strings.as_ref().is_some_and(|(request, _)| request.starts_with('/')) {
        skip(&input[done..], &mut options);
        return Ok(options);
    }
    if input[done..].trim().is_empty() { Ok(options) } else { Err(&input[done..]) }
}

fn skip<'t>(text: &'t str, options: &mut RealOptions<'t>) {
    let text = text.trim();
    if !text.is_empty() && text != "," {
        options.skipped.get_or_insert(text);
    }
}

/// The manual of the original writes thresholds in quotes; they are meant as thresholds.
fn take_strings<'t>(strings: &Strings<'t>, options: &mut RealOptions<'t>) {
    if let (Ok(("", ('l', lower))), Ok(("", ('u', upper)))) =
        (threshold(strings.request), threshold(strings.receive))
    {
        options.lower = Some(number(lower));
        options.upper = Some(number(upper));
        return;
    }
    options.strings = Some((Cow::Borrowed(strings.request), Cow::Borrowed(strings.receive)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_real_server_are_read_in_any_order() {
        let cases: &[(&str, &str)] = &[
            ("", "weight None strings None l None u None skipped None"),
            (", 10", "weight Some(10) strings None l None u None skipped None"),
            (
                " 10, \"a\",\"b\"",
                "weight Some(10) strings Some((\"a\", \"b\")) l None u None skipped None",
            ),
            (
                " \"a\" \"b\" 5",
                "weight Some(5) strings Some((\"a\", \"b\")) l None u None skipped None",
            ),
            (
                " \"GET 1\", \"ok\"",
                "weight None strings Some((\"GET 1\", \"ok\")) l None u None skipped None",
            ),
            (
                " 1 \"a\", \"b \"c\" d\"",
                "weight Some(1) strings Some((\"a\", \"b \\\"c\\\" d\")) l None u None skipped None",
            ),
            (
                " 1 \"a\",\"b\",\"c\"",
                "weight Some(1) strings Some((\"a\\\",\\\"b\", \"c\")) l None u None skipped None",
            ),
            (" 1 u:10 l:5", "weight Some(1) strings None l Some(5) u Some(10) skipped None"),
            (
                " 1 \"l:5\" \"u:10\"",
                "weight Some(1) strings None l Some(5) u Some(10) skipped None",
            ),
            (
                " \"\",\"\" l:3, u:4",
                "weight None strings Some((\"\", \"\")) l Some(3) u Some(4) skipped None",
            ),
            (" foo 5", "weight Some(5) strings None l None u None skipped Some(\"foo\")"),
            (" \"x 1", "weight Some(1) strings None l None u None skipped Some(\"\\\"x\")"),
            (" 5 foo l:3", "weight Some(5) strings None l Some(3) u None skipped Some(\"foo\")"),
        ];
        for (input, expected) in cases {
            let o = real_options(input).unwrap();
            let found = format!(
                "weight {:?} strings {:?} l {:?} u {:?} skipped {:?}",
                o.weight, o.strings, o.lower, o.upper, o.skipped
            );
            assert_eq!(found, *expected, "{input}");
        }
        for (input, around) in [
            (" -5", " -5"),
            (",10", ",10"),
            (" 10,", ","),
            (" foo", " foo"),
            (" 5 foo", " foo"),
            (" 5x", "x"),
            (" 5 6", " 6"),
            (" 10 \"a\"  ,\"b\"", " \"a\"  ,\"b\""),
            (" 10 \"a\"", " \"a\""),
            (" 1 \"a\",\"b\" foo", " foo"),
            (" 5 l:3u:4", "u:4"),
            (" 5 u:3 u:4", " u:4"),
            (" 5 x\"a\",\"b\"", " x\"a\",\"b\""),
        ] {
            assert_eq!(real_options(input).unwrap_err(), around, "{input}");
        }
    }

    #[test]
    fn addresses_of_real_servers() {
        for (input, host, last, port) in [
            ("127.0.0.2 gate", "127.0.0.2", None, None),
            ("a-b->c:http gate", "a-b", Some("c"), Some("http")),
            ("[fd00::2]:80 masq", "[fd00::2]", None, Some("80")),
            ("> 127.0.0.2:80 gate", "127.0.0.2", None, Some("80")),
        ] {
            let address = real_server(input).address.unwrap();
            assert_eq!((address.host, address.last, address.port), (host, last, port), "{input}");
        }
        for input in
            ["", "127.0.0.2:80", "192.0.2.2::5060 gate", ":80 gate", "127.0.0.2: gate", "a,gate"]
        {
            assert!(real_server(input).address.is_none(), "{input}");
        }
    }
}
