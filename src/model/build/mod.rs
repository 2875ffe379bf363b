//! Syntax tree to model: names looked up, values inherited, defaults filled in.

mod check;
mod definition;
mod exchange;
mod fallback;
mod fallback_command;
mod hashing;
mod hazards;
mod lookup;
mod names;
mod real_server;
mod service;
mod settings;

use super::{Dialogue, Family, Model, Resolver, ServiceAddress};
use crate::config::{Ast, Diagnostics, Origins, RESOLVEINTERVAL, Section, VIRTUAL6};
use lookup::Lookup;
use names::Names;
use std::collections::{HashMap, HashSet};

/// Real servers that a configuration may come to: more than any has, and a bound on what a short file
/// can make of itself by ranges.
const REAL_SERVERS_LIMIT: usize = 1 << 20;

/// Makes the model of a syntax tree; `None` if something in it makes no sense.
///
/// What could not be parsed is missing from the tree: whether to use the model is decided by the
/// diagnostics of both.
pub fn build(ast: &Ast<'_>, resolver: &dyn Resolver) -> (Option<Model>, Diagnostics) {
    let global = Lookup { own: &[], global: &ast.globals };
    let mut builder = Builder {
        resolver,
        names: Names::new(resolver, global.seconds(&RESOLVEINTERVAL).is_some()),
        diagnostics: Diagnostics::default(),
        interned: check::Interned::default(),
        addresses: HashSet::new(),
        real_servers: 0,
        definitions: HashMap::new(),
        marks: HashMap::new(),
        origins: &ast.origins,
    };
    builder.check_files(ast);
    builder.check_definitions(ast);
    builder.check_global_fallbacks(ast);
    builder.check_command_directives(&ast.sections, global);
    let settings = builder.settings(ast, global);
    let sections = ast.sections.iter();
    let services = sections.flat_map(|section| builder.services(section, global)).collect();
    let model = Some(Model { settings, services }).filter(|_| !builder.diagnostics.has_errors());
    (model, builder.diagnostics)
}

struct Builder<'n, 'r> {
    resolver: &'r dyn Resolver,
    names: Names<'n>,
    diagnostics: Diagnostics,
    interned: check::Interned,
    addresses: HashSet<ServiceAddress>,
    real_servers: usize,
    /// Services of one's own that are used: the text of each, and what it says.
    definitions: HashMap<String, (String, Dialogue)>,
    /// Firewall marks of checks, and the path that each is for.
    marks: HashMap<u32, String>,
    origins: &'n Origins,
}

fn family(section: &Section<'_>) -> Family {
    if *section.row == VIRTUAL6 { Family::Inet6 } else { Family::Inet }
}
