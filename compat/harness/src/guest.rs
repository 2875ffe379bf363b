//! Runs a list of cases, several at a time, each in namespaces of its own. The same code serves inside a guest of the
//! lab and, for cases without ip_vs, outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Longer than any case: a table of hundreds of snippets with the original.
const CASE_LIMIT: &str = "1500";

/// What all guests of a run share, as a folder of the host.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) folder: PathBuf,
    pub(crate) parallel: usize,
    /// `record` or `compare`.
    pub(crate) mode: String,
    /// `original` or the path of ours.
    pub(crate) program: String,
    pub(crate) cases: PathBuf,
}

/// `FOLDER LIST PARALLEL MODE PROGRAM CASES`, inside a guest.
pub(crate) fn main(arguments: &[String]) -> Result<bool, String> {
    let [folder, list, parallel, mode, program, cases] = arguments else {
        return Err("guest FOLDER LIST PARALLEL MODE PROGRAM CASES".to_owned());
    };
    let job = Job {
        folder: PathBuf::from(folder),
        parallel: parallel.parse().map_err(|_| "PARALLEL is no number")?,
        mode: mode.clone(),
        program: program.clone(),
        cases: PathBuf::from(cases),
    };
    let names = fs::read_to_string(list).map_err(|e| format!("read {list}: {e}"))?;
    let names: Vec<String> = names.lines().map(str::to_owned).collect();
    work(&job, &names);
    Ok(true)
}

/// The file of a case in the folder of results.
pub(crate) fn file_name(name: &str) -> String {
    name.replace('/', "@")
}

pub(crate) fn work(job: &Job, names: &[String]) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..job.parallel {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A folder can be made only once, also across guests: who made it has the case.
                    if fs::create_dir(job.folder.join("claims").join(file_name(name))).is_ok() {
                        one(job, name);
                    }
                }
            });
        }
    });
}

fn one(job: &Job, name: &str) {
    let result = run(job, name);
    let (folder, text) = match result {
        Ok(record) => ("records", record),
        Err(error) => ("errors", error),
    };
    let path = job.folder.join(folder).join(file_name(name));
    if let Err(error) = fs::write(&path, text) {
        eprintln!("write {}: {error}", path.display());
    }
}

fn run(job: &Job, name: &str) -> Result<String, String> {
    let own = std::env::current_exe().map_err(|e| format!("find own program: {e}"))?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", CASE_LIMIT, "unshare"]).args([
        "--net",
        "--mount",
        "--uts",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    command.arg(own).args(["init", name, &job.mode, &job.program]).arg(&job.cases);
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("unshare: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Makes the folders that `work` fills.
pub(crate) fn prepare(folder: &Path) -> Result<(), String> {
    ["claims", "records", "errors"].iter().try_for_each(|name| {
        fs::create_dir_all(folder.join(name)).map_err(|e| format!("make {}: {e}", folder.display()))
    })
}
