//! http, https and http_proxy (RFC 9110, RFC 9112).
//!
//! One request, then up to [`MAX_REDIRECTS`] more as the answers redirect, to any host. The last
//! answer decides: up if its status is 2xx and `receive` is found in its body. All of it, however
//! many servers it visits, has the one deadline.

mod url;
mod wire;

use super::connect::Probe;
use super::transcript::search;
use super::{CheckOutcome, Failure, TimedStream, tls};
use crate::model::{Exchange, HttpMethod, Service};
use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::SocketAddr;
use url::{Scheme, Url};
use wire::{Answer, Request};

/// Redirects that are followed; the answer after the last is taken as it is.
// compat: LWP's limit (spec 4.4)
const MAX_REDIRECTS: usize = 7;

/// Bytes of a body that are read and matched. A longer one is cut, not refused.
const BODY_LIMIT: usize = 1024 * 1024;

/// Whether the check begins with a connection to the real server itself: not if its own request is
/// a URL that leads elsewhere.
pub(super) fn begins_at(exchange: &Exchange, target: SocketAddr) -> bool {
    let may_lead_elsewhere = exchange.request_is_own || exchange.service == Service::HttpProxy;
    if !may_lead_elsewhere {
        return true;
    }
    Url::first(exchange, target)
        .is_ok_and(|url| via_proxy(exchange, &url) || url.address() == Some(target))
}

/// Runs the check.
pub(super) fn check(mut probe: Probe<'_>) -> CheckOutcome {
    judge(probe.exchange, last_answer(&mut probe))
}

/// One request and the verdict on its answer, without TLS and without following it anywhere.
pub(super) fn talk<S>(stream: S, exchange: &Exchange) -> Result<(), Failure>
where
    S: Read + Write + Debug + Send + Sync + 'static,
{
    let url = Url::first(exchange, SocketAddr::from(([127, 0, 0, 1], 80)))?;
    let proxied = via_proxy(exchange, &url);
    let host = url.authority();
    let request = request(exchange, &url, host, proxied, true);
    let answer = wire::exchange(stream, &request)?;
    if let Some(location) = &answer.location {
        url.join(location)?;
    }
    match judge(exchange, Ok(answer)) {
        CheckOutcome::Up(_) => Ok(()),
        CheckOutcome::Down(failure) => Err(failure),
    }
}

fn judge(exchange: &Exchange, answer: Result<Answer, Failure>) -> CheckOutcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return CheckOutcome::Down(failure),
    };
    if !exchange.http.accepts(answer.status) {
        return CheckOutcome::Down(Failure::Status { code: answer.status, phrase: answer.phrase });
    }
    match &exchange.receive {
        Some(pattern) if !search(pattern, &answer.body) => CheckOutcome::Down(match answer.body {
            body if body.len() >= BODY_LIMIT => Failure::MismatchSoFar(body.len()),
            body => Failure::Mismatch(Failure::verbatim(&body)),
        }),
        _ => CheckOutcome::up_with(format!("{} {}", answer.status, answer.phrase)),
    }
}

fn last_answer(probe: &mut Probe<'_>) -> Result<Answer, Failure> {
    let exchange = probe.exchange;
    let mut url = Url::first(exchange, probe.target)?;
    // compat: the first request names the virtual host or the address, never a port; after a
    // redirect it is the URL's own (spec 4.4)
    let mut host = match exchange.service {
        Service::HttpProxy => url.authority().to_owned(),
        _ => exchange.virtual_host.clone().unwrap_or_else(|| url::literal(probe.target.ip())),
    };
    let first = url.origin();
    let most = if exchange.http.stays { 0 } else { MAX_REDIRECTS };
    let mut method = exchange.http_method;
    for hop in 0..=most {
        let at_home = url.origin() == first;
        let proxied = via_proxy(exchange, &url);
        let request = Request { method, ..request(exchange, &url, &host, proxied, at_home) };
        let answer = fetch(probe, &request, hop)?;
        match (&answer.location, answer.status) {
            (Some(location), 301 | 302 | 303 | 307 | 308) if hop < most => {
                // RFC 9110, section 15.4: a POST goes on as GET, but for the last two.
                if method == HttpMethod::Post && answer.status < 307 {
                    method = HttpMethod::Get;
                }
                url = url.join(location)?;
                url.authority().clone_into(&mut host);
            }
            _ => return Ok(answer),
        }
    }
    Err(Failure::Internal("a redirect too many".to_owned()))
}

/// One request and its answer.
fn fetch(probe: &mut Probe<'_>, request: &Request<'_>, hop: usize) -> Result<Answer, Failure> {
    let exchange = probe.exchange;
    let url = request.url;
    let stream = connection(probe, url, request.absolute_form)?;
    match url.scheme() {
        Scheme::Http => wire::exchange(stream, request),
        Scheme::Https => {
            // The virtual host is the name of the server that was asked first, of no other.
            let name = match &exchange.virtual_host {
                Some(name) if hop == 0 => name,
                _ => url.host(),
            };
            wire::exchange(tls::connect(stream, exchange, name)?, request)
        }
    }
}

/// `at_home`: whether it goes to the host that was asked first. Headers may be credentials, which are no other's.
fn request<'a>(
    exchange: &'a Exchange,
    url: &'a Url,
    host: &'a str,
    absolute_form: bool,
    at_home: bool,
) -> Request<'a> {
    let headers = if at_home { &exchange.http.headers[..] } else { &[] };
    let (method, body) = (exchange.http_method, exchange.http.body.as_str());
    let old = exchange.http.old;
    Request { method, url, host, absolute_form, headers, body, old }
}

/// Whether this is asked of the proxy.
// compat: the original's proxy setting is for http URLs only, others are fetched directly (spec 4.4)
fn via_proxy(exchange: &Exchange, url: &Url) -> bool {
    exchange.service == Service::HttpProxy && url.scheme() == Scheme::Http
}

fn connection(probe: &mut Probe<'_>, url: &Url, proxied: bool) -> Result<TimedStream, Failure> {
    let address = if proxied { probe.target } else { url.resolve(probe.deadline)? };
    if address == probe.target {
        return probe.tcp();
    }
    probe.dialled = None;
    probe.another(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::Pattern;

    #[test]
    fn a_pattern_not_found_in_a_body_that_was_cut_says_where_reading_stopped() {
        let receive = Some(Pattern::new("OK").expect("a pattern"));
        let http = Exchange { receive, ..exchange(Service::Http) };
        for (length, words) in [
            (BODY_LIMIT - 1, "answer does not match receive"),
            (
                BODY_LIMIT,
                "answer does not match receive in its first 1048576 bytes, where reading stopped",
            ),
        ] {
            let body = vec![b'x'; length];
            let answer = Answer { status: 200, phrase: "OK".to_owned(), location: None, body };
            let CheckOutcome::Down(failure) = judge(&http, Ok(answer)) else { panic!("{length}") };
            assert_eq!(failure.to_string(), words);
        }
    }
}
