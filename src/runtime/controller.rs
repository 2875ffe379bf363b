//! How other threads talk to the owner thread.

use super::effect::Answer;
use super::input::{Input, Question};
use super::operator::Command;
use super::runtime::Message;
use crate::event::{EventLog, What};
use crate::metrics::MetricsReport;
use crate::model::ServiceAddress;
use crate::status::{PlanReport, StatusReport};
use crate::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Talks to the runtime from other threads.
#[derive(Clone)]
pub struct Controller {
    pub(super) sender: Sender<Message>,
    pub(super) events: Arc<Mutex<EventLog>>,
}

impl Controller {
    /// Asks for a reload.
    pub fn reload(&self) {
        let _ = self.sender.send(Message::Input(Input::Reload));
    }

    /// Asks for a clean stop, because of a signal: its name without SIG.
    pub fn terminate(&self, signal: &'static str) {
        let _ = self.sender.send(Message::Input(Input::Terminate(signal)));
    }

    /// Has the owner thread end by a fault, for tests of what follows.
    #[cfg(debug_assertions)]
    pub fn fail(&self) {
        let _ = self.sender.send(Message::Fault("test"));
    }

    /// Asks for an end that leaves the table and the hooks' state to another process, after a reload: what
    /// the configuration does not have any more is purged. The error says why the daemon goes on.
    ///
    /// # Errors
    /// When the configuration is refused, or the runtime does not answer in time.
    pub fn hand_over(&self, timeout: Duration) -> Result<(), String> {
        match self.ask(Question::HandOver, timeout) {
            Some(Answer::HandOver(result)) => result,
            Some(_) | None => Err("the daemon is busy".to_owned()),
        }
    }

    /// The status; `None` if the runtime is gone or does not answer in time.
    pub fn status(&self, timeout: Duration) -> Option<StatusReport> {
        match self.ask(Question::Status, timeout)? {
            Answer::Status(report) => Some(*report),
            _ => None,
        }
    }

    /// The status, and what was counted; `None` as for [`Controller::status`].
    pub fn metrics(&self, timeout: Duration) -> Option<MetricsReport> {
        match self.ask(Question::Metrics, timeout)? {
            Answer::Metrics(report) => Some(*report),
            _ => None,
        }
    }

    /// The table in the form of `ipvsadm -Ln`; `None` as for [`Controller::status`].
    pub fn listing(&self, timeout: Duration) -> Option<String> {
        match self.ask(Question::Listing, timeout)? {
            Answer::Listing(text) => Some(text),
            _ => None,
        }
    }

    /// The services that the daemon stands for now.
    ///
    /// # Errors
    /// When the table cannot be asked, or the daemon stops.
    pub fn serving(&self, timeout: Duration) -> Result<Vec<ServiceAddress>, String> {
        match self.ask(Question::Serving, timeout) {
            Some(Answer::Serving(result)) => result,
            Some(_) | None => Err("the daemon is busy".to_owned()),
        }
    }

    /// Carries an operator's command out: what it means, in a line.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn operate(&self, command: Command, timeout: Duration) -> Result<String, String> {
        match self.ask(Question::Operate(Box::new(command)), timeout) {
            Some(Answer::Operate(result)) => result,
            Some(_) | None => Err("the daemon is busy".to_owned()),
        }
    }

    /// What a reload would do.
    ///
    /// # Errors
    /// Why nobody knows.
    pub fn plan(&self, timeout: Duration) -> Result<PlanReport, String> {
        match self.ask(Question::Plan, timeout) {
            Some(Answer::Plan(result)) => result.map(|plan| *plan),
            Some(_) | None => Err("the daemon is busy".to_owned()),
        }
    }

    /// A reload whose result is waited for; [`Controller::reload`] only asks for one.
    ///
    /// # Errors
    /// Why the configuration is refused.
    pub fn reload_now(
        &self,
        confirm: Option<Duration>,
        timeout: Duration,
    ) -> Result<String, String> {
        self.reloaded(Question::Reload(confirm), timeout)
    }

    /// Confirms a reload.
    ///
    /// # Errors
    /// When none waits for it.
    pub fn confirm(&self, timeout: Duration) -> Result<String, String> {
        self.reloaded(Question::Confirm, timeout)
    }

    fn reloaded(&self, question: Question, timeout: Duration) -> Result<String, String> {
        match self.ask(question, timeout) {
            Some(Answer::Reload(result)) => result,
            Some(_) | None => Err("the daemon is busy".to_owned()),
        }
    }

    /// Adds an event that the owner thread does not know of.
    pub fn remember(&self, what: What) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(what, time);
    }

    /// The events after a number, which came at or after a time, one JSON object a line. The owner
    /// thread is not asked.
    pub fn events(&self, after: u64, since_ms: u64) -> String {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = events.after(after, since_ms).filter_map(|it| serde_json::to_string(it).ok());
        lines.fold(String::new(), |text, line| text + &line + "\n")
    }

    fn ask(&self, question: Question, timeout: Duration) -> Option<Answer> {
        let (sender, receiver) = channel();
        self.sender.send(Message::Question(question, sender)).ok()?;
        receiver.recv_timeout(timeout).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn controller(sender: Sender<Message>) -> Controller {
        Controller { sender, events: Arc::default() }
    }

    /// A controller, and an owner who gives these answers in turn and then is gone.
    fn answering(answers: Vec<Answer>) -> (Controller, thread::JoinHandle<Vec<Question>>) {
        let (sender, inbox) = channel();
        let owner = thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                match inbox.recv().expect("a question") {
                    Message::Question(question, asker) => {
                        asked.push(question);
                        let _ = asker.send(answer);
                    }
                    other => panic!("{other:?}"),
                }
            }
            asked
        });
        (controller(sender), owner)
    }

    #[test]
    fn what_is_asked_for_reaches_the_owner() {
        let (sender, inbox) = channel();
        let controller = controller(sender);
        controller.reload();
        controller.terminate("HUP");
        controller.fail();
        drop(controller);
        let told: Vec<_> = inbox.into_iter().collect();
        assert!(
            matches!(
                told[..],
                [
                    Message::Input(Input::Reload),
                    Message::Input(Input::Terminate("HUP")),
                    Message::Fault("test")
                ]
            ),
            "{told:?}"
        );
    }

    #[test]
    fn a_successor_hears_what_the_owner_says_or_that_it_is_busy() {
        let refused = || Err("line 1: no".to_owned());
        let answers = vec![Answer::HandOver(Ok(())), Answer::HandOver(refused())];
        let (controller, owner) = answering(answers);
        assert_eq!(controller.hand_over(PATIENCE), Ok(()));
        assert_eq!(controller.hand_over(PATIENCE), refused());
        assert_eq!(owner.join().expect("no panic"), [Question::HandOver, Question::HandOver]);
        assert_eq!(controller.hand_over(PATIENCE), Err("the daemon is busy".to_owned()));
    }

    #[test]
    fn a_listing_is_the_owners_or_none() {
        let (controller, owner) = answering(vec![Answer::Listing("a table".to_owned())]);
        assert_eq!(controller.listing(PATIENCE).as_deref(), Some("a table"));
        assert_eq!(owner.join().expect("no panic"), [Question::Listing]);
        assert_eq!(controller.listing(PATIENCE), None, "it is gone");
        assert_eq!(controller.status(PATIENCE), None);
    }

    #[test]
    fn an_operator_hears_what_the_owner_says_or_that_it_is_busy() {
        use crate::director::Override;
        use crate::runtime::operator::Change;
        use crate::status::PlanReport;
        let plan = || PlanReport { services: Vec::new(), hooks: Vec::new() };
        let done = |words: &str| Ok(words.to_owned());
        let refused = || Err("no".to_owned());
        let answers = vec![
            Answer::Operate(done("drained")),
            Answer::Operate(refused()),
            Answer::Plan(Ok(Box::new(plan()))),
            Answer::Plan(Err("no".to_owned())),
            Answer::Reload(done("reloaded")),
            Answer::Reload(refused()),
            Answer::Reload(done("confirmed")),
            Answer::Reload(refused()),
        ];
        let (controller, owner) = answering(answers);
        let command = Command {
            change: Change::Set(Override::Drain),
            target: "10.0.0.2".to_owned(),
            service: None,
            length: None,
            force: false,
            by: "root".to_owned(),
            reason: String::new(),
        };
        assert_eq!(controller.operate(command.clone(), PATIENCE), done("drained"));
        assert_eq!(controller.operate(command.clone(), PATIENCE), refused());
        assert_eq!(controller.plan(PATIENCE), Ok(plan()));
        assert_eq!(controller.plan(PATIENCE), Err("no".to_owned()));
        let minute = Some(Duration::from_secs(60));
        assert_eq!(controller.reload_now(minute, PATIENCE), done("reloaded"));
        assert_eq!(controller.reload_now(None, PATIENCE), refused());
        assert_eq!(controller.confirm(PATIENCE), done("confirmed"));
        assert_eq!(controller.confirm(PATIENCE), refused());
        let operate = || Question::Operate(Box::new(command.clone()));
        assert_eq!(
            owner.join().expect("no panic"),
            [
                operate(),
                operate(),
                Question::Plan,
                Question::Plan,
                Question::Reload(minute),
                Question::Reload(None),
                Question::Confirm,
                Question::Confirm,
            ]
        );
        let busy = || Err("the daemon is busy".to_owned());
        assert_eq!(controller.operate(command, PATIENCE), busy());
        assert_eq!(controller.confirm(PATIENCE), busy());
        assert!(controller.plan(PATIENCE).is_err());
    }

    #[test]
    fn events_are_read_without_the_owner_one_a_line() {
        let (sender, inbox) = channel();
        drop(inbox);
        let controller = controller(sender);
        assert_eq!(controller.events(0, 0), "");
        for text in ["one", "two"] {
            let what = What::Fault { text: text.to_owned() };
            controller.events.lock().expect("no panic").push(what, 5);
        }
        let texts = |after, since| -> Vec<String> {
            let events = controller.events(after, since);
            assert!(events.is_empty() || events.ends_with('\n'));
            let text = |line: &str| {
                let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
                event["text"].as_str().expect("a text").to_owned()
            };
            events.lines().map(text).collect()
        };
        assert_eq!(texts(0, 0), ["one", "two"]);
        assert_eq!(texts(1, 0), ["two"]);
        assert_eq!(texts(0, 6), [""; 0]);
    }
}
