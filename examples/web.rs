//! A web server small enough to be killed at will, and a client for it; the demos run them.
//!
//! `web NAME ADDRESS:PORT` answers every request with "NAME is ready"; `web ask ADDRESS:PORT COUNT`
//! makes that many requests and prints who answered.
#![allow(clippy::print_stderr, clippy::print_stdout)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["ask", address, count] => ask_often(address, count),
        [name, address] => serve(name, address),
        _ => Err(io::Error::other("usage: web NAME ADDRESS:PORT, or web ask ADDRESS:PORT COUNT")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("web: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(name: &str, address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    for stream in listener.incoming().flatten() {
        // A client that goes away in the middle is no reason to stop.
        let _ = answer(&stream, name);
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, name: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let body = format!("{name} is ready\n");
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn ask_often(address: &str, count: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    for _ in 0..count.parse().map_err(io::Error::other)? {
        println!(
            "{}",
            ask(address).unwrap_or_else(|error| format!("no answer ({})", error.kind()))
        );
    }
    Ok(())
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply.lines().last().unwrap_or_default().to_owned())
}
