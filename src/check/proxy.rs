//! The header of the PROXY protocol (HAProxy's doc/proxy-protocol.txt), for `checkproxy`.

use crate::model::ProxyProtocol;
use std::net::SocketAddr;

/// Section 2.2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command LOCAL: the connection is the proxy's own, for a check of the server.
const LOCAL: u8 = 0x20;
/// No address follows.
const UNSPECIFIED: u8 = 0;

/// What stands before the first byte of a connection.
pub(super) fn header(version: ProxyProtocol, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    match version {
        // Section 2.1. There is UNKNOWN, too, which not every server takes.
        ProxyProtocol::V1 => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            let (source, target) = (from.ip(), to.ip());
            format!("PROXY {family} {source} {target} {} {}\r\n", from.port(), to.port())
                .into_bytes()
        }
        ProxyProtocol::V2 => [&SIGNATURE[..], &[LOCAL, UNSPECIFIED, 0, 0]].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_the_bytes_of_the_description() {
        let at = |text: &str| text.parse().unwrap();
        let v1 = header(ProxyProtocol::V1, at("192.0.2.1:40000"), at("192.0.2.2:80"));
        assert_eq!(v1, b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n");
        let v1 = header(ProxyProtocol::V1, at("[2001:db8::1]:40000"), at("[2001:db8::2]:80"));
        assert_eq!(v1, b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 80\r\n");
        let v2 = header(ProxyProtocol::V2, at("192.0.2.1:40000"), at("192.0.2.2:80"));
        assert_eq!(v2, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }
}
