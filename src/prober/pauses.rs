//! How long to wait before a prober is started again. Pure.

use std::time::Duration;

/// The pause after the second death in a row; after the first there is none.
const FIRST: Duration = Duration::from_millis(25);

/// The longest.
const LONGEST: Duration = Duration::from_secs(30);

/// Who has lived for so long did not die of its start.
const LIVED: Duration = Duration::from_secs(20);

/// Deaths in a row.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    deaths: i32,
}

impl Pauses {
    /// The pause after another death, of one that has lived for so long.
    ///
    /// Ten deaths in a row keep checks waiting for a second at most; a prober that cannot live is
    /// started twice a minute.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if lived > LIVED {
            self.deaths = 0;
        }
        self.deaths = self.deaths.saturating_add(1);
        match self.deaths {
            1 => Duration::ZERO,
            deaths => {
                let growth = 1.5_f64.powi((deaths - 2).min(60));
                Duration::try_from_secs_f64(FIRST.as_secs_f64() * growth)
                    .unwrap_or(LONGEST)
                    .min(LONGEST)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_is_at_once_and_the_tenth_within_a_second() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.after(Duration::ZERO), Duration::ZERO);
        let next: Vec<Duration> = (2..=10).map(|_| pauses.after(Duration::ZERO)).collect();
        assert!(
            next.is_sorted() && next[0] == FIRST && next[8] < Duration::from_secs(1),
            "{next:?}"
        );
        (0..200).for_each(|_| assert!(pauses.after(Duration::ZERO) <= LONGEST));
        assert_eq!(pauses.after(Duration::ZERO), LONGEST);
        assert_eq!(pauses.after(2 * LIVED), Duration::ZERO);
    }
}
