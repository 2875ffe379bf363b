//! What a TLS handshake showed, for whoever listens to a check: version, cipher, certificates, and
//! which of them is not trusted and why.

use super::expiry::seconds_since_1970;
use super::transcript::{self, Certificate, Handshake, Seen};
use crate::logging::cut;
use crate::model::CertificateCheck;
use openssl::asn1::Asn1TimeRef;
use openssl::nid::Nid;
use openssl::ssl::{NameType, SslRef, SslVerifyMode};
use openssl::x509::{X509NameRef, X509Ref, X509StoreContextRef};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Certificates of a chain that are told of.
const CHAIN: usize = 8;

/// Names of one certificate that are told of.
const NAMES: usize = 20;

/// Bytes of a name.
const NAME: usize = 200;

/// What is seen while hands are shaken.
#[derive(Debug)]
pub(super) struct Watch {
    asked: CertificateCheck,
    server_name: Option<String>,
    verified: Arc<Mutex<Verified>>,
}

#[derive(Debug, Default)]
struct Verified {
    distrust: Option<(u32, String)>,
    /// As far as verification has come.
    chain: Vec<Certificate>,
}

/// Looks on, if somebody listens; the verdict on each certificate stays OpenSSL's.
pub(super) fn watch(ssl: &mut SslRef, asked: CertificateCheck) -> Option<Watch> {
    if !transcript::is_recording() {
        return None;
    }
    let verified = Arc::new(Mutex::new(Verified::default()));
    if asked != CertificateCheck::No {
        let verified = Arc::clone(&verified);
        ssl.set_verify_callback(SslVerifyMode::PEER, move |trusted, context| {
            if !trusted {
                let mut verified = verified.lock().unwrap_or_else(PoisonError::into_inner);
                let error = context.error().error_string().to_owned();
                verified.distrust.get_or_insert((context.error_depth(), error));
                verified.chain = seen_chain(context);
            }
            trusted
        });
    }
    let server_name = ssl.servername(NameType::HOST_NAME).map(str::to_owned);
    Some(Watch { asked, server_name, verified })
}

/// Tells how it went.
pub(super) fn tell(watch: Option<Watch>, ssl: Option<&SslRef>, agreed: bool) {
    let (Some(Watch { asked, server_name, verified }), Some(ssl)) = (watch, ssl) else { return };
    let mut verified = verified.lock().unwrap_or_else(PoisonError::into_inner);
    let sent: Vec<Certificate> =
        ssl.peer_cert_chain().into_iter().flatten().take(CHAIN).map(certificate).collect();
    let chain = if sent.is_empty() { std::mem::take(&mut verified.chain) } else { sent };
    let distrust = verified.distrust.take();
    transcript::tell(|| {
        Seen::Tls(Box::new(Handshake {
            server_name,
            version: ssl.version_str().to_owned(),
            cipher: ssl.current_cipher().map(|cipher| cipher.name().to_owned()),
            asked: match asked {
                CertificateCheck::Chain => "chain",
                CertificateCheck::Name => "name",
                CertificateCheck::No => "no",
            }
            .to_owned(),
            chain,
            agreed,
            distrust,
        }))
    });
}

fn seen_chain(context: &X509StoreContextRef) -> Vec<Certificate> {
    context.chain().into_iter().flatten().take(CHAIN).map(certificate).collect()
}

fn certificate(certificate: &X509Ref) -> Certificate {
    let alternatives = certificate.subject_alt_names();
    let names = alternatives.iter().flatten().filter_map(|name| {
        let text = name.dnsname().map(str::to_owned);
        text.or_else(|| name.ipaddress().and_then(address))
    });
    Certificate {
        subject: words(certificate.subject_name()),
        issuer: words(certificate.issuer_name()),
        names: names.take(NAMES).map(|name| cut(&name, NAME).to_owned()).collect(),
        not_before: unix(certificate.not_before()),
        not_after: unix(certificate.not_after()),
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.ok().map(|address| address.to_string())
}

/// `C=DE, O=Example, CN=www.example.com`
fn words(name: &X509NameRef) -> String {
    let parts = name.entries().take(NAMES).map(|entry| {
        let kind = match entry.object().nid() {
            Nid::UNDEF => entry.object().to_string(),
            nid => nid.short_name().unwrap_or("?").to_owned(),
        };
        format!("{kind}={}", String::from_utf8_lossy(entry.data().as_slice()))
    });
    let text = parts.collect::<Vec<_>>().join(", ");
    cut(&text, NAME).to_owned()
}

/// Seconds since 1970; 0 for what is no time.
fn unix(time: &Asn1TimeRef) -> i64 {
    seconds_since_1970(time).unwrap_or_default()
}
