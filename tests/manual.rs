//! The committed manual page is the one that the table of directives gives.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

use ldirectord::config::{DIRECTIVES, manual_page};
use std::path::Path;

#[test]
fn the_page_ldirectord_cf_agrees_with_the_table_of_directives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/ldirectord.cf.5");
    let page = manual_page();
    if std::env::var_os("UPDATE_MAN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "run UPDATE_MAN=1 cargo test --test manual");
    for row in DIRECTIVES {
        assert!(page.contains(&format!(".It Ic {} No =", row.name)), "{}", row.name);
    }
}
