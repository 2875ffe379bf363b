//! TLS of the scripted servers, with certificates made on the spot.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod, SslStream};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder, X509Ref};

use super::stream::Connection;
use crate::world::SCRATCH;

struct Certificates {
    /// Signed by the case's authority, for the name www.example.com.
    trusted: (X509, PKey<Private>),
    self_signed: (X509, PKey<Private>),
}

static CERTIFICATES: OnceLock<Result<Certificates, String>> = OnceLock::new();

impl Connection for SslStream<TcpStream> {
    fn finish(&mut self) {
        let _ = self.shutdown();
        let _ = self.get_ref().shutdown(Shutdown::Write);
    }
}

/// `kind` is `ca` (a chain to `/run/compat/ca.pem`, another name than the address) or `selfsigned`.
pub(crate) fn accept(kind: &str, stream: TcpStream) -> io::Result<SslStream<TcpStream>> {
    let certificates = certificates().map_err(io::Error::other)?;
    let (certificate, key) = match kind {
        "ca" => &certificates.trusted,
        _ => &certificates.self_signed,
    };
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_private_key(key)?;
    acceptor.set_certificate(certificate)?;
    acceptor.build().accept(stream).map_err(|e| io::Error::other(e.to_string()))
}

/// Makes the authority's file before a check may want it.
pub(crate) fn prepare() -> Result<(), String> {
    certificates().map(|_| ())
}

fn certificates() -> Result<&'static Certificates, String> {
    let made = CERTIFICATES.get_or_init(|| {
        let (certificates, authority) = make().map_err(|e| format!("make certificates: {e}"))?;
        let pem = authority.to_pem().map_err(|e| format!("make certificates: {e}"))?;
        std::fs::write(format!("{SCRATCH}/ca.pem"), pem)
            .map_err(|e| format!("write ca.pem: {e}"))?;
        Ok(certificates)
    });
    made.as_ref().map_err(Clone::clone)
}

fn make() -> Result<(Certificates, X509), ErrorStack> {
    let authority_key = key()?;
    let authority = certificate("lab authority", &authority_key, None, true)?;
    let trusted_key = key()?;
    let trusted =
        certificate("www.example.com", &trusted_key, Some((&authority, &authority_key)), false)?;
    let own_key = key()?;
    let own = certificate("www.example.com", &own_key, None, false)?;
    Ok((Certificates { trusted: (trusted, trusted_key), self_signed: (own, own_key) }, authority))
}

fn key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn certificate(
    name: &str,
    key: &PKey<Private>,
    issuer: Option<(&X509Ref, &PKey<Private>)>,
    authority: bool,
) -> Result<X509, ErrorStack> {
    let mut subject = X509NameBuilder::new()?;
    subject.append_entry_by_nid(Nid::COMMONNAME, name)?;
    let subject = subject.build();
    let mut builder = X509::builder()?;
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let serial = serial.to_asn1_integer()?;
    let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(2)?);
    builder.set_version(2)?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&subject)?;
    builder
        .set_issuer_name(issuer.map_or(&subject, |(certificate, _)| certificate.subject_name()))?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&from)?;
    builder.set_not_after(&to)?;
    if authority {
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    } else {
        let names =
            SubjectAlternativeName::new().dns(name).build(&builder.x509v3_context(None, None))?;
        builder.append_extension(names)?;
    }
    builder.sign(issuer.map_or(key, |(_, key)| key), MessageDigest::sha256())?;
    Ok(builder.build())
}
