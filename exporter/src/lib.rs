//! `ldirectord-exporter`: asks the ldirectord daemons of a machine and serves what they say over HTTP.
//!
//! ```text
//!  daemon ◀── control socket ── poll ─▶ state ─▶ page   /             for people
//!  daemon ◀───────┘          (history)    ├────▶ text   /metrics      for Prometheus
//!                                         └────▶ JSON   /status.json
//! ```
//!
//! * [`client`]: one question to one daemon. [`poll`]: asks all, over and over; [`history`]: the last hour.
//! * [`state`]: what is known of each instance, as plain data.
//! * [`page`]: the page, from that data; pure. [`http`]: serves it, and bounds what clients may cost.
//! * [`cli`] reads the arguments.

pub mod cli;
pub mod client;
pub mod history;
pub mod http;
pub mod page;
pub mod poll;
#[cfg(test)]
mod samples;
pub mod state;
