//! `ldirectord-exporter`: asks the ldirectord daemons of a machine and serves what they say over HTTP.
//!
//! ```text
//!  daemon ◀─ control socket ─ poll ─▶ state ─▶ page      /           for people
//!  daemon ◀─────────┘                   ├────▶ metrics   /metrics    for Prometheus
//!                                       └────▶ json      /status.json
//! ```
//!
//! * [`state`]: what is known of each instance, as plain data.
//! * [`page`]: the page, from that data; pure.

pub mod page;
pub mod state;
