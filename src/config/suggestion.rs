//! What a name that is no directive may have been meant to be.

use super::directive::{DIRECTIVES, Row, directive};
use std::borrow::Cow;

/// A hint about a name that is in no row of the table.
pub(super) fn suggestion(name: &str) -> Cow<'static, str> {
    if directive(&name.to_ascii_lowercase()).is_some() {
        return "directives are written in lower case".into();
    }
    match near(name) {
        Some(row) => format!("did you mean {}?", row.name).into(),
        None => "the manual page ldirectord.cf(5) lists the directives".into(),
    }
}

/// The directive that a name was probably meant to be.
pub(super) fn near(name: &str) -> Option<&'static Row> {
    let lower = name.to_ascii_lowercase();
    let row = directive(&lower);
    row.or_else(|| {
        let mut rows = DIRECTIVES.iter().copied();
        rows.find(|row| is_near(lower.as_bytes(), row.name.as_bytes()))
    })
}

/// Whether one letter too many, too few, other or swapped makes the difference.
fn is_near(a: &[u8], b: &[u8]) -> bool {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    match (&a[same..], &b[same..]) {
        ([_, a @ ..], [_, b @ ..]) if a == b => true,
        ([p, q, a @ ..], [r, s, b @ ..]) if (p, q, a) == (s, r, b) => true,
        ([_, a @ ..], b) if a == b => true,
        (a, [_, b @ ..]) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        for (name, hint) in [
            ("Quiescent", "directives are written in lower case"),
            ("checktimout", "did you mean checktimeout?"),
            ("schedulerr", "did you mean scheduler?"),
            ("recieve", "did you mean receive?"),
            ("cheskport", "did you mean checkport?"),
            ("weight", "the manual page ldirectord.cf(5) lists the directives"),
        ] {
            assert_eq!(suggestion(name), hint);
        }
    }
}
