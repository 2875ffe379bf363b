//! Checks: a plan in, an outcome out, within one deadline.
//!
//! A dead server is an outcome, not an error. Each protocol is one file; [`run`] is the list of
//! them. TCP checks are given a socket that the dialer has connected; UDP, ping and external checks
//! start here.
//!
//! A protocol's file has two functions. `check(probe)` opens what it needs (`probe.tcp()`,
//! `probe.tls()`, `probe.udp()`) and calls `talk(stream, exchange)`, which is the protocol and
//! takes anything that is `Read + Write`, so that tests and fuzzers can play the server.

pub mod agent;
mod amqp;
mod ber;
mod connect;
mod datagram;
mod deadline;
mod dialogue;
pub mod dns;
mod expiry;
mod external;
pub mod ftp;
mod handshake;
mod http;
pub mod imap;
pub mod ldap;
mod line;
mod lookup;
mod memcached;
mod mqtt;
#[cfg(feature = "mysql")]
pub mod mysql;
mod nntp;
pub mod ntp;
#[cfg(feature = "oracle")]
mod oracle;
mod ours;
mod outcome;
mod perl;
pub mod pgsql;
mod ping;
pub mod pop;
mod proxy;
pub mod radius;
mod redis;
#[cfg(test)]
mod script;
mod simpletcp;
pub mod sip;
mod smtp;
pub mod snmp;
mod sql;
mod ssh;
pub mod tftp;
pub mod tls;
pub mod transcript;
pub mod udp;
mod websocket;

pub use connect::begin as begin_connect;
pub use datagram::Heard;
pub use deadline::{Deadline, TimedStream};
pub use lookup::{LookUps, Unresolved};
pub use outcome::{AgentAnswer, CertificateEnd, CheckOutcome, Failure, Note};

use crate::model::{Agent, CheckMethod, CheckPlan, Exchange, Service, Step, Transport};
use connect::Probe;
use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

/// What the first move of a check is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// There is nothing to do: this is the outcome (`on`, `service=none`).
    Outcome(CheckOutcome),
    /// The dialer connects; if [`run`] has nothing to add to a connection, the check ends there.
    Dial(SocketAddr),
    /// A worker does it all.
    Work,
}

/// The first move of this step of this plan.
pub fn begin(plan: &CheckPlan, step: Step) -> Begin {
    match (&plan.method, step) {
        (CheckMethod::On, _) => Begin::Outcome(CheckOutcome::up()),
        (CheckMethod::Off, _) => {
            Begin::Outcome(CheckOutcome::Down(Failure::Config("checktype is off".into())))
        }
        (CheckMethod::Connect, _) => Begin::Dial(plan.target()),
        (CheckMethod::Combined { transport: Transport::Tcp, .. }, Step::Connect) => {
            Begin::Dial(plan.target())
        }
        // compat: a UDP connect sends nothing and always succeeds (spec 4.1)
        (CheckMethod::Combined { transport: Transport::Udp, .. }, Step::Connect) => {
            Begin::Outcome(CheckOutcome::up())
        }
        (
            CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. },
            Step::Full | Step::Connect,
        ) => match (exchange.service, exchange.transport) {
            (Service::None, _) => Begin::Outcome(CheckOutcome::up()),
            (
                Service::Radius
                | Service::Ntp
                | Service::Oracle
                | Service::Snmp
                | Service::Tftp
                | Service::Udp,
                _,
            )
            | (Service::Dns | Service::Sip | Service::Simpletcp, Transport::Udp) => Begin::Work,
            (Service::Http | Service::Https | Service::HttpProxy, _)
                if !http::begins_at(exchange, plan.target()) =>
            {
                Begin::Work
            }
            _ => Begin::Dial(plan.target()),
        },
        (CheckMethod::Ping { .. } | CheckMethod::External(_) | CheckMethod::ExternalPerl(_), _) => {
            Begin::Work
        }
    }
}

/// Whether a check that was dialled is over once the connection stands.
pub fn ends_with_connection(plan: &CheckPlan, step: Step) -> bool {
    match (&plan.method, step) {
        (CheckMethod::Connect, _) => !matches!(plan.agent, Some(Agent::Port(_))),
        (CheckMethod::Combined { .. }, step) => step == Step::Connect,
        _ => false,
    }
}

/// Whether a connection is all that a check asks of the server itself.
fn is_connect(plan: &CheckPlan, step: Step) -> bool {
    plan.method == CheckMethod::Connect || ends_with_connection(plan, step)
}

/// Runs what is left of a check: blocks until there is an outcome, at most until the deadline.
///
/// `stream` is the dialer's connection if [`begin`] said [`Begin::Dial`]; without it the check
/// connects itself. A panic in a check is its failure, [`Failure::Internal`].
pub fn run(
    plan: &CheckPlan,
    step: Step,
    stream: Option<TcpStream>,
    deadline: Deadline,
) -> CheckOutcome {
    expiry::forget();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        let outcome = dispatch(plan, step, stream, deadline);
        match step {
            Step::Full => agent::heed(plan, outcome, deadline),
            Step::Connect => outcome,
        }
    }));
    let outcome = outcome
        .unwrap_or_else(|cause| CheckOutcome::Down(Failure::Internal(panic_message(&*cause))));
    match outcome {
        CheckOutcome::Up(note) => CheckOutcome::Up(Note { certificate: expiry::noted(), ..note }),
        down @ CheckOutcome::Down(_) => down,
    }
}

fn panic_message(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
}

fn dispatch(
    plan: &CheckPlan,
    step: Step,
    dialled: Option<TcpStream>,
    deadline: Deadline,
) -> CheckOutcome {
    match begin(plan, step) {
        Begin::Outcome(outcome) => return outcome,
        Begin::Dial(_) if is_connect(plan, step) => {
            return match dialled {
                Some(_) => CheckOutcome::up(),
                None => connect::tcp(plan.target(), &plan.way, deadline).map(drop).into(),
            };
        }
        Begin::Dial(_) | Begin::Work => {}
    }
    match &plan.method {
        CheckMethod::On | CheckMethod::Off | CheckMethod::Connect => {
            CheckOutcome::Down(Failure::Internal("a check without work was given work".to_owned()))
        }
        CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. } => {
            let way = &plan.way;
            negotiate(Probe { exchange, target: plan.target(), deadline, way, dialled })
        }
        CheckMethod::Ping { attempts } => {
            let from = plan.way.source.as_ref();
            ping::check(plan.address, *attempts, plan.check_timeout, from, deadline).into()
        }
        CheckMethod::External(script) => {
            external::check(script, plan.check_timeout, deadline).into()
        }
        CheckMethod::ExternalPerl(script) => perl::check(script, deadline).into(),
    }
}

/// The list of protocols. A check that answers `Result<(), Failure>` joins with `.into()`.
fn negotiate(probe: Probe<'_>) -> CheckOutcome {
    let Exchange { service, .. } = *probe.exchange;
    match service {
        Service::None => CheckOutcome::up(),
        Service::Http | Service::Https | Service::HttpProxy => http::check(probe),
        Service::Simpletcp => simpletcp::check(probe),
        Service::Dns => dns::check(probe).into(),
        Service::Ftp => ftp::check(probe).into(),
        Service::Imap | Service::Imaps => imap::check(probe).into(),
        Service::Ldap | Service::Ldaps => ldap::check(probe).unwrap_or_else(CheckOutcome::Down),
        #[cfg(feature = "mysql")]
        Service::Mysql => mysql::check(probe).into(),
        #[cfg(not(feature = "mysql"))]
        Service::Mysql => not_built_in(service),
        Service::Nntp => nntp::check(probe).into(),
        Service::Ntp => ntp::check(probe).into(),
        #[cfg(feature = "oracle")]
        Service::Oracle => oracle::check(probe).into(),
        #[cfg(not(feature = "oracle"))]
        Service::Oracle => not_built_in(service),
        Service::Own => dialogue::check(probe).into(),
        Service::Pgsql => pgsql::check(probe).into(),
        Service::Pop | Service::Pops => pop::check(probe).into(),
        Service::Radius => radius::check(probe).into(),
        Service::Sip => sip::check(probe).into(),
        Service::Amqp => amqp::check(probe).into(),
        Service::Memcached => memcached::check(probe).into(),
        Service::Mqtt => mqtt::check(probe).into(),
        Service::Redis => redis::check(probe).into(),
        Service::Snmp => snmp::check(probe).into(),
        Service::Ssh => ssh::check(probe).into(),
        Service::Tftp => tftp::check(probe).into(),
        Service::Udp => udp::check(probe).into(),
        Service::Websocket => websocket::check(probe).into(),
        Service::Smtp | Service::Submission => smtp::check(probe).into(),
    }
}

/// The conversation of a check over any stream, TLS left out, so that tests and fuzzers can play
/// the server; `None` for a service that needs more than one stream, or none.
pub fn converse<S>(exchange: &Exchange, stream: S) -> Option<Result<(), Failure>>
where
    S: Read + Write + Debug + Send + Sync + 'static,
{
    let outcome = match exchange.service {
        Service::Http | Service::Https | Service::HttpProxy => http::talk(stream, exchange),
        Service::Imap | Service::Imaps => imap::talk(stream, exchange),
        Service::Ldap | Service::Ldaps => ldap::talk(stream, exchange),
        #[cfg(feature = "mysql")]
        Service::Mysql => mysql::talk(stream, exchange, "SELECT 1"),
        Service::Nntp => nntp::talk(stream),
        Service::Own => dialogue::talk(stream, exchange, Deadline::after(Duration::from_secs(60))),
        Service::Pgsql => pgsql::talk(stream, exchange, "SELECT 1").map_err(Failure::from),
        Service::Pop | Service::Pops => pop::talk(stream, exchange),
        Service::Simpletcp => {
            simpletcp::talk(stream, exchange, Deadline::after(Duration::from_secs(60)))
        }
        Service::Sip => sip::talk(stream, "OPTIONS"),
        Service::Amqp => amqp::talk(stream, exchange),
        Service::Memcached => memcached::talk(stream, exchange),
        Service::Mqtt => mqtt::talk(stream, exchange),
        Service::Redis => redis::talk(stream, exchange),
        Service::Ssh => ssh::talk(stream, exchange),
        Service::Websocket => {
            websocket::talk(stream, exchange, SocketAddr::from(([127, 0, 0, 1], 80)))
        }
        Service::Smtp | Service::Submission => smtp::talk(stream),
        _ => return None,
    };
    Some(outcome)
}

/// The features have the names of their services.
#[cfg_attr(
    all(feature = "mysql", feature = "oracle"),
    allow(dead_code, reason = "all are built in")
)]
fn not_built_in(service: Service) -> CheckOutcome {
    let message =
        format!("service={service} is not built in: it needs the cargo feature {service}");
    CheckOutcome::Down(Failure::Config(message.into()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    /// A negotiate check with every directive at its default, for the tests of the protocols.
    pub(crate) fn exchange(service: Service) -> Exchange {
        Exchange::new(service)
    }
}
