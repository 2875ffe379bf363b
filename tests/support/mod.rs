//! What the tests of the checks share: plans, servers that misbehave, servers that are real,
//! certificates, and a count of what a check has left behind.
//!
//! A protocol joins the matrix of hostile servers with one row in `rows.rs`.

#![allow(clippy::unwrap_used, reason = "this is all test code")]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "no test uses all of it")]

pub mod census;
pub mod certificate;
pub mod daemon;
pub mod hostile;
pub mod plan;
pub mod rows;
pub mod scripted;
