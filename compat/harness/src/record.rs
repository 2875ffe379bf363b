//! What was observed, as text that a human reads and a diff shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Observations after one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Section {
    /// Number of the step (from 1) and its line.
    pub(crate) title: String,
    /// Kind (table, log, exit, …) to its lines.
    pub(crate) kinds: BTreeMap<String, Vec<String>>,
}

impl Section {
    pub(crate) fn new(title: String) -> Self {
        Self { title, kinds: BTreeMap::new() }
    }

    /// The lines of a kind; none if the kind was not observed.
    pub(crate) fn lines(&self, kind: &str) -> &[String] {
        self.kinds.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Notes a kind unless there is nothing to note.
    pub(crate) fn put(&mut self, kind: &str, lines: Vec<String>) {
        if !lines.is_empty() {
            self.kinds.insert(kind.to_owned(), lines);
        }
    }
}

/// All observations of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// Which program on which kernel.
    pub(crate) header: String,
    pub(crate) sections: Vec<Section>,
}

impl Record {
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("# {}\n", self.header);
        for section in &self.sections {
            let _ = writeln!(text, "== {}", section.title);
            for (kind, lines) in &section.kinds {
                let _ = writeln!(text, "{kind}:");
                for line in lines {
                    let _ = writeln!(text, "    {line}");
                }
            }
        }
        text
    }

    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let mut record = Self::default();
        let mut kind = String::new();
        for line in text.lines() {
            if let Some(content) = line.strip_prefix("    ") {
                let section =
                    record.sections.last_mut().ok_or("a line before the first section")?;
                section.kinds.entry(kind.clone()).or_default().push(content.to_owned());
            } else if let Some(header) = line.strip_prefix("# ") {
                record.header = header.to_owned();
            } else if let Some(title) = line.strip_prefix("== ") {
                record.sections.push(Section::new(title.to_owned()));
            } else if let Some(name) = line.strip_suffix(':') {
                let section =
                    record.sections.last_mut().ok_or("a kind before the first section")?;
                name.clone_into(&mut kind);
                section.kinds.entry(kind.clone()).or_default();
            } else {
                return Err(format!("cannot read the record's line {line:?}"));
            }
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_text() {
        let mut section = Section::new("1 settle".to_owned());
        section.put("log", vec!["a: b".to_owned(), String::new()]);
        let record = Record { header: "h".to_owned(), sections: vec![section] };
        assert_eq!(Record::from_text(&record.to_text()).unwrap(), record);
    }
}
