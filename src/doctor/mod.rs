//! `doctor`: what will not work here, or will surprise, and what mends it.
//!
//! ```text
//!  /proc, /sys, netlink, files ─▶ gather ─▶ Facts ─▶ rules ─▶ findings ─▶ text or JSON
//!  daemons, names (the caller) ─▶ Surroundings ┘  pure, with the model
//! ```
//!
//! Nothing is changed, no module is loaded and no packet sent. A rule judges what was read and never reads
//! itself, so that it is tested on facts that somebody has made up. What could not be read is said, and
//! never taken for good or bad.

mod facts;
mod finding;
mod gather;
mod rules;

pub use facts::{Daemon, Doubt, HostName, Surroundings};
pub use finding::{Finding, Severity, render_json, render_text};
pub use rules::{RULES, Rule};

use crate::model::Model;

/// The name of the finding of [`configuration_error`].
pub const CONFIGURATION_ERROR: &str = "configuration-error";

/// What was found, and what could not be looked at.
#[derive(Debug)]
pub struct Examination {
    /// The findings, in the order of [`RULES`].
    pub findings: Vec<Finding>,
    /// What was not looked at and why, one line each.
    pub unread: Vec<String>,
}

/// Looks at this machine for this configuration.
pub fn examine(model: &Model, surroundings: Surroundings) -> Examination {
    let facts = gather::gather(model, surroundings);
    let findings = RULES.iter().flat_map(|rule| rule.findings(&facts, model)).collect();
    Examination { findings, unread: facts.unread }
}

/// The finding about a configuration with errors, of which no rule can judge.
pub fn configuration_error(what: String, config: &str) -> Finding {
    Finding {
        id: CONFIGURATION_ERROR,
        severity: Severity::Error,
        service: None,
        server: None,
        what,
        why: "A daemon does not start with it, and one that runs does not take it.".to_owned(),
        mend: format!("ldirectord --check {config}, which shows all errors"),
    }
}
