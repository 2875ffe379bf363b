//! What a reload would do, as plain data, and for people.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What a reload would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlanReport {
    /// Services that come, go or change; none if there is no difference.
    pub services: Vec<ServicePlan>,
    /// Runs of `fallbackcommand`.
    pub hooks: Vec<HookPlan>,
}

/// What would become of one virtual service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// The service, `tcp:10.0.0.1:80`.
    pub service: String,
    /// Whether it comes, goes or changes.
    pub change: PlanChange,
    /// What it has and would not have any more, in the words of `--check`.
    pub without: Vec<String>,
    /// What it would have.
    pub with: Vec<String>,
    /// The operations of the table.
    pub operations: Vec<String>,
    /// Connections of servers that leave the table.
    pub lost_connections: u64,
}

/// What would become of a virtual service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanChange {
    /// It comes.
    Added,
    /// It goes.
    Removed,
    /// It stays, and something about it changes.
    Changed,
}

/// A run of `fallbackcommand`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookPlan {
    /// The service.
    pub service: String,
    /// The command.
    pub command: String,
    /// `start` or `stop`.
    pub argument: String,
}

/// A plan as a short diff.
pub fn render_plan(plan: &PlanReport) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    for service in &plan.services {
        let sign = match service.change {
            PlanChange::Added => '+',
            PlanChange::Removed => '-',
            PlanChange::Changed => '~',
        };
        let _ = writeln!(text, "{sign} {}", service.service);
        for (sign, lines) in [('-', &service.without), ('+', &service.with)] {
            for line in lines {
                let _ = writeln!(text, "    {sign} {line}");
            }
        }
        if service.change == PlanChange::Changed {
            for operation in &service.operations {
                let _ = writeln!(text, "    table: {operation}");
            }
        }
        if service.lost_connections > 0 {
            let _ = writeln!(text, "    LOSES {} connections", service.lost_connections);
        }
    }
    for hook in &plan.hooks {
        let _ = writeln!(text, "fallbackcommand {} for {}", hook.argument, hook.service);
    }
    if text.is_empty() {
        text.push_str("a reload would change nothing\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_as_a_diff() {
        assert_eq!(render_plan(&PlanReport::default()), "a reload would change nothing\n");
        let service = |change| ServicePlan {
            service: "tcp:10.0.0.1:80".into(),
            change,
            without: vec!["scheduler rr".into()],
            with: vec!["scheduler wlc".into()],
            operations: vec!["set service 10.0.0.1:80".into()],
            lost_connections: 3,
        };
        let hook = HookPlan {
            service: "tcp:10.0.0.1:80".into(),
            command: "/bin/announce".into(),
            argument: "start".into(),
        };
        let plan = PlanReport { services: vec![service(PlanChange::Changed)], hooks: vec![hook] };
        let expected = "~ tcp:10.0.0.1:80\n    - scheduler rr\n    + scheduler wlc\n    \
            table: set service 10.0.0.1:80\n    LOSES 3 connections\n\
            fallbackcommand start for tcp:10.0.0.1:80\n";
        assert_eq!(render_plan(&plan), expected);
    }
}
