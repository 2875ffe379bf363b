//! The synchronisation daemons.

use ipvs_rs::{Error, Ipvs, SyncDaemon, SyncRole};

use super::{Test, ipvsadm, run_ip, tests};

pub(crate) const TESTS: &[Test] =
    tests![daemons_start_and_stop_in_both_roles, a_daemon_has_the_options_that_it_is_given];

fn daemons_start_and_stop_in_both_roles() {
    run_ip("link add sync0 type dummy");
    run_ip("link set sync0 up");
    run_ip("address add 10.5.0.1/24 dev sync0");
    let mut ipvs = Ipvs::open().unwrap();
    assert_eq!(ipvs.sync_daemons().unwrap(), []);
    let master = SyncDaemon { sync_id: 7, ..SyncDaemon::new(SyncRole::Master, "sync0") };
    let backup = SyncDaemon { role: SyncRole::Backup, ..master.clone() };
    ipvs.start_sync_daemon(&master).unwrap();
    ipvs.start_sync_daemon(&backup).unwrap();
    let listed = ipvs.sync_daemons().unwrap();
    assert_eq!(listed.len(), 2);
    for (listed, wanted) in listed.iter().zip([&master, &backup]) {
        assert_eq!((listed.role, &*listed.interface, listed.sync_id), (wanted.role, "sync0", 7));
        assert_eq!(listed.group, Some([224, 0, 0, 81].into()));
        assert_eq!((listed.port, listed.ttl), (Some(8848), Some(1)));
    }
    let printed = ipvsadm(&["-L", "--daemon"]);
    assert!(printed.contains("master sync daemon (mcast=sync0, syncid=7"), "{printed}");
    assert!(printed.contains("backup sync daemon (mcast=sync0, syncid=7"), "{printed}");
    let told = |result: Result<(), Error>| result.unwrap_err().to_string();
    assert_eq!(
        told(ipvs.start_sync_daemon(&master)),
        "start the master synchronisation daemon: it runs already (EEXIST)"
    );
    ipvs.stop_sync_daemon(SyncRole::Master).unwrap();
    assert_eq!(ipvs.sync_daemons().unwrap()[0].role, SyncRole::Backup);
    ipvs.stop_sync_daemon(SyncRole::Backup).unwrap();
    assert_eq!(
        told(ipvs.stop_sync_daemon(SyncRole::Backup)),
        "stop the backup synchronisation daemon: it does not run (ESRCH)"
    );
    assert_eq!(
        told(ipvs.start_sync_daemon(&SyncDaemon::new(SyncRole::Backup, "nosuch0"))),
        "start the backup synchronisation daemon: no such interface (ENODEV)"
    );
    for wrong in [
        SyncDaemon::new(SyncRole::Master, ""),
        SyncDaemon::new(SyncRole::Master, "sixteen-letters-"),
        SyncDaemon { port: Some(0), ..master.clone() },
        SyncDaemon { group: Some([10, 0, 0, 1].into()), ..master },
    ] {
        let result = ipvs.start_sync_daemon(&wrong);
        assert!(matches!(result, Err(Error::Invalid(..))), "{wrong:?}: {result:?}");
    }
    assert_eq!(ipvs.sync_daemons().unwrap(), []);
    run_ip("link del sync0");
}

fn a_daemon_has_the_options_that_it_is_given() {
    run_ip("link add sync0 type dummy");
    run_ip("link set sync0 up");
    run_ip("address add 10.5.0.1/24 dev sync0");
    run_ip("address add fd00:5::1/64 dev sync0 nodad");
    let mut ipvs = Ipvs::open().unwrap();
    for group in ["239.1.2.3", "ff02::81"] {
        let wanted = SyncDaemon {
            sync_id: 255,
            max_length: Some(1200),
            group: Some(group.parse().unwrap()),
            port: Some(9000),
            ttl: Some(3),
            ..SyncDaemon::new(SyncRole::Master, "sync0")
        };
        ipvs.start_sync_daemon(&wanted).unwrap();
        assert_eq!(ipvs.sync_daemons().unwrap(), [wanted]);
        ipvs.stop_sync_daemon(SyncRole::Master).unwrap();
    }
    run_ip("link del sync0");
}
