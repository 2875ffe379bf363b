//! The question and answer of a negotiate check.

use super::Builder;
use super::check::{SectionChecks, intern, transport};
use super::lookup::Lookup;
use crate::config::{
    CHECKCAFILE, CHECKCERT, CHECKCERTDAYS, CHECKCERTIFICATE, CHECKKEY, CHECKPROXY, CHECKTLS,
    DATABASE, Found, HTTPBODY, HTTPHEADER, HTTPMETHOD, HTTPREDIRECT, HTTPSTATUS, HTTPVERSION,
    LOGIN, PASSWD, PROTOCOL, Place, RECEIVE, REQUEST, SECRET, Section, VIRTUALHOST, Value,
};
use crate::model::{
    CertificateCheck, ClientCertificate, Exchange, HttpMethod, HttpOptions, Pattern, ProxyProtocol,
    Service, ServiceAddress, ServiceTls, Tls, Transport, bytes_of_hex, object_identifier,
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
                None => {
                    let request = lookup.text(&REQUEST).unwrap_or_default();
                    if let Some(place) = lookup.place(&REQUEST) {
                        self.check_request(service, request, place, found);
                    }
                    as_asked(service, request)
                }
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
            proxy: self.proxy(section, lookup, address, service),
            tls: self.tls(section, lookup, address, service),
            certificate: certificate_check(lookup, service),
            ca_file: self.ca_file(lookup, found),
            client: self.client_certificate(lookup, found),
            certificate_days: lookup.count(&CHECKCERTDAYS),
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

    /// A request that its service cannot be asked.
    pub(super) fn check_request(
        &mut self,
        service: Service,
        request: &str,
        place: &Place,
        found: Found,
    ) {
        let hint = match service {
            Service::Udp if bytes_of_hex(request).is_none() => {
                "udp sends bytes: an even number of hexadecimal digits, 1400 bytes at most"
            }
            Service::Snmp if object_identifier(request).is_none() => {
                "snmp asks for an object identifier, such as 1.3.6.1.2.1.1.3.0"
            }
            Service::Tftp if request.is_empty() => "tftp asks for a file",
            _ => return,
        };
        let text = format!("invalid request string: {request}");
        self.diagnostics.error(found, place, text).hint(hint);
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
            old: lookup.word(&HTTPVERSION) == Some("1.0"),
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

    /// A global `checktls` is for the services that it may concern.
    fn tls(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        address: ServiceAddress,
        service: Service,
    ) -> Tls {
        let word = lookup.word(&CHECKTLS).unwrap_or("no");
        let default = Tls::of(service);
        let row = service.row();
        let mode = match (word, row.tls) {
            ("yes", ServiceTls::Always) => return default,
            ("yes", ServiceTls::Words(words)) if words.contains(&"yes") => Tls::Yes,
            ("starttls", ServiceTls::Words(words)) if words.contains(&"starttls") => Tls::Start,
            ("no", ServiceTls::Never | ServiceTls::Words(_)) => return Tls::No,
            _ => {
                let hint = match row.tls {
                    ServiceTls::Always if service == Service::Own => {
                        "the file that defines the service says tls = yes"
                    }
                    ServiceTls::Always => "it speaks TLS from the first byte, always",
                    ServiceTls::Never if service == Service::Http => "use service=https",
                    ServiceTls::Never => "it has no TLS",
                    ServiceTls::Words(_) if word == "yes" => "use checktls=starttls",
                    ServiceTls::Words(_) => "use checktls=yes",
                };
                let what = format!("service={service}");
                self.makes_no_sense(section, lookup, (&CHECKTLS, word), &what, hint);
                return default;
            }
        };
        if is_over_udp(service, address) {
            let hint = "there is no TLS over UDP: set protocol=tcp";
            self.makes_no_sense(section, lookup, (&CHECKTLS, word), "protocol=udp", hint);
            return default;
        }
        mode
    }

    fn proxy(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        address: ServiceAddress,
        service: Service,
    ) -> Option<ProxyProtocol> {
        let (word, version) = match lookup.word(&CHECKPROXY)? {
            "v1" => ("v1", ProxyProtocol::V1),
            "v2" => ("v2", ProxyProtocol::V2),
            _ => return None,
        };
        let what = match service {
            Service::None
            | Service::Ntp
            | Service::Oracle
            | Service::Radius
            | Service::Snmp
            | Service::Tftp
            | Service::Udp => format!("service={service}"),
            _ if is_over_udp(service, address) => "protocol=udp".to_owned(),
            _ => return Some(version),
        };
        let hint = "it is for negotiate checks over TCP";
        self.makes_no_sense(section, lookup, (&CHECKPROXY, word), &what, hint);
        None
    }

    fn client_certificate(
        &mut self,
        lookup: Lookup<'_, '_>,
        found: Found,
    ) -> Option<ClientCertificate> {
        let Some(certificate) = lookup.text(&CHECKCERT) else {
            if let Some(place) = lookup.place(&CHECKKEY) {
                let text = format!("{} makes no sense without {}", CHECKKEY.name, CHECKCERT.name);
                self.diagnostics.error(found, place, text);
            }
            return None;
        };
        let key = lookup.text(&CHECKKEY).unwrap_or(certificate);
        let client = ClientCertificate { certificate: certificate.into(), key: key.into() };
        let place = lookup.place(&CHECKKEY).or_else(|| lookup.place(&CHECKCERT))?;
        if let Err(error) = self.resolver.key_pair(&client.certificate, &client.key) {
            let text = format!("{}: {error}", CHECKCERT.error);
            self.diagnostics.error(found, place, text);
        }
        Some(client)
    }

    /// Directives about certificates where no certificate is ever seen.
    pub(super) fn check_certificate_directives(
        &mut self,
        section: &Section<'_>,
        checks: &SectionChecks,
    ) {
        let service = checks.service();
        // http and http_proxy may be sent on to an https URL.
        let may_see = matches!(service, Service::Http | Service::HttpProxy | Service::Own);
        if may_see || checks.tls() != Tls::No {
            return;
        }
        let hint = match service.row().tls {
            ServiceTls::Words(_) => "this check does not speak TLS: set checktls",
            ServiceTls::Always | ServiceTls::Never => "it is for checks over TLS",
        };
        let rows = [&CHECKCERTIFICATE, &CHECKCAFILE, &CHECKCERT, &CHECKKEY, &CHECKCERTDAYS];
        for directive in section.directives.iter().filter(|directive| rows.contains(&directive.row))
        {
            let text = format!("{} makes no sense for service={service}", directive.row.name);
            self.diagnostics.error(Found::After(section.end), &directive.place, text).hint(hint);
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

/// Whether `protocol` has a service that can do either use UDP.
fn is_over_udp(service: Service, address: ServiceAddress) -> bool {
    service.row().directives.contains(&PROTOCOL.name) && transport(address) == Transport::Udp
}

/// A request as its service is given it.
// compat: with a slash before it; what the original does not know, as it is written
pub(super) fn as_asked(service: Service, request: &str) -> String {
    let as_written = matches!(
        service,
        Service::Memcached | Service::Redis | Service::Snmp | Service::Tftp | Service::Udp
    );
    if as_written || request.starts_with('/') { request.to_owned() } else { format!("/{request}") }
}

fn certificate_check(lookup: Lookup<'_, '_>, service: Service) -> CertificateCheck {
    match lookup.word(&CHECKCERTIFICATE) {
        Some("name") => CertificateCheck::Name,
        Some("no") => CertificateCheck::No,
        Some(_) => CertificateCheck::Chain,
        None => CertificateCheck::of(service),
    }
}
