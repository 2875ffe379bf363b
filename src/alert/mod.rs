//! Telling people: mail and `monitorfile`, each from a thread of its own.

mod mail;
mod monitor;
mod reminders;
mod sendmail;
mod smtp;
mod worker;

pub use mail::Mail;
pub use monitor::{MonitorFiles, Verdict, monitor_line, real_id};
pub use reminders::Reminders;

use crate::check::{Deadline, LookUps};
use mail::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use worker::Worker;

/// Mails that wait; further ones are dropped.
const QUEUE: usize = 1000;

/// How long one mail may take over SMTP, from looking up the server's name to the last reply.
const SMTP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to learn who sends.
const SENDER_TIMEOUT: Duration = Duration::from_secs(5);

/// The names of mail servers and of our own user.
static LOOK_UPS: LookUps = LookUps::new(4);

/// Sends mail from a thread of its own, so that a dead mail server delays nothing.
#[derive(Debug)]
pub struct Alerter {
    worker: Worker<Mail>,
    counts: Arc<Counts>,
}

/// Mails by what has become of them.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Alerter {
    /// Starts the thread.
    pub fn start() -> Self {
        let counts = Arc::<Counts>::default();
        let counted = Arc::clone(&counts);
        let work = move |batch: Vec<Mail>| {
            for mail in batch {
                let count = if deliver(&mail) { &counted.sent } else { &counted.failed };
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        Self { worker: Worker::start("mail", QUEUE, work), counts }
    }

    /// Logs `emailalert: <message>` and queues the mail; drops it, with an error in the log, if too
    /// many wait.
    pub fn send(&self, mail: Mail) {
        log::info!("emailalert: {}", mail.message);
        if let Err(mail) = self.worker.push(mail) {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            log::error!("emailalert: {QUEUE} mails wait, this one is dropped: {}", mail.message);
        }
    }

    /// How many mails were taken by who delivers them, and how many were not.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.sent.load(Ordering::Relaxed), self.counts.failed.load(Ordering::Relaxed))
    }

    /// Waits until every queued mail is sent, at most this long. Tells whether it is.
    pub fn drain(&self, timeout: Duration) -> bool {
        self.worker.drain(timeout)
    }
}

/// Whether somebody has taken it.
fn deliver(mail: &Mail) -> bool {
    let sender = Sender::here(Deadline::after(SENDER_TIMEOUT));
    let sent = match &mail.smtp {
        Some(server) => smtp::send(mail, &sender, server, Deadline::after(SMTP_TIMEOUT))
            .map_err(|error| format!("failed to send SMTP email message: {server}: {error}")),
        None => sendmail::send(mail, &sender, &sendmail::MAILERS)
            .map_err(|error| format!("failed to send email message: {error}")),
    };
    sent.inspect_err(|error| log::error!("{error}")).is_ok()
}
