//! Every protocol against every kind of hostile server: a verdict in time, and nothing left behind.
//!
//! All in one test, because what a process holds can only be counted if nothing else runs in it.

mod support;

use ldirectord::check::{CheckOutcome, Failure};
use ldirectord::model::CheckMethod;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::census::{census, peak, reset_peak, settles_at};
use support::hostile::{self, Behaviour};
use support::plan::{Verdict, plan, run, words};
use support::rows::{Row, rows};

/// Of each check.
const DEADLINE: Duration = Duration::from_secs(1);

/// How late a verdict may be on a busy machine; on an idle one it is a few milliseconds.
const LATE: Duration = Duration::from_secs(2);

/// Bytes by which one check may make the process grow.
const GROWTH: usize = 8 * 1024 * 1024;

/// Of each check while memory is measured, one after another.
const SHORT: Duration = Duration::from_millis(300);

fn check(row: &Row, behaviour: Behaviour, deadline: Duration) -> Verdict {
    let server = hostile::server(row, behaviour);
    run(&plan(CheckMethod::Negotiate(Arc::new(row.exchange.clone())), server.address, deadline))
}

/// What is wrong with the check of this server, if anything is.
fn complaint(row: &Row, behaviour: Behaviour) -> Option<String> {
    let verdict = check(row, behaviour, DEADLINE);
    let seen = !row.unseen.contains(&behaviour);
    let why = match verdict.outcome {
        _ if verdict.took > DEADLINE + LATE => "is late",
        CheckOutcome::Up(_) if seen => "is up",
        CheckOutcome::Down(Failure::Internal(_)) => "has met a fault",
        CheckOutcome::Down(Failure::Config(_)) => "refuses the configuration",
        _ => return None,
    };
    let words = words(&verdict.outcome);
    Some(format!(
        "{} and a server that {behaviour:?}: {why}: {words}, {:?}",
        row.name, verdict.took
    ))
}

#[test]
fn no_server_can_delay_or_hurt_a_check() {
    let rows = rows();
    for row in rows.iter().filter(|row| row.fixed) {
        let outcome = check(row, Behaviour::Good, DEADLINE + LATE).outcome;
        assert!(outcome.is_up(), "{} and a good server: {}", row.name, words(&outcome));
    }
    // What is made once, is made now: contexts, resolver, allocator.
    for row in &rows {
        complaint(row, Behaviour::Closes);
    }
    let before = census();

    let cases: Vec<(&Row, Behaviour)> = rows
        .iter()
        .flat_map(|row| hostile::ALL.iter().map(move |&behaviour| (row, behaviour)))
        .filter(|(row, behaviour)| behaviour.applies_to(row))
        .collect();
    let next = AtomicUsize::new(0);
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while let Some((row, behaviour)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let complaint = complaint(row, *behaviour);
                    complaints.lock().unwrap().extend(complaint);
                }
            });
        }
    });
    let complaints = complaints.into_inner().unwrap();
    assert!(
        complaints.is_empty(),
        "{} of {}:\n{}",
        complaints.len(),
        cases.len(),
        complaints.join("\n")
    );
    settles_at(before);

    let floods = [
        Behaviour::EndlessLine,
        Behaviour::EndlessLines,
        Behaviour::EndlessBody,
        Behaviour::HugeLength,
    ];
    for row in &rows {
        for behaviour in floods.into_iter().filter(|it| it.applies_to(row)) {
            reset_peak();
            let begun = peak();
            check(row, behaviour, SHORT);
            let growth = peak().saturating_sub(begun);
            assert!(growth < GROWTH, "{} and {behaviour:?}: grew by {growth} bytes", row.name);
        }
    }
}
