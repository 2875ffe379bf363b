//! A mail: what it says, to whom. Pure.

use super::LOOK_UPS;
use crate::check::Deadline;
use crate::logging::cut;
use crate::model::{AlertPolicy, Status};
use nix::unistd::User;

/// Bytes of one header or body line that are kept; RFC 5322 allows 998.
const LINE: usize = 900;

/// A mail about one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The addresses; at least one.
    pub(super) to: Vec<String>,
    /// `emailalertfrom`.
    pub(super) from: Option<String>,
    /// `smtp`.
    pub(super) smtp: Option<String>,
    /// The log's line.
    pub(super) message: String,
    status: Status,
    service_name: Option<String>,
    comment: Option<String>,
}

/// Who sends: the machine and the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) host: String,
    pub(super) user: String,
}

impl Mail {
    /// The mail that a policy wants about a message in a state of the daemon; `None` if it wants none.
    ///
    /// `message` is the log's line: `Deleted real server: 10.0.0.2:80 (10.0.0.1:80)`. No text can
    /// add a header or a command: control characters become blanks, long lines are cut, and an address
    /// that could be taken for two is left out.
    pub fn new(policy: &AlertPolicy, status: Status, message: &str) -> Option<Self> {
        if !policy.statuses.contains(status) {
            return None;
        }
        let to: Vec<String> = policy.to.iter().filter_map(|address| mailbox(address)).collect();
        if to.is_empty() {
            return None;
        }
        // compat: the mail about a server listed again speaks as of one made quiescent (spec 5.12)
        let message = message.strip_prefix("Readd ").unwrap_or(message);
        let clean = |text: &Option<String>| text.as_deref().map(one_line);
        Some(Self {
            to,
            from: clean(&policy.from).filter(|from| !from.is_empty()),
            smtp: policy.smtp.clone(),
            message: one_line(message),
            status,
            service_name: clean(&policy.service_name),
            comment: clean(&policy.comment),
        })
    }

    pub(super) fn subject(&self) -> String {
        match &self.service_name {
            Some(name) => format!("[{name}] {}", self.message),
            None => self.message.clone(),
        }
    }

    /// The lines of the body.
    pub(super) fn body(&self, sender: &Sender) -> Vec<String> {
        let mut lines = vec![
            format!("ldirectord host: {}", sender.host),
            format!("Log-Message: {}", self.subject()),
            format!("Daemon-Status: {}", self.status.word()),
        ];
        if self.service_name.is_some() || self.comment.is_some() {
            lines.push(String::new());
            lines.extend(self.service_name.iter().map(|name| format!("Service name: {name}")));
            lines.extend(self.comment.iter().map(|comment| format!("Comment: {comment}")));
            lines.push(String::new());
        }
        lines
    }
}

impl Sender {
    /// This machine and the owner of this process. Who that is may be asked of a directory service,
    /// hence the deadline.
    pub(super) fn here(deadline: Deadline) -> Self {
        let host = nix::unistd::gethostname().map(|name| one_line(&name.to_string_lossy()));
        let owner = || Ok(User::from_uid(nix::unistd::geteuid())?);
        let user = LOOK_UPS.ask(deadline, owner);
        Self {
            host: host.unwrap_or_else(|_| "localhost".to_owned()),
            user: user.ok().flatten().map_or_else(|| "root".to_owned(), |user| user.name),
        }
    }

    /// The envelope's sender.
    pub(super) fn mailbox(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }
}

fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(&text, LINE).trim().to_owned()
}

/// The bare address, of `Name <address>` too; `None` if it is none.
fn mailbox(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(at), Some(text)) => &text[at + 1..],
        _ => text,
    };
    let fine = |c: char| !c.is_control() && !c.is_whitespace() && !"<>,;:\"\\()[]".contains(c);
    // A leading dash would be an option of some mailers.
    let good =
        !bare.is_empty() && bare.len() <= 320 && !bare.starts_with('-') && bare.chars().all(fine);
    if !good {
        log::debug!("emailalert: \"{}\" is no address", one_line(text));
    }
    good.then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StatusSet;

    fn policy() -> AlertPolicy {
        AlertPolicy { to: vec!["ops@example.org".into()], ..AlertPolicy::default() }
    }

    fn sender() -> Sender {
        Sender { host: "lb1".into(), user: "root".into() }
    }

    #[test]
    fn the_body_is_the_original_s() {
        let message = "Deleted real server: 10.0.0.2:80 (10.0.0.1:80)";
        let mail = Mail::new(&policy(), Status::Running, message).unwrap();
        assert_eq!(mail.subject(), message);
        assert_eq!(
            mail.body(&sender()),
            [
                "ldirectord host: lb1",
                "Log-Message: Deleted real server: 10.0.0.2:80 (10.0.0.1:80)",
                "Daemon-Status: running"
            ]
        );
        let named = AlertPolicy {
            service_name: Some("Web shop".into()),
            comment: Some("call Joe".into()),
            ..policy()
        };
        let mail = Mail::new(&named, Status::Starting, "Readd Quiescent real server: x").unwrap();
        assert_eq!(mail.subject(), "[Web shop] Quiescent real server: x");
        assert_eq!(
            mail.body(&sender())[2..],
            ["Daemon-Status: starting", "", "Service name: Web shop", "Comment: call Joe", ""]
        );
    }

    #[test]
    fn mail_is_sent_only_when_the_policy_wants_it() {
        let only_running =
            AlertPolicy { statuses: StatusSet { running: true, ..StatusSet::NONE }, ..policy() };
        assert!(Mail::new(&only_running, Status::Running, "x").is_some());
        assert!(Mail::new(&only_running, Status::Stopping, "x").is_none());
        assert!(Mail::new(&AlertPolicy::default(), Status::Running, "x").is_none());
    }

    #[test]
    fn no_text_adds_a_header_or_an_address() {
        let hostile = AlertPolicy {
            to: vec![
                "Joe <joe@example.org>".into(),
                "a@b.org\r\nBcc: c@d.org".into(),
                "-oQ/tmp".into(),
                "x@y.org> SIZE=1".into(),
                String::new(),
            ],
            from: Some("me@x.org\r\nBcc: c@d.org".into()),
            service_name: Some("a\r\n\r\nb".into()),
            comment: Some("\u{85}c\n.\nQUIT".into()),
            ..policy()
        };
        let mail = Mail::new(&hostile, Status::Running, &"m\n".repeat(2000)).unwrap();
        assert_eq!(mail.to, ["joe@example.org"]);
        assert_eq!(mail.from.as_deref(), Some("me@x.org  Bcc: c@d.org"));
        for line in mail.body(&sender()).iter().chain([&mail.subject()]) {
            assert!(line.len() < 2000 && !line.contains(|c: char| c.is_control()), "{line:?}");
        }
    }
}
