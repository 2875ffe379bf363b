//! Plans, and running them as the runtime does.

use ldirectord::check::{self, Begin, CheckOutcome, Deadline, Failure};
use ldirectord::director::CheckId;
use ldirectord::model::{
    CertificateCheck, CheckMethod, CheckPlan, Exchange, Pattern, Service, Step, Transport,
};
use ldirectord::prober::{Prober, ProberOptions, Report, Run};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Every directive at its default.
pub fn exchange(service: Service) -> Exchange {
    Exchange::new(service)
}

/// The directives most tests change.
pub trait With: Sized {
    fn request(self, request: &str) -> Self;
    fn own_request(self, request: &str) -> Self;
    fn receive(self, pattern: &str) -> Self;
    fn host(self, name: &str) -> Self;
    fn login(self, login: &str, passwd: &str) -> Self;
    fn certificate(self, check: CertificateCheck) -> Self;
    fn udp(self) -> Self;
}

impl With for Exchange {
    fn request(self, request: &str) -> Self {
        Self { request: request.to_owned(), ..self }
    }
    fn own_request(self, request: &str) -> Self {
        Self { request: request.to_owned(), request_is_own: true, ..self }
    }
    fn receive(self, pattern: &str) -> Self {
        Self { receive: Some(Pattern::new(pattern).unwrap()), ..self }
    }
    fn host(self, name: &str) -> Self {
        Self { virtual_host: Some(name.to_owned()), ..self }
    }
    fn login(self, login: &str, passwd: &str) -> Self {
        Self { login: login.to_owned(), passwd: passwd.to_owned(), ..self }
    }
    fn certificate(self, certificate: CertificateCheck) -> Self {
        Self { certificate, ..self }
    }
    fn udp(self) -> Self {
        Self { transport: Transport::Udp, ..self }
    }
}

/// A plan for a server at this address, with this long for everything.
pub fn plan(method: CheckMethod, target: SocketAddr, timeout: Duration) -> CheckPlan {
    CheckPlan {
        check_timeout: timeout,
        negotiate_timeout: timeout,
        ..CheckPlan::new(target, method)
    }
}

/// A check's outcome and how long it took.
#[derive(Debug)]
pub struct Verdict {
    pub outcome: CheckOutcome,
    pub took: Duration,
}

/// Runs one check: dials if it wants to be dialled, then does the rest. With `CHECKS_IN_PROBER` set, a
/// prober behind all its walls does it.
pub fn run(plan: &CheckPlan) -> Verdict {
    let begun = Instant::now();
    if std::env::var_os("CHECKS_IN_PROBER").is_some() {
        return in_prober(plan);
    }
    let deadline = Deadline::after(plan.timeout(Step::Full));
    let outcome = match check::begin(plan, Step::Full) {
        Begin::Outcome(outcome) => outcome,
        Begin::Work => check::run(plan, Step::Full, None, deadline),
        Begin::Dial(target) => {
            let left = deadline.remaining().unwrap_or(Duration::from_millis(1));
            match TcpStream::connect_timeout(&target, left) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    CheckOutcome::Down(Failure::ConnectTimedOut)
                }
                Err(error) => CheckOutcome::Down(error.into()),
                Ok(_) if check::ends_with_connection(plan, Step::Full) => CheckOutcome::up(),
                Ok(stream) => check::run(plan, Step::Full, Some(stream), deadline),
            }
        }
    };
    Verdict { outcome, took: begun.elapsed() }
}

/// One prober for one check.
fn in_prober(plan: &CheckPlan) -> Verdict {
    let program = env!("CARGO_BIN_EXE_ldirectord").into();
    let options = ProberOptions { program, ..ProberOptions::new("test") };
    let (sender, reports) = mpsc::channel();
    let sender = Mutex::new(sender);
    let mut prober = Prober::start(options, move |report| {
        let _ = sender.lock().unwrap().send(report);
    })
    .unwrap();
    let check = CheckId(1);
    prober.install([(check, Arc::new(plan.clone()))].into_iter());
    prober.begin(&[Run { check, step: Step::Full, run: 1 }]);
    match reports.recv_timeout(Duration::from_secs(120)).expect("an outcome") {
        Report::Outcomes(mut checked) => {
            let checked = checked.pop().unwrap();
            Verdict { outcome: checked.outcome, took: checked.duration }
        }
        Report::Lost(_) => panic!("the prober has died: {:?}", prober.status()),
    }
}

/// A negotiate check of a server that ought to answer at once.
pub fn negotiate(exchange: Exchange, target: SocketAddr) -> CheckOutcome {
    let method = CheckMethod::Negotiate(Arc::new(exchange));
    run(&plan(method, target, Duration::from_secs(20))).outcome
}

/// As it is logged: `up`, `up: 200 OK`, or the failure.
pub fn words(outcome: &CheckOutcome) -> String {
    match outcome {
        CheckOutcome::Up(note) if note.words.is_none() => "up".to_owned(),
        CheckOutcome::Up(note) => format!("up: {note}"),
        CheckOutcome::Down(failure) => failure.to_string(),
    }
}
