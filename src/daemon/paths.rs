//! Where the program finds and leaves its files.

use super::control::Sockets;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The directories of one installation; made once, in `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Where a configuration's name is looked up first; `/etc/ha.d`.
    pub config: PathBuf,
    /// Of the pid files; `/var/run`.
    pub pid: PathBuf,
    /// Of control sockets and hooks' state; `/run/ldirectord-rs`.
    pub runtime: PathBuf,
    /// Of what survives a reboot, root only; `/var/lib/ldirectord-rs`.
    pub state: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            config: PathBuf::from("/etc/ha.d"),
            pid: PathBuf::from("/var/run"),
            runtime: PathBuf::from("/run/ldirectord-rs"),
            state: PathBuf::from("/var/lib/ldirectord-rs"),
        }
    }
}

impl Paths {
    /// The system's directories for root. Anybody else, who tries a configuration with the table in
    /// memory, has pid file, control socket and state under `XDG_RUNTIME_DIR`, if that is set.
    pub fn of_this_user() -> Self {
        let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_absolute());
        match own {
            Some(own) if !nix::unistd::geteuid().is_root() => {
                let pid = PathBuf::from(own);
                let runtime = pid.join("ldirectord-rs");
                Self { state: runtime.clone(), runtime, pid, ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    /// Where to ask an instance's daemon: somebody who is not root and has none of his own asks the
    /// system's.
    pub fn for_asking(&self, instance: &str) -> Self {
        let system = Self::default();
        let own = self.sockets(instance).all.exists() || nix::unistd::geteuid().is_root();
        if own || !system.sockets(instance).all.exists() { self.clone() } else { system }
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

    /// What operators have said of an instance's real servers.
    pub fn overrides(&self, instance: &str) -> PathBuf {
        self.state.join(format!("{instance}.overrides"))
    }

    /// Which services were in force when the process of an instance started itself anew.
    pub fn serving(&self, instance: &str) -> PathBuf {
        self.runtime.join(format!("{instance}.serving"))
    }

    /// What the daemon of an instance has counted, between two that hand over.
    pub fn counters(&self, instance: &str) -> PathBuf {
        self.runtime.join(format!("{instance}.counters"))
    }

    /// The control sockets of all instances that have some.
    pub fn control_sockets(&self) -> Vec<Sockets> {
        /// Nobody runs more instances on one machine.
        const INSTANCES: usize = 1000;
        let entries = std::fs::read_dir(&self.runtime).into_iter().flatten().flatten();
        let instance = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let name = name.strip_suffix(".sock")?;
            (!name.ends_with(".read")).then(|| name.to_owned())
        };
        let instances: Vec<String> = entries.filter_map(instance).take(INSTANCES).collect();
        instances.iter().map(|instance| self.sockets(instance)).collect()
    }

    /// The control sockets of an instance.
    pub fn sockets(&self, instance: &str) -> Sockets {
        let socket = |kind: &str| self.runtime.join(format!("{instance}{kind}.sock"));
        Sockets { all: socket(""), reading: socket(".read") }
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
