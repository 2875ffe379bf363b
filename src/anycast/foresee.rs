//! What a director's call would come to, without making it: for who looks at a configuration.

use super::act;
use super::invocation::{self, Invocation};
use crate::model::ServiceAddress;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

/// A call that was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreseen {
    /// The address that it would raise and lower.
    pub(crate) address: IpAddr,
    /// The interface that would get it.
    pub(crate) interface: String,
    /// Where the state of the services would be kept.
    pub(crate) state: PathBuf,
}

/// What the program would do when it is called with these words about this service.
///
/// # Errors
/// Why it would refuse.
pub(crate) fn foresee(words: &[&str], service: ServiceAddress) -> Result<Foreseen, String> {
    let about = ["stop", &service.hook_argument(), service.protocol_word()];
    let arguments = ["ldirectord-anycast"].iter().chain(words).chain(&about);
    let refused = |failure: super::failure::Failure| failure.to_string();
    match invocation::read(arguments.map(OsString::from)).map_err(refused)? {
        Invocation::Report { called, site, state, .. } => {
            act::check(called.address, &site).map_err(refused)?;
            Ok(Foreseen { address: called.address, interface: site.interface, state })
        }
        Invocation::Forget { .. }
        | Invocation::Guard { .. }
        | Invocation::Status { .. }
        | Invocation::Print(_) => {
            Err("it has a command of its own before the director's".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    #[test]
    fn the_program_itself_is_asked_what_it_would_do() {
        let service = ServiceAddress::Address {
            protocol: Protocol::Tcp,
            address: "198.51.100.1:53".parse().unwrap(),
        };
        let of = |words: &str| foresee(&words.split_whitespace().collect::<Vec<_>>(), service);
        let foreseen = of("--interface anycast0 --subnet 198.51.100.0/24").unwrap();
        assert_eq!(foreseen.address, "198.51.100.1".parse::<IpAddr>().unwrap());
        assert_eq!(foreseen.interface, "anycast0");
        assert_eq!(foreseen.state, PathBuf::from("/run/ldirectord-anycast"));
        for (words, why) in [
            ("--subnet 203.0.113.0/24", "198.51.100.1"),
            ("", "--subnet is missing"),
            ("--subnet 198.51.100.0/24 --nonsense", "--nonsense"),
            ("--help", "of its own"),
        ] {
            let refusal = of(words).unwrap_err();
            assert!(refusal.contains(why), "{words}: {refusal}");
        }
    }
}
