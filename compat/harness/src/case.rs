//! A case file: what is prepared, what happens, where it is observed. The format is told in compat/README.md.

use std::fs;
use std::path::{Path, PathBuf};

use crate::words;

/// One thing to do, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The line as written, after substitution: the step's name in records and reports.
    pub(crate) line: String,
    /// The line's words.
    pub(crate) words: Vec<String>,
    /// The lines of the `|` block below it.
    pub(crate) block: Vec<String>,
}

/// One run of one program: a case file with one combination of its `matrix` values.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Folder name, and `/key=value,…` for a matrix.
    pub(crate) name: String,
    /// Where the record of the original is.
    pub(crate) expected: PathBuf,
    /// Where ours is pinned for the listed differences.
    pub(crate) ours: PathBuf,
    /// Statements of the catalogue that the case covers.
    pub(crate) covers: Vec<String>,
    /// Needs no ip_vs: runs outside the guest.
    pub(crate) native: bool,
    /// The start-up phase is compared line by line.
    pub(crate) strict: bool,
    /// The original takes minutes: not among those that are run again each day.
    pub(crate) slow: bool,
    pub(crate) steps: Vec<Step>,
}

impl Case {
    /// Of a file of snippets or tables, how many configurations there are.
    pub(crate) fn configurations(&self) -> usize {
        self.steps.iter().filter(|step| step.words[0] == "file").count()
    }
}

/// All cases under `folder`, in order of their names.
pub(crate) fn load_all(folder: &Path) -> Result<Vec<Case>, String> {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(|e| format!("read {}: {e}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let mut cases = Vec::new();
    for folder in folders {
        cases.extend(load(&folder)?);
    }
    Ok(cases)
}

fn load(folder: &Path) -> Result<Vec<Case>, String> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for (file, expand) in [
        ("case", None),
        ("snippets", Some(snippet_steps as fn(&Step) -> Vec<Step>)),
        ("tables", Some(table_steps as fn(&Step) -> Vec<Step>)),
    ] {
        let path = folder.join(file);
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let in_file = |error| format!("{}: {error}", path.display());
        let steps = parse(&text).map_err(in_file)?;
        return instances(&name, folder, &steps, expand).map_err(in_file);
    }
    Err(format!("{}: neither a file case, snippets nor tables", folder.display()))
}

fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(content) = line.strip_prefix('|') {
            let step =
                steps.last_mut().ok_or(format!("line {}: block without a step", number + 1))?;
            step.block.push(match content.strip_prefix('\\') {
                Some(escaped) => words::unescape(escaped.strip_prefix(' ').unwrap_or(escaped)),
                None => content.strip_prefix(' ').unwrap_or(content).to_owned(),
            });
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            let line = line.trim().to_owned();
            steps.push(Step { words: words::split(&line), line, block: Vec::new() });
        }
    }
    Ok(steps)
}

fn instances(
    name: &str,
    folder: &Path,
    steps: &[Step],
    expand: Option<fn(&Step) -> Vec<Step>>,
) -> Result<Vec<Case>, String> {
    let mut combinations: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for step in steps.iter().filter(|step| step.words[0] == "matrix") {
        let [_, key, values @ ..] = step.words.as_slice() else {
            return Err("matrix needs a key and values".to_owned());
        };
        combinations = combinations
            .iter()
            .flat_map(|combination| {
                values.iter().map(|value| {
                    let mut longer = combination.clone();
                    longer.push((key.clone(), value.clone()));
                    longer
                })
            })
            .collect();
    }
    combinations.iter().map(|values| instance(name, folder, steps, expand, values)).collect()
}

fn instance(
    name: &str,
    folder: &Path,
    steps: &[Step],
    expand: Option<fn(&Step) -> Vec<Step>>,
    values: &[(String, String)],
) -> Result<Case, String> {
    // The suffix becomes part of a file's name.
    let plain = |value: &str| value.replace(['/', ' '], "_");
    let suffix =
        values.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect::<Vec<_>>().join(",");
    let file = |stem: &str| {
        folder.join(if suffix.is_empty() { stem.to_owned() } else { format!("{stem}.{suffix}") })
    };
    let mut case = Case {
        name: if suffix.is_empty() { name.to_owned() } else { format!("{name}/{suffix}") },
        expected: file("expected"),
        ours: file("ours"),
        covers: Vec::new(),
        native: false,
        strict: false,
        slow: false,
        steps: Vec::new(),
    };
    for step in steps {
        let step = substitute(step, values);
        match step.words[0].as_str() {
            "matrix" | "title" => {}
            "covers" => case.covers.extend_from_slice(&step.words[1..]),
            "strict" => case.strict = true,
            "native" => case.native = true,
            "slow" => case.slow = true,
            "==" => match expand {
                Some(expand) => case.steps.extend(expand(&step)),
                None => return Err("== belongs in snippets or tables".to_owned()),
            },
            _ => case.steps.push(step),
        }
    }
    if expand.is_some() && folder.join("snippets").exists() {
        case.native = true;
    }
    Ok(case)
}

fn substitute(step: &Step, values: &[(String, String)]) -> Step {
    let replace = |text: &str| {
        values.iter().fold(text.to_owned(), |text, (k, v)| text.replace(&format!("${{{k}}}"), v))
    };
    let line = replace(&step.line);
    Step {
        words: words::split(&line),
        line,
        block: step.block.iter().map(|l| replace(l)).collect(),
    }
}

/// A snippet is a configuration whose only question is whether `status` accepts it.
fn snippet_steps(step: &Step) -> Vec<Step> {
    let name = step.line.trim_start_matches("==").trim();
    let mut steps =
        parse("file /etc/ha.d/snippet.cf\nldirectord snippet.cf status\n").unwrap_or_default();
    steps[0].block.clone_from(&step.block);
    steps[1].line = name.to_owned();
    steps
}

/// A table is a configuration whose only question is what start makes of it in the kernel.
fn table_steps(step: &Step) -> Vec<Step> {
    let name = step.line.trim_start_matches("==").trim();
    let mut steps =
        parse("file /etc/ha.d/table.cf\nldirectord table.cf start\nsettle\nquit table.cf\nclear")
            .unwrap_or_default();
    steps[0].block.clone_from(&step.block);
    steps[1].line = format!("{name}: start");
    steps[2].line = format!("{name}: settled");
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_lines_are_literal_unless_marked_as_escaped() {
        let steps = parse("file x\n|   a\\t\n|\\ b\\s\n|\n").unwrap();
        assert_eq!(steps[0].block, ["  a\\t", "b ", ""]);
    }

    #[test]
    fn a_matrix_multiplies() {
        let steps = parse("matrix a 1 2\nmatrix b x y\nrun ${a}${b}").unwrap();
        let cases = instances("n", Path::new("/f"), &steps, None).unwrap();
        assert_eq!(cases.len(), 4);
        assert_eq!(cases[3].name, "n/a=2,b=y");
        assert_eq!(cases[3].steps[0].line, "run 2y");
    }
}
