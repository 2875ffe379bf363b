//! `agentport`: how much a server that is up can take, in its own words, as HAProxy's agent-check reads
//! them; and `externalweight`, the same by the exit status of an external check, as keepalived reads it.

use super::connect::tcp;
use super::line::Lines;
use super::{AgentAnswer, CheckOutcome, Deadline, Failure, Note};
use crate::model::{Agent, CheckPlan, Way};
use std::net::SocketAddr;
use std::time::Duration;

/// How long an agent may take: the server is up already, and somebody waits for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// More of its weight than this no server is given.
const MOST: u16 = 1000;

/// The outcome of a check with what the agent says of it.
pub(super) fn heed(plan: &CheckPlan, outcome: CheckOutcome, deadline: Deadline) -> CheckOutcome {
    match (plan.agent, outcome) {
        (None, outcome) => outcome,
        (Some(Agent::Port(port)), CheckOutcome::Up(note)) => {
            let left = deadline.remaining().unwrap_or_default().min(PATIENCE);
            let agent = SocketAddr::new(plan.address, port);
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
        (Some(Agent::ExitStatus), CheckOutcome::Down(Failure::Exit(status @ 2..=255))) => {
            let weight = AgentAnswer::Weight((status - 2) as u16);
            CheckOutcome::Up(Note { agent: weight, ..Note::default() })
        }
        (Some(_), down @ CheckOutcome::Down(_)) => down,
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
    use crate::model::{CheckMethod, Script};

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
}
