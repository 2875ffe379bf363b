//! On this machine: CPU as the kernel accounts it to each process; ours with the table in memory.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::accounting::usage;
use crate::configuration::{Method, PORT, Plan, addresses, targets};
use crate::floor;
use crate::network::{HOLE, connections, enter, fill_hole, open_hole};
use crate::program::{Daemon, Program, until};
use crate::report::{costs, figure, heading, mib, ms, range};
use crate::server::{Kind, Servers};
use crate::{Measurement, Result};

/// Real servers of the comparison.
pub(crate) const SERVERS: usize = 500;

/// Real servers of a virtual service there.
pub(crate) const PER_SERVICE: usize = 50;

/// How long CPU is counted, each time.
const WINDOW: Duration = Duration::from_secs(15);

/// How often, for the least of them.
const WINDOWS: usize = 3;

const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the measurements with these names; all of them if there are none.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    enter()?;
    let all: [Measurement; 7] = [
        ("connect", || checks(Method::Connect)),
        ("http", || checks(Method::Http)),
        ("death", death),
        ("start", start),
        ("scale", scale),
        ("holes", holes),
        ("reload", reload),
    ];
    for (name, measure) in all {
        if names.is_empty() || names.contains(&name) {
            measure()?;
        }
    }
    Ok(())
}

/// Where configurations and logs go.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = PathBuf::from("/run/ldirectord-bench");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// All of 127.0.0.0/8 and of the network that swallows packets, at the real servers' port.
pub(crate) fn everywhere(kind: Kind) -> Result<Servers> {
    Servers::start(kind, &format!("0.0.0.0:{PORT}"))
}

/// What serves a method when only the checking side is to be measured.
pub(crate) fn kind(method: Method) -> Kind {
    match method {
        Method::Connect => Kind::Queue,
        Method::Http => Kind::Http,
    }
}

fn checks(method: Method) -> Result<()> {
    let servers = everywhere(kind(method))?;
    let name = method.name();
    heading(&format!("CPU per check, {name}, {SERVERS} servers every second, this machine"));
    let mut least = Duration::MAX;
    for _ in 0..WINDOWS {
        least = least.min(floor::measure(method, SERVERS, 40)?);
        servers.drain();
    }
    let mut rows = vec![("bare loop".to_owned(), least, String::new())];
    for program in [Program::OursInMemory, Program::Original] {
        let plan = Plan::new(&targets(SERVERS), PER_SERVICE, method);
        let daemon = Daemon::start(program, &plan, &folder()?)?;
        settle(&plan)?;
        let (mut least, mut rate) = (Duration::MAX, 0.0);
        for _ in 0..WINDOWS {
            servers.drain();
            let (cost, per_second) = window(daemon.pid)?;
            if cost < least {
                (least, rate) = (cost, per_second);
            }
        }
        let now = usage(daemon.pid);
        let note = format!("{rate:.0} checks/s, {} threads, {}", now.threads, mib(now.resident));
        rows.push((program.name().to_owned(), least, note));
        daemon.stop();
    }
    costs(&rows);
    Ok(())
}

/// Waits until every server has been checked, three times over.
pub(crate) fn settle(plan: &Plan) -> Result<()> {
    let begin = connections()?;
    let wanted = begin + 3 * plan.servers() as u64;
    let limit = Duration::from_secs(600);
    until("checks", limit, Duration::from_millis(50), || Ok(connections()? >= wanted))?;
    Ok(())
}

/// CPU per check of a process over one window, and the checks per second.
fn window(pid: u32) -> Result<(Duration, f64)> {
    let (cpu, count, begun) = (usage(pid).cpu, connections()?, Instant::now());
    sleep(WINDOW);
    let checks = connections()? - count;
    let spent = usage(pid).cpu - cpu;
    let per_second = checks as f64 / begun.elapsed().as_secs_f64();
    Ok((spent / u32::try_from(checks.max(1)).unwrap_or(u32::MAX), per_second))
}

fn death() -> Result<()> {
    heading(&format!("Time to see a death, {SERVERS} servers every second, table in memory"));
    let _servers = everywhere(Kind::Close)?;
    let victim = "127.2.0.1:8001";
    let mut plan = Plan::new(&targets(SERVERS), PER_SERVICE, Method::Connect);
    plan.services.push(vec![victim.parse().map_err(|e| format!("{victim}: {e}"))?]);
    let mut server = Some(Servers::start(Kind::Close, victim)?);
    let daemon = Daemon::start(Program::OursInMemory, &plan, &folder()?)?;
    until("all up", PATIENCE, PAUSE, || Ok(daemon.logged("Added real server") >= plan.servers()))?;
    let mut times = Vec::new();
    for round in 1..=10_u32 {
        // At another time of the second each time.
        sleep(Duration::from_millis(u64::from(round * 370 % 1000)));
        drop(server.take());
        let seen = || Ok(daemon.logged("Deleted real server") == round as usize);
        times.push(until("the death", PATIENCE, PAUSE, seen)?);
        server = Some(Servers::start(Kind::Close, victim)?);
        let back = plan.servers() + round as usize;
        until("the return", PATIENCE, PAUSE, || Ok(daemon.logged("Added real server") == back))?;
    }
    figure("ours", &range(&times));
    daemon.stop();
    Ok(())
}

fn start() -> Result<()> {
    heading("Start with 1,500 servers that are all up, table in memory");
    let _servers = everywhere(Kind::Close)?;
    let mut plan = Plan::new(&targets(1500), PER_SERVICE, Method::Connect);
    plan.interval = 10;
    let mut times = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let daemon = Daemon::start(Program::OursInMemory, &plan, &folder()?)?;
        until("all up", PATIENCE, PAUSE, || Ok(daemon.logged("Added real server") >= 1500))?;
        times.push(begun.elapsed());
        if daemon.listed()? != 1500 {
            return Err(format!("listed: {}", daemon.listed()?));
        }
        daemon.stop();
    }
    figure("from the command to the whole table", &range(&times));
    Ok(())
}

fn scale() -> Result<()> {
    heading("10,000 real servers in 500 services every 5 s, all up, table in memory");
    let _servers = everywhere(Kind::Close)?;
    let mut plan = Plan::new(&targets(10_000), 20, Method::Connect);
    plan.interval = 5;
    let begun = Instant::now();
    let daemon = Daemon::start(Program::OursInMemory, &plan, &folder()?)?;
    until("all up", PATIENCE, PAUSE, || Ok(daemon.logged("Added real server") >= 10_000))?;
    figure("from the command to the whole table", &ms(begun.elapsed()));
    sleep(Duration::from_secs(6));
    let mut rounds = Vec::new();
    let (cpu, first) = (usage(daemon.pid).cpu, connections()?);
    for _ in 0..6 {
        let before = connections()?;
        sleep(Duration::from_secs(5));
        rounds.push(connections()? - before);
    }
    let now = usage(daemon.pid);
    let checks = connections()? - first;
    let cost = (now.cpu - cpu) / u32::try_from(checks.max(1)).unwrap_or(u32::MAX);
    figure("checks in six intervals of 5 s", &format!("{rounds:?}"));
    figure("CPU per check", &format!("{:.1} µs", cost.as_secs_f64() * 1e6));
    figure("CPU of one core", &format!("{:.1} %", (now.cpu - cpu).as_secs_f64() / 30.0 * 100.0));
    figure("resident, at most", &format!("{}, {}", mib(now.resident), mib(now.peak)));
    figure("threads", &now.threads.to_string());
    daemon.stop();
    Ok(())
}

fn holes() -> Result<()> {
    heading(
        "10,000 real servers in 500 services every 5 s, timeout 1 s, all begin to swallow packets",
    );
    fill_hole()?;
    let _servers = everywhere(Kind::Close)?;
    let mut plan = Plan::new(&addresses(HOLE, 10_000), 20, Method::Connect);
    plan.interval = 5;
    let daemon = Daemon::start(Program::OursInMemory, &plan, &folder()?)?;
    until("all up", PATIENCE, PAUSE, || Ok(daemon.logged("Added real server") >= 10_000))?;
    sleep(Duration::from_secs(6));
    open_hole()?;
    let down = || Ok(daemon.logged("Deleted real server") >= 10_000);
    let seen = until("all down", PATIENCE, Duration::from_millis(50), down)?;
    figure("until all are marked down", &ms(seen));
    let mut most_threads = 0;
    for _ in 0..20 {
        sleep(Duration::from_millis(250));
        most_threads = most_threads.max(usage(daemon.pid).threads);
    }
    let now = usage(daemon.pid);
    figure("resident, at most", &format!("{}, {}", mib(now.resident), mib(now.peak)));
    figure("threads", &most_threads.to_string());
    daemon.stop();
    heading("The same from the start: none has ever answered");
    let begun = Instant::now();
    let daemon = Daemon::start(Program::OursInMemory, &plan, &folder()?)?;
    let down = || Ok(daemon.logged("unknown -> down") >= 10_000);
    until("all down", PATIENCE, Duration::from_millis(50), down)?;
    figure("from the command until all are marked down", &ms(begun.elapsed()));
    let now = usage(daemon.pid);
    figure("resident, at most", &format!("{}, {}", mib(now.resident), mib(now.peak)));
    daemon.stop();
    Ok(())
}

fn reload() -> Result<()> {
    heading(
        "Reload of 37,000 real servers in 1,000 services that changes nothing, table in memory",
    );
    let _servers = everywhere(Kind::Close)?;
    let mut plan = Plan::new(&targets(37_000), 37, Method::Connect);
    plan.interval = 30;
    let daemon = Daemon::start(Program::OursInMemory, &plan, &folder()?)?;
    until("all up", PATIENCE, PAUSE, || Ok(daemon.logged("Added real server") >= 37_000))?;
    let (mut times, mut cpus) = (Vec::new(), Vec::new());
    for round in 1..=5 {
        let (before, begun) = (usage(daemon.pid).cpu, Instant::now());
        daemon.reload()?;
        let done = || Ok(daemon.logged("Changed virtual server") >= round * 1000);
        until("the reload", PATIENCE, Duration::from_millis(1), done)?;
        times.push(begun.elapsed());
        cpus.push(usage(daemon.pid).cpu - before);
    }
    figure("from the signal to the last service", &range(&times));
    figure("CPU", &range(&cpus));
    let now = usage(daemon.pid);
    figure("resident, at most", &format!("{}, {}", mib(now.resident), mib(now.peak)));
    daemon.stop();
    Ok(())
}

/// Runs ours on the comparison's plan until killed, for a profiler; prints its process.
pub(crate) fn serve(method: &str) -> Result<()> {
    enter()?;
    let method = if method == "http" { Method::Http } else { Method::Connect };
    let _servers = everywhere(if method == Method::Http { Kind::Http } else { Kind::Close })?;
    let plan = Plan::new(&targets(SERVERS), PER_SERVICE, method);
    let daemon = Daemon::start(Program::OursInMemory, &plan, &folder()?)?;
    println!("{}", daemon.pid);
    loop {
        sleep(Duration::from_secs(10));
        let now = usage(daemon.pid);
        println!("{} threads, {}", now.threads, mib(now.resident));
    }
}
