//! How much a server that is up can take. `agentport`: in its own words, as HAProxy's agent-check reads
//! them. `agentcommand`: by the exit status of a command, as keepalived reads it. `externalweight`: by that
//! of an external check.

use super::connect::tcp;
use super::line::Lines;
use super::{AgentAnswer, CheckOutcome, Deadline, Failure, Note, external};
use crate::model::{Agent, CheckPlan, Script, Step, Way};
use std::net::SocketAddr;
use std::time::Duration;

/// How long an agent may take: the server is up already, and somebody waits for that.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// More of its weight than this no server is given.
const MOST: u16 = 1000;

/// The outcome of a check with what the agent says of it. A command is asked by [`heed_command`], where
/// commands may be run.
pub(super) fn heed(plan: &CheckPlan, outcome: CheckOutcome, deadline: Deadline) -> CheckOutcome {
    match (&plan.agent, outcome) {
        (None | Some(Agent::Command(_)), outcome) => outcome,
        (Some(Agent::Port(port)), CheckOutcome::Up(note)) => {
            let left = deadline.remaining().unwrap_or_default().min(PATIENCE);
            let agent = SocketAddr::new(plan.address, *port);
            let said = ask(agent, &plan.way, Deadline::after(left));
            match said.as_deref().map_or(Ok(AgentAnswer::Nothing), read) {
                Ok(agent) => CheckOutcome::Up(Note { agent, ..note }),
                Err(word) => {
                    CheckOutcome::Down(Failure::Rejected(format!("its agent says {word}")))
                }
            }
        }
        (Some(Agent::ExitStatus), CheckOutcome::Up(note)) => {
            CheckOutcome::Up(Note { agent: AgentAnswer::Nothing, ..note })
        }
        (Some(Agent::ExitStatus), CheckOutcome::Down(Failure::Exit(status))) => {
            match weight(status) {
                Some(agent) => CheckOutcome::Up(Note { agent, ..Note::default() }),
                None => CheckOutcome::Down(Failure::Exit(status)),
            }
        }
        (Some(_), down @ CheckOutcome::Down(_)) => down,
    }
}

/// The weight that a command's exit status says.
fn weight(status: i32) -> Option<AgentAnswer> {
    let weight = u16::try_from(status).ok()?.checked_sub(2).filter(|weight| *weight <= 253);
    weight.map(AgentAnswer::Weight)
}

/// Whether a command is to be asked after this check: it has passed, and there is one.
pub fn has_command(plan: &CheckPlan, step: Step, outcome: &CheckOutcome) -> bool {
    command_of(plan, step, outcome).is_some()
}

fn command_of<'p>(plan: &'p CheckPlan, step: Step, outcome: &CheckOutcome) -> Option<&'p Script> {
    plan.agent_command().filter(|_| step == Step::Full && outcome.is_up())
}

/// The outcome with what the command says of the server, if there is one to be asked. A command that
/// cannot be run, or does not end in time, says nothing.
pub fn heed_command(plan: &CheckPlan, step: Step, outcome: CheckOutcome) -> CheckOutcome {
    let Some(script) = command_of(plan, step, &outcome) else { return outcome };
    let CheckOutcome::Up(note) = outcome else { return outcome };
    let up = |agent| CheckOutcome::Up(Note { agent, ..note });
    match external::run_script(script, Deadline::after(PATIENCE)) {
        Err(Failure::Exit(1)) => {
            CheckOutcome::Down(Failure::Rejected("its agent's command says down".to_owned()))
        }
        Err(Failure::Exit(status)) => up(weight(status).unwrap_or(AgentAnswer::Nothing)),
        Ok(()) | Err(_) => up(AgentAnswer::Nothing),
    }
}

/// The line of the agent. Whatever is wrong with it is no verdict on the server.
fn ask(agent: SocketAddr, way: &Way, deadline: Deadline) -> Option<String> {
    // The agent is at the server's own address, also where checks go through the service.
    let way = Way { source: way.source.clone(), path: None };
    let mut lines = Lines::new(tcp(agent, &way, deadline).ok()?);
    // The last line may lack its end.
    let line = lines.read_raw_line().ok()??;
    Some(String::from_utf8_lossy(line).trim().to_owned())
}

/// What a line means, or the word in it that says that the server is down.
pub fn read(line: &str) -> Result<AgentAnswer, &str> {
    let mut answer = AgentAnswer::Nothing;
    // A reason follows the hash.
    let words = line.split('#').next().unwrap_or_default();
    for word in words.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "down" | "failed" | "fail" | "stopped" | "maint" => return Err(word),
            "drain" => answer = AgentAnswer::Percent(0),
            "up" | "ready" => {}
            other => {
                let percent = other.strip_suffix('%').and_then(|digits| digits.parse::<u16>().ok());
                if let Some(percent) = percent
                    && answer != AgentAnswer::Percent(0)
                {
                    answer = AgentAnswer::Percent(percent.min(MOST));
                }
            }
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckMethod;

    #[test]
    fn words_are_those_of_haproxy() {
        use AgentAnswer::{Nothing, Percent};
        for (line, expected) in [
            ("75%", Ok(Percent(75))),
            ("up 50%", Ok(Percent(50))),
            ("ready,100%\tmaxconn:30", Ok(Percent(100))),
            ("50% drain", Ok(Percent(0))),
            ("drain 50%", Ok(Percent(0))),
            ("60000%", Ok(Percent(MOST))),
            ("ready", Ok(Nothing)),
            ("", Ok(Nothing)),
            ("-5% 99999999% half", Ok(Nothing)),
            ("Down#the disk is full", Err("Down")),
            ("up 10% maint", Err("maint")),
            ("up # down", Ok(Nothing)),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn exit_statuses_are_those_of_keepalived() {
        let script = Script { command: "x".into(), arguments: Default::default(), user: None };
        let target = "127.0.0.1:80".parse().unwrap();
        let plan = CheckPlan {
            agent: Some(Agent::ExitStatus),
            ..CheckPlan::new(target, CheckMethod::External(script))
        };
        let deadline = Deadline::after(Duration::from_secs(1));
        let of = |outcome| match heed(&plan, outcome, deadline) {
            CheckOutcome::Up(note) => Ok(note.agent),
            CheckOutcome::Down(failure) => Err(failure),
        };
        let exit = |status| CheckOutcome::Down(Failure::Exit(status));
        assert_eq!(of(CheckOutcome::up()), Ok(AgentAnswer::Nothing));
        assert_eq!(of(exit(1)), Err(Failure::Exit(1)));
        assert_eq!(of(exit(2)), Ok(AgentAnswer::Weight(0)));
        assert_eq!(of(exit(255)), Ok(AgentAnswer::Weight(253)));
        assert_eq!(of(exit(256)), Err(Failure::Exit(256)));
        assert_eq!(of(CheckOutcome::Down(Failure::TimedOut)), Err(Failure::TimedOut));
    }

    #[test]
    fn a_command_is_asked_after_a_check_that_has_passed() {
        let of = |words: &str, outcome: CheckOutcome| {
            // It is called with four arguments: `sh -c WORDS …` of which two are left over.
            let script = Script {
                command: "sh".into(),
                arguments: ["-c", words, "", ""].map(Into::into),
                user: None,
            };
            let target = "127.0.0.1:80".parse().unwrap();
            let agent = Some(Agent::Command(script));
            let plan = CheckPlan { agent, ..CheckPlan::new(target, CheckMethod::Connect) };
            let asked = has_command(&plan, Step::Full, &outcome);
            match heed_command(&plan, Step::Full, outcome) {
                CheckOutcome::Up(note) => (asked, Some(note.agent)),
                CheckOutcome::Down(_) => (asked, None),
            }
        };
        use AgentAnswer::{Nothing, Weight};
        assert_eq!(of("exit 0", CheckOutcome::up()), (true, Some(Nothing)));
        assert_eq!(of("exit 1", CheckOutcome::up()), (true, None));
        assert_eq!(of("exit 2", CheckOutcome::up()), (true, Some(Weight(0))));
        assert_eq!(of("exit 255", CheckOutcome::up()), (true, Some(Weight(253))));
        assert_eq!(of("kill -9 $$", CheckOutcome::up()), (true, Some(Nothing)));
        assert_eq!(of("sleep 60", CheckOutcome::up()), (true, Some(Nothing)));
        assert_eq!(of("exit 0", CheckOutcome::Down(Failure::Refused)), (false, None));
    }
}
