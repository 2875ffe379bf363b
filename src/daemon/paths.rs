//! Where the program finds and leaves its files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The directories of one installation; made once, in `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Where a configuration's name is looked up first; `/etc/ha.d`.
    pub config: PathBuf,
    /// Of the pid files; `/var/run`.
    pub pid: PathBuf,
    /// Of what only this program reads, root only; `/run/ldirectord-rs`.
    pub runtime: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            config: PathBuf::from("/etc/ha.d"),
            pid: PathBuf::from("/var/run"),
            runtime: PathBuf::from("/run/ldirectord-rs"),
        }
    }
}

impl Paths {
    /// The system's directories for root. Anybody else, who tries a configuration with the table in
    /// memory, has pid file and control socket under `XDG_RUNTIME_DIR`, if that is set.
    pub fn of_this_user() -> Self {
        let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_absolute());
        match own {
            Some(own) if !nix::unistd::geteuid().is_root() => {
                let pid = PathBuf::from(own);
                Self { runtime: pid.join("ldirectord-rs"), pid, ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    /// The file that a configuration's name means: in `/etc/ha.d`, in `/etc/ha.d/conf`, or the path
    /// itself. `None` if none of them is a regular file.
    // compat: the same order, also for absolute paths, whose leading slash then counts for nothing
    pub fn find_config(&self, name: &OsStr) -> Option<PathBuf> {
        let relative = Path::new(name);
        let relative = relative.strip_prefix("/").unwrap_or(relative);
        let looked_up = [self.config.join(relative), self.config.join("conf").join(relative)];
        looked_up.into_iter().chain([PathBuf::from(name)]).find(|path| path.is_file())
    }

    /// The pid file of an instance, where the original has it.
    pub fn pid_file(&self, instance: &str) -> PathBuf {
        self.pid.join(format!("ldirectord.{instance}.pid"))
    }

    /// What the hooks of an instance were last told.
    pub fn hook_memory(&self, instance: &str) -> PathBuf {
        self.runtime.join(format!("{instance}.hooks"))
    }

    /// The control socket of an instance.
    pub fn control(&self, instance: &str) -> PathBuf {
        self.runtime.join(format!("{instance}.sock"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_configuration_in_ha_d_shadows_one_in_conf_and_that_one_a_path() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("ha.d");
        let plain = directory.path().join("x.cf");
        let paths = Paths { config: config.clone(), ..Paths::default() };
        fs::create_dir_all(config.join("conf")).unwrap();
        assert_eq!(paths.find_config(plain.as_os_str()), None);
        fs::write(&plain, "").unwrap();
        assert_eq!(paths.find_config(plain.as_os_str()), Some(plain));
        assert_eq!(paths.find_config("x.cf".as_ref()), None);
        fs::write(config.join("conf/x.cf"), "").unwrap();
        assert_eq!(paths.find_config("x.cf".as_ref()), Some(config.join("conf/x.cf")));
        assert_eq!(paths.find_config("conf/x.cf".as_ref()), Some(config.join("conf/x.cf")));
        fs::write(config.join("x.cf"), "").unwrap();
        assert_eq!(paths.find_config("x.cf".as_ref()), Some(config.join("x.cf")));
        assert_eq!(paths.find_config("conf".as_ref()), None, "a directory is none");
    }
}
