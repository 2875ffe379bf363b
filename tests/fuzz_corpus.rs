//! What the fuzzers begin with and what they have found, run in every test run.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "fuzz/entries.rs"]
#[allow(unreachable_pub, reason = "as the fuzz targets need it")]
mod entries;

use std::fs;
use std::path::Path;

#[test]
fn nothing_in_the_corpus_makes_a_parser_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    for (name, entry) in entries::ENTRIES {
        let files: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(Result::unwrap).collect();
        assert!(!files.is_empty(), "no corpus for {name}");
        for file in files {
            let bytes = fs::read(file.path()).unwrap();
            // Also cut at every byte of what is short, as a connection may be.
            let cuts = if bytes.len() < 512 { 0 } else { bytes.len() };
            for length in cuts..=bytes.len() {
                let run = std::panic::catch_unwind(|| entry(&bytes[..length]));
                assert!(run.is_ok(), "{} cut to {length} bytes", file.path().display());
            }
        }
    }
}

#[test]
fn every_target_has_its_file_and_its_entry() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in entries::ENTRIES {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} in Cargo.toml");
        assert!(fuzz.join(format!("targets/{name}.rs")).exists(), "targets/{name}.rs");
    }
    assert_eq!(fs::read_dir(fuzz.join("targets")).unwrap().count(), entries::ENTRIES.len());
}
