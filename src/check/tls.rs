//! TLS for https, pops, imaps and ldaps, over OpenSSL because it still speaks to old servers.
//!
//! Protocol versions, ciphers and security level are those of the machine's OpenSSL
//! configuration, as they are for the original.

use super::{Failure, TimedStream};
use crate::model::{CertificateCheck, Exchange};
use openssl::error::ErrorStack;
use openssl::ssl::{
    HandshakeError, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslStream,
    SslVerifyMode,
};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509VerifyResult};
use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

/// The largest `checkcafile` that is read, in bytes; all of Mozilla's certificates are 0.2 MB.
const CA_FILE_LIMIT: u64 = 16 * 1024 * 1024;

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
) -> Result<SslStream<TimedStream>, Failure> {
    let context = context(exchange.certificate, exchange.ca_file.as_deref())?;
    let mut ssl = Ssl::new(&context).map_err(internal)?;
    set_name(&mut ssl, name, exchange.certificate).map_err(internal)?;
    ssl.connect(stream).map_err(handshake_failure)
}

/// The name that the server's certificate should have: `virtualhost`, else the address.
pub(super) fn server_name(exchange: &Exchange, address: IpAddr) -> String {
    exchange.virtual_host.clone().unwrap_or_else(|| address.to_string())
}

fn set_name(ssl: &mut SslRef, name: &str, check: CertificateCheck) -> Result<(), ErrorStack> {
    let name = name.trim_end_matches('.');
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

fn handshake_failure(error: HandshakeError<TimedStream>) -> Failure {
    let middle = match error {
        HandshakeError::SetupFailure(error) => return internal(error),
        HandshakeError::Failure(middle) | HandshakeError::WouldBlock(middle) => middle,
    };
    let verified = middle.ssl().verify_result();
    if verified != X509VerifyResult::OK && middle.error().ssl_error().is_some() {
        return Failure::Tls(format!("certificate not trusted: {}", verified.error_string()));
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

/// What a context was made from; a file that is written anew makes a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

/// One context for each way of verifying: making one loads certificates (90 ms for a whole
/// store), using one is cheap.
type Contexts = HashMap<(CertificateCheck, Option<PathBuf>), (Option<Stamp>, SslContext)>;

fn context(check: CertificateCheck, ca_file: Option<&Path>) -> Result<SslContext, Failure> {
    static CONTEXTS: OnceLock<Mutex<Contexts>> = OnceLock::new();
    let ca_file = ca_file.filter(|_| check != CertificateCheck::No);
    let stamp = ca_file.map(stamp).transpose()?;
    let mut contexts =
        CONTEXTS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let key = (check, ca_file.map(Path::to_owned));
    if let Some((made_from, context)) = contexts.get(&key)
        && *made_from == stamp
    {
        return Ok(context.clone());
    }
    let context = make_context(check, ca_file)?;
    contexts.insert(key, (stamp, context.clone()));
    Ok(context)
}

fn stamp(file: &Path) -> Result<Stamp, Failure> {
    let cannot = |error| ca_file_failure(file, &error);
    let meta = fs::metadata(file).map_err(cannot)?;
    if !meta.is_file() || meta.len() > CA_FILE_LIMIT {
        return Err(ca_file_failure(file, &"not a file of certificates"));
    }
    Ok(Stamp { modified: meta.modified().map_err(cannot)?, bytes: meta.len() })
}

fn make_context(check: CertificateCheck, ca_file: Option<&Path>) -> Result<SslContext, Failure> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).map_err(internal)?;
    // Many servers close without saying goodbye; the protocol above knows whether it was the end.
    builder.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
    if check == CertificateCheck::No {
        builder.set_verify(SslVerifyMode::NONE);
        return Ok(builder.build());
    }
    builder.set_verify(SslVerifyMode::PEER);
    // compat: a trusted certificate ends the chain also where it is not a root
    builder.verify_param_mut().set_flags(X509VerifyFlags::PARTIAL_CHAIN).map_err(internal)?;
    // The machine's store; SSL_CERT_FILE and SSL_CERT_DIR replace it. A directory is read as needed.
    builder.set_default_verify_paths().map_err(internal)?;
    if let Some(file) = ca_file {
        let pem = fs::read(file).map_err(|error| ca_file_failure(file, &error))?;
        let certificates =
            X509::stack_from_pem(&pem).map_err(|error| ca_file_failure(file, &error))?;
        if certificates.is_empty() {
            return Err(ca_file_failure(file, &"no certificate in it"));
        }
        for certificate in certificates {
            builder.cert_store_mut().add_cert(certificate).map_err(internal)?;
        }
    }
    Ok(builder.build())
}

fn ca_file_failure(file: &Path, cause: &dyn std::fmt::Display) -> Failure {
    Failure::Config(format!("checkcafile {}: {cause}", file.display()).into())
}
