//! FRR and BIRD, asked through their own commands; only where an anycast hook needs them.

use super::files::find;
use super::processes;
use crate::doctor::facts::Routing;
use crate::doctor::rules::{SPEAKERS, anycast_words};
use crate::model::Model;
use crate::process::{self, Ending, Limits};
use crate::wait::{moment_after, ready};
use nix::poll::PollFlags;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// Bytes of an answer that are read.
const LIMIT: usize = 1 << 20;

pub(super) fn routing(model: &Model, unread: &mut Vec<String>) -> Routing {
    if !model.services.iter().any(|service| anycast_words(service).is_some()) {
        return Routing::default();
    }
    let speakers = processes().filter(|name| SPEAKERS.contains(&name.as_str()));
    let mut routing = Routing { running: speakers.collect(), ..Routing::default() };
    let mut answer = |name: &'static str, words: &[&str], runs: bool| {
        let path = find(name)?;
        routing.installed.insert(name);
        // Of a daemon that does not run there is nothing to ask.
        if !runs {
            return None;
        }
        let answer = ask(Command::new(path).args(words));
        answer.map_err(|why| unread.push(format!("{name} {}: {why}", words.join(" ")))).ok()
    };
    let bird = ["bird", "bird6"];
    let (birds, frrs): (Vec<&String>, Vec<&String>) =
        routing.running.iter().partition(|name| bird.contains(&name.as_str()));
    let (bird_runs, frr_runs) = (!birds.is_empty(), !frrs.is_empty());
    let frr = answer("vtysh", &["-c", "show running-config"], frr_runs);
    let bird = answer("birdc", &["show", "protocols"], bird_runs);
    Routing { frr, bird, ..routing }
}

/// What a command prints, within the time and size that it may take.
fn ask(command: &mut Command) -> Result<String, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let end = moment_after(PATIENCE);
    let mut running = process::spawn(command).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    if let Some(mut pipe) = running.take_stdout() {
        let mut chunk = [0; 16 * 1024];
        while bytes.len() < LIMIT {
            match ready(&pipe, PollFlags::POLLIN, end) {
                Ok(true) => {}
                Ok(false) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
                Err(error) => return Err(error.to_string()),
            }
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    let timeout = end.saturating_duration_since(std::time::Instant::now());
    match running.finish(Limits { timeout, grace: GRACE }) {
        Ok(Ending::Exited(0)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(Ending::Exited(status)) => Err(format!("exit status {status}")),
        Ok(Ending::Signalled(signal)) => Err(format!("ended by signal {signal}")),
        Ok(Ending::TimedOut) => Err("it does not end".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_a_command_prints_if_it_ends_well() {
        let of = |script: &str| ask(Command::new("/bin/sh").arg("-c").arg(script));
        assert_eq!(of("echo one; echo two"), Ok("one\ntwo\n".to_owned()));
        assert_eq!(of("echo one; exit 3"), Err("exit status 3".to_owned()));
        assert_eq!(of("kill -9 $$"), Err("ended by signal 9".to_owned()));
        assert!(ask(&mut Command::new("/nonexistent")).is_err());
    }
}
