//! What the SQL services have in common: what they need, and how much of an answer they read.

use super::Failure;
use crate::model::Exchange;

/// Bytes of one message or packet other than a row: greetings, errors, descriptions of columns.
pub(super) const MESSAGE_LIMIT: usize = 64 * 1024;

/// Bytes read from one connection. One row is enough to be up; the rest of the answer is read so far
/// that the usual statement ends in order, and not in a "connection reset" in the server's log.
pub(super) const TOTAL_LIMIT: usize = 1024 * 1024;

/// The statement: `request` without its leading `/`.
///
/// # Errors
/// [`Failure::Config`] if there is none, or no login.
pub(super) fn statement(exchange: &Exchange) -> Result<&str, Failure> {
    let statement = exchange.request.strip_prefix('/').unwrap_or(&exchange.request);
    if exchange.login.is_empty() || statement.is_empty() {
        // compat: down in every round (spec 4.4)
        let message = format!("service={} needs login and request", exchange.service);
        return Err(Failure::Config(message.into()));
    }
    Ok(statement)
}
