//! Sending a mail through the machine's own mailer.

use super::mail::{Mail, Sender};
use crate::process::{self, Ending, Limits};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Where a mailer is looked for.
pub(super) const MAILERS: [&str; 3] =
    ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/ucblib/sendmail"];

/// How long the mailer may take to put the mail into its queue.
const TIMEOUT: Duration = Duration::from_secs(60);

const GRACE: Duration = Duration::from_secs(3);

/// Gives a mail to the first of these mailers that exists: `sendmail -t`.
///
/// # Errors
/// When there is none, or it does not take the mail.
pub(super) fn send(mail: &Mail, sender: &Sender, mailers: &[&str]) -> io::Result<()> {
    let mailer = mailers
        .iter()
        .find(|mailer| Path::new(mailer).is_file())
        .ok_or_else(|| io::Error::other("no sendmail on this machine, and no smtp= configured"))?;
    let mut command = Command::new(mailer);
    command.arg("-t").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = process::spawn(&mut command)?;
    let end = Instant::now() + TIMEOUT;
    let fed = child
        .take_stdin()
        .map_or(Ok(()), |pipe| process::feed(pipe, message(mail, sender).as_bytes(), end));
    let limits = Limits { timeout: end.saturating_duration_since(Instant::now()), grace: GRACE };
    let status = match child.finish(limits)? {
        Ending::Exited(0) => return fed,
        Ending::Exited(status) => ExitStatus::from_raw(status << 8),
        Ending::Signalled(signal) => ExitStatus::from_raw(signal),
        Ending::TimedOut => return Err(io::Error::other(format!("{mailer} -t: timed out, ended"))),
    };
    Err(io::Error::other(format!("{mailer} -t: {status}")))
}

fn message(mail: &Mail, sender: &Sender) -> String {
    let mut lines =
        vec![format!("To: {}", mail.to.join(", ")), format!("Subject: {}", mail.subject())];
    // compat: without emailalertfrom the mailer fills in the sender (spec 5.12)
    lines.extend(mail.from.iter().map(|from| format!("From: {from}")));
    lines.push(String::new());
    lines.extend(mail.body(sender));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AlertPolicy, Status};
    use std::fs;

    fn mailer(directory: &Path, script: &str) -> String {
        let path = directory.join("sendmail");
        // Written by another process: one that another test is just starting would have it open
        // for writing, and it could not be executed (ETXTBSY).
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 755 "$2""#;
        let sh = Command::new("sh").args(["-c", write, "sh", script]).arg(&path).status();
        assert!(sh.unwrap().success());
        path.display().to_string()
    }

    #[test]
    fn a_mailer_that_ends_badly_is_named_with_its_ending() {
        let directory = tempfile::tempdir().unwrap();
        let policy = AlertPolicy { to: vec!["a@x.org".into()], ..AlertPolicy::default() };
        let mail = Mail::new(&policy, Status::Running, "x").unwrap();
        let sender = Sender { host: "lb1".into(), user: "root".into() };
        for (script, ending) in [
            ("cat > /dev/null; exit 75", "-t: exit status: 75"),
            ("cat > /dev/null; kill $$", "-t: signal: 15 (SIGTERM)"),
        ] {
            let mailer = mailer(directory.path(), script);
            let error = send(&mail, &sender, &[&mailer]).unwrap_err().to_string();
            assert!(error.ends_with(ending), "{error}");
        }
    }

    #[test]
    fn the_mailer_gets_headers_and_body_and_its_status_counts() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("mail");
        let policy = AlertPolicy {
            to: vec!["a@x.org".into(), "b@x.org".into()],
            from: Some("me@x.org".into()),
            ..AlertPolicy::default()
        };
        let mail = Mail::new(&policy, Status::Running, "Deleted real server: r (v)").unwrap();
        let sender = Sender { host: "lb1".into(), user: "root".into() };
        let good =
            mailer(directory.path(), &format!("echo \"$*\" > {0}; cat >> {0}", file.display()));
        send(&mail, &sender, &["/nonexistent", &good]).unwrap();
        assert_eq!(
            fs::read_to_string(file).unwrap(),
            "-t\nTo: a@x.org, b@x.org\nSubject: Deleted real server: r (v)\nFrom: me@x.org\n\n\
             ldirectord host: lb1\nLog-Message: Deleted real server: r (v)\nDaemon-Status: running\n"
        );
        let bad = mailer(directory.path(), "exit 75");
        assert!(send(&mail, &sender, &[&bad]).unwrap_err().to_string().contains("75"));
        assert!(send(&mail, &sender, &["/nonexistent"]).is_err());
    }
}
