//! The helper program of `service=oracle`: logs in to an Oracle database and has one statement
//! carried out.
//!
//! `ldirectord-oracle ADDRESS PORT`, with four lines of standard input: login, password, database (a
//! SID), statement. The exit status is 0 if the statement returned a row, 1 if it returned none, 2 if
//! the login was refused, 3 for anything else; after 2 and 3 the first line of standard output says
//! why. It has no time limit: who starts it ends it (see `src/check/oracle.rs` of ldirectord-rs).

use oracledb::{Config, ErrorKind};
use std::io::Read;
use std::net::IpAddr;
use std::process::ExitCode;

/// Bytes of standard input.
const INPUT_LIMIT: u64 = 64 * 1024;

/// What the statement came to.
enum Outcome {
    Row,
    NoRow,
    LoginRefused(String),
    Failed(String),
}

fn main() -> ExitCode {
    let (status, words) = match run() {
        Ok(Outcome::Row) => (0, None),
        Ok(Outcome::NoRow) => (1, None),
        Ok(Outcome::LoginRefused(words)) => (2, Some(words)),
        Ok(Outcome::Failed(words)) | Err(words) => (3, Some(words)),
    };
    if let Some(words) = words {
        println!("{}", words.lines().next().unwrap_or_default());
    }
    ExitCode::from(status)
}

fn run() -> Result<Outcome, String> {
    let target = target(std::env::args().skip(1).collect())?;
    let mut input = String::new();
    let read = std::io::stdin().take(INPUT_LIMIT).read_to_string(&mut input);
    read.map_err(|error| format!("standard input: {error}"))?;
    let lines: Vec<&str> = input.lines().collect();
    let [login, password, database, statement] = lines[..] else {
        return Err("standard input: four lines are needed".to_owned());
    };
    Ok(ask(login, password, &connect_string(target, database)?, statement))
}

fn target(arguments: Vec<String>) -> Result<(IpAddr, u16), String> {
    let usage = || "usage: ldirectord-oracle ADDRESS PORT".to_owned();
    let [address, port] = <[String; 2]>::try_from(arguments).map_err(|_| usage())?;
    Ok((address.parse().map_err(|_| usage())?, port.parse().map_err(|_| usage())?))
}

/// A description in the syntax of tnsnames.ora, so nothing but a name may be put into it.
fn connect_string((address, port): (IpAddr, u16), database: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.#$".contains(c);
    if database.is_empty() || !database.chars().all(is_name) {
        return Err("database: not a SID".to_owned());
    }
    Ok(format!(
        "(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST={address})(PORT={port}))\
         (CONNECT_DATA=(SID={database})))"
    ))
}

fn ask(login: &str, password: &str, server: &str, statement: &str) -> Outcome {
    let connection = Config::default()
        .set_credentials(login, password)
        .set_connect_string(server)
        .and_then(oracledb::connect);
    let connection = match connection {
        Ok(connection) => connection,
        Err(error) if is_login_refusal(&error) => return Outcome::LoginRefused(error.to_string()),
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let first = connection.query(statement, &[]).map(|mut rows| rows.next());
    match first {
        Ok(Some(Ok(_))) => Outcome::Row,
        Ok(None) => Outcome::NoRow,
        Ok(Some(Err(error))) | Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// ORA-01005 no password, 01017 wrong login or password, 01045 no right to log in, 28000 locked,
/// 28001 expired.
fn is_login_refusal(error: &oracledb::Error) -> bool {
    match error.kind() {
        ErrorKind::DbError(error) => matches!(error.code(), 1005 | 1017 | 1045 | 28000 | 28001),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_name_and_nothing_else() {
        let target = |address: &str| (address.parse().unwrap(), 1521);
        assert_eq!(
            connect_string(target("192.0.2.1"), "ORCL.example").unwrap(),
            "(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=192.0.2.1)(PORT=1521))\
             (CONNECT_DATA=(SID=ORCL.example)))"
        );
        for database in ["", "X)(HOST=other", "a b", "ä"] {
            assert!(connect_string(target("192.0.2.1"), database).is_err(), "{database}");
        }
    }

    #[test]
    fn nobody_listening_is_a_failure_over_ipv4_and_ipv6() {
        for address in ["127.0.0.1", "::1"] {
            let server = connect_string((address.parse().unwrap(), 1), "ORCL").unwrap();
            let outcome = ask("scott", "tiger", &server, "SELECT 1 FROM dual");
            assert!(matches!(outcome, Outcome::Failed(_)), "{address}");
        }
    }

    #[test]
    fn two_arguments_are_needed() {
        let target_of =
            |words: &[&str]| target(words.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(target_of(&["::1", "1521"]), Ok(("::1".parse().unwrap(), 1521)));
        for words in [&["::1"][..], &["::1", "x"], &["host", "1"], &["::1", "1", "2"]] {
            assert!(target_of(words).is_err(), "{words:?}");
        }
    }
}
