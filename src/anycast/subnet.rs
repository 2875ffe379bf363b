//! The subnets in which addresses may be raised and lowered: the guard against taking over address
//! space that is not anycast.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::model::Family;

/// An IP subnet in CIDR form, `198.51.100.0/24` or `2001:db8:53::/64`; never everything (`/0`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subnet {
    network: IpAddr,
    /// Leading bits that an address must share; 1 to 32 or 128.
    prefix_length: u8,
}

impl Subnet {
    /// The family of its addresses.
    pub(super) fn family(&self) -> Family {
        Family::of(self.network)
    }

    /// Whether the address lies within. An IPv4 address is never within an IPv6 subnet.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.network.is_ipv4() == address.is_ipv4()
            && masked(address, self.prefix_length) == self.network
    }
}

/// Whether an address may be announced at all, whatever the subnets say: unicast, and not of a kind
/// that means something on one link or one host only (RFC 6890).
pub(super) fn announceable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified()
                || v4.is_loopback()
                || v4.is_multicast()
                || v4.is_link_local()
                || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            !(v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6.to_ipv4_mapped().is_some())
        }
    }
}

/// The length of a prefix that is one address: 32 or 128.
pub(super) fn host_prefix_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix_length: u8) -> IpAddr {
    let cut = u32::from(host_prefix_length(address).saturating_sub(prefix_length));
    match address {
        IpAddr::V4(v4) => {
            IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(cut).unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(cut).unwrap_or(0)).into())
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_length)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (network, length) = text.split_once('/').map_or((text, None), |(n, l)| (n, Some(l)));
        let network: IpAddr =
            network.parse().map_err(|_| "expected a form like 198.51.100.0/24".to_owned())?;
        let longest = host_prefix_length(network);
        let prefix_length = match length {
            None => longest,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|length| *length <= longest)
                .ok_or_else(|| format!("the prefix length is a number from 1 to {longest}"))?,
        };
        if prefix_length == 0 {
            return Err("a subnet of all addresses guards nothing".to_owned());
        }
        let subnet = Self { network: masked(network, prefix_length), prefix_length };
        if subnet.network != network {
            return Err(format!("there are bits behind the prefix; {subnet} is meant?"));
        }
        Ok(subnet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_contains_exactly_its_own_addresses() {
        for (subnet, address, within) in [
            ("198.51.100.0/24", "198.51.100.0", true),
            ("198.51.100.0/24", "198.51.100.255", true),
            ("198.51.100.0/24", "198.51.101.0", false),
            ("198.51.100.0/24", "::ffff:198.51.100.1", false),
            ("198.51.100.7", "198.51.100.7", true),
            ("198.51.100.7/32", "198.51.100.6", false),
            ("128.0.0.0/1", "255.1.2.3", true),
            ("128.0.0.0/1", "127.1.2.3", false),
            ("2001:db8:53::/64", "2001:db8:53::1", true),
            ("2001:db8:53::/64", "2001:db8:53:1::1", false),
            ("2001:db8::1/128", "2001:db8::1", true),
            ("8000::/1", "ffff::1", true),
        ] {
            let parsed: Subnet = subnet.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), within, "{subnet} {address}");
        }
    }

    #[test]
    fn what_is_no_guard_is_refused() {
        for (text, why) in [
            ("0.0.0.0/0", "guards nothing"),
            ("::/0", "guards nothing"),
            ("198.51.100.1/24", "198.51.100.0/24 is meant"),
            ("198.51.100.0/33", "from 1 to 32"),
            ("2001:db8::/129", "from 1 to 128"),
            ("198.51.100.0/", "from 1 to 32"),
            ("198.51.100.0/-1", "from 1 to 32"),
            ("198.51.100/24", "a form like"),
            ("", "a form like"),
        ] {
            let error = text.parse::<Subnet>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn only_unicast_addresses_of_more_than_one_link_can_be_announced() {
        for (address, announced) in [
            ("198.51.100.1", true),
            ("10.1.2.3", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("169.254.1.1", false),
            ("::1", false),
            ("::", false),
            ("ff02::1", false),
            ("fe80::1", false),
            ("::ffff:198.51.100.1", false),
        ] {
            assert_eq!(announceable(address.parse().unwrap()), announced, "{address}");
        }
    }
}
