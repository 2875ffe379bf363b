//! When the fallback command is run.

use super::Builder;
use super::lookup::{Lookup, saturate};
use crate::config::{
    Directive, FALLBACKCOMMAND, FALLBACKCOMMANDONSTOP, FALLBACKCOMMANDRETRY,
    FALLBACKCOMMANDTIMEOUT, FALLBACKCOMMANDUSER, FALLBACKHOLDDOWN, FALLBACKMINIMUM, Found, Section,
    Value,
};
use crate::model::{FallbackCommand, FallbackMinimum};
use std::time::Duration;

impl Builder<'_, '_> {
    pub(super) fn fallback_command(
        &mut self,
        lookup: Lookup<'_, '_>,
        found: Found,
    ) -> Option<FallbackCommand> {
        let command = lookup.text(&FALLBACKCOMMAND)?.to_owned();
        let user = self.command_user(lookup, &FALLBACKCOMMANDUSER, found);
        Some(FallbackCommand {
            command,
            user,
            retry: lookup.yes(&FALLBACKCOMMANDRETRY).unwrap_or(false),
            timeout: lookup.seconds(&FALLBACKCOMMANDTIMEOUT).unwrap_or(Duration::from_secs(60)),
        })
    }

    /// `fallbackminimum`, which must be reachable with the real servers there are.
    pub(super) fn fallback_minimum(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        real_servers: usize,
    ) -> FallbackMinimum {
        let Some(directive) = lookup.directive(&FALLBACKMINIMUM) else {
            return FallbackMinimum::default();
        };
        let minimum = match directive.value {
            Value::Number(count) => FallbackMinimum::Count(saturate(count)),
            Value::Percent(percent) => FallbackMinimum::Percent(saturate(percent)),
            _ => FallbackMinimum::default(),
        };
        let has_command = lookup.text(&FALLBACKCOMMAND).is_some();
        if has_command && minimum.servers(real_servers) > real_servers.max(1) {
            let text = format!(
                "{} is larger than the number of real servers of the virtual service at {} \
                 ({real_servers})",
                FALLBACKMINIMUM.name,
                self.origins.name(section.place.line)
            );
            self.diagnostics
                .error(Found::After(section.end), &directive.place, text)
                .hint("the service would never be announced; a percentage fits every service");
        }
        minimum
    }

    /// Refuses what tells when to run a command that there is not.
    pub(super) fn check_command_directives(
        &mut self,
        sections: &[Section<'_>],
        global: Lookup<'_, '_>,
    ) {
        let mut some_section_has_command = sections.is_empty();
        for section in sections {
            let lookup = Lookup { own: &section.directives, ..global };
            let has_command = lookup.directive(&FALLBACKCOMMAND).is_some();
            some_section_has_command |= has_command;
            if !has_command {
                self.refuse_command_directives(&section.directives);
            }
        }
        if !some_section_has_command && global.global(&FALLBACKCOMMAND).is_none() {
            self.refuse_command_directives(global.global);
        }
    }

    fn refuse_command_directives(&mut self, directives: &[Directive<'_>]) {
        let rows = [
            &FALLBACKCOMMANDRETRY,
            &FALLBACKCOMMANDTIMEOUT,
            &FALLBACKCOMMANDUSER,
            &FALLBACKCOMMANDONSTOP,
            &FALLBACKMINIMUM,
            &FALLBACKHOLDDOWN,
        ];
        for directive in directives.iter().filter(|directive| rows.contains(&directive.row)) {
            let found = Found::After(directive.place.line);
            let text = format!("{} needs a fallbackcommand", directive.row.name);
            self.diagnostics
                .error(found, &directive.place, text)
                .hint("set fallbackcommand in this section or as a global directive");
        }
    }
}
