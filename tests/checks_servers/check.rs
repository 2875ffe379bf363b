//! A check as the program runs it, with its directives as a builder.

use crate::server::LOOPBACKS;
use ldirectord::check::transcript::{self, Seen, Transcript};
use ldirectord::check::{self, CheckOutcome, Deadline};
use ldirectord::model::{
    CertificateCheck, CheckMethod, CheckPlan, ClientCertificate, Exchange, Pattern, Service, Step,
    Tls, Transport,
};
use openssl::base64;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Generous: only a check that fails by timeout ever waits so long, and it says so itself.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A check that is being described.
#[derive(Clone)]
pub(crate) struct Check {
    exchange: Exchange,
    port: u16,
    timeout: Duration,
}

impl Check {
    pub(crate) fn new(service: Service, port: u16) -> Self {
        let exchange = Exchange::new(service);
        Self { exchange, port, timeout: TIMEOUT }
    }

    pub(crate) fn login(mut self, login: &str, passwd: &str) -> Self {
        self.exchange.login = login.to_owned();
        self.exchange.passwd = passwd.to_owned();
        self
    }

    pub(crate) fn request(mut self, request: &str) -> Self {
        self.exchange.request = format!("/{request}");
        self
    }

    /// A request that is not a path.
    pub(crate) fn words(mut self, request: &str) -> Self {
        request.clone_into(&mut self.exchange.request);
        self
    }

    pub(crate) fn receive(mut self, pattern: &str) -> Self {
        self.exchange.receive = Some(Pattern::new(pattern).unwrap());
        self
    }

    pub(crate) fn database(mut self, database: &str) -> Self {
        self.exchange.database = database.to_owned();
        self
    }

    pub(crate) fn secret(mut self, secret: &str) -> Self {
        self.exchange.secret = secret.to_owned();
        self
    }

    pub(crate) fn transport(mut self, transport: Transport) -> Self {
        self.exchange.transport = transport;
        self
    }

    pub(crate) fn virtual_host(mut self, name: &str) -> Self {
        self.exchange.virtual_host = Some(name.to_owned());
        self
    }

    pub(crate) fn certificate(mut self, check: CertificateCheck) -> Self {
        self.exchange.certificate = check;
        self
    }

    pub(crate) fn ca_file(mut self, file: &Path) -> Self {
        self.exchange.ca_file = Some(file.to_owned());
        self
    }

    pub(crate) fn tls(mut self, tls: Tls) -> Self {
        self.exchange.tls = tls;
        self
    }

    pub(crate) fn client(mut self, certificate: &Path, key: &Path) -> Self {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        self.exchange.client = Some(ClientCertificate { certificate, key });
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// `up`, or the failure as it is logged.
    pub(crate) fn run_at(&self, address: IpAddr) -> String {
        let plan = CheckPlan {
            check_timeout: self.timeout,
            negotiate_timeout: self.timeout,
            ..CheckPlan::new(
                (address, self.port).into(),
                CheckMethod::Negotiate(Arc::new(self.exchange.clone())),
            )
        };
        let deadline = Deadline::after(plan.timeout(Step::Full));
        let (outcome, transcript) =
            transcript::record(&plan, || check::run(&plan, Step::Full, None, deadline));
        self.tells_no_secret(&transcript);
        match outcome {
            CheckOutcome::Up(_) => "up".to_owned(),
            CheckOutcome::Down(failure) => failure.to_string(),
        }
    }

    /// What `probe` would show has neither password nor secret, as they are or in base64.
    fn tells_no_secret(&self, transcript: &Transcript) {
        let Exchange { login, passwd, secret, .. } = &self.exchange;
        let said: Vec<&[u8]> = transcript
            .events
            .iter()
            .filter_map(|event| match &event.seen {
                Seen::Sent(bytes) | Seen::Received(bytes) => Some(bytes.shown.as_slice()),
                _ => None,
            })
            .collect();
        let encoded = [
            base64::encode_block(passwd.as_bytes()),
            base64::encode_block(format!("\0{login}\0{passwd}").as_bytes()),
        ];
        for word in [passwd, secret, &encoded[0], &encoded[1]] {
            let holds = |said: &&[u8]| said.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(word.len() < 4 || !said.iter().any(holds), "{word}: {transcript:?}");
        }
    }

    /// Asserts the outcome over IPv4 and IPv6: `up`, or how the failure begins.
    #[track_caller]
    pub(crate) fn expect(&self, expected: &str) {
        for address in LOOPBACKS {
            let outcome = self.run_at(address);
            assert!(
                outcome == expected || (expected != "up" && outcome.starts_with(expected)),
                "{address}: {outcome:?}, expected {expected:?}\n{:?}",
                self.exchange
            );
        }
    }
}
