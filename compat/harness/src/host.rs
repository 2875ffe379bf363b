//! The command line: selects cases, lets guests run them, judges and reports.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::case::{Case, load_all};
use crate::compare::{self, Difference};
use crate::guest::{self, Job};
use crate::known;
use crate::random;
use crate::record::{Record, Section};

/// So many cases that fail are run once more, each by itself.
const ALONE: usize = 5;

pub(crate) type Outcomes = BTreeMap<String, Result<Record, String>>;

pub(crate) fn main(command: &str, arguments: &[String]) -> Result<bool, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().map_err(|e| format!("find the repository: {e}"))?;
    let mut binary = root.join("target/debug/ldirectord");
    let mut wanted = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--binary" {
            binary = PathBuf::from(words.next().ok_or("--binary needs a path")?);
        } else {
            wanted.push(word.as_str());
        }
    }
    if command == "random" {
        return random::main(&root, &binary, arguments);
    }
    let all = load_all(&root.join("compat/cases"))?;
    let cases: Vec<Case> = all
        .into_iter()
        .filter(|case| wanted.is_empty() || wanted.iter().any(|part| is_wanted(&case.name, part)))
        .collect();
    if cases.is_empty() {
        return Err("no case has such a name".to_owned());
    }
    match command {
        "list" => {
            for case in &cases {
                println!("{}  {}", case.name, case.covers.join(" "));
            }
            Ok(true)
        }
        "record" => record(&root, &cases),
        "original" => original(&root, &cases),
        "daily" => original(&root, &of_today(cases)),
        "both" => Ok(original(&root, &cases)? & ours(&root, &cases, &binary, wanted.is_empty())?),
        "accept" => accept(&root, &cases, &binary),
        _ => ours(&root, &cases, &binary, wanted.is_empty()),
    }
}

/// Ten cases, others each day, until all have had their turn.
fn of_today(cases: Vec<Case>) -> Vec<Case> {
    const MANY: usize = 10;
    let quick: Vec<Case> = cases.into_iter().filter(|case| !case.slow).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let day = usize::try_from(now / 86_400).unwrap_or_default();
    // Far apart in the list, so that each day has some of every kind.
    let turns = quick.len().div_ceil(MANY).max(1);
    quick.into_iter().skip(day % turns).step_by(turns).collect()
}

/// A number selects by the beginning of the name, text anywhere in it.
fn is_wanted(name: &str, part: &str) -> bool {
    if part.bytes().all(|b| b.is_ascii_digit()) {
        name.starts_with(part)
    } else {
        name.contains(part)
    }
}

fn record(root: &Path, cases: &[Case]) -> Result<bool, String> {
    need_original()?;
    let outcomes = run(root, &root.join("compat/cases"), cases, "record", "original")?;
    let mut good = true;
    for case in cases {
        match outcome(&outcomes, case) {
            Ok(record) => fs::write(&case.expected, record.to_text())
                .map_err(|e| format!("write {}: {e}", case.expected.display()))?,
            Err(error) => {
                println!("FAILED {}: {error}", case.name);
                good = false;
            }
        }
    }
    println!("{} cases recorded", outcomes.values().filter(|outcome| outcome.is_ok()).count());
    Ok(good)
}

fn original(root: &Path, cases: &[Case]) -> Result<bool, String> {
    need_original()?;
    let compare =
        |cases: &[Case]| run(root, &root.join("compat/cases"), cases, "compare", "original");
    let mut outcomes = compare(cases)?;
    // It starts and stops processes of its own as it goes, and what of that falls between two looks is not always the
    // same: what differs once is looked at again, what differs twice has changed.
    let odd: Vec<Case> = cases
        .iter()
        .filter(|case| !judge(case, &outcomes).is_ok_and(|differences| differences.is_empty()))
        .cloned()
        .collect();
    if !odd.is_empty() {
        println!("once more: {}", odd.iter().map(|case| &*case.name).collect::<Vec<_>>().join(" "));
        outcomes.extend(compare(&odd)?);
    }
    let mut failed = 0;
    for case in cases {
        match judge(case, &outcomes) {
            Ok(differences) if differences.is_empty() => {}
            Ok(differences) => {
                failed += 1;
                differences.iter().for_each(|it| println!("{}", complaint(case, it)));
            }
            Err(error) => {
                failed += 1;
                println!("FAILED {}: {error}", case.name);
            }
        }
    }
    println!("the original against its records: {} cases, {failed} differ", cases.len());
    Ok(failed == 0)
}

fn ours(root: &Path, cases: &[Case], binary: &Path, whole: bool) -> Result<bool, String> {
    let known = known::load(&root.join("compat/KNOWN_DIFFERENCES.md"))?;
    let program = path_of(binary)?;
    let compare =
        |cases: &[Case]| run(root, &root.join("compat/cases"), cases, "compare", &program);
    let mut outcomes = compare(cases)?;
    let mut odd = Vec::new();
    for case in cases {
        let complaints = complaints(case, &outcomes, &known)?;
        if !complaints.is_empty() {
            odd.push((case.clone(), complaints));
        }
    }
    // Twenty cases at a time load the machine, and some look at what happens within a second: a case
    // that fails is judged by itself. Many failures are no matter of load.
    if odd.len() <= ALONE {
        for (case, complaints) in &odd {
            println!("failed beside others, now by itself: {}", case.name);
            complaints.iter().for_each(|complaint| println!("    {complaint}"));
            outcomes.extend(compare(std::slice::from_ref(case))?);
        }
    }
    let mut failed = 0;
    let mut listed = 0;
    for case in cases {
        let complaints = complaints(case, &outcomes, &known)?;
        complaints.iter().for_each(|complaint| println!("{complaint}"));
        failed += usize::from(!complaints.is_empty());
        listed += judge(case, &outcomes).map_or(0, |differences| {
            let is_listed = |difference: &&Difference| {
                known.iter().any(|entry| entry.fits(&case.name, difference))
            };
            differences.iter().filter(is_listed).count()
        });
    }
    for entry in
        known.iter().filter(|entry| whole && !cases.iter().any(|case| entry.fits_case(&case.name)))
    {
        println!("LISTED WITHOUT A CASE {}", entry.case);
        failed += 1;
    }
    println!("ours: {} cases, {failed} failed, {listed} listed differences", cases.len());
    Ok(failed == 0)
}

/// What is wrong with a case, as it is reported.
fn complaints(
    case: &Case,
    outcomes: &Outcomes,
    known: &[known::Entry],
) -> Result<Vec<String>, String> {
    let differences = match judge(case, outcomes) {
        Ok(differences) => differences,
        Err(error) => return Ok(vec![format!("FAILED {}: {error}", case.name)]),
    };
    let mut complaints = Vec::new();
    for difference in &differences {
        if known.iter().any(|entry| entry.fits(&case.name, difference)) {
            let unlike = unlike_pinned(case, difference)?;
            complaints.extend(unlike.map(|difference| complaint(case, &difference)));
        } else {
            complaints.push(complaint(case, difference));
        }
    }
    // An entry with a wildcard must occur in each case that it fits.
    for entry in known.iter().filter(|entry| entry.fits_case(&case.name)) {
        if !differences.iter().any(|difference| entry.fits(&case.name, difference)) {
            let (step, kind) = (&entry.section, &entry.kind);
            complaints.push(format!("NO LONGER DIFFERENT {}: step {step} {kind}", case.name));
        }
    }
    Ok(complaints)
}

/// A listed difference is of one kind only: what ours does is pinned in the case's file `ours`.
fn unlike_pinned(case: &Case, difference: &Difference) -> Result<Option<Difference>, String> {
    let text = fs::read_to_string(&case.ours).unwrap_or_default();
    let pinned = Record::from_text(&text)?.sections;
    let Some(section) = pinned.iter().find(|section| section.title == difference.title) else {
        return Ok(Some(difference.clone()));
    };
    let mut expected = Section::new(section.title.clone());
    expected.kinds.insert(difference.kind.clone(), section.lines(&difference.kind).to_vec());
    let mut observed = Section::new(section.title.clone());
    observed.kinds.insert(difference.kind.clone(), difference.observed.clone());
    Ok(compare::section(difference.section, &[], &expected, &observed, case.strict)
        .into_iter()
        .next())
}

/// Pins what ours does where a difference is listed.
fn accept(root: &Path, cases: &[Case], binary: &Path) -> Result<bool, String> {
    let known = known::load(&root.join("compat/KNOWN_DIFFERENCES.md"))?;
    let outcomes = run(root, &root.join("compat/cases"), cases, "compare", &path_of(binary)?)?;
    for case in cases {
        let mut pinned = Record {
            header: "ours, where a difference is listed".to_owned(),
            sections: Vec::new(),
        };
        for difference in judge(case, &outcomes)? {
            if !known.iter().any(|entry| entry.fits(&case.name, &difference)) {
                continue;
            }
            if pinned.sections.last().is_none_or(|section| section.title != difference.title) {
                pinned.sections.push(Section::new(difference.title.clone()));
            }
            if let Some(section) = pinned.sections.last_mut() {
                section.kinds.insert(difference.kind, difference.observed);
            }
        }
        if pinned.sections.is_empty() {
            // Nothing listed (any more): a file left behind would mislead.
            let _ = fs::remove_file(&case.ours);
        } else {
            fs::write(&case.ours, pinned.to_text())
                .map_err(|e| format!("write {}: {e}", case.ours.display()))?;
        }
    }
    Ok(true)
}

pub(crate) fn outcome<'a>(outcomes: &'a Outcomes, case: &Case) -> Result<&'a Record, String> {
    match outcomes.get(&case.name) {
        Some(Ok(record)) => Ok(record),
        Some(Err(error)) => Err(error.clone()),
        None => Err("no result (the guest ended early)".to_owned()),
    }
}

fn judge(case: &Case, outcomes: &Outcomes) -> Result<Vec<Difference>, String> {
    let text = fs::read_to_string(&case.expected)
        .map_err(|_| "no record of the original; make compat-record CASE=…".to_owned())?;
    let expected = Record::from_text(&text)?.sections;
    let observed = &outcome(outcomes, case)?.sections;
    if expected.len() != observed.len() {
        return Err(
            "the record has other steps than the case; make compat-record CASE=…".to_owned()
        );
    }
    let pairs = expected.iter().zip(observed).enumerate();
    Ok(pairs
        .flat_map(|(at, (e, o))| compare::section(at + 1, &expected[..at], e, o, case.strict))
        .collect())
}

fn complaint(case: &Case, difference: &Difference) -> String {
    let (title, kind) = (&difference.title, &difference.kind);
    format!("DIFFERENT {}: step {title}: {kind}{}", case.name, lines_of(difference))
}

/// The lines that only one of the two has, each on a line of its own.
pub(crate) fn lines_of(difference: &Difference) -> String {
    let (expected, observed) = (&difference.expected, &difference.observed);
    let missing = expected.iter().filter(|line| !observed.contains(line));
    let added = observed.iter().filter(|line| !expected.contains(line));
    missing
        .map(|line| format!("\n    - {line}"))
        .chain(added.map(|line| format!("\n    + {line}")))
        .collect()
}

pub(crate) fn path_of(binary: &Path) -> Result<String, String> {
    let path = binary.canonicalize().map_err(|e| format!("{}: {e}", binary.display()))?;
    Ok(path.display().to_string())
}

/// Installs Debian's package if it is missing and we may.
pub(crate) fn need_original() -> Result<(), String> {
    if Path::new("/usr/sbin/ldirectord").exists() {
        return Ok(());
    }
    let install = "apt-get install -y --no-install-recommends ldirectord";
    if !nix::unistd::Uid::effective().is_root() {
        return Err(format!("the original is missing; as root: {install}"));
    }
    let status = Command::new("sh")
        .args(["-c", &format!("apt-get -qq update && DEBIAN_FRONTEND=noninteractive {install}")])
        .status()
        .map_err(|e| format!("install ldirectord: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("install ldirectord: {status}")) }
}

fn number_from(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// All cases with one program; native ones here, the others in guests at the same time.
pub(crate) fn run(
    root: &Path,
    folder_of_cases: &Path,
    cases: &[Case],
    mode: &str,
    program: &str,
) -> Result<Outcomes, String> {
    if !nix::unistd::Uid::effective().is_root() {
        return Err(
            "needs root: cases run in namespaces and with the daemon's own paths".to_owned()
        );
    }
    let folder = std::env::temp_dir().join(format!("ldirectord-compat.{}", std::process::id()));
    guest::prepare(&folder)?;
    let (native, lab): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.native);
    // The original costs three seconds of processor time to start in a guest, ours next to nothing.
    let parallel = number_from("COMPAT_PARALLEL", if program == "original" { 4 } else { 10 });
    let guests = number_from("COMPAT_GUESTS", 2).min(lab.len().div_ceil(2).max(1));
    let job = Job {
        folder: folder.clone(),
        parallel,
        mode: mode.to_owned(),
        program: program.to_owned(),
        cases: folder_of_cases.to_owned(),
    };
    let names = |cases: &[&Case]| cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>();
    let list = folder.join("list");
    fs::write(&list, names(&lab).join("\n"))
        .map_err(|e| format!("write {}: {e}", list.display()))?;
    let booted = thread::scope(|scope| {
        let handles: Vec<_> = (0..if lab.is_empty() { 0 } else { guests })
            .map(|_| scope.spawn(|| boot(root, &job, &list)))
            .collect();
        guest::work(&Job { parallel: 2, ..job.clone() }, &names(&native));
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or(Err("guest thread".to_owned())))
            .collect::<Vec<_>>()
    });
    for error in booted.into_iter().filter_map(Result::err) {
        println!("guest: {error}");
    }
    let mut outcomes = Outcomes::new();
    for case in cases {
        let file = guest::file_name(&case.name);
        if let Ok(text) = fs::read_to_string(folder.join("records").join(&file)) {
            outcomes.insert(case.name.clone(), Record::from_text(&text));
        } else if let Ok(error) = fs::read_to_string(folder.join("errors").join(&file)) {
            outcomes.insert(case.name.clone(), Err(error));
        }
    }
    fs::remove_dir_all(&folder).map_err(|e| format!("remove {}: {e}", folder.display()))?;
    Ok(outcomes)
}

fn boot(root: &Path, job: &Job, list: &Path) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|e| format!("find own program: {e}"))?;
    let status = Command::new(root.join("tests/lab/run"))
        .args(["--mem", "3G", "--timeout", "3600"])
        .arg(own)
        .arg("guest")
        .arg(&job.folder)
        .arg(list)
        .args([&job.parallel.to_string(), &job.mode, &job.program])
        .arg(&job.cases)
        .stdin(Stdio::null())
        .status()
        .map_err(|e| format!("tests/lab/run: {e}"))?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}
