//! Which system calls the prober may make (seccomp).
//!
//! Two filters: what is forbidden fails with EPERM, and what is not known to be needed fails with
//! ENOSYS, for which libraries have another way (`clone3` is such a one: its arguments cannot be
//! looked at, so threads are made with `clone`). Nothing is ended for a call, for a wall must not
//! make outages.

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;

/// Calls that no check makes, with any arguments: they make processes, look into or steer others,
/// change files, users, namespaces, the kernel.
const FORBIDDEN: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_capset,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    libc::SYS_memfd_create,
    libc::SYS_personality,
    libc::SYS_seccomp,
];

/// The same on processors that still have the old calls.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_OLD: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_creat,
    libc::SYS_mkdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_chown,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_OLD: &[c_long] = &[];

/// Calls of checks, of the threads they run in and of the libraries below.
const NEEDED: &[c_long] = &[
    // Sockets. Which families there may be is looked at below.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    // Descriptors.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    // Files, for reading; Landlock says which.
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_statfs,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fadvise64,
    // Memory.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_madvise,
    // Threads and time.
    libc::SYS_clone,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_prctl,
    // Signals to itself: a fault ends it as it should.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    // For the second filter, which forbids it then.
    libc::SYS_seccomp,
    // What it may know of itself and the machine.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getrusage,
    libc::SYS_prlimit64,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_getrandom,
];

#[cfg(target_arch = "x86_64")]
const NEEDED_OLD: &[c_long] = &[
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_dup2,
    libc::SYS_time,
    libc::SYS_getrlimit,
];
#[cfg(not(target_arch = "x86_64"))]
const NEEDED_OLD: &[c_long] = &[];

/// Tells whether the filters stand.
pub(super) fn restrict(missing: &mut Vec<String>) -> bool {
    let result = filters().and_then(|filters| {
        filters
            .iter()
            .try_for_each(|filter| apply_filter(filter))
            .map_err(|error| error.to_string())
    });
    if let Err(error) = &result {
        missing.push(format!("seccomp: {error}"));
    }
    result.is_ok()
}

fn filters() -> Result<[BpfProgram; 2], String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let program = |rules, mismatch, matched| {
        let filter = SeccompFilter::new(rules, mismatch, matched, arch);
        filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())
    };
    let (eperm, enosys) = (libc::EPERM as u32, libc::ENOSYS as u32);
    let forbidden = forbidden().map_err(|error| error.to_string())?;
    let needed = NEEDED.iter().chain(NEEDED_OLD).map(|&call| (call, Vec::new())).collect();
    // Where both refuse a call, the kernel takes the number of the last.
    Ok([
        program(needed, SeccompAction::Errno(enosys), SeccompAction::Allow)?,
        program(forbidden, SeccompAction::Allow, SeccompAction::Errno(eperm))?,
    ])
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Calls that are forbidden always, and those that are with these arguments.
fn forbidden() -> Result<Rules, seccompiler::BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let is = |argument, operator, value: i32| {
        SeccompCondition::new(argument, Dword, operator, u64::from(value.cast_unsigned()))
    };
    let has = |argument, bits: i32| is(argument, MaskedEq(u64::from(bits.cast_unsigned())), bits);
    let lacks = |argument, bits: i32| is(argument, MaskedEq(u64::from(bits.cast_unsigned())), 0);
    let rule = |conditions| SeccompRule::new(conditions);
    let mut rules: Rules =
        FORBIDDEN.iter().chain(FORBIDDEN_OLD).map(|&call| (call, Vec::new())).collect();
    // Of netlink, only what glibc asks which addresses there are with.
    rules.insert(
        libc::SYS_socket,
        vec![
            rule(vec![
                is(0, Ne, libc::AF_UNIX)?,
                is(0, Ne, libc::AF_INET)?,
                is(0, Ne, libc::AF_INET6)?,
                is(0, Ne, libc::AF_NETLINK)?,
            ])?,
            rule(vec![is(0, Eq, libc::AF_NETLINK)?, is(2, Ne, libc::NETLINK_ROUTE)?])?,
        ],
    );
    rules.insert(libc::SYS_clone, vec![rule(vec![lacks(0, libc::CLONE_THREAD)?])?]);
    let writes = |argument| {
        [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC]
            .into_iter()
            .map(|bits| rule(vec![has(argument, bits)?]))
            .collect::<Result<Vec<_>, _>>()
    };
    rules.insert(libc::SYS_openat, writes(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, writes(1)?);
    // No memory that is written first and executed then.
    rules.insert(libc::SYS_mmap, vec![rule(vec![has(2, libc::PROT_WRITE | libc::PROT_EXEC)?])?]);
    rules.insert(libc::SYS_mprotect, vec![rule(vec![has(2, libc::PROT_EXEC)?])?]);
    let own = std::process::id().cast_signed();
    rules.insert(libc::SYS_tgkill, vec![rule(vec![is(0, Ne, own)?])?]);
    // A thread's name is all there is to set.
    rules.insert(libc::SYS_prctl, vec![rule(vec![is(0, Ne, libc::PR_SET_NAME)?])?]);
    // Its own limits may be read.
    let other = rule(vec![is(0, Ne, 0)?])?;
    let set = rule(vec![SeccompCondition::new(2, seccompiler::SeccompCmpArgLen::Qword, Ne, 0)?])?;
    rules.insert(libc::SYS_prlimit64, vec![other, set]);
    let ioctl = |allowed: &[u64]| {
        allowed.iter().map(|&request| SeccompCondition::new(1, Dword, Ne, request)).collect()
    };
    let allowed: Result<Vec<_>, _> =
        ioctl(&[u64::from(libc::FIONBIO as u32), u64::from(libc::FIONREAD as u32), SIOCGIFINDEX]);
    rules.insert(libc::SYS_ioctl, vec![rule(allowed?)?]);
    Ok(rules)
}

/// The number of an interface's name, for the scope of an address (linux/sockios.h).
const SIOCGIFINDEX: u64 = 0x8933;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_needed_and_forbidden_and_the_filters_compile() {
        let needed: Vec<_> = NEEDED.iter().chain(NEEDED_OLD).collect();
        for call in FORBIDDEN.iter().chain(FORBIDDEN_OLD) {
            assert!(*call == libc::SYS_seccomp || !needed.contains(&call), "call {call}");
        }
        assert!(!needed.contains(&&libc::SYS_clone3), "its flags cannot be looked at");
        if TargetArch::try_from(std::env::consts::ARCH).is_ok() {
            for filter in filters().expect("both") {
                assert!(filter.len() < 4096, "{} instructions", filter.len());
            }
        }
    }
}
