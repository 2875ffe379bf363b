//! The validated model: what a configuration means, with every name resolved and every default
//! filled in. Built once from the syntax tree, then trusted.

mod address;
mod build;
mod check_plan;
mod describe;
mod dialogue;
mod load;
mod look_ups;
mod pattern;
mod policy;
mod real_server;
mod resolver;
mod service;
mod service_records;
mod spelling;
mod user;
mod virtual_service;
mod way;

pub use address::{DestinationAddress, Family, Protocol, ServiceAddress};
pub use build::build;
pub use check_plan::{
    Agent, CertificateCheck, CheckMethod, CheckPlan, ClientCertificate, Exchange, HttpMethod,
    HttpOptions, ProxyProtocol, Script, Step, Tls, Transport, without_port,
};
pub use describe::{describe, describe_service};
pub use dialogue::{DEFINITION_LIMIT, DEFINITIONS, Dialogue, DialogueError, Turn};
pub use load::{LoadError, Loaded, Report, TextInForce, load, load_source};
pub use look_ups::{HostName, Hosts, LookedUp, Servers};
pub use pattern::{Pattern, PatternError};
pub use policy::{
    AlertPolicy, FallbackCommand, FallbackMinimum, HookArgument, LogTarget, Settings, Status,
    StatusSet,
};
pub use real_server::{Fallback, ForwardingMethod, RealServer, Thresholds, listed_address};
pub use resolver::{
    DefinitionFile, Located, MemoryResolver, ResolveError, Resolver, SystemResolver,
};
pub use service::{SERVICES, Service, ServiceRow, ServiceTls};
pub use service_records::{is_service_name, read_answer};
pub use spelling::{bytes_of_hex, object_identifier};
pub use user::User;
pub use virtual_service::{Netmask, Persistence, SchedFlags, VirtualService};
pub use way::{CheckSource, MARKS, ServicePath, Way};

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Model {
    /// The global directives.
    pub settings: Settings,
    /// The virtual services in the order of the file; addresses are distinct.
    pub services: Vec<VirtualService>,
}
