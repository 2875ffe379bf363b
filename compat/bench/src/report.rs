//! Lines of the report: aligned, with ratios.

use std::time::Duration;

/// Prints a heading.
pub(crate) fn heading(text: &str) {
    println!("\n{text}");
}

/// Prints a figure with what it is.
pub(crate) fn figure(what: &str, value: &str) {
    println!("  {what:<58} {value}");
}

/// CPU per check of several programs; the first is the floor.
pub(crate) fn costs(rows: &[(String, Duration, String)]) {
    let Some(floor) = rows.first().map(|(_, cost, _)| cost.as_secs_f64()) else { return };
    for (name, cost, note) in rows {
        let ratio = cost.as_secs_f64() / floor;
        let micros = cost.as_secs_f64() * 1e6;
        println!("  {name:<14} {micros:>8.1} µs per check  {ratio:>6.2} × floor  {note}");
    }
}

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

/// Mebibytes.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The least and the greatest of several times.
pub(crate) fn range(times: &[Duration]) -> String {
    let (least, most) = (times.iter().min(), times.iter().max());
    let mean = times.iter().sum::<Duration>() / u32::try_from(times.len()).unwrap_or(1).max(1);
    format!(
        "mean {}, least {}, most {} of {}",
        ms(mean),
        ms(least.copied().unwrap_or_default()),
        ms(most.copied().unwrap_or_default()),
        times.len()
    )
}
