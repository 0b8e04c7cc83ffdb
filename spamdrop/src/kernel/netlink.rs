//! Sends one request to the kernel's netlink and collects the answers.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// Sends a dump request. Answers that the message types cannot parse are
/// skipped.
pub fn dump<M>(protocol: isize, request: impl Into<NetlinkPayload<M>>) -> io::Result<Vec<M>>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    exchange(protocol, NLM_F_REQUEST | NLM_F_DUMP, request.into())
}

/// Sends a request that returns no data, and waits for its acknowledgement.
pub fn command<M>(protocol: isize, request: impl Into<NetlinkPayload<M>>) -> io::Result<()>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    exchange(protocol, NLM_F_REQUEST | NLM_F_ACK, request.into()).map(drop)
}

fn exchange<M>(protocol: isize, flags: u16, payload: NetlinkPayload<M>) -> io::Result<Vec<M>>
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

/// Parses the answers in a datagram. Returns whether it was the last one.
fn collect<M: NetlinkDeserializable>(datagram: &[u8], answers: &mut Vec<M>) -> io::Result<bool> {
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
                    Err(error.to_io())
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
