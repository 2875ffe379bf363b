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
//! trip runs there: checks, hooks, mail, name look-ups and the reading of files run elsewhere.

mod alerts;
mod dialer;
mod dispatch;
mod message;
mod owner;
mod pool;
mod report;
mod schedule;
mod watch;

pub use owner::{Configuration, Controller, End, Load, Runtime, Setup};
pub use watch::Fingerprint;
