//! No bytes of a server make a check panic. (The fuzz targets under `tests/fuzz` search deeper.)

mod support;

use ldirectord::check::{converse, dns, ftp, imap, ldap, ntp, pgsql, pop, radius, sip};
use ldirectord::model::Exchange;
use proptest::prelude::*;
use std::io::{self, Read, Write};
use support::rows::rows;

/// Answers that are nearly right, for the parser to get deep into.
fn seeds() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 9] = [
        b"\x00\x07\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x03www\x07example\x00\x00\x01\x00\x01\
          \xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x10\
          \xc0\x10\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07",
        b"\x30\x1b\x02\x01\x01\x61\x16\x0a\x01\x31\x04\x02dc\x04\x0dno such thing",
        b"\x30\x0d\x02\x01\x02\x64\x08\x04\x04dc=x\x30\x00",
        b"\x02\x00\x00\x26ABCDEFGHIJKLMNOP\x12\x05no!\x50\x12ABCDEFGHIJKLMNOP",
        b"\x0a5.5.5-10\0\x01\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\0\0\0\0\
          ijklmnopqrst\0mysql_native_password\0",
        b"E\x00\x00\x00\x1aSFATAL\0C28P01\0Mwrong\0\0",
        b"Entering Passive Mode (127,0,0,1,4,1). (|||6446|) {12}",
        b"+OK ready <1896.697170952@dbc.mtview.ca.us> r=x,s=eA==,i=4096",
        b"SIP/2.0 200 OK\r\nVia: x\r\n\r\nsearch a.example b.example\ndomain c.example",
    ];
    seeds.map(<[u8]>::to_vec).to_vec()
}

/// A seed with a few bytes changed, cut or doubled; or bytes of chance.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let random = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![4 => prop::sample::select(seeds()).prop_flat_map(changed), 1 => random]
}

fn changed(seed: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (changes, any::<prop::sample::Index>(), 1..4_usize).prop_map(move |(changes, cut, times)| {
        let mut bytes = seed.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut bytes = bytes.repeat(times);
        bytes.truncate(cut.index(bytes.len() * 2));
        bytes
    })
}

/// A protocol of the matrix of hostile servers, and a server's side of it that is nearly good.
fn hostile_conversation() -> impl Strategy<Value = (Exchange, Vec<u8>)> {
    let rows: Vec<_> = rows().into_iter().map(|row| (row.exchange, row.good)).collect();
    prop::sample::select(rows).prop_flat_map(|(exchange, good)| (Just(exchange), changed(good)))
}

/// A server that says this, whatever it hears.
#[derive(Debug)]
struct Says(io::Cursor<Vec<u8>>);

impl Read for Says {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Says {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_conversation_makes_a_check_panic((exchange, said) in hostile_conversation()) {
        let _ = converse(&exchange, Says(io::Cursor::new(said)));
    }

    #[test]
    fn no_answer_makes_a_parser_panic(bytes in hostile_bytes()) {
        for kind in [dns::Kind::A, dns::Kind::Mx, dns::Kind::Txt] {
            let query = dns::Query::numbered(7, "www.example", kind).unwrap();
            let _ = query.records(&bytes);
        }
        let text = String::from_utf8_lossy(&bytes);
        let _ = dns::search_domains(&text);
        let _ = dns::Asked::parse(&text);
        let _ = ldap::parse(&bytes);
        let _ = ntp::judge(&bytes, [0; 8]);
        let _ = sip::judge(&bytes);
        let _ = imap::literal(&bytes);
        let _ = pop::time_stamp(&text);
        let _ = ftp::pasv_port(&text);
        let _ = ftp::epsv_port(&text);
        let _ = pgsql::parse(bytes.as_slice().into());
        let _ = pgsql::scram_is_affordable(&bytes);
        #[cfg(feature = "mysql")]
        if let Ok(greeting) = ldirectord::check::mysql::parse_greeting(&bytes) {
            assert!(greeting.nonce().len() >= 20);
        }
        let request = radius::Request { identifier: 0, authenticator: [0; 16], secret: b"secret" };
        let _ = request.judge(&bytes);
    }
}
