//! The page, from the state; pure.

use crate::state::Snapshot;
use maud::{DOCTYPE, Markup, html};

/// The whole page.
pub fn page(snapshot: &Snapshot) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { title { "ldirectord" } }
            body { (snapshot.instances.len()) }
        }
    }
}
