//! The program: arguments, the socket, signals.

use ldirectord_exporter::{cli, http, poll::Poller};
use listenfd::ListenFd;
use std::io::{self, Write};
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let options = match cli::parse(std::env::args_os()) {
        Ok(options) => options,
        Err(error) => {
            // There is nobody to tell that nobody listens.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // Pages and answers of ten thousand servers are made and read by the blocking ones.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build();
    let ended = runtime.and_then(|runtime| runtime.block_on(run(options)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(options: cli::Options) -> io::Result<()> {
    let listener = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(listener) => {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)?
        }
        None => TcpListener::bind(options.listen).await.map_err(|error| {
            io::Error::new(error.kind(), format!("listen on {}: {error}", options.listen))
        })?,
    };
    say(&format!("serving http://{}/", listener.local_addr()?));
    let poller = Poller::start(options.sockets, options.interval);
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let end = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    http::serve(listener, http::router(poller), end).await;
    Ok(())
}

/// On standard error, which is the journal.
fn say(line: &str) {
    // There is nobody to tell that nobody listens.
    let _ = writeln!(io::stderr(), "{line}");
}
