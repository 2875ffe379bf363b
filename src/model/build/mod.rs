//! Syntax tree to model: names looked up, values inherited, defaults filled in.

mod check;
mod exchange;
mod fallback;
mod hazards;
mod lookup;
mod names;
mod real_server;
mod service;
mod settings;

use super::{Family, Model, Resolver, ServiceAddress};
use crate::config::{Ast, Diagnostics, Row, Section, VIRTUAL6};
use lookup::Lookup;
use names::Names;
use std::collections::HashSet;

/// Real servers that a configuration may come to: more than any has, and a bound on what a short file
/// can make of itself by ranges.
const REAL_SERVERS_LIMIT: usize = 1 << 20;

/// Makes the model of a syntax tree; `None` if something in it makes no sense.
///
/// What could not be parsed is missing from the tree: whether to use the model is decided by the
/// diagnostics of both.
pub fn build(ast: &Ast<'_>, resolver: &dyn Resolver) -> (Option<Model>, Diagnostics) {
    let mut builder = Builder {
        resolver,
        names: Names::new(resolver),
        diagnostics: Diagnostics::default(),
        interned: check::Interned::default(),
        addresses: HashSet::new(),
        real_servers: 0,
    };
    let global = Lookup { own: &[], global: &ast.globals };
    builder.check_files(ast);
    builder.check_global_fallbacks(ast);
    builder.check_command_directives(&ast.sections, global);
    let settings = builder.settings(ast, global);
    let sections = ast.sections.iter();
    let services = sections.filter_map(|section| builder.service(section, global)).collect();
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
}

fn family(section: &Section<'_>) -> Family {
    if *section.row == VIRTUAL6 { Family::Inet6 } else { Family::Inet }
}

fn family_directive(family: Family, inet: &'static Row, inet6: &'static Row) -> &'static Row {
    match family {
        Family::Inet => inet,
        Family::Inet6 => inet6,
    }
}
