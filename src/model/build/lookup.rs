//! Values of directives by their rows, inherited where that is so.

use crate::config::{Directive, FallbackServer, Place, Row, Value};
use std::time::Duration;

/// The directives that apply to one virtual section, or the global ones alone.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a, 't> {
    pub(super) own: &'a [Directive<'t>],
    pub(super) global: &'a [Directive<'t>],
}

impl<'a, 't> Lookup<'a, 't> {
    /// The last one in the section.
    pub(super) fn own(&self, row: &Row) -> Option<&'a Directive<'t>> {
        self.own.iter().rev().find(|directive| directive.row == row)
    }

    /// The last global one.
    pub(super) fn global(&self, row: &Row) -> Option<&'a Directive<'t>> {
        self.global.iter().rev().find(|directive| directive.row == row)
    }

    /// The section's, else the global one.
    pub(super) fn directive(&self, row: &Row) -> Option<&'a Directive<'t>> {
        self.own(row).or_else(|| self.global(row))
    }

    pub(super) fn place(&self, row: &Row) -> Option<&'a Place> {
        self.directive(row).map(|directive| &directive.place)
    }

    pub(super) fn number(&self, row: &Row) -> Option<u64> {
        self.directive(row).and_then(number)
    }

    /// A count; one that is too large is as good as infinite.
    pub(super) fn count(&self, row: &Row) -> Option<u32> {
        self.number(row).map(saturate)
    }

    pub(super) fn seconds(&self, row: &Row) -> Option<Duration> {
        self.directive(row).and_then(seconds)
    }

    pub(super) fn yes(&self, row: &Row) -> Option<bool> {
        match self.directive(row)?.value {
            Value::YesNo(yes) => Some(yes),
            _ => None,
        }
    }

    /// Text that is not empty.
    pub(super) fn text(&self, row: &Row) -> Option<&'a str> {
        match &self.directive(row)?.value {
            Value::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub(super) fn word(&self, row: &Row) -> Option<&'static str> {
        match self.directive(row)?.value {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }
}

fn number(directive: &Directive<'_>) -> Option<u64> {
    match directive.value {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

/// A time; more than a century is a century, so that sums of times never overflow.
pub(super) fn seconds(directive: &Directive<'_>) -> Option<Duration> {
    match directive.value {
        Value::Time(time) => Some(time),
        _ => number(directive).map(|seconds| Duration::from_secs(u64::from(saturate(seconds)))),
    }
}

pub(super) fn fallback<'a, 't>(directive: &'a Directive<'t>) -> Option<&'a FallbackServer<'t>> {
    match &directive.value {
        Value::Fallback(server) => Some(server),
        _ => None,
    }
}

pub(super) fn saturate(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
