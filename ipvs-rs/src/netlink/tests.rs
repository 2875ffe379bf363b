//! Bytes in both directions, without a kernel: replies recorded from one, whole and damaged.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};

use super::attribute::{cmd, command, dest, stats};
use super::encode::Request;
use super::frame::{Answer, Progress};
use super::{Failure, decode};
use crate::{
    Destination, Family, Forwarding, Info, Netmask, Persistence, SchedulerFlags, Service,
    ServiceKey, Stats, SyncDaemon, SyncRole, Timeouts, Tunnel, TunnelFlags, TunnelKind, Version,
};

/// The number of the ip_vs family when the replies were recorded.
const FAMILY: u16 = 28;
const HEADER: usize = 16;

/// A recorded datagram; `replies.txt` is of a little endian machine.
fn reply(name: &str) -> Vec<u8> {
    let line =
        include_str!("replies.txt").lines().find_map(|line| line.strip_prefix(name)).unwrap();
    hex(line.trim())
}

fn replies() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let lines = include_str!("replies.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(name, bytes)| (name, hex(bytes)))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn sequence(datagram: &[u8]) -> u32 {
    u32::from_ne_bytes(datagram[8..12].try_into().unwrap())
}

/// Reads a datagram as the answer to the request it answers; counts the messages in it.
fn read(datagram: &[u8]) -> (Result<Progress, Failure>, usize) {
    let mut count = 0;
    let mut answer = Answer::new(sequence(datagram), FAMILY);
    let progress = answer.read(datagram, &mut |_| {
        count += 1;
        Ok(())
    });
    (progress, count)
}

fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

fn full_service() -> Service {
    Service {
        scheduler_flags: SchedulerFlags::FLAG_1 | SchedulerFlags::FLAG_3,
        persistence: Some(Persistence { timeout_seconds: 360, netmask: Netmask::V6(64) }),
        one_packet: true,
        persistence_engine: Some("sip".into()),
        ..Service::new(key("udp [2001:db8::1]:5060"), "wlc")
    }
}

fn full_destination() -> Destination {
    Destination {
        weight: 3,
        upper_threshold: 20,
        lower_threshold: 10,
        tunnel: Tunnel { kind: TunnelKind::Gue, port: 6080, flags: TunnelFlags::CHECKSUM },
        ..Destination::new([10, 1, 0, 5].into(), 80, Forwarding::Ipip)
    }
}

/// What a request to ip_vs is, after the netlink header.
fn payload(request: Request) -> Vec<u8> {
    let mut message = request.into_message(FAMILY);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes.split_off(HEADER)
}

#[cfg(target_endian = "little")]
mod recorded {
    use super::*;

    #[test]
    fn services_are_read_from_a_kernels_replies() {
        let service = |name| decode::service(&reply(name)[HEADER..]).unwrap().service;
        let mask = |mask: [u8; 4]| Netmask::V4(mask.into());
        assert_eq!(
            service("service-sip"),
            Service {
                persistence: Some(Persistence { timeout_seconds: 30, netmask: mask([255; 4]) }),
                one_packet: true,
                persistence_engine: Some("sip".into()),
                ..Service::new(key("udp 10.0.0.6:5060"), "rr")
            }
        );
        assert_eq!(
            service("service-sh"),
            Service {
                scheduler_flags: SchedulerFlags::SH_PORT,
                persistence: Some(Persistence {
                    timeout_seconds: 60,
                    netmask: mask([255, 255, 255, 0])
                }),
                ..Service::new(key("tcp 10.0.0.1:80"), "sh")
            }
        );
        assert_eq!(service("service-fwmark6"), Service::new(key("fwm6 7"), "rr"));
    }

    #[test]
    fn a_destination_is_read_from_a_kernels_reply() {
        let entry = decode::destination(&reply("destination-gue")[HEADER..], Family::Inet).unwrap();
        assert_eq!(entry.destination, full_destination());
        assert_eq!(entry.stats, Stats::default());
    }

    #[test]
    fn settings_are_read_from_a_kernels_replies() {
        assert_eq!(decode::family(&reply("family")[HEADER..]), Ok(FAMILY));
        assert_eq!(
            decode::info(&reply("info")[HEADER..]),
            Ok(Info {
                version: Version { major: 1, minor: 2, patch: 1 },
                connection_table_size: 4096
            })
        );
        assert_eq!(
            decode::timeouts(&reply("timeouts")[HEADER..]),
            Ok(Timeouts { tcp_seconds: 900, tcp_fin_seconds: 120, udp_seconds: 300 })
        );
    }

    #[test]
    fn the_end_of_an_answer_is_seen_in_a_kernels_replies() {
        assert!(matches!(read(&reply("service-sh")), (Ok(Progress::More), 1)));
        assert!(matches!(read(&reply("done")), (Ok(Progress::Complete), 0)));
        assert!(matches!(read(&reply("acknowledged")), (Ok(Progress::Complete), 0)));
        assert!(matches!(read(&reply("refused")), (Err(Failure::Errno(3)), 0)));
    }

    #[test]
    fn a_request_is_the_bytes_that_the_kernel_expects() {
        // Header: 1 command (delete service), 1 version, 2 nothing. Nest: 0x30 bytes, type 1 with
        // the bit for nests. In it, each with length and type: family 2, protocol 6, address
        // padded to 16, port in network order.
        let delete = payload(Request::new(command::DEL_SERVICE).key(&key("tcp 10.0.0.1:80")));
        let expected = "03 01 0000  3000 0180  0600 0100 0200 0000  0600 0200 0600 0000 \
             1400 0300 0a000001 00000000 00000000 00000000  0600 0400 0050 0000";
        assert_eq!(delete, hex(expected));

        // Flags 5 (persistent, one-packet) under the mask 0x3d, 300 s, netmask /24.
        let service = Service {
            persistence: Some(Persistence {
                timeout_seconds: 300,
                netmask: Netmask::V4([255, 255, 255, 0].into()),
            }),
            one_packet: true,
            ..Service::new(key("fwm 7"), "rr")
        };
        let add = payload(Request::new(command::NEW_SERVICE).service(&service));
        let expected = "01 01 0000  3800 0180  0600 0100 0200 0000  0800 0500 0700 0000 \
             0700 0600 727200 00  0c00 0700 05000000 3d000000  0800 0800 2c010000  0800 0900 ffffff00";
        assert_eq!(add, hex(expected));
    }

    #[test]
    fn no_damage_to_a_kernels_reply_makes_a_panic() {
        for (_, whole) in replies() {
            for position in 0..whole.len() {
                for byte in [
                    0,
                    1,
                    4,
                    0x7f,
                    0x80,
                    0xff,
                    whole[position] ^ 1,
                    whole[position].wrapping_add(4),
                ] {
                    let mut damaged = whole.clone();
                    damaged[position] = byte;
                    let _ = read(&damaged);
                    decode_as_anything(&damaged[HEADER..]);
                }
            }
        }
    }

    #[test]
    fn every_cut_of_a_kernels_reply_is_malformed() {
        for (name, whole) in replies() {
            for length in 1..whole.len() {
                let cut = &whole[..length];
                let mut answer = Answer::new(sequence(&whole), FAMILY);
                let progress = answer.read(cut, &mut |_| Ok(()));
                assert!(matches!(progress, Err(Failure::Malformed(_))), "{name} cut to {length}");
                if let Some(payload) = cut.get(HEADER..) {
                    decode_as_anything(payload);
                }
            }
        }
    }

    #[test]
    fn every_cut_of_attributes_is_malformed() {
        for name in ["service-sip", "service-fwmark6", "destination-gue", "info"] {
            let whole = reply(name);
            for cut in 0..whole.len() - HEADER {
                let cut = &whole[HEADER..HEADER + cut];
                let refused = match name {
                    "destination-gue" => decode::destination(cut, Family::Inet).is_err(),
                    "info" => decode::info(cut).is_err(),
                    _ => decode::service(cut).is_err(),
                };
                assert!(refused, "{name} cut to {}", cut.len());
            }
        }
    }
}

#[test]
fn a_synchronisation_daemon_reads_back_as_it_was_sent_and_cut_it_is_malformed() {
    let default = SyncDaemon { sync_id: 9, ..SyncDaemon::new(SyncRole::Master, "eth1") };
    let full = |group: &str| SyncDaemon {
        role: SyncRole::Backup,
        max_length: Some(1400),
        group: Some(group.parse().unwrap()),
        port: Some(9000),
        ttl: Some(2),
        ..default.clone()
    };
    for wanted in [default.clone(), full("239.1.2.3"), full("ff02::81")] {
        let sent = payload(Request::new(command::NEW_DAEMON).daemon(&wanted));
        assert_eq!(decode::daemon(&sent), Ok(wanted));
        for length in 0..sent.len() {
            assert!(decode::daemon(&sent[..length]).is_err(), "cut to {length}");
        }
    }
}

fn decode_as_anything(payload: &[u8]) {
    let _ = decode::family(payload);
    let _ = decode::service(payload);
    let _ = decode::destination(payload, Family::Inet);
    let _ = decode::destination(payload, Family::Inet6);
    let _ = decode::daemon(payload);
    let _ = decode::info(payload);
    let _ = decode::timeouts(payload);
}

#[test]
fn services_read_back_as_they_were_sent() {
    let plain = |text| Service::new(key(text), "rr");
    for service in
        [full_service(), plain("sctp 10.0.0.1:0"), plain("fwm 1"), plain("fwm6 4294967295")]
    {
        let sent = payload(Request::new(command::NEW_SERVICE).service(&service));
        let entry = decode::service(&sent).unwrap();
        assert_eq!(entry.service, service);
        // Neither of the counters' attributes is there.
        assert_eq!(entry.stats, Stats::default());
    }
}

/// A listed destination, with connections and the counters of `attribute`, each one more than the
/// one before.
fn listed(
    destination: &Destination,
    attribute: super::attribute::Attribute,
    width: usize,
) -> Vec<u8> {
    let number = |value: u64, width: usize| value.to_ne_bytes()[..width].to_vec();
    let counters: Vec<DefaultNla> = (stats::CONNS.number..=stats::OUTBPS.number)
        .map(|counter| {
            let bytes = [stats::INBYTES.number, stats::OUTBYTES.number].contains(&counter);
            DefaultNla::new(
                counter,
                number(u64::from(counter) + 100, if bytes { 8 } else { width }),
            )
        })
        .collect();
    let more = vec![
        DefaultNla::new(dest::ACTIVE_CONNS.number, number(1, 4)),
        DefaultNla::new(dest::INACT_CONNS.number, number(2, 4)),
        DefaultNla::new(dest::PERSIST_CONNS.number, number(3, 4)),
        DefaultNla::new(attribute.number | NLA_F_NESTED, bytes(&counters)),
        DefaultNla::new(99, vec![1, 2, 3]),
    ];
    let sent = payload(Request::new(command::NEW_DEST).destination(destination));
    // Header and nest header are 4 bytes each.
    let nest = [&sent[8..], &bytes(&more)].concat();
    [&sent[..4], &bytes(&[DefaultNla::new(cmd::DEST.number | NLA_F_NESTED, nest)])].concat()
}

fn bytes(attributes: &[DefaultNla]) -> Vec<u8> {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    bytes
}

#[test]
fn destinations_read_back_as_they_were_sent_with_counters_of_either_width() {
    let v6 = Destination::new("2001:db8::2".parse().unwrap(), 443, Forwarding::Masq);
    let expected = Stats {
        connections: 101,
        incoming_packets: 102,
        outgoing_packets: 103,
        incoming_bytes: 104,
        outgoing_bytes: 105,
        connections_per_second: 106,
        incoming_packets_per_second: 107,
        outgoing_packets_per_second: 108,
        incoming_bytes_per_second: 109,
        outgoing_bytes_per_second: 110,
    };
    for destination in [full_destination(), v6] {
        for (attribute, width) in [(dest::STATS64, 8), (dest::STATS, 4)] {
            let reply = listed(&destination, attribute, width);
            let entry = decode::destination(&reply, Family::Inet).unwrap();
            assert_eq!(entry.destination, destination);
            assert_eq!(entry.stats, expected);
            assert_eq!((entry.active_connections, entry.inactive_connections), (1, 2));
            assert_eq!(entry.persistent_connections, 3);
        }
    }
}

#[test]
fn what_the_crate_cannot_spell_is_malformed_and_named() {
    let mut reply = listed(&full_destination(), dest::STATS64, 8);
    // The forwarding method is the fourth attribute: 8 bytes of headers, then 8, 20 and 8.
    let method = 8 + 8 + 20 + 8 + 4;
    assert_eq!(reply[method..method + 4], 2u32.to_ne_bytes());
    reply[method..method + 4].copy_from_slice(&7u32.to_ne_bytes());
    assert_eq!(
        decode::destination(&reply, Family::Inet),
        Err("IPVS_DEST_ATTR_FWD_METHOD: unknown method 7".to_owned())
    );
    assert_eq!(decode::service(&reply), Err("command 5 where 1 was expected".to_owned()));
    assert_eq!(
        decode::service(&payload(Request::new(command::NEW_SERVICE))),
        Err("IPVS_CMD_ATTR_SERVICE is missing".to_owned())
    );
}

/// One message with that type and those flags.
fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + payload.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

#[test]
fn an_answer_ends_with_its_acknowledgement_or_done_message() {
    const MULTI: u16 = 2;
    const INTERRUPTED: u16 = 2 | 0x10;
    let entry = message(FAMILY, MULTI, 1, &[0; 4]);
    let changed = message(FAMILY, INTERRUPTED, 1, &[0; 4]);
    let done = message(3, MULTI, 1, &[0; 4]);
    let errno = |errno: i32| message(2, 0, 1, &(-errno).to_ne_bytes());
    let cases: Vec<(Vec<Vec<u8>>, &str, usize)> = vec![
        (vec![entry.clone(), entry.clone()], "Ok(More)", 2),
        (vec![entry.clone(), done.clone()], "Ok(Complete)", 1),
        (vec![entry.clone(), message(3, MULTI, 1, &[])], "Ok(Complete)", 1),
        (vec![message(1, 0, 1, &[]), errno(0)], "Ok(Complete)", 0),
        (vec![errno(1)], "Err(Errno(1))", 0),
        (vec![message(3, MULTI, 1, &(-90i32).to_ne_bytes())], "Err(Errno(90))", 0),
        (vec![message(3, MULTI, 1, &(-4i32).to_ne_bytes())], "Err(Interrupted)", 0),
        (vec![errno(4)], "Err(Errno(4))", 0),
        (vec![message(2, 0, 1, &i32::MIN.to_ne_bytes())], "Err(Errno(2147483647))", 0),
        (vec![changed, entry.clone(), done], "Err(Interrupted)", 2),
        (vec![entry.clone(), message(3, INTERRUPTED, 1, &[0; 4])], "Err(Interrupted)", 1),
        (vec![message(4, 0, 1, &[])], "Err(Malformed(\"data was lost (overrun)\"))", 0),
        (vec![message(77, 0, 1, &[])], "Err(Malformed(\"message of unknown type 77\"))", 0),
        (
            vec![entry, message(FAMILY, MULTI, 2, &[0; 4])],
            "Err(Malformed(\"sequence number 2 where 1 was expected\"))",
            1,
        ),
    ];
    for (messages, expected, entries) in cases {
        let (progress, count) = read(&messages.concat());
        assert_eq!((format!("{progress:?}").as_str(), count), (expected, entries));
    }
}
