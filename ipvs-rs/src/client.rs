//! The operations.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::netlink::Failure;
use crate::netlink::attribute::command;
use crate::netlink::channel::{Channel, Kind};
use crate::netlink::decode::{self, Malformed};
use crate::netlink::encode::{self, Request};
use crate::{
    Change, Destination, DestinationEntry, Error, Info, Operation, Service, ServiceEntry,
    ServiceKey, SyncDaemon, SyncRole, Timeouts,
};

/// Listings of a table that changes meanwhile, before [`Error::Unstable`].
const ATTEMPTS: usize = 8;

/// Changes in one exchange: their acknowledgements must fit into the socket's receive buffer, of which the
/// kernel counts up to 1,280 bytes for each, and which has 208 KiB unless somebody has set it otherwise.
const BATCH: usize = 64;

/// How long the acknowledgement of a stopped synchronisation daemon is waited for. The kernel sends it before
/// the request's system call is over, or never.
const UNACKNOWLEDGED: Duration = Duration::from_millis(100);

/// The ip_vs table of the network namespace in which it was opened.
///
/// Each method is one exchange with the kernel (a listing: as many as it takes) and returns when
/// that is over or the deadline has passed. After a failure of the socket the next method opens
/// another, in the network namespace of the calling thread.
#[derive(Debug)]
pub struct Ipvs {
    deadline: Duration,
    /// `None` after a failure that leaves the socket in doubt.
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    channel: Channel,
    /// Number of the generic netlink family; another one after ip_vs has been loaded again.
    family: u16,
}

impl Ipvs {
    /// Opens the table of the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the kernel has no ip_vs, [`Error::Permission`] without
    /// CAP_NET_ADMIN.
    pub fn open() -> Result<Self, Error> {
        let mut ipvs = Self { deadline: Duration::from_secs(5), connection: None };
        // Whoever may read this may do everything, so that a lack of permission shows here.
        ipvs.one(Operation::Open, || Request::new(command::GET_INFO), decode::info)?;
        Ok(ipvs)
    }

    /// Sets how long an operation may take in total. Default 5 s, at most a day.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(Duration::from_secs(24 * 60 * 60));
        self
    }

    /// Lists all services, in the kernel's order, which means nothing.
    ///
    /// # Errors
    /// [`Error::Unstable`] if services are added meanwhile, again and again.
    pub fn services(&mut self) -> Result<Vec<ServiceEntry>, Error> {
        self.list(
            Operation::ListServices,
            || Request::new(command::GET_SERVICE),
            decode::service,
            |entry| entry.service.key,
        )
    }

    /// Reads one service; `None` if the table has no such service.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn service(&mut self, key: &ServiceKey) -> Result<Option<ServiceEntry>, Error> {
        let operation = Operation::ReadService(*key);
        check(operation, encode::check_key(key))?;
        match self.one(operation, || Request::new(command::GET_SERVICE).key(key), decode::service) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.is_no_such_service() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a service without destinations.
    ///
    /// # Errors
    /// EEXIST if there is a service with that key, ENOENT if there is no such scheduler or
    /// persistence engine, EINVAL for an IPv6 prefix length outside 1 to 128.
    pub fn add_service(&mut self, service: &Service) -> Result<(), Error> {
        self.change(&Change::AddService(service.clone()))
    }

    /// Gives a service all the options of `service`, whatever it had. Destinations, connections
    /// and counters stay.
    ///
    /// # Errors
    /// ESRCH if there is no service with that key, else as [`Self::add_service`].
    pub fn set_service(&mut self, service: &Service) -> Result<(), Error> {
        self.change(&Change::SetService(service.clone()))
    }

    /// Deletes a service with its destinations.
    ///
    /// # Errors
    /// ESRCH if there is no service with that key.
    pub fn delete_service(&mut self, key: &ServiceKey) -> Result<(), Error> {
        self.change(&Change::DeleteService(*key))
    }

    /// Lists the destinations of a service, in the kernel's order, which means nothing. If there
    /// is no such service, the kernel says nothing, and the list is empty.
    ///
    /// # Errors
    /// [`Error::Unstable`] if destinations are added meanwhile, again and again.
    pub fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestinationEntry>, Error> {
        let operation = Operation::ListDestinations(*key);
        check(operation, encode::check_key(key))?;
        let family = key.family();
        self.list(
            operation,
            || Request::new(command::GET_DEST).key(key),
            |payload| decode::destination(payload, family),
            |entry| entry.destination.socket_address(),
        )
    }

    /// Adds a destination to a service.
    ///
    /// # Errors
    /// ESRCH if there is no such service, EEXIST if it has a destination with that address and
    /// port, EINVAL if the address is not unicast or of the other family without
    /// [`Forwarding::Ipip`](crate::Forwarding::Ipip), ERANGE for a weight above `i32::MAX` or a
    /// lower threshold above the upper one.
    pub fn add_destination(
        &mut self,
        key: &ServiceKey,
        destination: &Destination,
    ) -> Result<(), Error> {
        self.change(&Change::AddDestination(*key, *destination))
    }

    /// Gives a destination all the options of `destination`, whatever it had. Connections and
    /// counters stay.
    ///
    /// # Errors
    /// ESRCH if there is no such service, ENOENT if it has no destination with that address and
    /// port, else as [`Self::add_destination`].
    pub fn set_destination(
        &mut self,
        key: &ServiceKey,
        destination: &Destination,
    ) -> Result<(), Error> {
        self.change(&Change::SetDestination(*key, *destination))
    }

    /// Deletes a destination.
    ///
    /// # Errors
    /// ESRCH if there is no such service, ENOENT if it has no such destination.
    pub fn delete_destination(
        &mut self,
        key: &ServiceKey,
        address: IpAddr,
        port: u16,
    ) -> Result<(), Error> {
        self.change(&Change::DeleteDestination(*key, SocketAddr::new(address, port)))
    }

    /// Makes many changes in few exchanges, one after the other in this order. Each is made or refused by
    /// itself: what the kernel refuses keeps no other from being made.
    ///
    /// The deadline is for each exchange, of up to 64 changes. After a failure of the socket the rest is not
    /// sent; of the changes in the exchange that failed, it is not known which the kernel has made.
    ///
    /// ```no_run
    /// use ipvs_rs::{Change, Destination, Forwarding, Ipvs, Service};
    ///
    /// let web = "tcp 192.0.2.1:80".parse()?;
    /// let destination = |host| Destination::new([10, 0, 0, host].into(), 80, Forwarding::Gate);
    /// let changes: Vec<Change> = std::iter::once(Change::AddService(Service::new(web, "wlc")))
    ///     .chain((1..=100).map(|host| Change::AddDestination(web, destination(host))))
    ///     .collect();
    /// for (change, result) in changes.iter().zip(Ipvs::open()?.apply(&changes)) {
    ///     if let Err(error) = result {
    ///         eprintln!("{error}, asked for by {change:?}");
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn apply(&mut self, changes: &[Change]) -> Vec<Result<(), Error>> {
        let mut results = Vec::with_capacity(changes.len());
        let mut broken: Option<Failure> = None;
        for batch in changes.chunks(BATCH) {
            let checks: Vec<_> = batch.iter().map(Change::check).collect();
            let sound = batch.iter().zip(&checks).filter(|(_, check)| check.is_ok());
            let sound: Vec<&Change> = sound.map(|(change, _)| change).collect();
            let answers = match &broken {
                None => self.exchange_all(Instant::now() + self.deadline, &sound),
                Some(failure) => failure.of_all(sound.len()),
            };
            if broken.is_none() {
                let failure = answers.iter().find(|answer| !is_answer(answer));
                broken = failure.and_then(|answer| answer.as_ref().err()).map(Failure::copy);
            }
            let mut answers = answers.into_iter();
            results.extend(batch.iter().zip(checks).map(|(change, checked)| {
                let operation = change.operation();
                check(operation, checked)?;
                let answer = answers.next().unwrap_or(Err(Failure::Timeout));
                answer.map_err(|failure| self.error(operation, failure))
            }));
        }
        results
    }

    /// Deletes all services.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.act(Operation::Flush, || Request::new(command::FLUSH))
    }

    /// Zeroes the counters of one service and its destinations, or of all.
    ///
    /// # Errors
    /// ESRCH if there is no such service.
    pub fn zero(&mut self, key: Option<&ServiceKey>) -> Result<(), Error> {
        let operation = Operation::Zero(key.copied());
        let Some(key) = key else { return self.act(operation, || Request::new(command::ZERO)) };
        check(operation, encode::check_key(key))?;
        self.act(operation, || Request::new(command::ZERO).key(key))
    }

    /// Reads version and size of the connection table.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn info(&mut self) -> Result<Info, Error> {
        self.one(Operation::ReadInfo, || Request::new(command::GET_INFO), decode::info)
    }

    /// Reads how long idle connections are remembered.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn timeouts(&mut self) -> Result<Timeouts, Error> {
        self.one(Operation::ReadTimeouts, || Request::new(command::GET_CONFIG), decode::timeouts)
    }

    /// Sets how long idle connections are remembered; 0 leaves a timeout alone.
    ///
    /// # Errors
    /// EINVAL for a timeout above `i32::MAX` ticks of the kernel (a few weeks at least).
    pub fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), Error> {
        self.act(Operation::SetTimeouts, || Request::new(command::SET_CONFIG).timeouts(timeouts))
    }

    /// Lists the synchronisation daemons: none, master, backup, or both.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, Error> {
        self.list(
            Operation::ListSyncDaemons,
            || Request::new(command::GET_DAEMON),
            decode::daemon,
            |daemon| daemon.role,
        )
    }

    /// Starts a synchronisation daemon.
    ///
    /// # Errors
    /// EEXIST if one runs in that role, ENODEV if there is no such interface.
    pub fn start_sync_daemon(&mut self, daemon: &SyncDaemon) -> Result<(), Error> {
        let operation = Operation::StartSyncDaemon(daemon.role);
        check(operation, encode::check_daemon(daemon))?;
        self.act(operation, || Request::new(command::NEW_DAEMON).daemon(daemon))
    }

    /// Stops the synchronisation daemon in that role. What a backup has taken on stays.
    ///
    /// # Errors
    /// ESRCH if none runs in that role.
    pub fn stop_sync_daemon(&mut self, role: SyncRole) -> Result<(), Error> {
        let request = || Request::new(command::DEL_DAEMON).daemon_role(role);
        let deadline = Instant::now() + self.deadline.min(UNACKNOWLEDGED);
        match self.exchange(deadline, Kind::Single, &request, &mut |_| Ok(())) {
            // A daemon whose thread has not run yet is stopped with EINTR, which netlink does not tell.
            Err(Failure::Timeout) if self.sync_daemons()?.iter().all(|it| it.role != role) => {
                Ok(())
            }
            result => {
                result.map_err(|failure| self.error(Operation::StopSyncDaemon(role), failure))
            }
        }
    }

    fn change(&mut self, change: &Change) -> Result<(), Error> {
        let operation = change.operation();
        check(operation, change.check())?;
        self.act(operation, || change.request())
    }

    /// A request that answers nothing but whether it was done.
    fn act(&mut self, operation: Operation, request: impl Fn() -> Request) -> Result<(), Error> {
        let deadline = Instant::now() + self.deadline;
        self.exchange(deadline, Kind::Single, &request, &mut |_| Ok(()))
            .map_err(|failure| self.error(operation, failure))
    }

    /// A request that answers one thing.
    fn one<T>(
        &mut self,
        operation: Operation,
        request: impl Fn() -> Request,
        decode: impl Fn(&[u8]) -> Result<T, Malformed>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + self.deadline;
        let mut answer = None;
        self.exchange(deadline, Kind::Single, &request, &mut |payload| {
            answer = Some(decode(payload)?);
            Ok(())
        })
        .and_then(|()| answer.ok_or_else(|| Failure::Malformed("the reply is empty".into())))
        .map_err(|failure| self.error(operation, failure))
    }

    /// A listing; from the start again if the table changed on the way.
    fn list<T, K: Eq + Hash>(
        &mut self,
        operation: Operation,
        request: impl Fn() -> Request,
        decode: impl Fn(&[u8]) -> Result<T, Malformed>,
        key: impl Fn(&T) -> K,
    ) -> Result<Vec<T>, Error> {
        let deadline = Instant::now() + self.deadline;
        for _ in 0..ATTEMPTS {
            let mut entries = Vec::new();
            let listed = self.exchange(deadline, Kind::Dump, &request, &mut |payload| {
                entries.push(decode(payload)?);
                Ok(())
            });
            match listed {
                // The kernel continues a listing by counting entries, so that one added at the
                // front meanwhile makes another come twice.
                Ok(()) if all_different(&entries, &key) => return Ok(entries),
                Ok(()) | Err(Failure::Interrupted) => {}
                Err(failure) => return Err(self.error(operation, failure)),
            }
        }
        Err(self.error(operation, Failure::Interrupted))
    }

    /// Sends a request, on a new connection if there is none, and keeps the connection if the
    /// answer is complete.
    fn exchange(
        &mut self,
        deadline: Instant,
        kind: Kind,
        request: &dyn Fn() -> Request,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Failure> {
        let mut connection = self.connect(deadline)?;
        let mut result = connection.request(deadline, kind, request, take);
        if is_absent(&result) && connection.is_renumbered(deadline)? {
            result = connection.request(deadline, kind, request, take);
        }
        if is_answer(&result) || matches!(result, Err(Failure::Interrupted)) {
            self.connection = Some(connection);
        }
        result
    }

    /// The connection that is kept, or a new one.
    fn connect(&mut self, deadline: Instant) -> Result<Connection, Failure> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(deadline),
        }
    }

    /// Sends requests together. One answer each; the connection is kept if all have come.
    fn exchange_all(&mut self, deadline: Instant, changes: &[&Change]) -> Vec<Result<(), Failure>> {
        if changes.is_empty() {
            return Vec::new();
        }
        let mut connection = match self.connect(deadline) {
            Ok(connection) => connection,
            Err(failure) => return failure.of_all(changes.len()),
        };
        let mut answers = connection.request_all(deadline, changes);
        // With an old number of the family, none was made.
        if answers.iter().all(is_absent) {
            match connection.is_renumbered(deadline) {
                Ok(false) => {}
                Ok(true) => answers = connection.request_all(deadline, changes),
                Err(failure) => return failure.of_all(changes.len()),
            }
        }
        if answers.iter().all(is_answer) {
            self.connection = Some(connection);
        }
        answers
    }

    fn error(&self, operation: Operation, failure: Failure) -> Error {
        match failure {
            Failure::NoFamily => Error::Unavailable(operation),
            Failure::Errno(errno) if errno == Errno::EPERM as i32 => Error::Permission(operation),
            Failure::Errno(errno) => Error::Kernel(operation, errno),
            Failure::Timeout => Error::Timeout(operation, self.deadline),
            Failure::Malformed(reason) => Error::Malformed(operation, reason),
            Failure::Interrupted => Error::Unstable(operation),
            Failure::Socket(error) => Error::Socket(operation, error),
        }
    }
}

impl Connection {
    fn open(deadline: Instant) -> Result<Self, Failure> {
        let mut channel = Channel::open().map_err(Failure::Socket)?;
        let family = channel.resolve(deadline)?;
        Ok(Self { channel, family })
    }

    fn request(
        &mut self,
        deadline: Instant,
        kind: Kind,
        request: &dyn Fn() -> Request,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Failure> {
        self.channel.request(request(), self.family, kind, deadline, take)
    }

    fn request_all(&mut self, deadline: Instant, changes: &[&Change]) -> Vec<Result<(), Failure>> {
        let requests = changes.iter().map(|change| change.request());
        self.channel.request_all(requests, self.family, deadline)
    }

    /// Whether the family has another number than before.
    ///
    /// When ip_vs has been unloaded and loaded, generic netlink answers ENOENT to the old number,
    /// which ip_vs itself says of destinations and schedulers.
    fn is_renumbered(&mut self, deadline: Instant) -> Result<bool, Failure> {
        let before = self.family;
        self.family = self.channel.resolve(deadline)?;
        Ok(self.family != before)
    }
}

/// Whether the kernel has done a request or refused it.
fn is_answer(result: &Result<(), Failure>) -> bool {
    matches!(result, Ok(()) | Err(Failure::Errno(_)))
}

/// Whether the kernel says that something is not there.
fn is_absent(result: &Result<(), Failure>) -> bool {
    matches!(result, Err(Failure::Errno(errno)) if *errno == Errno::ENOENT as i32)
}

fn check(operation: Operation, result: Result<(), &'static str>) -> Result<(), Error> {
    result.map_err(|reason| Error::Invalid(operation, reason))
}

fn all_different<T, K: Eq + Hash>(entries: &[T], key: impl Fn(&T) -> K) -> bool {
    let mut seen = HashSet::with_capacity(entries.len());
    entries.iter().all(|entry| seen.insert(key(entry)))
}
