//! The files of `checkcafile`, `checkcert` and `checkkey`: the director reads them, as it may, and the
//! prober is sent what they hold. So a new one, or a key that only root may read, needs no other walls.

use super::seam::Order;
use crate::check::tls::{FILE_LIMIT, Stamp};
use crate::model::{CheckMethod, CheckPlan};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the files are looked at while checks run.
const INTERVAL: Duration = Duration::from_secs(1);

/// The files in force, as they were last read.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    files: HashMap<PathBuf, Result<Stamp, String>>,
    looked: Option<Instant>,
}

/// The files that a check of this plan would read.
pub(super) fn files_of(plan: &CheckPlan) -> impl Iterator<Item = &Path> {
    let exchange = match &plan.method {
        CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. } => Some(exchange),
        _ => None,
    };
    exchange.into_iter().flat_map(|exchange| exchange.files())
}

impl Certificates {
    /// From now on these are in force; returns what is to be told of new ones.
    pub(super) fn set<'a>(&mut self, files: impl Iterator<Item = &'a Path>) -> Vec<Order> {
        let mut before = std::mem::take(&mut self.files);
        let mut orders = Vec::new();
        for file in files {
            if self.files.contains_key(file) {
                continue;
            }
            let state = before.remove(file).unwrap_or_else(|| {
                let (state, order) = read(file);
                orders.push(order);
                state
            });
            self.files.insert(file.to_owned(), state);
        }
        orders
    }

    /// Everything, for a prober that was just started.
    pub(super) fn all(&mut self) -> Vec<Order> {
        let reread = self.files.iter_mut().map(|(file, state)| {
            let (now, order) = read(file);
            *state = now;
            order
        });
        reread.collect()
    }

    /// What has changed on disk, if it is time to look.
    pub(super) fn changed(&mut self, now: Instant) -> Vec<Order> {
        if self.files.is_empty() || self.looked.is_some_and(|last| now < last + INTERVAL) {
            return Vec::new();
        }
        self.looked = Some(now);
        let changed = self.files.iter_mut().filter_map(|(file, state)| {
            let seen = Stamp::of(file).map_err(|error| error.to_string());
            if seen == *state {
                return None;
            }
            let (now, order) = read(file);
            *state = now;
            Some(order)
        });
        changed.collect()
    }
}

fn read(file: &Path) -> (Result<Stamp, String>, Order) {
    let stamp = Stamp::of(file).map_err(|error| error.to_string());
    let content = stamp.clone().and_then(|_| content(file).map_err(|error| error.to_string()));
    (stamp, Order::Certificates(file.to_owned(), content))
}

fn content(file: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(file)?.take(FILE_LIMIT).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn told(orders: &[Order]) -> Vec<Result<&[u8], &str>> {
        fn content(order: &Order) -> Result<&[u8], &str> {
            let Order::Certificates(_, content) = order else { panic!("something else") };
            content.as_deref().map_err(String::as_str)
        }
        orders.iter().map(content).collect()
    }

    #[test]
    fn a_file_is_told_when_it_is_new_changed_or_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ours.pem");
        fs::write(&file, "one").expect("written");
        let mut certificates = Certificates::default();
        let now = Instant::now();
        let files = || [file.as_path(), file.as_path()].into_iter();
        assert_eq!(told(&certificates.set(files())), [Ok(&b"one"[..])]);
        assert!(certificates.set(files()).is_empty());
        assert!(certificates.changed(now).is_empty());
        fs::write(&file, "two!").expect("written");
        assert!(certificates.changed(now + INTERVAL / 2).is_empty(), "not yet");
        assert_eq!(told(&certificates.changed(now + INTERVAL)), [Ok(&b"two!"[..])]);
        assert_eq!(told(&certificates.all()), [Ok(&b"two!"[..])]);
        fs::remove_file(&file).expect("removed");
        let gone = certificates.changed(now + 2 * INTERVAL);
        assert!(told(&gone)[0].is_err_and(|cause| cause.starts_with("No such file")), "{gone:?}");
        assert!(certificates.changed(now + 3 * INTERVAL).is_empty(), "told once");
    }
}
