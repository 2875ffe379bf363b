//! Services of one's own, by the files that define them.

use super::Builder;
use super::lookup::Lookup;
use crate::config::{Ast, Found, Place, SERVICE, Value};
use crate::model::dialogue::{DEFINITIONS, definition};
use crate::model::{Dialogue, ServiceAddress, Transport};

impl Builder<'_, '_> {
    /// Reads the definitions of the services that are none of the program's own.
    // compat: also such as a later line replaces; without a file, the words are the original's
    pub(super) fn check_definitions(&mut self, ast: &Ast<'_>) {
        let sections = ast.sections.iter().flat_map(|section| &section.directives);
        for directive in ast.judged().chain(sections) {
            let Value::Text(name) = &directive.value else { continue };
            if *directive.row != SERVICE || self.definitions.contains_key(name.as_ref()) {
                continue;
            }
            match definition(name, self.resolver) {
                Ok(Some(found)) => {
                    self.definitions.insert(name.to_string(), found);
                }
                Ok(None) => {
                    let hint =
                        format!("or a file {DEFINITIONS}/{name} says what is asked and expected");
                    self.definition_error(&directive.place, SERVICE.error.to_owned(), hint);
                }
                Err(cause) => {
                    let text = format!("invalid service: {DEFINITIONS}/{name}: {cause}");
                    let hint = "such a file has lines port, tls, send and expect".to_owned();
                    self.definition_error(&directive.place, text, hint);
                }
            }
        }
    }

    fn definition_error(&mut self, place: &Place, text: String, hint: String) {
        self.diagnostics.error(Found::Line(place.line), place, text).hint(hint);
    }

    /// The definition of the section's service, if it is one of one's own.
    pub(super) fn own_service(&self, lookup: Lookup<'_, '_>) -> Option<&(String, Dialogue)> {
        self.definitions.get(lookup.text(&SERVICE)?)
    }

    /// What is sent and expected needs a stream: an answer in parts, in their order.
    pub(super) fn refuse_own_over_udp(&mut self, lookup: Lookup<'_, '_>, address: ServiceAddress) {
        if self.own_service(lookup).is_none() || super::check::transport(address) != Transport::Udp
        {
            return;
        }
        if let (Some(place), Some(name)) = (lookup.place(&SERVICE), lookup.text(&SERVICE)) {
            let text =
                format!("service {name} is checked over tcp, and this virtual service is udp");
            let hint = "set protocol=tcp if it is not; for udp there is service=simpletcp";
            self.definition_error(place, text, hint.to_owned());
        }
    }
}
