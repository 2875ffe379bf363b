//! KNOWN_DIFFERENCES.md as data: lines of the form "- `CASE` step N,N KIND, KIND". CASE may end in `*`; the kind `*`
//! stands for all that differ in the step.

use std::path::Path;

use crate::compare::Difference;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) case: String,
    pub(crate) section: usize,
    pub(crate) kind: String,
}

impl Entry {
    pub(crate) fn fits(&self, case: &str, difference: &Difference) -> bool {
        self.fits_case(case)
            && self.section == difference.section
            && (self.kind == "*" || self.kind == difference.kind)
    }

    pub(crate) fn fits_case(&self, case: &str) -> bool {
        match self.case.strip_suffix('*') {
            Some(start) => case.starts_with(start),
            None => self.case == case,
        }
    }
}

pub(crate) fn load(path: &Path) -> Result<Vec<Entry>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("read {}: {error}", path.display())),
    };
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("- `") else { continue };
        let parts = rest.split_once("` step ").and_then(|(case, rest)| {
            let (sections, kinds) = rest.split_once(' ')?;
            let sections: Result<Vec<usize>, _> = sections.split(',').map(str::parse).collect();
            Some((case, sections.ok()?, kinds))
        });
        let Some((case, sections, kinds)) = parts else {
            return Err(format!("KNOWN_DIFFERENCES.md: cannot read {line:?}"));
        };
        for section in sections {
            for kind in kinds.split(", ") {
                entries.push(Entry {
                    case: case.to_owned(),
                    section,
                    kind: kind.trim().to_owned(),
                });
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_case_step_and_kinds() {
        let entries = parse("text\n- `a/b=*` step 3,4 table, log\n").unwrap();
        assert_eq!(entries.len(), 4);
        assert!(entries[0].fits_case("a/b=1"));
        assert_eq!((entries[3].section, entries[3].kind.as_str()), (4, "log"));
    }
}
