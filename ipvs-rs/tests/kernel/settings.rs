//! What concerns ip_vs as a whole.

use ipvs_rs::{Ipvs, Timeouts, Version};

use super::{Test, ipvsadm, tests};

pub(crate) const TESTS: &[Test] =
    tests![info_is_what_ipvsadm_prints, timeouts_are_set_and_read_and_zero_leaves_one_alone,];

fn info_is_what_ipvsadm_prints() {
    let info = Ipvs::open().unwrap().info().unwrap();
    assert_eq!(info.version, Version { major: 1, minor: 2, patch: 1 });
    let printed =
        format!("IP Virtual Server version {} (size={})", info.version, info.connection_table_size);
    assert_eq!(ipvsadm(&["-Ln"]).lines().next(), Some(printed.as_str()));
}

fn timeouts_are_set_and_read_and_zero_leaves_one_alone() {
    let mut ipvs = Ipvs::open().unwrap();
    let before = ipvs.timeouts().unwrap();
    assert_eq!(before, Timeouts { tcp_seconds: 900, tcp_fin_seconds: 120, udp_seconds: 300 });

    ipvs.set_timeouts(&Timeouts { tcp_seconds: 1800, tcp_fin_seconds: 0, udp_seconds: 33 })
        .unwrap();
    assert_eq!(
        ipvs.timeouts().unwrap(),
        Timeouts { tcp_seconds: 1800, tcp_fin_seconds: 120, udp_seconds: 33 }
    );
    assert_eq!(ipvsadm(&["-L", "--timeout"]).trim(), "Timeout (tcp tcpfin udp): 1800 120 33");

    let error = ipvs.set_timeouts(&Timeouts { tcp_seconds: u32::MAX, ..before }).unwrap_err();
    assert_eq!(error.to_string(), "set timeouts: invalid argument (EINVAL)");
    ipvs.set_timeouts(&before).unwrap();
}
