//! Takes a real server out of a virtual service without cutting its connections: weight 0, then
//! waits until they have ended or the time (60 s if not given) is over, then removes it.
//!
//!     drain 'tcp 10.0.0.1:80' 10.0.0.2:8080 [SECONDS]
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ipvs_rs::{Destination, Error, Ipvs, ServiceKey};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(left) => {
            println!("removed with {left} connections left");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("drain: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<u32, Box<dyn std::error::Error>> {
    let (key, server, seconds) = match arguments {
        [key, server] => (key, server, 60),
        [key, server, seconds] => (key, server, seconds.parse()?),
        _ => return Err("usage: drain SERVICE ADDRESS:PORT [SECONDS]".into()),
    };
    let left =
        drain(&mut Ipvs::open()?, &key.parse()?, server.parse()?, Duration::from_secs(seconds))?;
    Ok(left)
}

/// Returns the number of active connections that were left when the server was removed.
pub(crate) fn drain(
    ipvs: &mut Ipvs,
    key: &ServiceKey,
    server: SocketAddr,
    patience: Duration,
) -> Result<u32, Error> {
    let give_up = Instant::now() + patience;
    loop {
        let entries = ipvs.destinations(key)?;
        let Some(entry) =
            entries.into_iter().find(|entry| entry.destination.socket_address() == server)
        else {
            return Ok(0);
        };
        if entry.destination.weight != 0 {
            ipvs.set_destination(key, &Destination { weight: 0, ..entry.destination })?;
            continue;
        }
        if entry.active_connections == 0 || Instant::now() >= give_up {
            ipvs.delete_destination(key, server.ip(), server.port())?;
            return Ok(entry.active_connections);
        }
        sleep(Duration::from_millis(200));
    }
}
