//! DNS questions and their answers (RFC 1035), as checks and names both need them.

use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, SimpleDnsError, TYPE, header_buffer,
};

/// A question with its number, and its bytes.
#[derive(Debug)]
pub(crate) struct Query {
    id: u16,
    name: String,
    kind: TYPE,
    message: Vec<u8>,
}

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They are no DNS message.
    Malformed,
    /// They answer another question.
    AnotherQuestion,
    /// The server answers with this code only.
    Refused(RCODE),
}

impl Query {
    /// With this number; the error is a name that cannot be one (a label over 63 bytes, for example).
    pub(crate) fn numbered(id: u16, name: &str, kind: TYPE) -> Result<Self, SimpleDnsError> {
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(name)?;
        let text = name.to_string();
        packet.questions.push(Question::new(name, QTYPE::TYPE(kind), CLASS::IN.into(), false));
        let message = packet.build_bytes_vec()?;
        Ok(Self { id, name: text, kind, message })
    }

    /// For a datagram.
    pub(crate) fn message(&self) -> &[u8] {
        &self.message
    }

    /// For a stream (RFC 1035 section 4.2.2): two bytes of length before the message.
    pub(crate) fn framed(&self) -> Vec<u8> {
        let length = u16::try_from(self.message.len()).unwrap_or(u16::MAX);
        [&length.to_be_bytes(), self.message.as_slice()].concat()
    }

    /// Whether these bytes claim to answer this query: its number, and a response.
    pub(crate) fn accepts(&self, bytes: &[u8]) -> bool {
        header_buffer::id(bytes) == Ok(self.id)
            && header_buffer::has_flags(bytes, PacketFlag::RESPONSE) == Ok(true)
    }

    /// The answer in these bytes.
    pub(crate) fn answer<'b>(&self, bytes: &'b [u8]) -> Result<Packet<'b>, Fault> {
        if !counts_are_possible(bytes) {
            return Err(Fault::Malformed);
        }
        let packet = Packet::parse(bytes).map_err(|_| Fault::Malformed)?;
        let code = packet.rcode();
        let [question] = packet.questions.as_slice() else {
            // A refusal may come without the question.
            return Err(if code == RCODE::NoError {
                Fault::Malformed
            } else {
                Fault::Refused(code)
            });
        };
        if !question.qname.to_string().eq_ignore_ascii_case(&self.name)
            || question.qtype != QTYPE::TYPE(self.kind)
        {
            return Err(Fault::AnotherQuestion);
        }
        if code == RCODE::NoError { Ok(packet) } else { Err(Fault::Refused(code)) }
    }
}

/// A response code as tools show it.
pub(crate) fn word_of(code: RCODE) -> String {
    match code {
        RCODE::FormatError => "FORMERR".to_owned(),
        RCODE::ServerFailure => "SERVFAIL".to_owned(),
        RCODE::NameError => "NXDOMAIN".to_owned(),
        RCODE::NotImplemented => "NOTIMP".to_owned(),
        RCODE::Refused => "REFUSED".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Whether so many records can be in so few bytes: the parser sets memory aside by these counts.
fn counts_are_possible(bytes: &[u8]) -> bool {
    /// Root name, type, class, lifetime, length of nothing.
    const SHORTEST_RECORD: usize = 11;
    let counts = [
        header_buffer::answers(bytes),
        header_buffer::name_servers(bytes),
        header_buffer::additional_records(bytes),
    ];
    let records: usize = counts.into_iter().flatten().map(usize::from).sum();
    header_buffer::questions(bytes).is_ok_and(|questions| questions <= 1)
        && records * SHORTEST_RECORD <= bytes.len()
}
