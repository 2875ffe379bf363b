//! The process and the kernel around the table: namespaces, rights, modules.

use std::os::unix::process::CommandExt;
use std::process::Command;

use ipvs_rs::{Error, Ipvs};

use super::{PROBE, Test, saved, tests, web};

pub(crate) const TESTS: &[Test] = tests![
    another_network_namespace_is_another_table,
    without_cap_net_admin_the_error_says_so,
    without_the_module_the_error_says_so_and_with_it_work_goes_on,
];

fn another_network_namespace_is_another_table() {
    Ipvs::open().unwrap().add_service(&web()).unwrap();
    assert_eq!(probe(&mut Command::new("/proc/self/exe")), "1 services");
    assert_eq!(
        probe(Command::new("unshare").arg("-n").arg(std::env::current_exe().unwrap())),
        "0 services"
    );
}

fn without_cap_net_admin_the_error_says_so() {
    // Through /proc/self/exe, since nobody may not reach this program by its path everywhere.
    let text = probe(Command::new("/proc/self/exe").uid(65534).gid(65534));
    assert_eq!(text, "open ip_vs: not permitted, CAP_NET_ADMIN is needed (EPERM)");
}

fn without_the_module_the_error_says_so_and_with_it_work_goes_on() {
    let mut ipvs = Ipvs::open().unwrap();
    ipvs.add_service(&web()).unwrap();

    // Generic netlink loads ip_vs when it is asked for it; an open connection has to notice that
    // the family has another number then.
    unload(&mut ipvs);
    assert_eq!(ipvs.services().unwrap(), []);
    ipvs.add_service(&web()).unwrap();
    assert_eq!(saved(), "-A -t 10.0.0.1:80 -s wlc\n");

    unload(&mut ipvs);
    let helper = std::fs::read_to_string(MODPROBE).unwrap();
    std::fs::write(MODPROBE, "/bin/false").unwrap();
    let opened = Ipvs::open().map(drop);
    let listed = ipvs.services().map(drop);
    let added = ipvs.add_service(&web());
    std::fs::write(MODPROBE, helper.trim()).unwrap();
    for (result, operation) in
        [(opened, "open ip_vs"), (listed, "list services"), (added, "add service tcp 10.0.0.1:80")]
    {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("{operation}: the kernel has no ip_vs (try `modprobe ip_vs`)")
        );
    }

    ipvs.add_service(&web()).unwrap();
    assert_eq!(saved(), "-A -t 10.0.0.1:80 -s wlc\n");
}

fn probe(command: &mut Command) -> String {
    let output = command.env(PROBE, "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The program that the kernel runs to load a module.
const MODPROBE: &str = "/proc/sys/kernel/modprobe";

/// Unloads ip_vs with its schedulers.
fn unload(ipvs: &mut Ipvs) {
    ipvs.flush().unwrap();
    let modules = std::fs::read_to_string("/proc/modules").unwrap();
    let names = modules.lines().filter_map(|line| line.split(' ').next());
    let mut loaded: Vec<_> = names.filter(|name| name.starts_with("ip_vs")).collect();
    loaded.sort_by_key(|name| *name == "ip_vs");
    assert!(Command::new("rmmod").args(&loaded).status().unwrap().success(), "{loaded:?}");
}
