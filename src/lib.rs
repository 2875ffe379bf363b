//! ldirectord-rs: watches real servers and steers Linux's IP Virtual Server (ip_vs).
//!
//! ```text
//!  ldirectord.cf ─▶ config ─▶ model ─▶ runtime ──jobs──▶ check (dialer, workers)
//!    text            AST    validated     │  ▲               │
//!                                         │  └── outcomes ───┘
//!                                         ▼
//!                                      director        pure: event in, actions out
//!                                         │ actions
//!                        ┌────────────────┼─────────────────┐
//!                        ▼                ▼                 ▼
//!                    dataplane          hook              alert
//!                plan ─▶ netlink   fallbackcommand     mail, monitorfile
//!                     ip_vs          callback
//! ```
//!
//! The data flows one way. No room imports a room downstream of it, and only [`runtime`] knows
//! them all.
//!
//! * [`config`]: text to syntax tree; knows spelling, not meaning; holds the table of directives.
//! * [`model`]: syntax tree to validated model; names are resolved here, once.
//! * [`check`]: one check plan to one outcome, within one deadline; one file per protocol.
//! * [`director`]: the decisions; no clock, no socket, no log.
//! * [`dataplane`]: what should be listed against what is listed, and the operations between;
//!   the kernel's table and the memory table.
//! * [`hook`]: runs `fallbackcommand` and `callback`, in order per virtual service.
//! * [`alert`]: mail and `monitorfile`.
//! * [`runtime`]: threads, channels, schedule: the event loop that joins the rooms.
//! * [`daemon`]: being a Unix process: pid file, detaching, the commands of the command line.
//! * [`process`]: running other programs within a time limit.
//! * [`status`]: what `status --table` and `status --json` tell, as plain data.
//! * [`logging`]: where log records go.
//! * [`cli`]: arguments to an invocation.
//! * [`anycast`]: the second program, `ldirectord-anycast`, which raises and lowers an address.

pub mod alert;
pub mod anycast;
pub mod check;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dataplane;
pub mod director;
pub mod hook;
pub mod logging;
pub mod model;
pub mod process;
pub mod runtime;
pub mod status;
