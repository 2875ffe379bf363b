//! The page, from the state; pure.
use crate::state::Snapshot;
use maud::{DOCTYPE, Markup, html};

/// Its style sheet.
pub const STYLE: &str = "";
/// Its script.
pub const SCRIPT: &str = "";

/// The whole page.
pub fn page(snapshot: &Snapshot) -> Markup {
    html! { (DOCTYPE) html lang="en" { head { title { "ldirectord" } } body { (snapshot.instances.len()) } } }
}
/// A part.
pub fn fragment(_: &Snapshot, _: &str) -> Option<Markup> { None }
