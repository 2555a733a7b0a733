//! The data channel establishment protocol (RFC 8832): is this the message that opens our channel? It keeps nothing.

/// DATA_CHANNEL_ACK (RFC 8832, 5.2).
pub(super) const ACK: [u8; 1] = [0x02];
/// DATA_CHANNEL_OPEN, with the type of a reliable and ordered channel (5.1).
const OPEN_RELIABLE: [u8; 2] = [0x03, 0x00];
/// Type, channel type, priority, reliability parameter, and the lengths of label and protocol.
const HEADER_LEN: usize = 12;

/// Opens a reliable and ordered channel of this label, which is shorter than 256 bytes.
pub(super) fn open(label: &str) -> Vec<u8> {
    let [kind, channel] = OPEN_RELIABLE;
    let header = [kind, channel, 0, 0, 0, 0, 0, 0, 0, label.len() as u8, 0, 0];
    [&header, label.as_bytes()].concat()
}

/// Whether a message opens a reliable and ordered channel of this label; its protocol does not matter.
pub(super) fn opens(message: &[u8], label: &str) -> bool {
    let Some((header, rest)) = message.split_first_chunk::<HEADER_LEN>() else { return false };
    let [kind, channel, _, _, _, _, _, _, a, b, c, d] = *header;
    let (label_len, protocol_len) = (usize::from(u16::from_be_bytes([a, b])), usize::from(u16::from_be_bytes([c, d])));
    [kind, channel] == OPEN_RELIABLE
        && rest.len() == label_len + protocol_len
        && rest.get(..label_len) == Some(label.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_open_is_ours() {
        assert!(opens(&open("dauys"), "dauys") && !opens(&open("dauys"), "daus"));
    }

    /// The message by its parts; the lengths may lie.
    fn check(kind: u8, channel: u8, label_len: u16, protocol_len: u16, rest: &str) -> bool {
        let mut message = vec![kind, channel, 1, 0, 0, 0, 0, 0];
        message.extend(label_len.to_be_bytes());
        message.extend(protocol_len.to_be_bytes());
        message.extend(rest.as_bytes());
        opens(&message, "dauys")
    }

    #[test]
    fn only_one_kind_of_channel_is_ours() {
        assert!(check(3, 0, 5, 0, "dauys") && check(3, 0, 5, 4, "dauysjson"));
        // Unordered, few retransmissions, a lifetime, an unknown type; another message.
        for (kind, channel) in [(3, 0x80), (3, 0x01), (3, 0x02), (3, 0x81), (3, 0x7F), (2, 0), (0, 0)] {
            assert!(!check(kind, channel, 5, 0, "dauys"), "{kind} {channel}");
        }
        for (label_len, protocol_len, rest) in [
            (4, 0, "dauy"),
            (5, 0, "Dauys"),
            (5, 0, "dauys!"),
            (5, 1, "dauys"),
            (6, 0, "dauys"),
            (9, u16::MAX, "dauys"),
        ] {
            assert!(!check(3, 0, label_len, protocol_len, rest), "{label_len} {protocol_len} {rest}");
        }
        assert!(!opens(&[3, 0], "dauys") && !opens(&[], ""));
    }
}
