//! A finding, and how it is told.

use serde::Serialize;
use std::fmt::Write;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something will not work.
    Error,
    /// Something may surprise.
    Warning,
}

/// Something to mend. The names of the fields are an interface: programs read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule that found it.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The virtual service it is about, `tcp:192.0.2.1:80`.
    pub service: Option<String>,
    /// The real server it is about, `10.0.0.1:80`.
    pub server: Option<String>,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// The command that mends it.
    pub mend: String,
}

/// So many findings of one rule are written out; the rest are counted.
const SHOWN: usize = 10;

/// The list for programs: an array, also if it is empty.
pub fn render_json(findings: &[Finding]) -> String {
    // Plain data without maps: this cannot fail.
    serde_json::to_string_pretty(findings).unwrap_or_default() + "\n"
}

/// The findings for people, errors first.
pub fn render_text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for severity in [Severity::Error, Severity::Warning] {
        let of_it: Vec<&Finding> = findings.iter().filter(|it| it.severity == severity).collect();
        for group in of_it.chunk_by(|one, other| one.id == other.id) {
            group.iter().take(SHOWN).for_each(|finding| write_finding(&mut text, finding));
            if group.len() > SHOWN {
                let (more, id) = (group.len() - SHOWN, group[0].id);
                let _ = writeln!(text, "{more} more of {id}; --json has them all\n");
            }
        }
    }
    text + &summary(findings) + "\n"
}

fn write_finding(text: &mut String, finding: &Finding) {
    let word = match finding.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
    };
    let about = [finding.service.as_deref(), finding.server.as_deref()];
    let about: String = about.into_iter().flatten().map(|it| format!(" {}", line(it))).collect();
    let _ = writeln!(text, "{word} {}{about}", finding.id);
    let _ = writeln!(text, "  What: {}", line(&finding.what));
    let _ = writeln!(text, "  Why:  {}", line(&finding.why));
    let _ = writeln!(text, "  Mend: {}\n", line(&finding.mend));
}

/// Names and paths must not play tricks on a terminal.
fn line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|it| it.severity == severity).count();
    let counted = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => "Nothing was found.".to_owned(),
        (0, warnings) => counted(warnings, "warning"),
        (errors, 0) => counted(errors, "error"),
        (errors, warnings) => {
            format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &'static str, severity: Severity) -> Finding {
        Finding {
            id,
            severity,
            service: Some("tcp:192.0.2.1:80".to_owned()),
            server: None,
            what: "a\x1b[2J\nb".to_owned(),
            why: "c".to_owned(),
            mend: "d".to_owned(),
        }
    }

    #[test]
    fn errors_come_first_and_control_characters_do_not_come_through() {
        let found = [finding("w", Severity::Warning), finding("e", Severity::Error)];
        assert_eq!(
            render_text(&found),
            "ERROR e tcp:192.0.2.1:80\n  What: a [2J b\n  Why:  c\n  Mend: d\n\n\
             WARNING w tcp:192.0.2.1:80\n  What: a [2J b\n  Why:  c\n  Mend: d\n\n\
             1 error, 1 warning\n"
        );
        assert_eq!(render_text(&[]), "Nothing was found.\n");
    }

    #[test]
    fn of_many_alike_some_are_shown_and_the_rest_counted() {
        let found = vec![finding("w", Severity::Warning); 13];
        let text = render_text(&found);
        assert_eq!(text.matches("WARNING w").count(), 10);
        assert!(text.ends_with("3 more of w; --json has them all\n\n13 warnings\n"), "{text}");
    }

    #[test]
    fn programs_get_an_array_with_stable_names() {
        assert_eq!(render_json(&[]), "[]\n");
        let json: serde_json::Value =
            serde_json::from_str(&render_json(&[finding("w", Severity::Warning)])).unwrap();
        let names: Vec<&String> = json[0].as_object().unwrap().keys().collect();
        let mut expected = ["id", "severity", "service", "server", "what", "why", "mend"];
        expected.sort_unstable();
        let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(json[0]["severity"], "warning");
        assert!(json[0]["server"].is_null());
    }
}
