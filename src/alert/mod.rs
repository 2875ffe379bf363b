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
}

impl Alerter {
    /// Starts the thread.
    pub fn start() -> Self {
        let work = |batch: Vec<Mail>| batch.iter().for_each(deliver);
        Self { worker: Worker::start("mail", QUEUE, work) }
    }

    /// Logs `emailalert: <message>` and queues the mail; drops it, with an error in the log, if too
    /// many wait.
    pub fn send(&self, mail: Mail) {
        log::info!("emailalert: {}", mail.message);
        if let Err(mail) = self.worker.push(mail) {
            log::error!("emailalert: {QUEUE} mails wait, this one is dropped: {}", mail.message);
        }
    }

    /// Waits until every queued mail is sent, at most this long. Tells whether it is.
    pub fn drain(&self, timeout: Duration) -> bool {
        self.worker.drain(timeout)
    }
}

fn deliver(mail: &Mail) {
    let sender = Sender::here(Deadline::after(SENDER_TIMEOUT));
    let sent = match &mail.smtp {
        Some(server) => smtp::send(mail, &sender, server, Deadline::after(SMTP_TIMEOUT))
            .map_err(|error| format!("failed to send SMTP email message: {server}: {error}")),
        None => sendmail::send(mail, &sender, &sendmail::MAILERS)
            .map_err(|error| format!("failed to send email message: {error}")),
    };
    if let Err(error) = sent {
        log::error!("{error}");
    }
}
