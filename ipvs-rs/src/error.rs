//! What can go wrong, said as operation, operands, cause.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;

use crate::{ServiceKey, SyncRole};

/// An operation with its operands, as errors name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`Ipvs::open`](crate::Ipvs::open).
    Open,
    /// [`Ipvs::services`](crate::Ipvs::services).
    ListServices,
    /// [`Ipvs::service`](crate::Ipvs::service).
    ReadService(ServiceKey),
    /// [`Ipvs::add_service`](crate::Ipvs::add_service).
    AddService(ServiceKey),
    /// [`Ipvs::set_service`](crate::Ipvs::set_service).
    SetService(ServiceKey),
    /// [`Ipvs::delete_service`](crate::Ipvs::delete_service).
    DeleteService(ServiceKey),
    /// [`Ipvs::destinations`](crate::Ipvs::destinations).
    ListDestinations(ServiceKey),
    /// [`Ipvs::add_destination`](crate::Ipvs::add_destination).
    AddDestination(ServiceKey, IpAddr, u16),
    /// [`Ipvs::set_destination`](crate::Ipvs::set_destination).
    SetDestination(ServiceKey, IpAddr, u16),
    /// [`Ipvs::delete_destination`](crate::Ipvs::delete_destination).
    DeleteDestination(ServiceKey, IpAddr, u16),
    /// [`Ipvs::flush`](crate::Ipvs::flush).
    Flush,
    /// [`Ipvs::zero`](crate::Ipvs::zero).
    Zero(Option<ServiceKey>),
    /// [`Ipvs::info`](crate::Ipvs::info).
    ReadInfo,
    /// [`Ipvs::timeouts`](crate::Ipvs::timeouts).
    ReadTimeouts,
    /// [`Ipvs::set_timeouts`](crate::Ipvs::set_timeouts).
    SetTimeouts,
    /// [`Ipvs::sync_daemons`](crate::Ipvs::sync_daemons).
    ListSyncDaemons,
    /// [`Ipvs::start_sync_daemon`](crate::Ipvs::start_sync_daemon).
    StartSyncDaemon(SyncRole),
    /// [`Ipvs::stop_sync_daemon`](crate::Ipvs::stop_sync_daemon).
    StopSyncDaemon(SyncRole),
}

impl Operation {
    /// What an errno means to this operation, if that is more special than its usual text.
    fn meaning(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (Self::StartSyncDaemon(_), Errno::EEXIST) => Some("it runs already"),
            (Self::StartSyncDaemon(_), Errno::ENODEV) => Some("no such interface"),
            (Self::StopSyncDaemon(_), Errno::ESRCH) => Some("it does not run"),
            (_, Errno::ESRCH) => Some("no such service"),
            (Self::AddService(_), Errno::EEXIST) => Some("service exists"),
            (Self::AddDestination(..), Errno::EEXIST) => Some("destination exists"),
            (Self::AddService(_) | Self::SetService(_), Errno::ENOENT) => {
                Some("no such scheduler or persistence engine")
            }
            (Self::SetDestination(..) | Self::DeleteDestination(..), Errno::ENOENT) => {
                Some("no such destination")
            }
            (Self::AddDestination(..) | Self::SetDestination(..), Errno::ERANGE) => {
                Some("weight or threshold out of range")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Open => write!(f, "open ip_vs"),
            Self::ListServices => write!(f, "list services"),
            Self::ReadService(key) => write!(f, "read service {key}"),
            Self::AddService(key) => write!(f, "add service {key}"),
            Self::SetService(key) => write!(f, "set service {key}"),
            Self::DeleteService(key) => write!(f, "delete service {key}"),
            Self::ListDestinations(key) => write!(f, "list destinations of {key}"),
            Self::AddDestination(key, address, port) => {
                write!(f, "add destination {} to {key}", SocketAddr::new(address, port))
            }
            Self::SetDestination(key, address, port) => {
                write!(f, "set destination {} of {key}", SocketAddr::new(address, port))
            }
            Self::DeleteDestination(key, address, port) => {
                write!(f, "delete destination {} from {key}", SocketAddr::new(address, port))
            }
            Self::Flush => write!(f, "flush"),
            Self::Zero(None) => write!(f, "zero all counters"),
            Self::Zero(Some(key)) => write!(f, "zero counters of {key}"),
            Self::ReadInfo => write!(f, "read info"),
            Self::ReadTimeouts => write!(f, "read timeouts"),
            Self::SetTimeouts => write!(f, "set timeouts"),
            Self::ListSyncDaemons => write!(f, "list synchronisation daemons"),
            Self::StartSyncDaemon(role) => write!(f, "start the {role} synchronisation daemon"),
            Self::StopSyncDaemon(role) => write!(f, "stop the {role} synchronisation daemon"),
        }
    }
}

/// Why an operation failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The kernel does not know ip_vs: the module is not loaded, or not built.
    Unavailable(Operation),
    /// The process lacks CAP_NET_ADMIN in the initial user namespace (EPERM).
    Permission(Operation),
    /// The kernel refused: errno, as in `errno(3)`; see [`Error::errno`].
    Kernel(Operation, i32),
    /// The kernel did not answer within the deadline.
    Timeout(Operation, Duration),
    /// The kernel's reply cannot be understood; the text says where.
    Malformed(Operation, String),
    /// The table changed under each of several attempts to list it.
    Unstable(Operation),
    /// The arguments cannot be expressed to the kernel; nothing was sent.
    Invalid(Operation, &'static str),
    /// The netlink socket failed.
    Socket(Operation, io::Error),
}

impl Error {
    /// The operation that failed.
    pub fn operation(&self) -> Operation {
        match *self {
            Self::Unavailable(operation)
            | Self::Permission(operation)
            | Self::Kernel(operation, _)
            | Self::Timeout(operation, _)
            | Self::Malformed(operation, _)
            | Self::Unstable(operation)
            | Self::Invalid(operation, _)
            | Self::Socket(operation, _) => operation,
        }
    }

    /// The kernel's errno, if it answered with one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Permission(_) => Some(Errno::EPERM as i32),
            Self::Kernel(_, errno) => Some(*errno),
            Self::Socket(_, error) => error.raw_os_error(),
            _ => None,
        }
    }

    /// Whether the service that the operation is about is not in the table (ESRCH).
    pub fn is_no_such_service(&self) -> bool {
        !self.is_no_such_sync_daemon()
            && matches!(self, Self::Kernel(_, errno) if *errno == Errno::ESRCH as i32)
    }

    /// Whether the destination that was to be changed or deleted is not in the table (ENOENT).
    pub fn is_no_such_destination(&self) -> bool {
        let Self::Kernel(operation, errno) = self else { return false };
        matches!(operation, Operation::SetDestination(..) | Operation::DeleteDestination(..))
            && *errno == Errno::ENOENT as i32
    }

    /// Whether the synchronisation daemon that was to be stopped does not run (ESRCH).
    pub fn is_no_such_sync_daemon(&self) -> bool {
        let Self::Kernel(operation, errno) = self else { return false };
        matches!(operation, Operation::StopSyncDaemon(_)) && *errno == Errno::ESRCH as i32
    }

    /// Whether what was to be added is in the table already (EEXIST).
    pub fn is_exists(&self) -> bool {
        matches!(self, Self::Kernel(_, errno) if *errno == Errno::EEXIST as i32)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.operation())?;
        match self {
            Self::Unavailable(_) => {
                write!(f, "the kernel has no ip_vs (try `modprobe ip_vs`)")
            }
            Self::Permission(_) => write!(f, "not permitted, CAP_NET_ADMIN is needed (EPERM)"),
            Self::Kernel(operation, errno) => {
                let errno = match Errno::from_raw(*errno) {
                    Errno::UnknownErrno => return write!(f, "errno {errno}"),
                    known => known,
                };
                match operation.meaning(errno) {
                    Some(cause) => write!(f, "{cause} ({errno:?})"),
                    None => write!(f, "{} ({errno:?})", errno.desc().to_ascii_lowercase()),
                }
            }
            Self::Timeout(_, deadline) => write!(f, "no answer from the kernel in {deadline:?}"),
            Self::Malformed(_, reason) => write!(f, "malformed reply: {reason}"),
            Self::Unstable(_) => write!(f, "the table keeps changing while it is listed"),
            Self::Invalid(_, reason) => write!(f, "{reason}"),
            Self::Socket(_, error) => write!(f, "netlink socket: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket(_, error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_operands_and_cause() {
        let web: ServiceKey = "tcp 10.0.0.1:80".parse().unwrap();
        let add = Operation::AddDestination(web, [10, 0, 0, 2].into(), 80);
        for (error, text) in [
            (
                Error::Kernel(add, 3),
                "add destination 10.0.0.2:80 to tcp 10.0.0.1:80: no such service (ESRCH)",
            ),
            (
                Error::Kernel(add, 2),
                "add destination 10.0.0.2:80 to tcp 10.0.0.1:80: no such file or directory (ENOENT)",
            ),
            (
                Error::Kernel(Operation::Zero(Some(web)), 12),
                "zero counters of tcp 10.0.0.1:80: out of memory (ENOMEM)",
            ),
            (Error::Kernel(Operation::Zero(None), 9999), "zero all counters: errno 9999"),
            (
                Error::Permission(Operation::Flush),
                "flush: not permitted, CAP_NET_ADMIN is needed (EPERM)",
            ),
            (
                Error::Timeout(Operation::ListServices, Duration::from_millis(1500)),
                "list services: no answer from the kernel in 1.5s",
            ),
            (
                Error::Unstable(Operation::ListDestinations(web)),
                "list destinations of tcp 10.0.0.1:80: the table keeps changing while it is listed",
            ),
            (
                Error::Malformed(Operation::ReadInfo, "no version".into()),
                "read info: malformed reply: no version",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
