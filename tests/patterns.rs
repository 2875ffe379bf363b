//! `receive` patterns: ours against Perl's own verdict, pattern by pattern.
#![allow(clippy::unwrap_used, missing_docs)]

use ldirectord::model::Pattern;
use std::io::Write;
use std::process::{Command, Stdio};

/// Patterns as people write them, and as the manual of Perl's regular expressions allows them.
const PATTERNS: &[&str] = &[
    // plain words
    "OK",
    "ok",
    "It works",
    "Test Page",
    "<html>",
    "</body>",
    "hello, world",
    "200 OK",
    "a.b",
    "a\\.b",
    "100%",
    "C\\+\\+",
    "\\$5",
    "\\@home",
    "50 \\$",
    "[$]5",
    "a/b",
    "a\\/b",
    "\"quoted\"",
    "'quoted'",
    // anchors
    "^OK$",
    "^OK",
    "OK$",
    "^$",
    "\\AOK",
    "OK\\z",
    "OK\\Z",
    "^",
    "$",
    "\\bOK\\b",
    "\\BK",
    "^line2$",
    "(?m)^line2$",
    "(?m)^OK$",
    "\\n",
    "OK\\n",
    "^\\s*$",
    "OK\\R",
    "\\r\\n",
    // classes
    "[0-9]+",
    "\\d{3}",
    "[^a-z]+$",
    "[[:alpha:]]+",
    "[[:digit:][:space:]]",
    "[[:^alpha:]]",
    "\\w+\\s\\w+",
    "[\\w.-]+@[\\w.-]+",
    "\\h",
    "\\v",
    "\\H\\V",
    "\\N+",
    "[a\\-z]",
    "[]a]",
    "[^]a]",
    "\\x41",
    "\\x{41}",
    "\\101",
    "\\cA",
    "\\t",
    "\\e",
    "[\\x80-\\xff]",
    "\u{e9}",
    "caf.",
    "caf..$",
    ".",
    "\\S{20}",
    "\\p{IsUpper}",
    "\\p{Lu}",
    "\\pL+",
    "\\P{L}",
    "\\X",
    // repeats
    "a{2}",
    "a{2,}",
    "a{,2}",
    "a{2,3}b",
    "a*",
    "a+?b",
    "a*?b",
    "a++b",
    "a*+a",
    "(ab){2,}",
    "x{0}OK",
    "a{",
    "a{b}",
    "a{1",
    "(a|b)*c",
    "O?K",
    // groups and alternatives
    "OK|UP",
    "^(OK|UP)$",
    "(?:OK)",
    "(O)(K)\\1",
    "(a)\\1",
    "(?<x>a)\\k<x>",
    "(?'x'a)\\k'x'",
    "(a)\\g1",
    "(a)\\g{-1}",
    "(?|(a)|(b))\\1",
    "()OK",
    "|never",
    "(?P<x>a)(?P=x)",
    "(?<n>\\d)(?(<n>)\\d|x)",
    "(a)?(?(1)b|c)",
    // looking around
    "O(?=K)",
    "O(?!K)",
    "(?<=O)K",
    "(?<!O)K",
    "(?<=a|bc)d",
    "O\\KK",
    "(?>a+)b",
    "(?>a+)ab",
    "(?=.*OK)(?=.*UP)",
    "^(?!.*error)",
    "(?s)^(?!.*error).*OK",
    "(?<=\\d{3})x",
    "(?<![a-z])OK",
    // modes
    "(?i)ok",
    "(?i:o)K",
    "O(?i)k",
    "(?s)OK.line2",
    "OK.line2",
    "(?x) O K # both",
    "(?xi) o k",
    "(?i-i)ok",
    "(?^i)ok",
    "(?^)OK",
    "(?si)ok.LINE2",
    "(?n)(O)(K)",
    "(?xx)[O K]{2}",
    "(?a)\\d",
    // quoting, recursion, verbs
    "\\Qa.b\\E",
    "\\Qa.b",
    "a\\Q.\\Eb",
    "\\((?:[^()]|(?R))*\\)",
    "^(\\((?:[^()]|(?1))*\\))$",
    "(?(DEFINE)(?<w>OK))(?&w)",
    "a(*SKIP)b|OK",
    "(*FAIL)|OK",
    "a(*ACCEPT)b",
    "(?#comment)OK",
    "\\GOK",
    "\\GUP",
    // catastrophic by nature, harmless here
    "(a+)+$",
    "(a|aa)+$",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(.*)*OK",
    // broken
    "(",
    ")",
    "[",
    "*x",
    "+",
    "?",
    "a**",
    "(?<x",
    "\\",
    "[z-a]",
    "(?z)",
    "a{3,1}",
    "\\1",
    "(?<=a*)b",
    "\\k<none>",
    "(?1)",
    "[[:none:]]",
    "(?(1)a)",
    "\\g{9}",
    "x(?{1})",
    "\\p{None}",
];

const SUBJECTS: &[&[u8]] = &[
    b"",
    b"OK",
    b"ok",
    b"OK\n",
    b"OK\r\nline2\r\n",
    b"OK\nline2\nUP\n",
    b"not OK, UP",
    b"\n",
    b"  \n \n",
    b"<html><body>It works! 200 OK</body></html>\n",
    b"a.b axb a/b a\\b a-b",
    b"aaab aab ab b",
    b"aaaaaaaaaaaaaaaa!",
    b"12 123 1234x",
    b"mail to me@home.example, costs $5 or 50 $, 100%, C++",
    b"caf\xe9",
    b"caf\xc3\xa9",
    b"(a(b)c) ((",
    b"abab bcd ad d",
    b"\x01\x1b\tA\x00z",
    b"error: not OK",
    b"hello, world \"quoted\" 'quoted' a{b} a{1 a{",
    b"Foobar BAZ Test Page",
    b"aa1 bb2\x0b\x0c\x85",
];

/// What differs, and why: pattern, and the reason.
const DIFFERENT: &[(&str, &str)] = &[
    // Refused with an error when the configuration is read.
    ("\\p{IsUpper}", "the old names of properties are not known; \\p{Lu} and [[:upper:]] are"),
    ("(?a)\\d", "all matching is of bytes, so there is nothing to restrict to ASCII"),
    ("a{3,1}", "can never match"),
    ("(?(1)a)", "there is no group 1"),
    // Accepted, with another meaning.
    (
        "\\Qa.b\\E",
        "quotes; in Perl a quoting that comes from a variable does not, so it never matches",
    ),
    ("\\Qa.b", "as above"),
    ("a\\Q.\\Eb", "as above"),
];

/// The difference that newer versions of PCRE2 do not have.
const SINCE_10_43: &str = "(?a)\\d";

/// Asks Perl: for each pattern and subject `1`, `0`, or `e` for an error.
fn perl() -> Vec<Vec<u8>> {
    let program = r#"
        binmode STDIN; $/ = undef; my ($patterns, $subjects) = split /\0\0/, <STDIN>;
        my @subjects = map { pack 'H*', $_ } split /,/, $subjects, -1;
        for my $hex (split /,/, $patterns, -1) {
            my $pattern = pack 'H*', $hex;
            for my $subject (@subjects) {
                no warnings;
                my $found = eval { $subject =~ /$pattern/ ? 1 : 0 };
                print defined $found ? $found : 'e';
            }
            print "\n";
        }"#;
    let mut child = Command::new("perl")
        .args(["-e", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let list = |all: Vec<String>| all.join(",");
    let patterns = list(PATTERNS.iter().map(|it| hex(it.as_bytes())).collect());
    let subjects = list(SUBJECTS.iter().map(|it| hex(it)).collect());
    child.stdin.take().unwrap().write_all(format!("{patterns}\0\0{subjects}").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn ours(pattern: &str) -> Vec<u8> {
    match Pattern::new(pattern) {
        Err(_) => vec![b'e'; SUBJECTS.len()],
        Ok(pattern) => {
            SUBJECTS.iter().map(|subject| b'0' + u8::from(pattern.is_match(subject))).collect()
        }
    }
}

#[test]
fn patterns_match_what_they_match_in_perl() {
    assert!(PATTERNS.len() >= 60);
    let perl = perl();
    let mut wrong = Vec::new();
    for (pattern, perl) in PATTERNS.iter().zip(perl) {
        let ours = ours(pattern);
        let known = *pattern != SINCE_10_43 || Pattern::new(pattern).is_err();
        let listed = known && DIFFERENT.iter().any(|(different, _)| different == pattern);
        if (ours != perl) != listed {
            let text = String::from_utf8_lossy;
            wrong.push(format!("{pattern}\n  perl {}\n  ours {}", text(&perl), text(&ours)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), PATTERNS.len(), wrong.join("\n"));
}
