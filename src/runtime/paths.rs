//! Checks through the service (`checkpath=service`): their paths in the table, and the failures that
//! are no verdict because no answer could have come back.

use super::input::Now;
use super::step::Owner;
use crate::check::{CheckOutcome, Failure};
use crate::director::{Checked, Health};
use crate::model::CheckPlan;
use crate::prober::Run;
use std::time::Duration;

impl Owner {
    /// Makes the table have the paths of all checks, and no others.
    pub(super) fn lay_paths(&mut self) {
        let checks = self.director.checks();
        let wanted = checks.filter_map(|(_, plan, _)| plan.way.path.as_ref());
        self.paths.lay(self.table.backend(), wanted);
    }

    /// The outcome of a run that has no path: marked packets would go where the service sends any.
    pub(super) fn without_path(&self, run: Run, plan: &CheckPlan) -> Option<Checked> {
        let why = self.paths.missing(plan.way.path.as_ref()?)?;
        Some(Checked {
            check: run.check,
            run: run.run,
            step: run.step,
            outcome: CheckOutcome::Down(Failure::Local(why.to_owned())),
            duration: Duration::ZERO,
        })
    }

    /// What takes the place of a failure that is no verdict. Looked for only where a server would
    /// lose by it.
    pub(super) fn excuse(&mut self, checked: &Checked) -> Option<Checked> {
        let CheckOutcome::Down(failure) = &checked.outcome else { return None };
        let path = self.director.plan(checked.check)?.way.path.as_ref()?;
        let mut members =
            self.director.members(checked.check).iter().map(|member| {
                &self.director.services()[member.service].servers[member.server].health
            });
        let all_down = members.all(|health| matches!(health, Health::Down(_)));
        if all_down || matches!(failure, Failure::Local(_)) {
            return None;
        }
        let why = self.table.backend().obstacle(path)?;
        Some(Checked { outcome: CheckOutcome::Down(Failure::Local(why)), ..checked.clone() })
    }

    /// Answers the runs that have no path.
    pub(super) fn answer_pathless(&mut self, answers: Vec<Checked>, now: Now) {
        let mut actions = Vec::new();
        for answer in answers {
            self.checked(&answer, now, &mut actions);
        }
        self.act(actions, now);
    }
}
