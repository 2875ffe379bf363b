//! Certificates made for a test.

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    pub certificate: X509,
    pub key: PKey<Private>,
}

/// What a certificate is made from.
pub struct Recipe<'a> {
    pub name: &'a str,
    /// Signs it; `None` signs itself.
    pub issuer: Option<&'a Identity>,
    pub key: PKey<Private>,
    pub digest: MessageDigest,
    /// Days from now: the first and the last of validity.
    pub days: (i64, i64),
    pub authority: bool,
}

impl<'a> Recipe<'a> {
    pub fn new(name: &'a str) -> Self {
        Self {
            name,
            issuer: None,
            key: ec_key(Nid::X9_62_PRIME256V1),
            digest: MessageDigest::sha256(),
            days: (-30, 30),
            authority: false,
        }
    }

    pub fn make(self) -> Identity {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", self.name).unwrap();
        let name = name.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        let mut serial = BigNum::new().unwrap();
        serial.rand(64, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
        builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
        builder.set_subject_name(&name).unwrap();
        let issuer_name = self.issuer.map_or(&*name, |it| it.certificate.subject_name());
        builder.set_issuer_name(issuer_name).unwrap();
        builder.set_pubkey(&self.key).unwrap();
        builder.set_not_before(&day(self.days.0)).unwrap();
        builder.set_not_after(&day(self.days.1)).unwrap();
        if self.authority {
            let basic = BasicConstraints::new().critical().ca().build().unwrap();
            builder.append_extension(basic).unwrap();
            let usage = KeyUsage::new().key_cert_sign().crl_sign().build().unwrap();
            builder.append_extension(usage).unwrap();
        } else {
            let mut alternative = SubjectAlternativeName::new();
            match self.name.parse::<std::net::IpAddr>() {
                Ok(_) => alternative.ip(self.name),
                Err(_) => alternative.dns(self.name),
            };
            let context = builder.x509v3_context(None, None);
            let alternative = alternative.build(&context).unwrap();
            builder.append_extension(alternative).unwrap();
        }
        let signer = self.issuer.map_or(&self.key, |it| &it.key);
        builder.sign(signer, self.digest).unwrap();
        Identity { certificate: builder.build(), key: self.key }
    }
}

fn day(offset: i64) -> Asn1Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seconds = i64::try_from(now.as_secs()).unwrap() + offset * 86_400;
    Asn1Time::from_unix(seconds).unwrap()
}

pub fn ec_key(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub fn rsa_key(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

/// An authority, and a server's certificate from it.
pub fn chain(name: &str) -> (Identity, Identity) {
    // A name of its own: authorities of one name are tried as one.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let own_name = format!("Test authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
    let authority = Recipe { authority: true, ..Recipe::new(&own_name) }.make();
    let server = Recipe { issuer: Some(&authority), ..Recipe::new(name) }.make();
    (authority, server)
}

impl Identity {
    /// Writes certificate and key as PEM.
    pub fn write(&self, certificate: &Path, key: &Path) {
        std::fs::write(certificate, self.certificate.to_pem().unwrap()).unwrap();
        std::fs::write(key, self.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    }

    /// A TLS server with this certificate.
    pub fn acceptor(&self) -> SslAcceptor {
        self.acceptor_with(&[])
    }

    /// A TLS server with this certificate, which sends these as well.
    pub fn acceptor_with(&self, more: &[X509]) -> SslAcceptor {
        let mut builder = SslAcceptor::mozilla_intermediate(SslMethod::tls_server()).unwrap();
        builder.set_private_key(&self.key).unwrap();
        builder.set_certificate(&self.certificate).unwrap();
        for certificate in more {
            builder.add_extra_chain_cert(certificate.clone()).unwrap();
        }
        builder.build()
    }
}
