//! `receive`: Perl patterns, searched with a brake.

use pcre2::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A `receive` pattern: Perl syntax on bytes, no flags, searched anywhere.
#[derive(Clone)]
pub struct Pattern(Arc<Search>);

/// A pattern that does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong, in the library's words.
    pub reason: String,
    /// Byte offset in the pattern.
    pub offset: Option<usize>,
}

/// Steps that the search may take from each byte of a subject, by the subject's length at most:
/// few enough that all bytes together take a tenth of a second, in a body as long as any that is read.
///
/// A pattern that needs more is searched from one byte after the other, with a look at the clock.
const STEPS: [(usize, u32); 3] = [(8 * 1024, 1000), (64 * 1024, 100), (usize::MAX, 10)];

/// Steps from one byte, when the clock is looked at; enough to go once through the longest body.
const STEPS_FROM_ONE_BYTE: u32 = 1_500_000;

/// The clock stops a search after this long. Only a pattern that takes steps without end for an
/// answer made to that purpose needs it; with Perl, such a search blocks everything for minutes.
const PATIENCE: Duration = Duration::from_millis(250);

struct Search {
    /// As written.
    source: String,
    /// As compiled.
    explicit: String,
    /// Compiled when first needed, one for each of [`STEPS`].
    quick: [OnceLock<Option<Regex>>; STEPS.len()],
    /// Matches only where the search begins.
    anchored: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When the pattern is not a regular expression.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        let limit = limit(STEPS[0].1);
        let (explicit, added) = explicit_counts(source);
        let regex = compile(&format!("{limit}{explicit}")).map_err(|error| PatternError {
            reason: bare_reason(&error.to_string()),
            offset: error.offset().map(|at| {
                let at = at.saturating_sub(limit.len());
                at - added.iter().filter(|&&added| added < at).count()
            }),
        })?;
        let search = Search::new(source, explicit);
        // Just made, so it is empty.
        let _ = search.quick[0].set(Some(regex));
        Ok(Self(Arc::new(search)))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0.source
    }

    /// Whether the pattern is found anywhere in the subject. A search that would take longer than a
    /// quarter of a second has not found it.
    pub fn is_match(&self, subject: &[u8]) -> bool {
        let tier = STEPS.iter().take_while(|(length, _)| subject.len() > *length).count();
        let quick = self.0.quick(tier).map(|regex| regex.is_match(subject));
        match quick {
            Some(Ok(found)) => found,
            Some(Err(_)) | None => self.0.step_by_step(subject).is_some(),
        }
    }

    /// Where [`Pattern::is_match`] finds the pattern first.
    pub fn find(&self, subject: &[u8]) -> Option<Range<usize>> {
        let tier = STEPS.iter().take_while(|(length, _)| subject.len() > *length).count();
        match self.0.quick(tier).map(|regex| regex.find(subject)) {
            Some(Ok(found)) => found.map(|found| found.start()..found.end()),
            Some(Err(_)) | None => self.0.step_by_step(subject),
        }
    }
}

impl Search {
    fn new(source: &str, explicit: String) -> Self {
        let (quick, anchored) = (Default::default(), OnceLock::new());
        Self { source: source.to_owned(), explicit, quick, anchored }
    }

    fn quick(&self, tier: usize) -> Option<&Regex> {
        let make = || compile(&format!("{}{}", limit(STEPS[tier].1), self.explicit)).ok();
        self.quick[tier].get_or_init(make).as_ref()
    }

    /// The same search, one starting byte after the other.
    fn step_by_step(&self, subject: &[u8]) -> Option<Range<usize>> {
        let begun = Instant::now();
        let regex = self.anchored.get_or_init(|| anchored(&self.explicit)).as_ref()?;
        // Where the search begins is the first byte, to a pattern that asks for it itself.
        let last = if self.source.contains("\\G") { 0 } else { subject.len() };
        (0..=last)
            .take_while(|_| begun.elapsed() < PATIENCE)
            .find_map(|at| regex.find_at(subject, at).ok().flatten())
            .map(|found| found.start()..found.end())
    }
}

/// The pattern with a `\G` before all of it. How its end must be kept from swallowing our bracket
/// depends on how it ends: `\Q` and a comment go on to theirs.
fn anchored(source: &str) -> Option<Regex> {
    let limit = limit(STEPS_FROM_ONE_BYTE);
    [")", "\\E)", "\n)"]
        .into_iter()
        .find_map(|end| compile(&format!("{limit}\\G(?:{source}{end}")).ok())
}

/// The pattern with `a{,2}` as `a{0,2}`, and where the zeros were put in. To Perl since 5.34 they are
/// the same, to the library only since 10.43: its version shall not decide who is up.
fn explicit_counts(source: &str) -> (String, Vec<usize>) {
    let (mut explicit, mut added) = (String::with_capacity(source.len()), Vec::new());
    let mut rest = source.chars();
    // In a class, whether its first member is still to come, which may be a literal `]`.
    let mut class = None;
    while let Some(c) = rest.next() {
        explicit.push(c);
        class = match (class, c) {
            (_, '\\') => {
                explicit.extend(rest.next());
                class.map(|_| false)
            }
            (None, '[') => Some(true),
            (None, '{') if is_count_from_nothing(rest.as_str()) => {
                added.push(explicit.len());
                explicit.push('0');
                None
            }
            (None, _) | (Some(false), ']') => None,
            (Some(true), '^') => Some(true),
            (Some(_), '[') if rest.as_str().starts_with(':') => {
                // A POSIX class, `[:alpha:]`, whose end is none of the class around it.
                if let Some((name, after)) = rest.as_str().split_once(":]") {
                    explicit.push_str(name);
                    explicit.push_str(":]");
                    rest = after.chars();
                }
                Some(false)
            }
            (Some(_), _) => Some(false),
        };
    }
    (explicit, added)
}

/// Whether what follows an opening brace is `,N}`.
fn is_count_from_nothing(text: &str) -> bool {
    let count = text.strip_prefix(',').and_then(|rest| rest.split_once('}'));
    count.is_some_and(|(digits, _)| {
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// The library offers no setter; its syntax (pcre2pattern(3), "Setting match resource limits") does.
fn limit(steps: u32) -> String {
    format!("(*LIMIT_MATCH={steps})")
}

fn compile(source: &str) -> Result<Regex, pcre2::Error> {
    RegexBuilder::new().jit(false).build(source)
}

/// Without the library's words about which library it is and where in its own text.
fn bare_reason(message: &str) -> String {
    let reason = message.split_once(" at offset ").and_then(|(_, rest)| rest.split_once(": "));
    reason.map_or(message, |(_, reason)| reason).to_owned()
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.as_str())
    }
}

/// A pattern travels as it is written.
impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Compiled when first searched for, and once for all that read the same pattern: thousands of
/// servers share a few.
impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        static KNOWN: OnceLock<Mutex<HashMap<String, Weak<Search>>>> = OnceLock::new();
        let source = String::deserialize(deserializer)?;
        let mut known =
            KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(search) = known.get(&source).and_then(Weak::upgrade) {
            return Ok(Self(search));
        }
        if known.len() == known.capacity() {
            known.retain(|_, search| search.strong_count() > 0);
        }
        let search = Arc::new(Search::new(&source, explicit_counts(&source).0));
        known.insert(source, Arc::downgrade(&search));
        Ok(Self(search))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_anywhere_in_subjects_of_any_length() {
        for length in [0, 100, 10_000, 100_000, 1_000_000, 2_000_000] {
            let mut subject = b"some words and lines\n".repeat(length / 21);
            for (pattern, found) in [
                ("Hello", true),
                ("hello", false),
                ("(?i)hello", true),
                ("H[a-z]+o there$", true),
                ("^Hello", length < 21),
                ("(?m)^Hello", true),
                ("(?s)^.*Hello", true),
                ("(?s)(?:some|Hello).*there\\z", true),
                ("(?x) Hello # comment", true),
                ("\\QHello", true),
                ("\\GHello", length < 21),
                ("(Hel)(lo) there|\\1\\2", true),
            ] {
                subject.extend_from_slice(b"Hello there");
                let matched = Pattern::new(pattern).unwrap().is_match(&subject);
                assert_eq!(matched, found, "{pattern} in {length} bytes");
                let place = Pattern::new(pattern).unwrap().find(&subject);
                assert_eq!(place.is_some(), found, "{pattern} in {length} bytes");
                assert!(place.is_none_or(|place| place.start <= place.end));
                subject.truncate(subject.len() - 11);
            }
        }
    }

    #[test]
    fn a_catastrophic_search_ends() {
        let lines = [[b'a'; 100].as_slice(), b"\n"].concat().repeat(10_000);
        for pattern in ["a.*.*[xy]", "(a+)+[xy]", "(a|aa)+[xy]", "(?s).*.*.*[xy]", "(a*)*[xy]"] {
            let begun = Instant::now();
            assert!(!Pattern::new(pattern).unwrap().is_match(&lines), "{pattern}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{pattern}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn an_error_tells_where() {
        for (pattern, offset) in [("abc(", 4), ("a{,2}b{,3}(", 11)] {
            let error = Pattern::new(pattern).unwrap_err();
            assert_eq!(error.offset, Some(offset), "{pattern}: {}", error.reason);
        }
    }

    #[test]
    fn a_count_without_its_first_number_is_one_outside_of_classes() {
        for (pattern, explicit) in [
            ("a{,2}b{,13}", "a{0,2}b{0,13}"),
            ("[a{,2}]{,2}", "[a{,2}]{0,2}"),
            ("[]{,2}x]", "[]{,2}x]"),
            ("[^]{,2}x]{,1}", "[^]{,2}x]{0,1}"),
            ("[[:alpha:]{,2}]a{,2}", "[[:alpha:]{,2}]a{0,2}"),
            ("\\{,2}\\[{,2}", "\\{,2}\\[{0,2}"),
            ("a{,}b{,x}c{2,3}{,", "a{,}b{,x}c{2,3}{,"),
        ] {
            assert_eq!(explicit_counts(pattern).0, explicit);
        }
    }
}
