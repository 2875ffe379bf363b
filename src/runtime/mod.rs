//! The owner's step, the loop that feeds it, and the threads that carry its effects out.
//!
//! ```text
//! signals ───────┐                                    ┌─▶ prober (checks)
//! watch thread ──┤        ┌──────── owner ────────┐   ├─▶ hook threads, mail, monitorfile, log
//! prober ────────┼─Input─▶│ step: director, table,│──Effect─▶ journal of the hooks
//! hook threads ──┤        │ schedule, hooks,      │   ├─▶ load thread, name look-ups, watch
//! load, names ───┤        │ maintenance, status   │   ├─▶ answers to the control socket
//! control ───────┘        └───────────────────────┘   └─▶ the end
//! ```
//!
//! Everything that is known and decided is one function of (state, inputs, time) to effects: [`Owner`],
//! in `step.rs`. It has no clock, thread, channel, file or sleep; `tests/simulation/` runs it under a
//! simulated world. The table stands behind its trait and is programmed in the step, for netlink
//! takes microseconds. [`Runtime`] is the loop; it is the only other code on the owner thread. It waits
//! a millisecond where outcomes arrive, to take a burst of them together.
//!
//! What may be lost (an answer, a thread, a process) has a deadline, after which it is asked for again.

mod alerts;
mod controller;
mod counters_file;
mod effect;
mod ending;
mod input;
mod maintenance;
mod names;
mod operator;
mod paths;
mod plan;
mod reload;
mod report;
#[expect(clippy::module_inception, reason = "the loop is what the room is named after")]
mod runtime;
mod schedule;
mod setup;
mod state_file;
mod step;
mod telling;
#[cfg(test)]
mod tests;
mod watch;

pub use controller::Controller;
pub use effect::{Answer, Effect, End};
pub use input::{Asker, Input, Listing, Loaded, Name, Now, Question, Refused};
pub use operator::{Change, Command, LARGEST_WEIGHT, Line as OverrideLine};
pub use runtime::{Runtime, words};
pub use setup::{Configuration, Faults, Files, Fingerprint, FollowedNames, Load, LookUp, Setup};
pub use step::{Beginning, Owner};
