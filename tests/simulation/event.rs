//! What happens in a history: a list that follows from a seed, and that can be shortened.

use crate::file::{Size, TARGETS};
use crate::random::Random;

/// Something that happens, so long after the event before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) after_ms: u32,
    pub(crate) what: What,
}

/// How the servers, hooks and so on behave from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// What checks of one target find.
    Server(usize, Behaviour),
    /// What checks of all targets find.
    Servers(Behaviour),
    /// The file is edited; how follows from the number.
    Edit(u64),
    /// The file is again what is in force.
    Undo,
    /// The file is not accepted any more, or is again.
    Broken(bool),
    /// HUP.
    Reload,
    /// `kill -9`, after so many effects of the next step have been carried out; a new start follows.
    Kill(usize),
    /// Another process takes over.
    HandOver,
    /// TERM, and a new start later.
    Stop,
    /// An operator drains, disables, enables; what follows from the number.
    Operate(u64),
    /// Somebody asks what a reload would do.
    Plan,
    /// A reload whose result is waited for, and after how many seconds it is taken back.
    Ask(Option<u8>),
    Confirm,
    Status,
    Listing,
    Serving,
    /// The name of a server has other addresses.
    Rename(u64),
    /// A file in `maintenancedir` comes.
    Touch(usize),
    /// … goes.
    Remove(usize),
    /// The directory can be read, or not.
    Directory(bool),
    Resolver(Resolver),
    /// From now on operations of these kinds (bits) are refused so.
    Refuse(u8, Refusal),
    /// So many operations meet somebody who was quicker.
    Race(u8),
    /// Somebody else changes the table; how follows from the number.
    Tamper(u64),
    Hooks(Hooks),
    Loads(Loads),
    /// The owner gets no processor for so long.
    Starve(u32),
    /// The clock on the wall jumps by so many seconds.
    Wall(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Good,
    Bad,
    BadOtherwise,
    /// One failure in three.
    Flaky,
    /// No answer at all.
    Hangs,
    /// The answer comes when it is not waited for any more.
    Late,
    Twice,
    /// The check cannot be made.
    Local,
    /// Who checks is gone.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    None,
    Forbidden,
    NoBuffer,
    NoMemory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hooks {
    Quick,
    Slow,
    Fail,
    Hang,
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loads {
    Quick,
    Slow,
    Never,
    Twice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolver {
    Answers,
    Fails,
    Hangs,
}

/// Kinds of operations for [`What::Refuse`]: the six of [`Operation`], and the two listings.
///
/// [`Operation`]: ldirectord::dataplane::Operation
pub(crate) const LIST_SERVICES: u8 = 1 << 6;
pub(crate) const LIST_DESTINATIONS: u8 = 1 << 7;

/// How often which kind of event happens in one history; some kinds are left out of many, so that
/// the strict rules hold there.
struct Mood {
    table: usize,
    tamper: usize,
    hooks: usize,
    edits: usize,
    maintenance: usize,
    deaths: usize,
    checks: usize,
}

/// The size of the world and what happens in it.
pub(crate) fn history(seed: u64) -> (Size, Vec<Event>) {
    let mut r = Random::new(seed);
    // By the seed alone, and for none of those that are remembered: their histories stay as they are.
    let fallbacks = if matches!(seed % 13, 1 | 11) { 4 } else { 1 };
    let size = match r.below(10) {
        0 => Size { services: 8, servers: 6, fallbacks },
        1..4 => Size { services: 2, servers: 2, fallbacks },
        _ => Size { services: 4, servers: 4, fallbacks },
    };
    let mut weight = |often: usize| if r.chance(60) { often } else { 0 };
    let mood = Mood {
        table: weight(8),
        tamper: weight(5),
        hooks: weight(8),
        edits: weight(30),
        maintenance: weight(12),
        deaths: weight(6),
        checks: weight(8),
    };
    let length = r.pick(&[10, 25, 50, 100]);
    let mut events: Vec<Event> = (0..length)
        .map(|_| {
            let after_ms = match r.below(10) {
                0..5 => r.below(200),
                5..8 => r.below(3000),
                _ => r.below(20_000),
            };
            let after_ms = u32::try_from(after_ms).expect("seconds");
            Event { after_ms, what: what(&mood, &mut r) }
        })
        .collect();
    if seed & OPERATORS != 0 {
        operators(&mut events, &mut Random::new(seed ^ OPERATORS));
    }
    (size, events)
}

/// Histories with this bit in their seed have operators in them; without it they are as they were before
/// there were any.
pub(crate) const OPERATORS: u64 = 1 << 40;

fn operators(events: &mut Vec<Event>, r: &mut Random) {
    for _ in 0..1 + events.len() / 4 {
        let at = r.below(events.len() + 1);
        let after_ms = u32::try_from(r.below(1500)).expect("seconds");
        let what = match r.below(10) {
            0 => What::Plan,
            1 => What::Ask(None),
            2 => What::Ask(Some(u8::try_from(1 + r.below(20)).expect("seconds"))),
            3 => What::Confirm,
            _ => What::Operate(r.next()),
        };
        events.insert(at, Event { after_ms, what });
    }
}

fn what(mood: &Mood, r: &mut Random) -> What {
    let weights = [
        20,
        mood.checks,
        mood.edits,
        8,
        mood.maintenance,
        mood.table,
        mood.tamper,
        mood.hooks,
        mood.deaths,
        6,
        3,
    ];
    let mut at = r.below(weights.iter().sum());
    let kind = weights.iter().position(|&weight| {
        let found = at < weight;
        at = at.wrapping_sub(weight);
        found
    });
    use Behaviour::{Bad, BadOtherwise, Flaky, Good, Hangs, Late, Local, Lost, Twice};
    match kind.expect("it is below the sum") {
        0 => {
            let behaviour = r.pick(&[Good, Good, Bad, Bad, BadOtherwise, Flaky]);
            match r.below(5) {
                0 => What::Servers(behaviour),
                _ => What::Server(r.below(TARGETS), behaviour),
            }
        }
        1 => {
            let behaviour = r.pick(&[Hangs, Late, Twice, Local, Lost]);
            match r.below(3) {
                0 => What::Servers(behaviour),
                _ => What::Server(r.below(TARGETS), behaviour),
            }
        }
        2 => match r.below(12) {
            0 => What::Broken(r.chance(50)),
            1 => What::Undo,
            2 => What::Rename(r.below(3) as u64),
            3..5 => What::Reload,
            _ => What::Edit(r.next()),
        },
        3 => What::Reload,
        4 => match r.below(10) {
            0..4 => What::Touch(r.below(FILES)),
            4..8 => What::Remove(r.below(FILES)),
            8 => What::Directory(r.chance(60)),
            _ => What::Resolver(r.pick(&[Resolver::Answers, Resolver::Fails, Resolver::Hangs])),
        },
        5 => match r.below(6) {
            0..2 => What::Refuse(0, Refusal::None),
            2 => What::Race(u8::try_from(1 + r.below(4)).expect("few")),
            _ => {
                let kinds = if r.chance(20) { 0xff } else { 1 << r.below(8) };
                let refusal = r.pick(&[Refusal::Forbidden, Refusal::NoBuffer, Refusal::NoMemory]);
                What::Refuse(kinds, refusal)
            }
        },
        6 => What::Tamper(r.next()),
        7 => What::Hooks(r.pick(&[
            Hooks::Quick,
            Hooks::Quick,
            Hooks::Slow,
            Hooks::Fail,
            Hooks::Hang,
            Hooks::Mixed,
            Hooks::Mixed,
        ])),
        8 => match r.below(6) {
            0..4 => What::Kill(r.below(12)),
            4 => What::HandOver,
            _ => What::Stop,
        },
        9 if r.pick(&[0, 0, 0, 1]) == 0 => What::Status,
        9 if r.pick(&[0, 1]) == 0 => What::Serving,
        9 => What::Listing,
        _ => match r.below(3) {
            0 => What::Starve(u32::try_from(r.below(12_000)).expect("seconds")),
            1 => What::Wall(i32::try_from(r.below(20_000)).expect("seconds") - 10_000),
            _ => What::Loads(r.pick(&[Loads::Quick, Loads::Slow, Loads::Never, Loads::Twice])),
        },
    }
}

/// How many names a file in `maintenancedir` may have.
pub(crate) const FILES: usize = 9;

/// The name of a file in `maintenancedir`.
pub(crate) fn file_name(number: usize) -> &'static str {
    [
        "10.1.0.1",
        "10.1.0.2",
        "10.1.0.3:80",
        "10.1.0.1:81",
        "web4",
        "web2.example:80",
        "README",
        "web1.example",
        "10.1.0.5",
    ][number]
}
