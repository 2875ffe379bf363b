//! TLS of all protocols, over OpenSSL because it still speaks to old servers.
//!
//! Protocol versions, ciphers and security level are those of the machine's OpenSSL
//! configuration, as they are for the original.

use super::expiry;
use super::handshake;
use super::ours::is_want;
use super::{Failure, TimedStream, transcript};
use crate::model::{CertificateCheck, ClientCertificate, Exchange, without_port};
use crate::pem;
use openssl::error::ErrorStack;
use openssl::ssl::{
    HandshakeError, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslStream,
    SslVerifyMode,
};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509VerifyResult};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

/// The largest file of `checkcafile`, `checkcert` and `checkkey` that is read, in bytes; all of Mozilla's
/// certificates are 0.2 MB.
pub const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// Shakes hands within the stream's deadline.
///
/// `name` is the server's name, or its address as text; see [`server_name`]. A name is sent as SNI
/// (an address must not be: RFC 6066, section 3); either is compared with the certificate if
/// `checkcertificate = name`.
///
/// # Errors
/// [`Failure::Tls`] with OpenSSL's reason or the verification's; [`Failure::Config`] if
/// `checkcafile` cannot be read; else as the stream's.
pub(super) fn connect(
    stream: TimedStream,
    exchange: &Exchange,
    name: &str,
) -> Result<TlsStream, Failure> {
    let context = context(exchange)?;
    let mut ssl = Ssl::new(&context).map_err(no_memory)?;
    set_name(&mut ssl, name, exchange.certificate).map_err(internal)?;
    let watch = handshake::watch(&mut ssl, exchange.certificate);
    match ssl.connect(stream.sealed()) {
        Ok(stream) => {
            handshake::tell(watch, Some(stream.ssl()), true);
            if exchange.certificate_days.is_some() {
                expiry::note(stream.ssl());
            }
            Ok(TlsStream(stream))
        }
        Err(error) => {
            let ssl = match &error {
                HandshakeError::SetupFailure(_) => None,
                HandshakeError::Failure(middle) | HandshakeError::WouldBlock(middle) => {
                    Some(middle.ssl())
                }
            };
            handshake::tell(watch, ssl, false);
            Err(handshake_failure(error))
        }
    }
}

/// What is said over TLS, in the clear to whoever listens to the check.
#[derive(Debug)]
pub struct TlsStream(SslStream<TimedStream>);

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        transcript::received(&buffer[..count]);
        Ok(count)
    }
}

impl Write for TlsStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.0.write(buffer)?;
        transcript::sent(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The name that the server's certificate should have: `virtualhost`, else the address.
pub(super) fn server_name(exchange: &Exchange, address: IpAddr) -> String {
    exchange.virtual_host.clone().unwrap_or_else(|| address.to_string())
}

/// OpenSSL's reason for a handshake that verification has ended (sslerr.h).
const CERTIFICATE_VERIFY_FAILED: i32 = 134;

/// The library of errors that [`CERTIFICATE_VERIFY_FAILED`] is one of (err.h).
const SSL_LIBRARY: i32 = 20;

fn set_name(ssl: &mut SslRef, name: &str, check: CertificateCheck) -> Result<(), ErrorStack> {
    let name = without_port(name).trim_end_matches('.');
    let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    if literal.is_none() && is_host_name(name) {
        ssl.set_hostname(name)?;
    }
    match (check, literal) {
        (CertificateCheck::Name, Some(address)) => ssl.param_mut().set_ip(address),
        (CertificateCheck::Name, None) => ssl.param_mut().set_host(name),
        (CertificateCheck::Chain | CertificateCheck::No, _) => Ok(()),
    }
}

/// Whether this can be sent as a server name: OpenSSL takes anything up to 255 bytes, servers
/// close on nonsense.
fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn internal(error: ErrorStack) -> Failure {
    Failure::Internal(error.to_string())
}

/// The only reason there is for a part of OpenSSL not to be had.
fn no_memory(error: ErrorStack) -> Failure {
    Failure::Local(error.to_string())
}

fn handshake_failure(error: HandshakeError<TimedStream>) -> Failure {
    let middle = match error {
        HandshakeError::SetupFailure(error) => return internal(error),
        HandshakeError::Failure(middle) | HandshakeError::WouldBlock(middle) => middle,
    };
    // A certificate that is not asked for has a result all the same, and says nothing of the failure.
    let failed = middle.error().ssl_error().is_some_and(is_verification);
    let verified = middle.ssl().verify_result();
    if failed && verified != X509VerifyResult::OK {
        // Certificates of the machine are read as they are needed.
        return Failure::Tls(format!("certificate not trusted: {}", verified.error_string()))
            .or_want();
    }
    match middle.into_error().into_io_error() {
        Ok(error) => error.into(),
        Err(error) => match error.ssl_error().and_then(|stack| stack.errors().first()?.reason()) {
            Some(reason) => Failure::Tls(reason.to_owned()),
            // No reason and no system error: the end of the stream.
            None => Failure::Closed,
        },
    }
}

fn is_verification(stack: &ErrorStack) -> bool {
    let is = |error: &openssl::error::Error| {
        error.library_code() == SSL_LIBRARY && error.reason_code() == CERTIFICATE_VERIFY_FAILED
    };
    stack.errors().iter().any(is)
}

/// What a context was made from; a file that is written anew makes a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    File(Stamp),
    /// The number that [`supply`] gave it.
    Supplied(u64),
}

/// A file as it was when somebody looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl Stamp {
    /// The file as it is now.
    ///
    /// # Errors
    /// When it cannot be looked at, or is no file of certificates by its kind or size.
    pub fn of(file: &Path) -> io::Result<Self> {
        let meta = fs::metadata(file)?;
        if !meta.is_file() || meta.len() > FILE_LIMIT {
            return Err(io::Error::other("not a file of certificates"));
        }
        Ok(Self { modified: meta.modified()?, bytes: meta.len() })
    }
}

/// The content of a file, or why there is none.
#[derive(Debug, Clone)]
struct Supplied {
    number: u64,
    content: Result<Arc<[u8]>, String>,
}

fn supplied() -> MutexGuard<'static, HashMap<PathBuf, Supplied>> {
    static SUPPLIED: OnceLock<Mutex<HashMap<PathBuf, Supplied>>> = OnceLock::new();
    SUPPLIED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, this is what a file holds, or why it cannot be read: for a process that may
/// not read it itself.
pub fn supply(file: PathBuf, content: Result<Vec<u8>, String>) {
    let mut all = supplied();
    let number = all.get(&file).map_or(0, |before| before.number + 1);
    all.insert(file, Supplied { number, content: content.map(Into::into) });
}

/// A file of PEM that a directive names.
#[derive(Debug, Clone, Copy)]
struct Pem<'a> {
    directive: &'static str,
    file: &'a Path,
}

impl Pem<'_> {
    fn supplied(self) -> Option<Supplied> {
        supplied().get(self.file).cloned()
    }

    fn origin(self) -> Result<Origin, Failure> {
        match self.supplied() {
            Some(Supplied { number, .. }) => Ok(Origin::Supplied(number)),
            None => Ok(Origin::File(Stamp::of(self.file).map_err(|error| self.unreadable(error))?)),
        }
    }

    fn content(self) -> Result<Arc<[u8]>, Failure> {
        match self.supplied() {
            Some(Supplied { content, .. }) => content.map_err(|cause| self.failure(&cause)),
            None => Ok(fs::read(self.file).map_err(|error| self.unreadable(error))?.into()),
        }
    }

    fn certificates(self) -> Result<Vec<X509>, Failure> {
        let certificates =
            X509::stack_from_pem(&self.content()?).map_err(|error| self.failure(&error))?;
        match certificates.is_empty() {
            true => Err(self.failure(&"no certificate in it")),
            false => Ok(certificates),
        }
    }

    fn unreadable(self, error: io::Error) -> Failure {
        match is_want(&error) {
            true => Failure::local(error),
            false => self.failure(&error),
        }
    }

    fn failure(self, cause: &dyn std::fmt::Display) -> Failure {
        let Self { directive, file } = self;
        Failure::Config(format!("{directive} {}: {cause}", file.display()).into())
    }
}

/// What a context is made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Ingredients {
    check: CertificateCheck,
    ca_file: Option<PathBuf>,
    client: Option<ClientCertificate>,
}

impl Ingredients {
    fn of(exchange: &Exchange) -> Self {
        let check = exchange.certificate;
        let ca_file = exchange.ca_file.clone().filter(|_| check != CertificateCheck::No);
        Self { check, ca_file, client: exchange.client.clone() }
    }

    fn ca_file(&self) -> Option<Pem<'_>> {
        self.ca_file.as_deref().map(|file| Pem { directive: "checkcafile", file })
    }

    fn client(&self) -> Option<(Pem<'_>, Pem<'_>)> {
        let ClientCertificate { certificate, key } = self.client.as_ref()?;
        let certificate = Pem { directive: "checkcert", file: certificate };
        Some((certificate, Pem { directive: "checkkey", file: key }))
    }

    fn origins(&self) -> Result<Vec<Origin>, Failure> {
        let client = self.client().into_iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca_file().into_iter().chain(client).map(Pem::origin).collect()
    }
}

/// One context for each: making one loads certificates (90 ms for a whole store), using one is
/// cheap. It is made anew when a file has changed.
type Contexts = HashMap<Ingredients, (Vec<Origin>, SslContext)>;

fn context(exchange: &Exchange) -> Result<SslContext, Failure> {
    static CONTEXTS: OnceLock<Mutex<Contexts>> = OnceLock::new();
    let ingredients = Ingredients::of(exchange);
    let origins = ingredients.origins()?;
    let mut contexts =
        CONTEXTS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((made_from, context)) = contexts.get(&ingredients)
        && *made_from == origins
    {
        return Ok(context.clone());
    }
    let context = make_context(&ingredients)?;
    contexts.insert(ingredients, (origins, context.clone()));
    Ok(context)
}

fn make_context(ingredients: &Ingredients) -> Result<SslContext, Failure> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).map_err(no_memory)?;
    // Many servers close without saying goodbye; the protocol above knows whether it was the end.
    builder.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
    if let Some((certificate, key)) = ingredients.client() {
        set_client(&mut builder, certificate, key)?;
    }
    if ingredients.check == CertificateCheck::No {
        builder.set_verify(SslVerifyMode::NONE);
        return Ok(builder.build());
    }
    builder.set_verify(SslVerifyMode::PEER);
    // compat: a trusted certificate ends the chain also where it is not a root
    builder.verify_param_mut().set_flags(X509VerifyFlags::PARTIAL_CHAIN).map_err(no_memory)?;
    // The machine's store; SSL_CERT_FILE and SSL_CERT_DIR replace it. A directory is read as needed.
    builder.set_default_verify_paths().map_err(no_memory)?;
    for certificate in
        ingredients.ca_file().map(Pem::certificates).transpose()?.into_iter().flatten()
    {
        builder.cert_store_mut().add_cert(certificate).map_err(no_memory)?;
    }
    Ok(builder.build())
}

fn set_client(
    builder: &mut SslContextBuilder,
    certificate: Pem<'_>,
    key: Pem<'_>,
) -> Result<(), Failure> {
    let mut chain = certificate.certificates()?.into_iter();
    if let Some(first) = chain.next() {
        builder.set_certificate(&first).map_err(|error| certificate.failure(&error))?;
    }
    for issuer in chain {
        builder.add_extra_chain_cert(issuer).map_err(no_memory)?;
    }
    let private = pem::private_key(&key.content()?).map_err(|cause| key.failure(&cause))?;
    builder.set_private_key(&private).map_err(|error| key.failure(&error))
}
