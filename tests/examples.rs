//! The examples are accepted, and no part of one can bring the parser down.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

use ldirectord::config::{Severity, Source, load_source};
use ldirectord::model::{LoadError, Loaded, MemoryResolver, describe};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn examples_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn examples() -> Vec<(PathBuf, String)> {
    let files = std::fs::read_dir(examples_folder()).unwrap().map(|entry| entry.unwrap().path());
    let sites = ["anycast-frr/load-balancer", "anycast-ecmp/director", "keepalived-vrrp"];
    let sites = sites.map(|site| examples_folder().join(site).join("ldirectord.cf"));
    let mut found: Vec<_> = files
        .chain(sites)
        .filter(|path| path.extension().is_some_and(|extension| extension == "cf"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    assert!(found.len() >= 10);
    found
}

fn load(path: &Path, text: &[u8]) -> Result<Loaded, LoadError> {
    let resolver = MemoryResolver::new("http 80/tcp\ndomain 53/tcp\ndomain 53/udp\n")
        .service_definition("beanstalkd", include_str!("../examples/services.d/beanstalkd"));
    load_source(path, Source::from_bytes(text.to_vec()), &resolver)
}

#[test]
fn every_example_is_accepted_without_a_warning() {
    for (path, text) in examples() {
        let loaded = load(&path, text.as_bytes());
        let loaded =
            loaded.unwrap_or_else(|error| panic!("{:?}", error.messages(0).collect::<Vec<_>>()));
        let said: Vec<_> = loaded.report.messages(0).collect();
        assert!(said.is_empty(), "{said:?}");
        assert!(!loaded.model.services.is_empty(), "{}", path.display());
        for service in &loaded.model.services {
            assert!(describe(&loaded.model).contains(&service.address.to_string()));
        }
    }
}

#[test]
fn examples_cut_at_every_byte_are_judged_without_a_panic() {
    for (path, text) in examples() {
        for end in 0..text.len() {
            let _ = load(&path, &text.as_bytes()[..end]);
        }
    }
}

#[test]
fn a_refused_file_names_a_line_of_it() {
    for (path, text) in examples() {
        for end in (0..text.len()).step_by(7) {
            let Err(error) = load(&path, &text.as_bytes()[..end]) else { continue };
            let LoadError::Refused(report) = error else { panic!("{error}") };
            for diagnostic in report.diagnostics.iter() {
                if let Some(place) = &diagnostic.place {
                    let (file, line) = report.origins().of(place.line);
                    let lines = std::fs::read_to_string(file).unwrap().lines().count();
                    assert!((1..=lines).contains(&line), "{} {line}", file.display());
                }
                assert!(diagnostic.severity != Severity::Error || !diagnostic.text.is_empty());
            }
            let rendered = report.render(1, &annotate_snippets::Renderer::plain());
            assert!(
                rendered.starts_with("Error [1]") || rendered.starts_with("Warning [1]"),
                "{rendered}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_bring_the_parser_down(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = load(Path::new("x"), &bytes);
    }

    #[test]
    fn no_lines_bring_the_parser_down(
        lines in proptest::collection::vec(
            "(\t|    | )?(virtual6?|real6?|fallback6?|checkport|receive|schedflags|netmask|emailalertstatus|checktype|fallbackminimum|protocol) ?=>? ?[ -~\t\u{80}-\u{2ff}]{0,30}",
            0..20,
        ),
        end in "(\n|\r\n|)",
    ) {
        let text = lines.join("\n") + &end;
        if let Err(LoadError::Refused(report)) = load(Path::new("x"), text.as_bytes()) {
            report.render(1, &annotate_snippets::Renderer::plain());
        }
    }

    #[test]
    fn options_of_real_servers_bring_nothing_down(options in "[ ,\"lu:0-9a/\t]{0,40}") {
        let text = format!("virtual=10.0.0.1:80\n\treal=10.0.0.2:80 gate{options}\n#\n");
        let _ = load(Path::new("x"), text.as_bytes());
    }
}
