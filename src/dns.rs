//! DNS messages, as far as checks and names need the same.

use simple_dns::header_buffer;

/// Whether so many records can be in so few bytes: the parser sets memory aside by these counts.
pub(crate) fn counts_are_possible(bytes: &[u8]) -> bool {
    /// Root name, type, class, lifetime, length of nothing.
    const SHORTEST_RECORD: usize = 11;
    let counts = [
        header_buffer::answers(bytes),
        header_buffer::name_servers(bytes),
        header_buffer::additional_records(bytes),
    ];
    let records: usize = counts.into_iter().flatten().map(usize::from).sum();
    header_buffer::questions(bytes).is_ok_and(|questions| questions <= 1)
        && records * SHORTEST_RECORD <= bytes.len()
}
