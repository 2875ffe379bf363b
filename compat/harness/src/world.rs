//! The private world of one case: namespaces, an overlay over the root file system, empty run-time folders.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, chroot};

/// Where hooks note their calls and commands leave their output; not part of the observed files.
pub(crate) const SCRATCH: &str = "/run/compat";
/// One line per call of a hook or checker.
pub(crate) const CALLS: &str = "/run/compat/calls";
/// Where both programs are called.
pub(crate) const PROGRAM: &str = "/usr/sbin/ldirectord";

/// Built before chroot. `/mnt` is covered by a private tmpfs, so nothing of it reaches the machine. Of the machine
/// nothing is seen but its programs and the few files without which they do not run: what it has configured, logged,
/// stored or added by hand would be another on each machine, and in each record.
const PREPARE: &str = r#"
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root /mnt/etc
root=/mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work $root
mount -t proc proc $root/proc
mount --bind $root/etc /mnt/etc
for folder in etc var run root home srv opt media usr/local dev; do
    mkdir -p $root/$folder
    mount -t tmpfs -o mode=755 tmpfs $root/$folder
done
mkdir -p $root/tmp
mount -t tmpfs -o mode=1777 tmpfs $root/tmp
mkdir $root/run/lock $root/run/compat $root/dev/shm
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r name major minor <<NODE
$node
NODE
    mknod -m 666 $root/dev/$name c $major $minor
done
ln -s /proc/self/fd $root/dev/fd
mkdir -p $root/var/log $root/var/lib $root/var/cache $root/var/spool $root/var/tmp
chmod 1777 $root/var/tmp
ln -s /run $root/var/run
ln -s /run/lock $root/var/lock
# The dynamic linker's, OpenSSL's and Perl's; written to, they change in the overlay only.
for path in ld.so.cache ld.so.conf ld.so.conf.d alternatives perl ssl; do
    [ -e /mnt/etc/$path ] || continue
    if [ -d /mnt/etc/$path ]; then mkdir $root/etc/$path; else : >$root/etc/$path; fi
    mount --bind /mnt/etc/$path $root/etc/$path
done
mkdir -p $root/etc/ha.d/conf
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n' >$root/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >$root/etc/group
printf '127.0.0.1 localhost\n::1 localhost\n127.0.0.1 director.example.com director\n' >$root/etc/hosts
printf 'hosts: files\nservices: files\nprotocols: files\npasswd: files\ngroup: files\n' >$root/etc/nsswitch.conf
printf 'nameserver 127.0.0.1\n' >$root/etc/resolv.conf
printf 'ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\n' >$root/etc/protocols
cat >$root/etc/services <<SERVICES
ftp 21/tcp
ssh 22/tcp
smtp 25/tcp mail
domain 53/tcp
domain 53/udp
tftp 69/udp
http 80/tcp www
pop3 110/tcp pop-3
nntp 119/tcp
ntp 123/udp
imap2 143/tcp imap
snmp 161/tcp
snmp 161/udp
ldap 389/tcp
ldap 389/udp
https 443/tcp
https 443/udp
submission 587/tcp
ldaps 636/tcp
imaps 993/tcp
pop3s 995/tcp
radius 1812/tcp
radius 1812/udp
mysql 3306/tcp
postgresql 5432/tcp
sip 5060/tcp
sip 5060/udp
http-alt 8080/tcp
SERVICES
rm -f $root/mailer.testfile $root/usr/sbin/sendmail $root/usr/lib/sendmail
if [ -n "$OURS" ]; then
    # The original's place, whatever is there.
    rm -f $root/usr/sbin/ldirectord
    : >$root/usr/sbin/ldirectord
    mount --bind "$OURS" $root/usr/sbin/ldirectord
fi
ip link set lo up
hostname director
"#;

/// Process 1 of the case's pid namespace: starts `one` and reaps whatever is left to it, as a real init does.
/// A daemon under test must not stay a zombie, for then it would still look alive.
pub(crate) fn init(arguments: &[String]) -> Result<bool, String> {
    let own = std::env::current_exe().map_err(|e| format!("find own program: {e}"))?;
    let child = Command::new(own)
        .arg("one")
        .args(arguments)
        .spawn()
        .map_err(|e| format!("start the case: {e}"))?;
    let child = Pid::from_raw(child.id().cast_signed());
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => return Ok(status == 0),
            Ok(WaitStatus::Signaled(pid, ..)) if pid == child => return Ok(false),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(format!("wait: {error}")),
        }
    }
}

/// Enters the case's world. `program` is ours, or none for the original.
pub(crate) fn enter(program: Option<&Path>) -> Result<(), String> {
    let ours = program.map(Path::to_string_lossy).unwrap_or_default();
    umask(Mode::from_bits_truncate(0o022));
    let output = Command::new("sh")
        .args(["-ec", PREPARE])
        .env("OURS", ours.as_ref())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("prepare the case's world: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "prepare the case's world: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    chroot("/mnt/root").map_err(|e| format!("chroot: {e}"))?;
    chdir("/").map_err(|e| format!("chdir: {e}"))?;
    File::create(CALLS).map_err(|e| format!("create {CALLS}: {e}"))?;
    Ok(())
}

/// Writes a file, with the folders above it.
pub(crate) fn write(path: &Path, content: &str, mode: u32) -> Result<(), String> {
    let failed = |e| format!("write {}: {e}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    file.write_all(content.as_bytes()).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
}

/// The script of a `hook` or `checker`: notes its call in one write, then runs its body.
pub(crate) fn recorder(kind: &str, environment: &[String], body: &[String]) -> String {
    let mut script = String::from("#!/bin/sh\nline=\"$0\"\nfor a; do line=\"$line [$a]\"; done\n");
    for name in environment {
        script.push_str(&format!("line=\"$line {name}=${name}\"\n"));
    }
    script.push_str(&format!("printf '{kind} %s\\n' \"$line\" >>{CALLS}\n"));
    for line in body {
        script.push_str(line);
        script.push('\n');
    }
    script
}

/// Pid files of the daemon: (file name, pid or none if it holds no number).
pub(crate) fn pid_files() -> Vec<(String, Option<i32>)> {
    let mut files: Vec<_> = fs::read_dir("/run")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            (name.starts_with("ldirectord.") && Path::new(&name).extension()? == "pid")
                .then_some(name)
        })
        .map(|name| {
            let text = fs::read_to_string(Path::new("/run").join(&name)).unwrap_or_default();
            (name, text.lines().next().and_then(|line| line.trim().parse().ok()))
        })
        .collect();
    files.sort();
    files
}

/// Processes of the program under test, the forked ones too.
pub(crate) fn processes() -> Vec<i32> {
    let own = std::process::id().cast_signed();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != 1 && *pid != own)
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("ldirectord")
        })
        .collect()
}

/// Whether a process of this id exists and is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Files where the program puts some, without the harness's.
pub(crate) fn files() -> Vec<String> {
    let mut found = Vec::new();
    for root in ["/run", "/tmp", "/etc/ha.d", "/var/log", "/mailer.testfile"] {
        walk(&PathBuf::from(root), &mut found);
    }
    found.sort();
    found
}

fn walk(path: &Path, found: &mut Vec<String>) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    if path.starts_with(SCRATCH) || meta.nlink() == 0 {
        return;
    }
    if !meta.is_dir() {
        found.push(path.display().to_string());
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        walk(&entry.path(), found);
    }
}
