//! Text to syntax tree. Knows spelling, not meaning.

mod ast;
mod diagnostic;
mod directive;
mod grammar;
mod line;
mod manual;
mod real_server;
mod source;
mod suggestion;
mod value;

pub use crate::model::{LoadError, Loaded, Report, load, load_source};
pub use ast::{
    Ast, Directive, FallbackServer, Place, RealAddress, RealOptions, RealServer, Section, Value,
    VirtualAddress,
};
pub(crate) use diagnostic::Found;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use directive::*;
pub use grammar::parse;
#[doc(hidden)]
pub use manual::manual_page;
pub use source::{SIZE_LIMIT, Source, SourceError};
