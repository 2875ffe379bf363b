//! Text to syntax tree. Knows spelling, not meaning.

mod assemble;
mod ast;
mod diagnostic;
mod directive;
mod disk;
mod fingerprint;
mod grammar;
mod line;
mod look_alike;
mod manual;
mod origins;
mod real_server;
mod rest;
mod source;
mod suggestion;
mod value;

pub use crate::model::{LoadError, Loaded, Report, TextInForce, load, load_source};
pub use assemble::{Assembled, Included, Library, assemble};
pub use ast::{
    Ast, Directive, FallbackServer, Place, RealAddress, RealOptions, RealServer, Section, Value,
    VirtualAddress,
};
pub(crate) use diagnostic::Found;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use directive::*;
pub use disk::Disk;
pub use fingerprint::{Files, Fingerprint, Stamp};
pub use grammar::{parse, parse_assembled};
pub(crate) use look_alike::look_alike;
#[doc(hidden)]
pub use manual::manual_page;
pub use origins::Origins;
pub use rest::at_rest;
pub use source::{SIZE_LIMIT, Source, SourceError};
