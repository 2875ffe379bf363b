//! ldirectord-rs: watches real servers and steers Linux's IP Virtual Server (ip_vs).
//!
//! ```text
//!  ldirectord.cf ─▶ config ─▶ model ─▶ runtime ──jobs──▶ prober, a process of its own:
//!    text            AST    validated     │  ▲             dialer, workers, check
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
//! * [`probe`]: the command that checks servers now and shows how it went.
//! * [`prober`]: the process that runs checks, and the director's side of it: messages, bounds, walls.
//! * [`as_user`]: running other programs as another user.
//! * [`process`]: running other programs within a time limit; `wait`: waiting for a descriptor within one.
//! * `sync`: what threads meet through, and how their schedules are tested.
//! * [`status`]: what `status --table` and `status --json` tell, as plain data; [`event`]: what `events` tells.
//! * [`metrics`]: what is counted, and the text of all metrics for Prometheus.
//! * [`doctor`]: what will not work on this machine, and what mends it.
//! * [`logging`]: where log records go.
//! * [`cli`]: arguments to an invocation; [`completions`]: what shells complete.
//! * [`anycast`]: the second program, `ldirectord-anycast`, which raises and lowers an address.
//! * [`syncd`]: the third, `ldirectord-sync`, which starts and stops the synchronisation of connections.

pub mod alert;
pub mod anycast;
pub mod as_user;
pub mod check;
pub mod cli;
pub mod completions;
pub mod config;
pub mod daemon;
pub mod dataplane;
pub mod director;
mod dns;
pub mod doctor;
pub mod event;
pub mod hook;
pub mod logging;
pub mod metrics;
pub mod model;
mod pem;
mod private_file;
pub mod probe;
pub mod prober;
pub mod process;
pub mod runtime;
pub mod status;
mod sync;
pub mod syncd;
mod wait;
