//! In the lab, on real ip_vs, where the original and keepalived run too.
//!
//! The guest's kernel accounts CPU in ticks of 10 ms, which misses work that is shorter and begins
//! at a tick, as that of every daemon with timers does. So the guest only says when a measurement
//! begins and ends, and the CPU time of the whole guest, as the host accounts it, is what counts,
//! less what the idle guest takes. A method's servers take part in it alike for each program.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::accounting::usage;
use crate::configuration::{Method, Plan, targets};
use crate::floor;
use crate::host::{PER_SERVICE, SERVERS, everywhere, folder, kind, settle};
use crate::network::{connections, enter};
use crate::program::{Daemon, Program, until};
use crate::report::{costs, figure, heading, mib, ms, range};
use crate::server::{Kind, Servers};
use crate::{Measurement, Result};

/// The programs, and how often each is measured: the original takes minutes to start here.
const PROGRAMS: [(Program, usize); 3] =
    [(Program::Ours, 3), (Program::Keepalived, 3), (Program::Original, 1)];

const WINDOW: Duration = Duration::from_secs(15);
/// Between two looks at the table.
const PAUSE: Duration = Duration::from_millis(5);

/// The same where the table is long: reading 1,500 lines costs the guest some milliseconds.
const LONG_PAUSE: Duration = Duration::from_millis(50);

const PATIENCE: Duration = Duration::from_secs(900);

/// The words with which the guest speaks to the outside.
const BEGIN: &str = "#begin";
const END: &str = "#end";
const REPORT: &str = "#report";

/// Boots the guest and looks at it from outside.
pub(crate) fn outside(names: &[&str]) -> Result<()> {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/lab/run");
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut guest = Command::new(&run)
        .args(["--mem", "2G", "--timeout", "3600"])
        .arg(own)
        .arg("guest")
        .args(names)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{}: {e}", run.display()))?;
    let output = guest.stdout.take().ok_or("no output")?;
    let root = guest.id();
    let mut meter = Meter::default();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|e| format!("guest: {e}"))?;
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [BEGIN, ..] => meter.begin(root),
            [END, name, count] => meter.end(root, name, count.parse().unwrap_or(0)),
            [REPORT, ..] => meter.report(),
            _ => println!("{line}"),
        }
    }
    let status = guest.wait().map_err(|e| e.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("guest: {status}")) }
}

/// The whole guest's CPU in each measurement.
#[derive(Default)]
struct Meter {
    begun: Option<(Duration, Instant)>,
    /// CPU seconds per second of the idle guest.
    idle: f64,
    /// The least CPU per check, and the checks per second then.
    least: BTreeMap<String, (Duration, f64)>,
    order: Vec<String>,
}

impl Meter {
    fn begin(&mut self, root: u32) {
        self.begun = Some((usage(root).cpu, Instant::now()));
    }

    fn end(&mut self, root: u32, name: &str, count: u32) {
        let Some((cpu, since)) = self.begun.take() else { return };
        let (spent, seconds) = (usage(root).cpu - cpu, since.elapsed().as_secs_f64());
        if name == "idle" {
            self.idle = spent.as_secs_f64() / seconds;
            return;
        }
        let own = spent.as_secs_f64() - self.idle * seconds;
        let cost = Duration::from_secs_f64(own.max(0.0) / f64::from(count.max(1)));
        let rate = f64::from(count) / seconds;
        if !self.order.iter().any(|known| known == name) {
            self.order.push(name.to_owned());
        }
        let least = self.least.entry(name.to_owned()).or_insert((cost, rate));
        if cost < least.0 {
            *least = (cost, rate);
        }
    }

    fn report(&mut self) {
        let least = std::mem::take(&mut self.least);
        let rows: Vec<_> = std::mem::take(&mut self.order)
            .into_iter()
            .filter_map(|name| {
                let (cost, rate) = least.get(&name)?;
                Some((name, *cost, format!("{rate:.0} checks/s")))
            })
            .collect();
        costs(&rows);
    }
}

/// The guest's part.
pub(crate) fn inside(names: &[&str]) -> Result<()> {
    enter()?;
    let all: [Measurement; 5] = [
        ("connect", || checks(Method::Connect)),
        ("http", || checks(Method::Http)),
        ("death", death),
        ("start", start),
        ("reload", reload),
    ];
    for (name, measure) in all {
        if names.is_empty() || names.contains(&name) {
            measure()?;
        }
    }
    Ok(())
}

fn checks(method: Method) -> Result<()> {
    println!("{BEGIN} idle");
    sleep(WINDOW);
    println!("{END} idle 0");
    let servers = everywhere(kind(method))?;
    let name = method.name();
    heading(&format!(
        "CPU per check, {name}, {SERVERS} servers every second, the whole guest of the lab"
    ));
    for _ in 0..3 {
        println!("{BEGIN} floor");
        floor::measure(method, SERVERS, 20)?;
        println!("{END} bare-loop {}", SERVERS * 20);
        servers.drain();
    }
    for (program, windows) in PROGRAMS {
        let plan = Plan::new(&targets(SERVERS), PER_SERVICE, method);
        let daemon = Daemon::start(program, &plan, &folder()?)?;
        until("all up", PATIENCE, Duration::from_millis(200), || Ok(listed() == SERVERS))?;
        settle(&plan)?;
        for _ in 0..windows {
            servers.drain();
            println!("{BEGIN} {}", program.name());
            let before = connections()?;
            sleep(WINDOW);
            println!("{END} {} {}", program.name(), connections()? - before);
        }
        let now = usage(daemon.pid);
        let note = format!("{} threads, {}", now.threads, mib(now.resident));
        figure(program.name(), &note);
        daemon.stop();
        clear()?;
    }
    println!("{REPORT}");
    Ok(())
}

fn death() -> Result<()> {
    heading(&format!("Time to see a death, {SERVERS} servers every second, in the lab"));
    let _servers = everywhere(Kind::Close)?;
    let victim = "127.2.0.1:8001";
    for (program, _) in PROGRAMS {
        let mut server = Some(Servers::start(Kind::Close, victim)?);
        let mut plan = Plan::new(&targets(SERVERS), PER_SERVICE, Method::Connect);
        plan.services.push(vec![victim.parse().map_err(|e| format!("{victim}: {e}"))?]);
        let daemon = Daemon::start(program, &plan, &folder()?)?;
        let all = plan.servers();
        until("all up", PATIENCE, Duration::from_millis(200), || Ok(listed() == all))?;
        settle(&plan)?;
        let mut times = Vec::new();
        for round in 1..=8_u64 {
            sleep(Duration::from_millis(round * 370 % 1000));
            drop(server.take());
            times.push(until("the death", PATIENCE, PAUSE, || Ok(listed() < all))?);
            server = Some(Servers::start(Kind::Close, victim)?);
            until("the return", PATIENCE, PAUSE, || Ok(listed() == all))?;
        }
        figure(program.name(), &range(&times));
        daemon.stop();
        clear()?;
    }
    Ok(())
}

fn start() -> Result<()> {
    heading("Start with 1,500 servers that are all up, in the lab");
    let _servers = everywhere(Kind::Close)?;
    for (program, times) in PROGRAMS {
        let mut plan = Plan::new(&targets(1500), PER_SERVICE, Method::Connect);
        plan.interval = 10;
        let mut taken = Vec::new();
        for _ in 0..times {
            let begun = Instant::now();
            let daemon = Daemon::start(program, &plan, &folder()?)?;
            until("all up", PATIENCE, LONG_PAUSE, || Ok(listed() == 1500))?;
            taken.push(begun.elapsed());
            daemon.stop();
            clear()?;
        }
        figure(program.name(), &range(&taken));
    }
    Ok(())
}

fn reload() -> Result<()> {
    heading(
        "Reload of 37,000 real servers in 1,000 services that changes nothing, in the lab, ours",
    );
    let _servers = everywhere(Kind::Close)?;
    let mut plan = Plan::new(&targets(37_000), 37, Method::Connect);
    plan.interval = 60;
    let daemon = Daemon::start(Program::Ours, &plan, &folder()?)?;
    until("all up", PATIENCE, Duration::from_millis(500), || {
        Ok(daemon.logged("Added real server") >= 37_000)
    })?;
    let mut times = Vec::new();
    for round in 1..=3 {
        let begun = Instant::now();
        daemon.reload()?;
        let done = || Ok(daemon.logged("Changed virtual server") >= round * 1000);
        until("the reload", PATIENCE, PAUSE, done)?;
        times.push(begun.elapsed());
    }
    figure("from the signal to the last service", &range(&times));
    figure("the first", &ms(times[0]));
    daemon.stop();
    clear()
}

/// Destinations in the kernel's table.
fn listed() -> usize {
    let table = fs::read_to_string("/proc/net/ip_vs").unwrap_or_default();
    table.lines().filter(|line| line.starts_with("  ->")).count().saturating_sub(1)
}

/// Empties the kernel's table.
fn clear() -> Result<()> {
    match Command::new("ipvsadm").arg("-C").status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("ipvsadm -C: {other:?}")),
    }
}
