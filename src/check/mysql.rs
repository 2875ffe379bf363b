//! `service=mysql`: log in, and a statement that returns a row (MySQL client/server protocol 4.1,
//! as MySQL and MariaDB speak it). Cargo feature `mysql`.
//!
//! Up when the statement `request` returns at least one row and no error. Logs in by
//! `mysql_native_password`, `caching_sha2_password`, `sha256_password` and MariaDB's `ed25519`, never
//! with the password in the clear. Without TLS, as the original, unless `checktls = starttls`.

use super::Failure;
use super::connect::Probe;
use super::sql::{MESSAGE_LIMIT, TOTAL_LIMIT, statement};
use super::transcript::secret;
use crate::model::{Exchange, Tls};
use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin, Context};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{
    AuthPlugin, AuthSwitchRequest, ErrPacket, HandshakePacket, HandshakeResponse,
};
use mysql_common::proto::MySerialize;
use openssl::pkey::PKey;
use std::io::{self, BufReader, Read, Write};

/// Messages of one login: challenge and response, at most one switch to another method.
const LOGIN_ROUNDS: usize = 8;

const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;

/// The number of utf8_general_ci.
const UTF8: u8 = 33;

/// First bytes of packets.
const OK: u8 = 0x00;
const MORE_DATA: u8 = 0x01;
const LOCAL_INFILE: u8 = 0xfb;
/// End of rows; in a login, a switch to another method.
const EOF: u8 = 0xfe;
const ERROR: u8 = 0xff;

/// An end-of-rows packet is shorter than this; a row may begin with the same byte.
const EOF_LENGTH: usize = 9;

/// Connects and speaks MySQL.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(mut probe: Probe<'_>) -> Result<(), Failure> {
    let statement = statement(probe.exchange)?;
    let stream = probe.tcp()?;
    match probe.exchange.tls {
        Tls::No | Tls::Yes => talk(stream, probe.exchange, statement),
        Tls::Start => {
            let mut server = Server::new(stream);
            let greeting = read_greeting(&mut server)?;
            let greeting = parse_greeting(&greeting)?;
            if !greeting.capabilities().contains(CapabilityFlags::CLIENT_SSL) {
                return Err(Failure::no_tls("the server does not offer it"));
            }
            ask_for_tls(&mut server)?;
            if !server.stream.buffer().is_empty() {
                return Err(Failure::Tls("the server speaks on before TLS begins".to_owned()));
            }
            let Server { stream, sequence, read } = server;
            let stream = BufReader::new(probe.upgrade(stream.into_inner())?);
            let mut server = Server { stream, sequence, read };
            log_in(&mut server, &greeting, probe.exchange)?;
            ask(&mut server, statement)
        }
    }
}

/// SSLRequest: a login without its name.
fn ask_for_tls<S: Read + Write>(server: &mut Server<S>) -> Result<(), Failure> {
    let capabilities = (CAPABILITIES | CapabilityFlags::CLIENT_SSL).bits().to_le_bytes();
    let longest = u32::try_from(TOTAL_LIMIT).unwrap_or(u32::MAX).to_le_bytes();
    server.send(&[&capabilities[..], &longest, &[UTF8], &[0; 23]].concat())
}

pub(super) fn talk<S: Read + Write>(
    stream: S,
    exchange: &Exchange,
    statement: &str,
) -> Result<(), Failure> {
    let mut server = Server::new(stream);
    let greeting = read_greeting(&mut server)?;
    log_in(&mut server, &parse_greeting(&greeting)?, exchange)?;
    ask(&mut server, statement)
}

fn ask<S: Read + Write>(server: &mut Server<S>, statement: &str) -> Result<(), Failure> {
    server.command(COM_QUERY, statement.as_bytes())?;
    read_result(server)?;
    // A courtesy: the server does not count an aborted connection.
    let _ = server.command(COM_QUIT, b"");
    Ok(())
}

/// Packets: three bytes of length, a sequence number, the content.
struct Server<S> {
    stream: BufReader<S>,
    sequence: u8,
    read: usize,
}

impl<S: Read + Write> Server<S> {
    fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream), sequence: 0, read: 0 }
    }

    fn send(&mut self, content: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes();
        if length[3] != 0 || content.len() == 0x00ff_ffff {
            return Err(Failure::Config("request: too long for one packet".into()));
        }
        let header = [length[0], length[1], length[2], self.sequence];
        self.sequence = self.sequence.wrapping_add(1);
        let stream = self.stream.get_mut();
        stream.write_all(&[&header, content].concat())?;
        Ok(stream.flush()?)
    }

    fn command(&mut self, command: u8, argument: &[u8]) -> Result<(), Failure> {
        self.sequence = 0;
        self.send(&[&[command], argument].concat())
    }

    /// The length of the next packet.
    fn header(&mut self) -> Result<usize, Failure> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        self.sequence = header[3].wrapping_add(1);
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        self.read += length + header.len();
        Ok(length)
    }

    /// The next packet, never empty.
    fn packet(&mut self) -> Result<Vec<u8>, Failure> {
        let length = self.header()?;
        if length > MESSAGE_LIMIT || self.read > TOTAL_LIMIT {
            return Err(Failure::TooLong);
        }
        let mut content = vec![0; length];
        self.stream.read_exact(&mut content)?;
        if content.is_empty() { Err(malformed()) } else { Ok(content) }
    }

    /// The next packet among rows: kept if it ends them, else only counted.
    fn row_or_end(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let length = self.header()?;
        let mut content = vec![0; length.min(MESSAGE_LIMIT)];
        self.stream.read_exact(&mut content)?;
        let rest = (length - content.len()) as u64;
        io::copy(&mut (&mut self.stream).take(rest), &mut io::sink())?;
        let ends = match content.first() {
            Some(&ERROR) => true,
            Some(&EOF) => length < EOF_LENGTH,
            _ => false,
        };
        Ok(ends.then_some(content))
    }
}

fn malformed() -> Failure {
    Failure::Protocol("not a MySQL packet".into())
}

/// What we want of a connection; the server may have less.
const CAPABILITIES: CapabilityFlags = CapabilityFlags::CLIENT_PROTOCOL_41
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_LONG_PASSWORD)
    .union(CapabilityFlags::CLIENT_TRANSACTIONS)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH);

fn read_greeting<S: Read + Write>(server: &mut Server<S>) -> Result<Vec<u8>, Failure> {
    let greeting = server.packet()?;
    if greeting[0] == ERROR {
        return Err(Failure::Rejected(error_words(&greeting, CapabilityFlags::empty()).1));
    }
    Ok(greeting)
}

fn log_in<S: Read + Write>(
    server: &mut Server<S>,
    greeting: &HandshakePacket<'_>,
    exchange: &Exchange,
) -> Result<(), Failure> {
    let nonce = greeting.nonce();
    let over_tls = exchange.tls == Tls::Start;
    let login = Login { password: exchange.passwd.as_bytes(), nonce: &nonce, over_tls };
    let known = greeting.auth_plugin().filter(|plugin| procedure(plugin).is_ok());
    // A method that we do not have may still be switched.
    let plugin = known.unwrap_or(AuthPlugin::MysqlNativePassword);
    let mut method = procedure(&plugin)?;
    let answer = method.run(&login, &nonce).map_err(no_login)?;
    let capabilities = match over_tls {
        true => CAPABILITIES | CapabilityFlags::CLIENT_SSL,
        false => CAPABILITIES,
    };
    let response = HandshakeResponse::new(
        answer.data().map(secret),
        greeting.server_version_parsed().unwrap_or_default(),
        Some(exchange.login.as_bytes()),
        (!exchange.database.is_empty()).then_some(exchange.database.as_bytes()),
        Some(plugin),
        capabilities & greeting.capabilities(),
        None,
        u32::try_from(TOTAL_LIMIT).unwrap_or(u32::MAX),
    );
    let mut bytes = Vec::new();
    response.serialize(&mut bytes);
    server.send(&bytes)?;
    for _ in 0..LOGIN_ROUNDS {
        let packet = server.packet()?;
        let answer = match packet[0] {
            OK => return Ok(()),
            ERROR => return Err(login_refusal(&packet)),
            EOF => {
                let switch: AuthSwitchRequest<'_> =
                    ParseBuf(&packet).parse(()).map_err(|_| old_method())?;
                method = procedure(&switch.auth_plugin())?;
                method.run(&login, switch.plugin_data())
            }
            MORE_DATA => method.run(&login, &reasonable_key(&packet[1..])?),
            _ => return Err(malformed()),
        };
        if let Some(data) = answer.map_err(no_login)?.data() {
            server.send(secret(data))?;
        }
    }
    Err(Failure::Protocol("a login without end".into()))
}

/// What a login method may know.
struct Login<'a> {
    password: &'a [u8],
    nonce: &'a [u8],
    /// Then a method may send the password as it is.
    over_tls: bool,
}

impl Context for &Login<'_> {
    fn pass(&self) -> &[u8] {
        self.password
    }

    fn is_ipc_transport(&self) -> bool {
        false
    }

    fn is_tls_transport(&self) -> bool {
        self.over_tls
    }

    fn scramble(&self) -> &[u8] {
        self.nonce
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

/// The methods that do not give the password away to whoever listens.
fn procedure(plugin: &AuthPlugin<'_>) -> Result<AuthProc, Failure> {
    match plugin {
        AuthPlugin::MysqlNativePassword
        | AuthPlugin::CachingSha2Password
        | AuthPlugin::Sha256Password
        | AuthPlugin::Ed25519 => plugin.init().map_err(|_| old_method()),
        other => Err(Failure::LoginRefused(format!(
            "the server asks for {}, which is not built in",
            Failure::text(other.as_bytes())
        ))),
    }
}

fn old_method() -> Failure {
    Failure::LoginRefused("the server asks for a login method that is not built in".to_owned())
}

fn no_login(_: mysql_common::auth::plugins::Error) -> Failure {
    Failure::Protocol("the login challenge is malformed".into())
}

/// The data of a login, and if it is the server's public key, one that can be computed with: the
/// library's own RSA takes any number as a modulus.
fn reasonable_key(data: &[u8]) -> Result<Vec<u8>, Failure> {
    if !data.starts_with(b"-----BEGIN") {
        return if data.len() == 1 { Ok(data.to_vec()) } else { Err(malformed()) };
    }
    PKey::public_key_from_pem(data)
        .and_then(|key| key.rsa())
        .ok()
        .filter(|key| (1024..=8192).contains(&(key.size() * 8)))
        .and_then(|key| key.public_key_to_pem().ok())
        .ok_or(Failure::Protocol("the server's key is no RSA key".into()))
}

/// The server's greeting.
///
/// # Errors
/// [`Failure::Protocol`] if it is none.
pub fn parse_greeting(packet: &[u8]) -> Result<HandshakePacket<'_>, Failure> {
    // The library computes with the length of the nonce as a signed byte: it stands after the
    // version's zero, connection, nonce, zero, capabilities, collation, status, capabilities.
    let version_end = packet.iter().position(|&byte| byte == 0).ok_or_else(malformed)?;
    if packet[0] != 10 || packet.get(version_end + 21).is_none_or(|&length| length > 127) {
        return Err(malformed());
    }
    ParseBuf(packet).parse(()).map_err(|_| malformed())
}

/// Number and words of an error packet.
fn error_words(packet: &[u8], capabilities: CapabilityFlags) -> (u16, String) {
    let parsed: io::Result<ErrPacket<'_>> = ParseBuf(packet).parse(capabilities);
    match parsed {
        Ok(ErrPacket::Error(error)) => {
            let text = Failure::text(error.message_ref());
            (error.error_code(), format!("{} {text}", error.error_code()))
        }
        _ => (0, "without a word".to_owned()),
    }
}

fn login_refusal(packet: &[u8]) -> Failure {
    match error_words(packet, CapabilityFlags::CLIENT_PROTOCOL_41) {
        // ER_DBACCESS_DENIED, ER_ACCESS_DENIED, ER_ACCESS_DENIED_NO_PASSWORD, ER_MUST_CHANGE_PASSWORD
        (1044 | 1045 | 1698 | 1862, words) => Failure::LoginRefused(words),
        (_, words) => Failure::Rejected(words),
    }
}

fn rejected(packet: &[u8]) -> Failure {
    Failure::Rejected(error_words(packet, CapabilityFlags::CLIENT_PROTOCOL_41).1)
}

/// The answer to the statement: a row, and no error after it as far as we read.
fn read_result<S: Read + Write>(server: &mut Server<S>) -> Result<(), Failure> {
    let first = server.packet()?;
    let columns = match first[0] {
        OK => return Err(Failure::Empty),
        ERROR => return Err(rejected(&first)),
        LOCAL_INFILE => return Err(Failure::Config("request: LOAD DATA returns no rows".into())),
        _ => ParseBuf(&first).checked_eat_lenenc_int().ok_or_else(malformed)?,
    };
    for _ in 0..columns {
        server.packet()?;
    }
    if server.packet()?[0] != EOF {
        return Err(malformed());
    }
    let mut any_row = false;
    while server.read < TOTAL_LIMIT {
        match server.row_or_end()? {
            None => any_row = true,
            Some(end) if end[0] == ERROR => return Err(rejected(&end)),
            Some(_) if any_row => return Ok(()),
            Some(_) => return Err(Failure::Empty),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, verdict};
    use super::super::tests::exchange;
    use super::*;
    use crate::model::Service;

    const NONCE: &[u8; 20] = b"abcdefghijklmnopqrst";

    fn packet(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        [&length[..3], b"\0", content].concat()
    }

    fn greeting(plugin: &str) -> Vec<u8> {
        let mut content = b"\x0a5.5.5-10.11.6-MariaDB\0\x01\0\0\0".to_vec();
        content.extend_from_slice(&NONCE[..8]);
        content.extend_from_slice(b"\0\xfe\xf7\x2d\x02\0\xff\x81\x15");
        content.extend_from_slice(&[0; 10]);
        content.extend_from_slice(&NONCE[8..]);
        content.push(0);
        content.extend_from_slice(plugin.as_bytes());
        content.push(0);
        packet(&content)
    }

    fn native() -> Vec<u8> {
        greeting("mysql_native_password")
    }

    fn ok() -> Vec<u8> {
        packet(b"\0\0\0\x02\0\0\0")
    }

    fn error(code: u16, words: &str) -> Vec<u8> {
        packet(&[b"\xff", &code.to_le_bytes()[..], b"#42000", words.as_bytes()].concat())
    }

    fn eof() -> Vec<u8> {
        packet(b"\xfe\0\0\x02\0")
    }

    fn outcome(answers: &[Vec<u8>]) -> (String, String) {
        let plan = Exchange {
            login: "u".into(),
            passwd: "p".into(),
            database: "d".into(),
            ..exchange(Service::Mysql)
        };
        let mut server = Script::new(answers.concat());
        (verdict(talk(&mut server, &plan, "SELECT 1")), server.heard())
    }

    #[test]
    fn a_row_without_an_error_is_up() {
        let column = packet(b"\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0");
        let head = [native(), ok(), packet(b"\x01"), column.clone(), eof()].concat();
        let row = packet(b"\x011");
        let syntax = error(1064, "syntax");
        let cases: [(&[Vec<u8>], &str); 7] = [
            (&[head.clone(), row.clone(), eof()], "up"),
            (&[head.clone(), eof()], "nothing found"),
            (&[native(), ok(), ok()], "nothing found"),
            (&[native(), ok(), syntax.clone()], "rejected: 1064 syntax"),
            (&[head.clone(), row.clone(), syntax], "rejected: 1064 syntax"),
            (&[head.clone(), row.repeat(300_000)], "up"),
            (&[head, row], "connection closed by the server"),
        ];
        for (answers, expected) in cases {
            assert_eq!(outcome(answers).0, expected);
        }
    }

    #[test]
    fn a_login_is_refused_with_the_servers_words() {
        let cases: [(&[Vec<u8>], &str); 6] = [
            (&[native(), error(1045, "denied")], "login refused: 1045 denied"),
            (&[native(), error(1049, "no db")], "rejected: 1049 no db"),
            (&[packet(b"\xff\x10\x04too many")], "rejected: 1040 too many"),
            (
                &[native(), packet(b"\xfedialog\0x")],
                "login refused: the server asks for dialog, which is not built in",
            ),
            (
                &[native(), packet(b"\xfemysql_clear_password\0")],
                "login refused: the server asks for mysql_clear_password, which is not built in",
            ),
            (
                &[native(), packet(b"\xfe")],
                "login refused: the server asks for a login method that is not built in",
            ),
        ];
        for (answers, expected) in cases {
            assert_eq!(outcome(answers).0, expected);
        }
    }

    #[test]
    fn the_method_may_be_switched() {
        let nonce = [7; 32];
        let switch = packet(&[b"\xfeclient_ed25519\0", &nonce[..]].concat());
        let (said, heard) = outcome(&[greeting("unknown"), switch, ok(), ok()]);
        assert_eq!(said, "nothing found");
        assert!(heard.contains("mysql_native_password"), "{heard}");
    }

    #[test]
    fn only_a_real_key_is_computed_with() {
        let sha2 = || greeting("caching_sha2_password");
        let full = || packet(b"\x01\x04");
        let bad = "not a proper answer: the server's key is no RSA key";
        let pem = b"\x01-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert_eq!(outcome(&[sha2(), full(), packet(pem)]).0, bad);
        let rsa = openssl::rsa::Rsa::generate(512).unwrap().public_key_to_pem().unwrap();
        assert_eq!(outcome(&[sha2(), full(), packet(&[b"\x01", &rsa[..]].concat())]).0, bad);
        let rsa = openssl::rsa::Rsa::generate(2048).unwrap().public_key_to_pem().unwrap();
        let key = packet(&[b"\x01", &rsa[..]].concat());
        assert_eq!(outcome(&[sha2(), full(), key, ok(), ok()]).0, "nothing found");
        assert_eq!(outcome(&[sha2(), packet(b"\x01\x03"), ok(), ok()]).0, "nothing found");
    }

    #[test]
    fn garbage_is_no_answer() {
        let mut long_nonce = greeting("x");
        let at = long_nonce.iter().rposition(|&byte| byte == 0x15).unwrap();
        long_nonce[at] = 0x80;
        for bytes in [packet(b"\x09old"), packet(b""), packet(b"\x0a\0"), long_nonce] {
            assert_eq!(outcome(&[bytes]).0, "not a proper answer: not a MySQL packet");
        }
        assert_eq!(outcome(&[b"HTTP/1.1 400 Bad\r\n\r\n".to_vec()]).0, "answer too long");
    }
}
