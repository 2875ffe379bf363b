//! When the certificate of the server ends that a check talks to, for `checkcertdays`.
//!
//! Handshakes happen deep in a protocol, whose verdict they do not change; so what they see is left here
//! for the end of the check, on the same thread.

use super::CertificateEnd;
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::ssl::SslRef;
use std::cell::Cell;

thread_local! {
    static NOTED: Cell<Option<CertificateEnd>> = const { Cell::new(None) };
}

/// A check begins.
pub(super) fn forget() {
    NOTED.set(None);
}

/// What this check has noted.
pub(super) fn noted() -> Option<CertificateEnd> {
    NOTED.take()
}

/// Notes the certificate of a connection. The first one counts: a redirect leads to other servers.
pub(super) fn note(ssl: &SslRef) {
    let end = || of(ssl.peer_certificate()?.not_after()).ok();
    if NOTED.get().is_none() {
        NOTED.set(end());
    }
}

fn of(end: &Asn1TimeRef) -> Result<CertificateEnd, ErrorStack> {
    let left = Asn1Time::days_from_now(0)?.diff(end)?;
    // A second too many makes the day that has just begun one that is over.
    let days = if left.secs < 0 { left.days - 1 } else { left.days };
    Ok(CertificateEnd { at: seconds_since_1970(end)?, days })
}

pub(super) fn seconds_since_1970(time: &Asn1TimeRef) -> Result<i64, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_ones_that_are_left() {
        let now = seconds_since_1970(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        for (seconds, days) in
            [(-86_500, -2), (-100, -1), (100, 0), (86_500, 1), (30 * 86_400 + 100, 30)]
        {
            let at = now + seconds;
            let end = of(&Asn1Time::from_unix(at).unwrap()).unwrap();
            assert_eq!(end, CertificateEnd { at, days });
        }
    }
}
