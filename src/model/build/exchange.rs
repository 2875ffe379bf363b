//! The question and answer of a negotiate check.

use super::Builder;
use super::check::{intern, transport};
use super::lookup::Lookup;
use crate::config::{
    CHECKCAFILE, CHECKCERTIFICATE, DATABASE, Found, HTTPBODY, HTTPHEADER, HTTPMETHOD, HTTPREDIRECT,
    HTTPSTATUS, LOGIN, PASSWD, Place, RECEIVE, REQUEST, SECRET, Section, VIRTUALHOST, Value,
};
use crate::model::{
    CertificateCheck, Exchange, HttpMethod, HttpOptions, Pattern, Service, ServiceAddress,
};
use std::path::PathBuf;
use std::sync::Arc;

impl Builder<'_, '_> {
    pub(super) fn exchange(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        address: ServiceAddress,
        service: Service,
    ) -> Arc<Exchange> {
        // Only this program minds a bad pattern or certificate file: the original's errors go first.
        let found = Found::After(section.end);
        let receive = match lookup.directive(&RECEIVE) {
            Some(directive) => lookup
                .text(&RECEIVE)
                .and_then(|source| self.pattern(service, source, &directive.place, found)),
            None => None,
        };
        let owned = |row| lookup.text(row).map(str::to_owned);
        let login = owned(&LOGIN).unwrap_or_else(|| self.default_login(service));
        let passwd = owned(&PASSWD).unwrap_or_else(|| self.default_password(service));
        let exchange = Exchange {
            service,
            transport: transport(address),
            request: match self.own_service(lookup).filter(|_| service == Service::Own) {
                Some((definition, _)) => definition.clone(),
                None => with_slash(lookup.text(&REQUEST).unwrap_or_default()),
            },
            request_is_own: false,
            receive,
            virtual_host: owned(&VIRTUALHOST),
            http_method: match lookup.word(&HTTPMETHOD) {
                Some("HEAD") => HttpMethod::Head,
                Some("POST") => HttpMethod::Post,
                _ => HttpMethod::Get,
            },
            http: self.http_options(lookup, found),
            login,
            passwd,
            database: owned(&DATABASE).unwrap_or_default(),
            secret: owned(&SECRET).unwrap_or_default(),
            certificate: certificate_check(lookup, service),
            ca_file: self.ca_file(lookup, found),
        };
        self.exchange_hazards(section, lookup, &exchange);
        self.server_name_hazard(section, &exchange, lookup.place(&VIRTUALHOST));
        intern(&mut self.interned.exchanges, exchange)
    }

    /// compat: only where `service` does not read it may `receive` be anything
    pub(super) fn pattern(
        &mut self,
        service: Service,
        source: &str,
        place: &Place,
        found: Found,
    ) -> Option<Pattern> {
        if source.is_empty() || !service.row().directives.contains(&RECEIVE.name) {
            return None;
        }
        if let Some(known) = self.interned.patterns.get(source) {
            return Some(known.clone());
        }
        match Pattern::new(source) {
            Ok(pattern) => {
                self.interned.patterns.insert(source.to_owned(), pattern.clone());
                Some(pattern)
            }
            Err(error) => {
                let text = format!("{}: {}", RECEIVE.error, error.reason);
                self.diagnostics
                    .error(found, place, text)
                    .hint("receive is a regular expression in Perl's syntax");
                None
            }
        }
    }

    fn http_options(&mut self, lookup: Lookup<'_, '_>, found: Found) -> HttpOptions {
        let mut headers = Vec::new();
        for directive in lookup.own.iter().filter(|directive| *directive.row == HTTPHEADER) {
            let Value::Text(text) = &directive.value else { continue };
            match header(text) {
                Ok(header) => headers.push(header),
                Err(hint) => {
                    let error = self.diagnostics.error(found, &directive.place, HTTPHEADER.error);
                    error.hint(hint);
                }
            }
        }
        let statuses = match lookup.directive(&HTTPSTATUS).map(|directive| &directive.value) {
            Some(Value::Ranges(ranges)) => ranges.clone(),
            _ => Vec::new(),
        };
        HttpOptions {
            headers,
            body: lookup.text(&HTTPBODY).unwrap_or_default().to_owned(),
            statuses,
            stays: lookup.yes(&HTTPREDIRECT) == Some(false),
        }
    }

    fn default_login(&self, service: Service) -> String {
        match service {
            Service::Ftp => "anonymous".to_owned(),
            Service::Sip => format!("ldirectord@{}", self.resolver.host_name()),
            _ => String::new(),
        }
    }

    fn default_password(&self, service: Service) -> String {
        match service {
            Service::Ftp => format!("ldirectord@{}", self.resolver.host_name()),
            _ => String::new(),
        }
    }

    fn ca_file(&mut self, lookup: Lookup<'_, '_>, found: Found) -> Option<PathBuf> {
        let path = PathBuf::from(lookup.text(&CHECKCAFILE)?);
        let place = lookup.place(&CHECKCAFILE)?;
        if let Err(error) = self.resolver.certificates(&path) {
            let text = format!("{}: {}: {error}", CHECKCAFILE.error, path.display());
            self.diagnostics.error(found, place, text);
        }
        Some(path)
    }

    /// Directives about certificates where no certificate is ever seen.
    pub(super) fn check_certificate_directives(&mut self, section: &Section<'_>, service: Service) {
        // http and http_proxy may be sent on to an https URL.
        let sees_certificates = matches!(
            service,
            Service::Http
                | Service::HttpProxy
                | Service::Https
                | Service::Imaps
                | Service::Ldaps
                | Service::Own
                | Service::Pops
        );
        if sees_certificates {
            return;
        }
        let rows = [&CHECKCERTIFICATE, &CHECKCAFILE];
        for directive in section.directives.iter().filter(|directive| rows.contains(&directive.row))
        {
            let text = format!("{} makes no sense for service={service}", directive.row.name);
            self.diagnostics
                .error(Found::After(section.end), &directive.place, text)
                .hint("it is for https, http, http_proxy, imaps, ldaps and pops");
        }
    }
}

/// `NAME: VALUE` (RFC 9110, section 5); the message itself has these four of its own.
fn header(text: &str) -> Result<(String, String), &'static str> {
    const FORM: &str = "a header is written NAME: VALUE";
    let (name, value) = text.split_once(':').ok_or(FORM)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(FORM);
    }
    let value = value.trim_matches([' ', '\t']);
    if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t') {
        return Err("a header's value has printable characters of ASCII only");
    }
    if name.eq_ignore_ascii_case("Host") {
        return Err("the Host header is set by virtualhost");
    }
    let own = ["Connection", "Content-Length", "Transfer-Encoding"];
    if own.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err("this header follows from the request");
    }
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn with_slash(request: &str) -> String {
    if request.starts_with('/') { request.to_owned() } else { format!("/{request}") }
}

fn certificate_check(lookup: Lookup<'_, '_>, service: Service) -> CertificateCheck {
    match lookup.word(&CHECKCERTIFICATE) {
        Some("name") => CertificateCheck::Name,
        Some("no") => CertificateCheck::No,
        Some(_) => CertificateCheck::Chain,
        None => CertificateCheck::of(service),
    }
}
