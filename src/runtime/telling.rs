//! The one place that turns what has happened into log, mail, `monitorfile` and reminders.

use super::alerts::Alerts;
use super::effect::Effect;
use super::input::Now;
use super::report;
use super::step::Owner;
use crate::check::{CertificateEnd, CheckOutcome, Failure};
use crate::dataplane::{Done, Notice};
use crate::director::{CheckId, Checked, Health, Override, Report};
use crate::event::What;
use crate::model::{DestinationAddress, ServiceAddress};
use crate::status::certificate_words;
use log::Level;
use std::time::Instant;

/// Why a server's state has changed.
#[derive(Clone, Copy)]
pub(super) enum Cause<'a> {
    /// A check has its outcome.
    Check(&'a Checked),
    /// A file in `maintenancedir` is there, or is gone.
    Maintenance,
    /// An operator has said so, or what one has said has ended.
    Operator,
}

/// What becomes of a service that the table listed already.
#[derive(Clone, Copy)]
enum Kept {
    Told,
    Untold,
}

impl Owner {
    /// Tells of a change of a server's state.
    pub(super) fn report(&mut self, report: &Report, cause: Cause<'_>, now: Instant) {
        match report {
            Report::Transition { service, server, from, to } => {
                self.counters.changed(*service, *server, from, to);
                let cause = match cause {
                    Cause::Check(checked) => format!(
                        "{}, {} ms, {}",
                        report::method_of(&self.director, checked),
                        checked.duration.as_millis(),
                        checked.outcome.words(),
                    ),
                    _ if *to == Health::Maintenance => self.why_in_maintenance(*service, *server),
                    Cause::Maintenance => "no file in maintenancedir any more".to_owned(),
                    Cause::Operator => "enabled".to_owned(),
                };
                let line =
                    format!("real server {server} ({}): {cause}: {from} -> {to}", service.id());
                self.log(Level::Info, line);
                self.event(What::Transition {
                    service: service.id(),
                    server: server.to_string(),
                    from: from.to_string(),
                    to: to.to_string(),
                    cause,
                });
                match (to, self.director.service(*service)) {
                    (Health::Down(_), Some(state)) => {
                        self.alerts.down(&state.service, *server, now);
                    }
                    // The table may list it as wanted already, and say nothing.
                    (Health::Up, _) => self.alerts.up(*service, *server),
                    (_, Some(_) | None) => {}
                }
            }
            Report::SoftFailure { service, server, failures, limit } => {
                let id = service.id();
                let line =
                    format!("Soft failure real server: {server} ({id}) failure {failures}/{limit}");
                self.log(Level::Info, line);
                let (failures, limit) = (*failures, *limit);
                let server = server.to_string();
                self.event(What::SoftFailure { service: id, server, failures, limit });
            }
            Report::SoftFailuresForgiven { service, server } => {
                let line = format!("Resetting soft failure count: {server} ({})", service.id());
                self.log(Level::Info, line);
            }
        }
    }

    /// Why a server is in maintenance: an operator, or a file.
    pub(super) fn why_in_maintenance(
        &self,
        service: ServiceAddress,
        server: DestinationAddress,
    ) -> String {
        match self.operator.of(service, server) {
            Some(entry) if entry.what == Override::Disable => entry.what_words(),
            Some(_) | None => "a file in maintenancedir".to_owned(),
        }
    }

    /// Tells of an outcome: the `monitorfile` of each, the log of a failure of this machine, once
    /// in a row.
    pub(super) fn tell_outcome(
        &mut self,
        checked: &Checked,
        failure_before: Option<&Failure>,
        now: Now,
    ) {
        let is_local = matches!(checked.outcome, CheckOutcome::Down(Failure::Local(_)));
        if is_local && !matches!(failure_before, Some(Failure::Local(_))) {
            let plan = self.director.plan(checked.check);
            let target = plan.map(|plan| plan.target().to_string()).unwrap_or_default();
            let words = checked.outcome.words();
            self.log(Level::Warn, format!("{target}: {words}; the server stays as it is"));
        }
        for member in self.director.members(checked.check) {
            let state = &self.director.services()[member.service];
            let server = state.service.real_servers[member.server].address;
            let (outcome, duration) = (&checked.outcome, checked.duration);
            self.counters.checked(state.address(), server, outcome, duration);
            if state.servers[member.server].health != Health::Maintenance {
                let (service, server) = (&state.service, member.server);
                Alerts::monitor(service, server, &checked.outcome, now, &mut self.effects);
            }
        }
    }

    /// Tells of a certificate that ends within `checkcertdays`, once a day, and of one that does no more.
    pub(super) fn tell_certificate(
        &mut self,
        check: CheckId,
        seen: CertificateEnd,
        before: Option<CertificateEnd>,
    ) {
        let Some(plan) = self.director.plan(check) else { return };
        let Some(limit) = plan.certificate_days() else { return };
        let is_soon = |end: CertificateEnd| i64::from(end.days) < i64::from(limit);
        let (target, days) = (plan.target(), i64::from(seen.days));
        if is_soon(seen) && before.is_none_or(|before| before.days != seen.days) {
            let words = certificate_words(days);
            self.log(Level::Warn, format!("{target}: {words} (checkcertdays={limit})"));
        } else if !is_soon(seen) && before.is_some_and(is_soon) {
            self.log(Level::Info, format!("{target}: the certificate is valid for {days} days"));
        }
    }

    /// Says what has become of the table's operations.
    pub(super) fn tell(&mut self, done: Vec<Done>, now: Now) {
        self.tell_done(done, Kept::Untold, now);
    }

    /// [`Owner::tell`] at a start and at a reload.
    // compat: there the original says of every service that was listed that it changed, whether it did
    // or not (spec 5.4)
    pub(super) fn tell_whole(&mut self, done: Vec<Done>, now: Now) {
        self.tell_done(done, Kept::Told, now);
    }

    fn tell_done(&mut self, done: Vec<Done>, kept: Kept, now: Now) {
        for done in done {
            match (done, kept) {
                (Done::Applied(notice), _) => {
                    let (service, text) = (notice.service().id(), notice.to_string());
                    self.effects.push(Effect::Log(Level::Info, text.clone()));
                    self.effects.push(Effect::Event(What::Table { service, text }));
                    if let Some(state) = self.director.service(notice.service()) {
                        let status = self.status;
                        let effects = &mut self.effects;
                        self.alerts.notice(state, &notice, status, now.instant, effects);
                    }
                }
                (Done::Kept(service), Kept::Told) => {
                    self.log(Level::Info, Notice::ServiceChanged(service).to_string());
                }
                (Done::Kept(_), Kept::Untold) => {}
                (Done::Failed { service, error }, _) => {
                    self.counters.table_refusals += 1;
                    let line = format!("{error}; trying again every round ({service})");
                    self.log(Level::Error, line);
                    let (service, text) = (service.id(), error.to_string());
                    self.event(What::TableRefused { service, text });
                }
                (Done::Recovered(service), _) => {
                    self.log(Level::Info, format!("the table is as wanted again ({service})"));
                    self.event(What::TableRecovered { service: service.id() });
                }
            }
        }
    }
}
