//! What the daemon and its prober hold: memory, descriptors, threads, zombies. None may grow.

use std::fmt;
use std::fs;
use std::time::Duration;

/// What one process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Resident, in KiB.
    pub(crate) memory: usize,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

/// Samples of one kind of process.
pub(crate) struct Gauge {
    name: &'static str,
    samples: Vec<(Duration, Holding)>,
    pub(crate) zombies: usize,
}

/// Before this many samples nothing is compared.
const FEW: usize = 8;

impl Gauge {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, samples: Vec::new(), zombies: 0 }
    }

    /// Notes a sample.
    pub(crate) fn note(&mut self, at: Duration, holding: Holding) {
        self.samples.push((at, holding));
    }

    /// What has grown. The first tenth of the run, but at least two minutes of it, is what the rest
    /// is held against.
    pub(crate) fn growth(&self) -> Result<(), String> {
        let (Some(begin), Some(end)) = (self.begin(), self.end()) else { return Ok(()) };
        let limits = [
            // What glibc keeps in its arenas comes and goes by some hundred KiB.
            ("memory", end.memory, begin.memory + begin.memory / 4 + 2048),
            ("descriptors", end.descriptors, begin.descriptors + begin.descriptors / 2 + 8),
            // A worker for each check that hangs, and ten seconds longer.
            ("threads", end.threads, begin.threads + begin.threads / 2 + 8),
        ];
        for (what, now, limit) in limits {
            if now > limit {
                return Err(format!("{} of the {}: {now}, limit {limit}", what, self.name));
            }
        }
        Ok(())
    }

    fn begin(&self) -> Option<Holding> {
        let last = self.samples.last()?.0;
        let first = (last / 10).max(Duration::from_secs(120));
        let early = self.samples.iter().take_while(|(at, _)| *at <= first);
        median(&early.map(|(_, holding)| *holding).collect::<Vec<_>>())
    }

    fn end(&self) -> Option<Holding> {
        let late = &self.samples[self.samples.len() - self.samples.len() / 10..];
        median(&late.iter().map(|(_, holding)| *holding).collect::<Vec<_>>())
    }

    fn most(&self) -> Option<Holding> {
        let most = |of: fn(&Holding) -> usize| self.samples.iter().map(|(_, it)| of(it)).max();
        Some(Holding {
            memory: most(|it| it.memory)?,
            descriptors: most(|it| it.descriptors)?,
            threads: most(|it| it.threads)?,
        })
    }
}

/// Of each number by itself; `None` of few.
fn median(holdings: &[Holding]) -> Option<Holding> {
    if holdings.len() < FEW {
        return None;
    }
    let middle = |of: fn(&Holding) -> usize| {
        let mut numbers: Vec<usize> = holdings.iter().map(of).collect();
        numbers.sort_unstable();
        numbers[numbers.len() / 2]
    };
    Some(Holding {
        memory: middle(|it| it.memory),
        descriptors: middle(|it| it.descriptors),
        threads: middle(|it| it.threads),
    })
}

impl fmt::Display for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |holding: Option<Holding>| {
            holding.map_or("-".to_owned(), |it| {
                format!("{} KiB, {} fds, {} threads", it.memory, it.descriptors, it.threads)
            })
        };
        write!(
            f,
            "{}: begin {}; end {}; most {}; {} zombies; {} samples",
            self.name,
            words(self.begin()),
            words(self.end()),
            words(self.most()),
            self.zombies,
            self.samples.len()
        )
    }
}

/// What a process holds; `None` if it is gone.
pub(crate) fn holding(pid: u32) -> Option<Holding> {
    let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).ok().map(Iterator::count);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(Holding {
        memory: line.split_whitespace().nth(1)?.parse().ok()?,
        descriptors: count("fd")?,
        threads: count("task")?,
    })
}

/// A process in the list.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    parent: u32,
    is_zombie: bool,
}

/// The children of a process.
pub(crate) fn children(parent: u32) -> Vec<Process> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(process).filter(|process| process.parent == parent).collect()
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    let is_zombie = words.next()? == "Z";
    Some(Process { pid, parent: words.next()?.parse().ok()?, is_zombie })
}

/// How many of a process's children are zombies for longer than it takes to reap one.
pub(crate) fn zombies(parent: u32) -> usize {
    let now = || children(parent).into_iter().filter(|it| it.is_zombie).map(|it| it.pid);
    let mut lasting: Vec<u32> = now().collect();
    for _ in 0..20 {
        if lasting.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        let still: Vec<u32> = now().collect();
        lasting.retain(|pid| still.contains(pid));
    }
    lasting.len()
}

/// The prober of a daemon.
pub(crate) fn prober(daemon: u32) -> Option<u32> {
    let is_prober = |process: &Process| {
        let name = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        String::from_utf8_lossy(&name).contains("prober for")
    };
    children(daemon).into_iter().find(is_prober).map(|process| process.pid)
}
