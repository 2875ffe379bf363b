//! Threads and channels: the event loop that joins the rooms.
//!
//! ```text
//! signals ────────┐        ┌──────────── owner thread ─────────────┐
//! config watch ───┤        │ recv_timeout(schedule, deadlines)     │
//! dialer ─────────┼Message▶│ director → actions                    │
//!   │ connected   │        │ plan → apply          (netlink, µs)   │
//!   ▼             │        │ dispatch checks and hooks             │
//! workers 0..=max ┤        └───────────────────────────────────────┘
//! hook runners ───┘
//! ```
//!
//! The owner thread owns all state; there are no locks on it. Nothing slower than a netlink round
//! trip runs there: checks, hooks, mail, name look-ups and the reading of files run elsewhere. It
//! waits a millisecond where outcomes arrive, to take a burst of them together.

mod alerts;
mod controller;
mod dialer;
mod dispatch;
mod ending;
mod message;
mod owner;
mod pool;
mod reload;
mod report;
mod schedule;
mod setup;
mod watch;

pub use controller::Controller;
pub use ending::End;
pub use owner::Runtime;
pub use setup::{Configuration, Load, Setup};
pub use watch::Fingerprint;
