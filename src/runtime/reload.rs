//! The configuration is read again: because of a signal, because its file has changed, or for a successor.

use super::message::{Loaded, Message, Refused};
use super::owner::{Runtime, targets};
use super::watch;
use crate::dataplane::Stage;
use crate::director::{Action, ServiceState, WantedService};
use crate::model::Status;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

impl Runtime {
    pub(super) fn file_changed(&mut self) {
        let path = self.setup.config.display();
        log::info!("Configuration file '{path}' has changed on disk");
        if self.setup.configuration.model.settings.auto_reload {
            log::info!(" - reread new configuration");
            self.load();
        } else {
            log::info!(" - ignore new configuration");
        }
        if let Some(callback) = &self.setup.configuration.model.settings.callback {
            self.hooks.callback(callback, &self.setup.config);
        }
    }

    /// Reads the configuration on a thread of its own: its names may take long to look up.
    pub(super) fn load(&mut self) {
        if self.loading {
            self.load_again = true;
            return;
        }
        self.loading = true;
        let (load, owner) = (Arc::clone(&self.setup.load), self.sender.clone());
        let config = self.setup.config.clone();
        let work = move || {
            let found = watch::fingerprint(&config).ok();
            let loaded = match load() {
                Ok(configuration) => {
                    let targets = targets(&config, &configuration.model);
                    Ok(Loaded { configuration, maintenance: watch::in_maintenance(&targets) })
                }
                Err(diagnostics) => Err(Refused { diagnostics, found }),
            };
            let _ = owner.send(Message::Loaded(Box::new(loaded)));
        };
        if let Err(error) = std::thread::Builder::new().name("load".to_owned()).spawn(work) {
            self.loading = false;
            log::error!("reload: cannot start a thread: {error}");
        }
    }

    pub(super) fn loaded(
        &mut self,
        loaded: Result<Loaded, Refused>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.loading = false;
        match loaded {
            Ok(loaded) => {
                self.reload(loaded, now, actions);
                self.last_reload = Some((SystemTime::now(), Ok(())));
            }
            Err(Refused { diagnostics, found }) => {
                let first = diagnostics.lines().next().unwrap_or_default().to_owned();
                log::error!("{}", diagnostics.trim_end());
                log::error!("the configuration is refused; the one before goes on");
                self.last_reload = Some((SystemTime::now(), Err(first)));
                // It has been told about, so the watch need not.
                if let Some(found) = found {
                    self.watch.rebase(found);
                }
            }
        }
        if std::mem::take(&mut self.load_again) {
            self.load();
        }
    }

    /// Takes on a new model: what is unchanged keeps its state, its place in the table and its time
    /// in the schedule.
    fn reload(&mut self, loaded: Loaded, now: Instant, actions: &mut Vec<Action>) {
        let Loaded { configuration, maintenance } = loaded;
        let model = &configuration.model;
        // What was decided under the old model is done under it.
        self.act(std::mem::take(actions));
        self.status = Status::Reloading;
        (self.setup.settings_changed)(model);
        let snapshot = match self.table.snapshot(&model.services) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                log::error!("{error}; the table is left as it is until the next round");
                None
            }
        };
        let removed = match &snapshot {
            Some(snapshot) => self.director.reload(model, snapshot, maintenance, now),
            None => self.director.reload(model, &(), maintenance, now),
        };
        self.act(removed.actions);
        let done =
            self.table.remove(removed.services.iter().map(|service| (service, None)), Stage::Start);
        self.tell(done);
        for service in &removed.services {
            self.memory.forget(service.address);
            self.last_hooks.remove(&service.address);
        }
        if !removed.services.is_empty() {
            self.save_memory();
        }
        let wanted: Vec<WantedService<'_>> =
            self.director.services().iter().map(ServiceState::wanted).collect();
        match snapshot {
            Some(snapshot) => {
                let done = self.table.synchronise(&wanted, &snapshot);
                self.tell(done);
            }
            None => self.table.owe(wanted.iter().map(|wanted| wanted.service.address)),
        }
        let fingerprint = configuration.fingerprint;
        self.watch.retarget(targets(&self.setup.config, model), fingerprint);
        self.setup.configuration = configuration;
        self.schedule_checks(now);
        let director = &self.director;
        self.last_checks.retain(|&id, _| !director.members(id).is_empty());
        self.alerts.retain(&self.director);
        let settled = self.director.settle(now);
        self.act(settled);
        self.first_round_over();
    }
}
