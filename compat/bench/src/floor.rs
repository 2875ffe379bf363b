//! The floor: a loop of blocking connects, or of blocking requests and responses, and nothing else.

use nix::sys::resource::{UsageWho, getrusage};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::configuration::{Method, targets};

/// Runs the loop in this process and prints its CPU time in microseconds.
pub(crate) fn run(method: &str, servers: &str, rounds: &str) -> Result<()> {
    let number = |text: &str| text.parse::<usize>().map_err(|e| format!("{text}: {e}"));
    let targets = targets(number(servers)?);
    let check = match method {
        "connect" => connect,
        _ => request,
    };
    let before = own_time()?;
    for _ in 0..number(rounds)? {
        for &target in &targets {
            check(target).map_err(|error| format!("{target}: {error}"))?;
        }
    }
    println!("{}", (own_time()? - before).as_micros());
    Ok(())
}

/// CPU time per check of a run of the loop as a process of its own.
pub(crate) fn measure(method: Method, servers: usize, rounds: usize) -> Result<Duration> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new(own)
        .args(["floor", method.name(), &servers.to_string(), &rounds.to_string()])
        .output()
        .map_err(|e| format!("floor: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let micros: u64 = said.trim().parse().map_err(|_| format!("floor: {said}"))?;
    Ok(Duration::from_micros(micros) / u32::try_from(servers * rounds).unwrap_or(u32::MAX))
}

fn connect(target: SocketAddr) -> std::io::Result<()> {
    TcpStream::connect(target).map(drop)
}

fn request(target: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(target)?;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", target.ip());
    stream.write_all(request.as_bytes())?;
    let mut reply = [0; 4096];
    while stream.read(&mut reply)? > 0 {}
    Ok(())
}

fn own_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(|e| e.to_string())?;
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()).unsigned_abs())
    };
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}
