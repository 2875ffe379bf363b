//! Configurations at random, given to both programs: accepted or refused alike, with the same message and line, and the
//! same resulting table.
//!
//! The seed decides everything; `compat/seeds` keeps those that have found something once.

mod grammar;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::case::{Case, load_all};
use crate::compare::{self, Difference};
use crate::host;
use grammar::Text;

/// Configurations of one case, which share their namespaces.
const BATCH: usize = 50;

/// Configurations of a seed that was kept: it found what it found among these.
const KEPT: usize = 250;

/// Times a configuration that differs is made simpler and tried again.
const SIMPLER: usize = 60;

/// How many differences are reported, each made as simple as it gets.
const REPORTED: usize = 5;

/// What is done with a configuration, as a folder of cases calls it.
#[derive(Clone, Copy)]
enum Question {
    /// Is it accepted?
    Snippets,
    /// What does it make of the kernel's table?
    Tables,
}

impl Question {
    fn file(self) -> &'static str {
        match self {
            Self::Snippets => "snippets",
            Self::Tables => "tables",
        }
    }

    fn batch(self) -> usize {
        match self {
            Self::Snippets => BATCH,
            Self::Tables => 1,
        }
    }
}

/// `random [--count N] [--tables N] [--seed N] [--daily] [--show]`: the seed of now, or of today, and those that
/// are kept, or this one;
/// with `--show` it is only told what would be asked.
pub(crate) fn main(root: &Path, binary: &Path, arguments: &[String]) -> Result<bool, String> {
    let number = |name: &str| -> Result<Option<u64>, String> {
        let Some(at) = arguments.iter().position(|word| word == name) else { return Ok(None) };
        let value = arguments.get(at + 1).and_then(|word| word.parse().ok());
        value.map(Some).ok_or_else(|| format!("{name} needs a number"))
    };
    let count = usize::try_from(number("--count")?.unwrap_or(3000)).unwrap_or(usize::MAX);
    let tables = usize::try_from(number("--tables")?.unwrap_or(12)).unwrap_or(usize::MAX);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    // All runs of a day ask the same, so that a failure can be looked into.
    let daily = arguments.iter().any(|word| word == "--daily");
    let now = if daily { now / 86_400 } else { now };
    let seeds = match number("--seed")? {
        Some(seed) => vec![seed],
        None => kept(root)?.into_iter().chain([now]).collect(),
    };
    if arguments.iter().any(|word| word == "--show") {
        for &seed in &seeds {
            show(&make(seed, count, grammar::plausible())?);
            show(&make(seed, tables, grammar::valid())?);
        }
        return Ok(true);
    }
    host::need_original()?;
    let mut failed = 0;
    for (at, &seed) in seeds.iter().enumerate() {
        let many = if at + 1 == seeds.len() { (count, tables) } else { (count.min(KEPT), 0) };
        println!("seed {seed}: {} configurations, {} tables", many.0, many.1);
        let mut found = ask(root, binary, seed, Question::Snippets, many.0, grammar::plausible())?;
        found += ask(root, binary, seed, Question::Tables, many.1, grammar::valid())?;
        if found > 0 {
            println!("seed {seed} belongs in compat/seeds");
        }
        failed += found;
    }
    println!("at random: {} cases, {failed} differ", seeds.len() * count);
    Ok(failed == 0)
}

fn kept(root: &Path) -> Result<Vec<u64>, String> {
    let path = root.join("compat/seeds");
    let text = fs::read_to_string(&path).map_err(|e| format!("read {}: {e}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_whitespace().next())
        .map(|word| word.parse().map_err(|_| format!("{}: no seed: {word}", path.display())))
        .collect()
}

type Tree<S> = <S as Strategy>::Tree;

/// So many configurations, the same for a seed each time.
fn make<S: Strategy>(seed: u64, count: usize, strategy: S) -> Result<Vec<Tree<S>>, String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let trees: Result<Vec<_>, _> = (0..count).map(|_| strategy.new_tree(&mut runner)).collect();
    trees.map_err(|reason| format!("make a configuration: {reason}"))
}

fn show(trees: &[impl ValueTree<Value = Text>]) {
    for (number, tree) in trees.iter().enumerate() {
        println!("== {number}");
        tree.current().lines().iter().for_each(|line| println!("| {line}"));
    }
}

/// Makes so many configurations and asks both programs; returns how many are answered differently.
fn ask(
    root: &Path,
    binary: &Path,
    seed: u64,
    question: Question,
    count: usize,
    strategy: impl Strategy<Value = Text>,
) -> Result<usize, String> {
    if count == 0 {
        return Ok(0);
    }
    let mut trees = make(seed, count, strategy)?;
    let texts: Vec<Vec<String>> = trees.iter().map(|tree| tree.current().lines()).collect();
    let programs = Programs { root, binary };
    let differences = programs.differences(question, &texts)?;
    for (number, first) in differences.iter().take(REPORTED) {
        let tree = &mut trees[*number];
        let mut simplest = (texts[*number].clone(), first.clone());
        let mut left = if matches!(question, Question::Snippets) { SIMPLER } else { 0 };
        while left > 0 && tree.simplify() {
            loop {
                left -= 1;
                let lines = tree.current().lines();
                let found = programs.differences(question, std::slice::from_ref(&lines))?;
                if let Some((_, differences)) = found.into_iter().next() {
                    simplest = (lines, differences);
                    break;
                }
                if left == 0 || !tree.complicate() {
                    break;
                }
            }
        }
        let (lines, differences) = simplest;
        println!("DIFFERENT, number {number} of seed {seed}:");
        lines.iter().for_each(|line| println!("    | {}", line.replace('\t', "\\t")));
        differences
            .iter()
            .for_each(|it| println!("{}", host::lines_of(it).trim_start_matches('\n')));
    }
    Ok(differences.len())
}

struct Programs<'a> {
    root: &'a Path,
    binary: &'a Path,
}

impl Programs<'_> {
    /// Numbers of the configurations that are answered differently, with the differences.
    fn differences(
        &self,
        question: Question,
        texts: &[Vec<String>],
    ) -> Result<Vec<(usize, Vec<Difference>)>, String> {
        let folder = std::env::temp_dir().join(format!("ldirectord-random.{}", std::process::id()));
        let cases = write(&folder, question, texts)?;
        let original = host::run(self.root, &folder, &cases, "record", "original")?;
        for case in &cases {
            let text = host::outcome(&original, case)?.to_text();
            fs::write(&case.expected, text)
                .map_err(|e| format!("write {}: {e}", case.expected.display()))?;
        }
        let ours = host::run(self.root, &folder, &cases, "compare", &host::path_of(self.binary)?)?;
        fs::remove_dir_all(&folder).map_err(|e| format!("remove {}: {e}", folder.display()))?;
        let mut found: Vec<(usize, Vec<Difference>)> = Vec::new();
        for (batch, case) in cases.iter().enumerate() {
            let expected = &host::outcome(&original, case)?.sections;
            let observed = &host::outcome(&ours, case)?.sections;
            let each = expected.len() / case.configurations().max(1);
            for (at, (e, o)) in expected.iter().zip(observed).enumerate() {
                let number = batch * question.batch() + at / each.max(1);
                let differences = compare::section(at + 1, &expected[..at], e, o, false);
                if differences.is_empty() {
                    continue;
                }
                match found.last_mut() {
                    Some((last, all)) if *last == number => all.extend(differences),
                    _ => found.push((number, differences)),
                }
            }
        }
        Ok(found)
    }
}

/// Writes them as cases.
fn write(folder: &Path, question: Question, texts: &[Vec<String>]) -> Result<Vec<Case>, String> {
    let make = |path: PathBuf, text: String| -> Result<(), String> {
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent).map_err(|e| format!("make {}: {e}", parent.display()))?;
        fs::write(&path, text).map_err(|e| format!("write {}: {e}", path.display()))
    };
    for (number, batch) in texts.chunks(question.batch()).enumerate() {
        let mut text = String::from("title at random\n");
        for (at, lines) in batch.iter().enumerate() {
            text.push_str(&format!("== {}\n", number * question.batch() + at));
            lines.iter().for_each(|line| text.push_str(&format!("| {line}\n")));
        }
        make(folder.join(format!("{number:05}")).join(question.file()), text)?;
    }
    load_all(folder)
}
