//! The page ldirectord-checks(7) agrees with the table of services, and its examples are accepted.

use ldirectord::config::{Source, load_source};
use ldirectord::model::{CheckMethod, MemoryResolver, SERVICES, ServiceRow};
use std::path::Path;

const PAGE: &str = include_str!("../man/ldirectord-checks.7");

/// The part of the page about a service, with mdoc's escapes undone.
fn part(row: &ServiceRow) -> String {
    let begin = format!("\n.Ss {}\n", row.word);
    let (_, part) = PAGE.split_once(&begin).unwrap_or_else(|| panic!("{} is not there", row.word));
    let end = ["\n.Ss ", "\n.Sh "].iter().filter_map(|next| part.find(next)).min();
    part[..end.expect("something follows")]
        .replace("\\-", "-")
        .replace("\\(ha", "^")
        .replace("\\e", "\\")
}

#[test]
fn every_service_is_there_with_its_port_and_its_directives() {
    for row in SERVICES {
        let part = part(row);
        let port = row.port.map_or("none".to_owned(), |port| port.to_string());
        assert!(part.contains(&format!("\n.It port\n{port}\n")), "{}: port {port}", row.word);
        let directives = match row.directives {
            [] => "none".to_owned(),
            directives => format!(".Ic {}", directives.join(" , ")),
        };
        let line = format!("\n.It directives\n{directives}\n.It TLS\n{}\n", row.tls);
        assert!(part.contains(&line), "{}: {directives}", row.word);
    }
    let parts = PAGE.lines().filter(|line| line.starts_with(".Ss ")).count();
    assert_eq!(parts, SERVICES.len());
}

#[test]
fn every_example_is_accepted_and_has_the_service() {
    let resolver = MemoryResolver::new("").certificate_file("/etc/ssl/private-ca.pem");
    for row in SERVICES {
        let part = part(row);
        let (_, example) = part.split_once(".Bd -literal -offset indent\n").unwrap();
        let (example, _) = example.split_once("\n.Ed").unwrap();
        let source = Source::from_bytes(format!("{example}\n").into_bytes());
        let loaded = load_source(Path::new("EXAMPLE"), source, &resolver).unwrap_or_else(|error| {
            panic!("{}: {:?}", row.word, error.messages(0).collect::<Vec<_>>())
        });
        let said: Vec<_> = loaded.report.diagnostics.iter().map(|said| &said.text).collect();
        let plan = &loaded.model.services[0].real_servers[0].check;
        let CheckMethod::Negotiate(exchange) = &plan.method else {
            panic!("{}: {:?}", row.word, plan.method)
        };
        assert_eq!(exchange.service, row.service, "{}", row.word);
        assert!(said.is_empty() || row.word == "none", "{}: {said:?}", row.word);
    }
}
