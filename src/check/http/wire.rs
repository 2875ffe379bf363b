//! One HTTP request over a stream that stands already, with ureq.
//!
//! ureq reads strictly; the original's library does not, and servers that it has found good for
//! years must not fall ill. So the head of an answer is tidied before ureq sees it.

use super::super::Failure;
use super::super::transcript::secret;
use super::url::Url;
use super::{BODY_LIMIT, HttpMethod};
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use ureq::config::Config;
use ureq::http::{self, StatusCode, Uri, header};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error};

/// Bytes of an answer's head.
const HEAD_LIMIT: usize = 64 * 1024;

/// Bytes of one header that matters here.
const HEADER_LIMIT: usize = 8 * 1024;

/// Holds a tidied head (three headers at most) with the beginning of the body.
const INPUT_BUFFER: usize = 4 * HEADER_LIMIT;

/// Bytes read at a time while the head is incomplete.
const READ: usize = 4096;

/// Begins as the original's does, so that what sorts out health checks in access logs still does.
const USER_AGENT: &str = concat!("libwww-perl/6.68 ldirectord-rs/", env!("CARGO_PKG_VERSION"));

/// What is asked.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: HttpMethod,
    pub(super) url: &'a Url,
    /// The Host header.
    pub(super) host: &'a str,
    /// Whether the request line has the whole URL, as a proxy needs it (RFC 9112, section 3.2.2).
    pub(super) absolute_form: bool,
    /// Names and values beside our own.
    pub(super) headers: &'a [(String, String)],
    /// Of a POST.
    pub(super) body: &'a str,
    /// Whether it is of HTTP/1.0.
    pub(super) old: bool,
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The status line's, else the status's usual one.
    pub(super) phrase: String,
    /// The Location header.
    pub(super) location: Option<Vec<u8>>,
    /// As far as it came, at most [`BODY_LIMIT`] bytes; without chunks, else as it came.
    pub(super) body: Vec<u8>,
}

/// Asks, and reads the answer.
///
/// A body that ends early counts as far as it came; one that does not end in time does not.
pub(super) fn exchange<S>(stream: S, request: &Request<'_>) -> Result<Answer, Failure>
where
    S: Read + Write + Debug + Send + Sync + 'static,
{
    let heard = Heard::default();
    let wire = Wire {
        stream,
        buffers: LazyBuffers::new(
            INPUT_BUFFER,
            2048 + request.url.path_and_query().len()
                + request.host.len()
                + length(request.headers),
        ),
        origin: request.absolute_form.then(|| request.url.origin()),
        head: Some(Vec::new()),
        heard: heard.clone(),
        https: request.url.scheme() == super::Scheme::Https,
    };
    let agent =
        Agent::with_parts(config().clone(), OneConnection(Mutex::new(Some(wire))), NoResolver);
    let head = head_of(request)?;
    let answer = match request.method {
        HttpMethod::Post => agent.run(head.map(|()| request.body)),
        HttpMethod::Get | HttpMethod::Head => agent.run(head),
    };
    let response = answer.map_err(|error| heard.failure(error))?;
    let location = response.headers().get(header::LOCATION).map(|it| it.as_bytes().to_vec());
    let body = read_body(response.into_body().into_reader(), &heard)?;
    let (status, phrase) = heard.status_line();
    Ok(Answer { status, phrase, location, body })
}

fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        Config::builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(INPUT_BUFFER)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .max_idle_connections(0)
            .build()
    })
}

fn head_of(request: &Request<'_>) -> Result<http::Request<()>, Failure> {
    let method = match request.method {
        HttpMethod::Get => "GET",
        HttpMethod::Head => "HEAD",
        HttpMethod::Post => "POST",
    };
    let url = format!("{}{}", request.url.origin(), request.url.path_and_query());
    let mut builder = http::Request::builder()
        .method(method)
        .uri(url)
        .version(if request.old { http::Version::HTTP_10 } else { http::Version::HTTP_11 })
        .header(header::HOST, request.host.as_bytes())
        .header(header::CONNECTION, "close");
    let named =
        |wanted: &str| request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if !named("User-Agent") {
        builder = builder.header(header::USER_AGENT, USER_AGENT);
    }
    for (name, value) in request.headers {
        // What proves who asks is for nobody to read in a transcript.
        let shown = matches!(
            &*name.to_ascii_lowercase(),
            "accept" | "accept-language" | "content-type" | "user-agent"
        );
        let value = if shown { value } else { secret(value) };
        builder = builder.header(name, value);
    }
    if let Some(user) = request.url.user() {
        let credentials = openssl::base64::encode_block(&decode(user));
        builder = builder.header(header::AUTHORIZATION, format!("Basic {}", secret(&credentials)));
    }
    builder.body(()).map_err(|error| Failure::Config(format!("request: {error}").into()))
}

/// Bytes of these headers as they are sent.
fn length(headers: &[(String, String)]) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if byte == b'%' => {
                decoded.push(value);
                rest = &after[2..];
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

fn read_body(mut reader: impl Read, heard: &Heard) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let mut chunk = [0; READ];
    while body.len() < BODY_LIMIT {
        match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => body.extend_from_slice(&chunk[..count]),
            Err(_) if heard.timed_out() => return Err(Failure::TimedOut),
            // compat: what came before a reset, a bad chunk or an early end counts (K7)
            Err(_) => break,
        }
    }
    body.truncate(BODY_LIMIT);
    Ok(body)
}

/// What the wire knows and ureq does not pass on.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    status: u16,
    phrase: String,
    failure: Option<Failure>,
}

impl Heard {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_status_line(&self, status: u16, phrase: String) {
        let mut notes = self.notes();
        (notes.status, notes.phrase) = (status, phrase);
    }

    /// The status, and its phrase, else its usual one.
    fn status_line(&self) -> (u16, String) {
        let mut notes = self.notes();
        let (status, phrase) = (notes.status, std::mem::take(&mut notes.phrase));
        if !phrase.is_empty() {
            return (status, phrase);
        }
        let usual = StatusCode::from_u16(status).ok().and_then(|it| it.canonical_reason());
        (status, usual.unwrap_or_default().to_owned())
    }

    /// Keeps the failure and gives ureq a stand-in.
    fn fail(&self, failure: Failure) -> Error {
        self.notes().failure = Some(failure);
        Error::ConnectionFailed
    }

    fn timed_out(&self) -> bool {
        self.notes().failure == Some(Failure::TimedOut)
    }

    fn failure(&self, error: Error) -> Failure {
        let kept = self.notes().failure.take();
        kept.unwrap_or_else(|| match error {
            Error::Io(error) => error.into(),
            Error::BadUri(what) => Failure::Config(format!("request: {what}").into()),
            Error::Protocol(error) => Failure::Protocol(error.to_string().into()),
            other => Failure::Protocol(other.to_string().into()),
        })
    }
}

/// Gives ureq the connection that stands.
#[derive(Debug)]
struct OneConnection<S>(Mutex<Option<Wire<S>>>);

impl<S: Read + Write + Debug + Send + Sync + 'static> Connector<()> for OneConnection<S> {
    type Out = Wire<S>;

    fn connect(&self, _: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire<S>>, Error> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).take())
    }
}

/// The connection stands, so there is nothing to resolve.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// The stream keeps the deadline, so ureq's timeouts are not used.
#[derive(Debug)]
struct Wire<S> {
    stream: S,
    buffers: LazyBuffers,
    /// What goes before the path of the request line.
    origin: Option<String>,
    /// The head as far as it has come; `None` once it has been passed on.
    head: Option<Vec<u8>>,
    heard: Heard,
    /// What ureq is told; the stream has seen to TLS.
    https: bool,
}

impl<S: Read + Write + Debug + Send + Sync + 'static> Transport for Wire<S> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        let output = &self.buffers.output()[..amount];
        let sent = match self.origin.take() {
            None => self.stream.write_all(output),
            Some(origin) => self.stream.write_all(&with_origin(output, &origin)),
        };
        match sent.and_then(|()| self.stream.flush()) {
            // A server may answer before it has read, and close: its answer is still to be read.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(self.heard.fail(error.into()))
            }
            Err(_) | Ok(()) => Ok(()),
        }
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let Some(mut head) = self.head.take() else {
            let count = read(&mut self.stream, self.buffers.input_append_buf())
                .map_err(|failure| self.heard.fail(failure))?;
            self.buffers.input_appended(count);
            return Ok(count > 0);
        };
        let tidy = self.read_head(&mut head).map_err(|failure| self.heard.fail(failure))?;
        let input = self.buffers.input_append_buf();
        let length = tidy.head.len() + tidy.rest.len();
        let Some(input) = input.get_mut(..length) else {
            return Err(self.heard.fail(Failure::TooLong));
        };
        input[..tidy.head.len()].copy_from_slice(tidy.head.as_bytes());
        input[tidy.head.len()..].copy_from_slice(tidy.rest);
        self.buffers.input_appended(length);
        self.heard.set_status_line(tidy.status, tidy.phrase);
        Ok(true)
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        self.https
    }
}

impl<S: Read> Wire<S> {
    /// Reads until the final head is complete; interim ones (1xx) are passed over.
    fn read_head<'h>(&mut self, head: &'h mut Vec<u8>) -> Result<Tidy<'h>, Failure> {
        loop {
            while let Some(end) = end_of_head(head) {
                if !is_interim(head) {
                    return tidy(head, end);
                }
                head.drain(..end);
            }
            if head.len() > HEAD_LIMIT {
                return Err(Failure::TooLong);
            }
            let mut chunk = [0; READ];
            let count = read(&mut self.stream, &mut chunk)?;
            head.extend_from_slice(&chunk[..count]);
            let blank = head.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
            head.drain(..blank);
            let start = &head[..head.len().min(5)];
            if !b"HTTP/".starts_with(start) {
                return Err(Failure::Protocol("it does not speak HTTP".into()));
            }
            if count == 0 {
                return Err(Failure::Closed);
            }
        }
    }
}

fn read(stream: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Failure> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return Ok(other?),
        }
    }
}

/// `GET /path` becomes `GET http://host/path`.
fn with_origin(head: &[u8], origin: &str) -> Vec<u8> {
    let path = head.iter().position(|&byte| byte == b' ').map_or(0, |at| at + 1);
    [&head[..path], origin.as_bytes(), &head[path..]].concat()
}

/// Where the body begins: after the first empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let end = from + bytes[from..].iter().position(|&byte| byte == b'\n')?;
        if matches!(&bytes[from..end], b"" | b"\r") {
            return Some(end + 1);
        }
        from = end + 1;
    }
}

/// Whether this head is of a 1xx answer that another one follows (RFC 9110, section 15.2).
fn is_interim(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    status_line(line).is_some_and(|(_, status, _)| status / 100 == 1 && status != 101)
}

/// A head of three headers at most, made from what came.
#[derive(Debug, PartialEq, Eq)]
struct Tidy<'h> {
    head: String,
    status: u16,
    phrase: String,
    rest: &'h [u8],
}

/// Keeps what a check needs of a head, and repairs what a tolerant reader understands: folded
/// lines, blanks before the colon, lines without colon, senseless or repeated lengths.
fn tidy(bytes: &[u8], end: usize) -> Result<Tidy<'_>, Failure> {
    let mut lines = bytes[..end].split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    let (version, status, phrase) = lines
        .next()
        .and_then(status_line)
        .ok_or(Failure::Protocol("the status line is not one of HTTP".into()))?;
    let mut length = None;
    let mut chunked = false;
    let mut location: Option<String> = None;
    for (name, value) in unfolded(lines) {
        match name.as_str() {
            "content-length" if length.is_none() => {
                let first = value.split(',').next().unwrap_or_default();
                length = Some(first.trim().parse::<u64>().ok());
            }
            "transfer-encoding" => chunked |= value.to_ascii_lowercase().contains("chunked"),
            "location" if value.len() <= HEADER_LIMIT => location = Some(value),
            _ => {}
        }
    }
    // compat: a body that has a length is read even where HTTP allows none; ureq would not, so to it
    // this is another status, which nobody asks it for (compat/cases/503)
    let told = match status {
        204 if chunked || matches!(length, Some(Some(_))) => 200,
        other => other,
    };
    let mut head = format!("HTTP/1.{version} {told}\r\nconnection: close\r\n");
    match length {
        _ if chunked => head.push_str("transfer-encoding: chunked\r\n"),
        Some(Some(length)) => head.push_str(&format!("content-length: {length}\r\n")),
        _ => {}
    }
    if let Some(location) = location {
        head.push_str(&format!("location: {location}\r\n"));
    }
    head.push_str("\r\n");
    Ok(Tidy { head, status, phrase, rest: &bytes[end..] })
}

/// Names in lower case, values on one line, without control characters.
fn unfolded<'h>(lines: impl Iterator<Item = &'h [u8]>) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines {
        let line: String = String::from_utf8_lossy(line).replace(char::is_control, " ");
        if line.starts_with(' ') {
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    headers
}

/// `HTTP/1.1 200 OK`: 0 for HTTP/1.0 and before, else 1; the status; the phrase.
fn status_line(line: &[u8]) -> Option<(u8, u16, String)> {
    let line = String::from_utf8_lossy(line.strip_prefix(b"HTTP/")?);
    let (version, rest) = line.split_once([' ', '\t'])?;
    let (major, minor) = version.split_once('.')?;
    let (major, minor): (u8, u8) = (major.parse().ok()?, minor.parse().ok()?);
    let rest = rest.trim_start();
    let digits = rest.get(..3)?;
    let status = digits.parse().ok().filter(|status| (100..1000).contains(status))?;
    let phrase = &rest[3..];
    if !phrase.is_empty() && !phrase.starts_with([' ', '\t']) && !phrase.starts_with('\r') {
        return None;
    }
    let phrase = Failure::text(phrase.trim().as_bytes());
    Some((u8::from((major, minor) > (1, 0)), status, phrase))
}
