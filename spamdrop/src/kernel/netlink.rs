//! Sends one request to the kernel's netlink and collects the answers.

use std::io;

use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlaBuffer, parse_string,
};
use netlink_sys::{Socket, SocketAddr};

/// `NLMSGERR_ATTR_MSG` of linux/netlink.h.
const MESSAGE: u16 = 1;
/// The size of `struct nlmsghdr`.
const NETLINK_HEADER_LEN: usize = 16;

/// The kernel's refusal of a request.
#[derive(Debug)]
pub struct NetlinkRefusal {
    /// The error.
    pub error: io::Error,
    /// Its explanation, if the kernel gave one (`NETLINK_EXT_ACK`).
    pub words: Option<String>,
}

impl From<io::Error> for NetlinkRefusal {
    fn from(error: io::Error) -> Self {
        Self { error, words: None }
    }
}

/// Sends a dump request. Answers that the message types cannot parse are
/// skipped.
pub fn dump<M>(protocol: isize, request: impl Into<NetlinkPayload<M>>) -> io::Result<Vec<M>>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    let flags = NLM_F_REQUEST | NLM_F_DUMP;
    exchange(protocol, flags, request.into()).map_err(|refusal| refusal.error)
}

/// Sends a request that returns no data, and waits for its acknowledgement.
pub fn command<M>(
    protocol: isize,
    request: impl Into<NetlinkPayload<M>>,
) -> Result<(), NetlinkRefusal>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    exchange(protocol, NLM_F_REQUEST | NLM_F_ACK, request.into()).map(drop)
}

fn exchange<M>(
    protocol: isize,
    flags: u16,
    payload: NetlinkPayload<M>,
) -> Result<Vec<M>, NetlinkRefusal>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut request = NetlinkMessage::new(header, payload);
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);

    let mut socket = Socket::new(protocol)?;
    socket.set_ext_ack(true)?;
    // Without this, the kernel would repeat the request in front of its explanation.
    socket.set_cap_ack(true)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;

    let mut answers = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if collect(&datagram, &mut answers)? {
            return Ok(answers);
        }
    }
}

/// Parses the answers in a datagram. Returns whether the datagram is the last one.
fn collect<M: NetlinkDeserializable>(
    datagram: &[u8],
    answers: &mut Vec<M>,
) -> Result<bool, NetlinkRefusal> {
    let mut rest = datagram;
    while let Ok(buffer) = NetlinkBuffer::new_checked(&rest) {
        let length = buffer.length() as usize;
        match NetlinkMessage::<M>::deserialize(rest).map(|message| message.payload) {
            Ok(NetlinkPayload::InnerMessage(message)) => answers.push(message),
            Ok(NetlinkPayload::Done(_)) => return Ok(true),
            Ok(NetlinkPayload::Error(error)) => {
                return if error.code.is_none() {
                    Ok(true)
                } else {
                    Err(refusal(&error))
                };
            }
            Ok(_) | Err(_) => {}
        }
        // Messages are aligned to four bytes.
        let step = length.next_multiple_of(4).min(rest.len());
        if step == 0 {
            break;
        }
        rest = &rest[step..];
    }
    Ok(false)
}

fn refusal(message: &ErrorMessage) -> NetlinkRefusal {
    NetlinkRefusal {
        error: message.to_io(),
        words: words(&message.header),
    }
}

/// The explanation in the attributes behind the request's header.
fn words(after_code: &[u8]) -> Option<String> {
    let mut rest = after_code.get(NETLINK_HEADER_LEN..)?;
    while let Ok(attribute) = NlaBuffer::new_checked(rest) {
        if attribute.kind() == MESSAGE {
            return parse_string(attribute.value()).ok();
        }
        let length = usize::from(attribute.length()).next_multiple_of(4);
        rest = rest.get(length..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    /// An attribute: its length in bytes, its type, its value.
    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_explanation_is_found_among_the_attributes() {
        let header = [0; NETLINK_HEADER_LEN].to_vec();
        // Its length is no multiple of four, so padding follows.
        let cookie = attribute(3, &[0; 5]);
        let text = attribute(MESSAGE, b"veth: too many queues\0");
        let found = words(&[header.clone(), cookie.clone(), text].concat());
        assert_eq!(found.as_deref(), Some("veth: too many queues"));
        assert_eq!(words(&[header.clone(), cookie].concat()), None);
        assert_eq!(words(&header), None);
        assert_eq!(words(&[]), None);
        // Truncated: the attribute's length is 60, but only 5 bytes are left.
        assert_eq!(words(&[header, vec![60, 0, 1, 0, 65]].concat()), None);
    }
}
