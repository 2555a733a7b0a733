//! What signalling tells a leg: at its start, and with every re-INVITE. It never says what happens later.
use std::net::SocketAddr;

use crate::Codec;
use crate::codec::EncoderConfig;
use crate::secure::{IceConfig, Security};

/// What was agreed with the other side when the leg starts.
#[derive(Clone)]
pub struct LegConfig {
    /// The codec to send.
    pub codec: Codec,
    /// Its RTP payload type.
    pub payload_type: u8,
    /// Every payload type that may come, and its codec. The other side changes between them as it likes.
    pub receive: Vec<(u8, Codec)>,
    /// The payload type of telephone-event (RFC 4733), if agreed.
    pub dtmf_payload_type: Option<u8>,
    /// The payload type of comfort noise (RFC 3389), if the agent's silence may be sent as that.
    pub comfort_noise_payload_type: Option<u8>,
    /// What the encoder may do.
    pub encoder: EncoderConfig,
    /// Our synchronization source, random.
    pub ssrc: u32,
    /// Our first sequence number, random.
    pub sequence: u16,
    /// Our first timestamp, random.
    pub timestamp: u32,
    /// Where the other side wants its RTP, from its SDP.
    pub remote: SocketAddr,
    /// Send to where the first valid packet comes from rather than to `remote` (symmetric RTP, RFC 4961).
    pub symmetric: bool,
    /// RTCP on the RTP port (RFC 5761) rather than on the next one.
    pub rtcp_mux: bool,
    /// Our canonical name (RFC 3550, 6.5.1): the same for the whole call, says nothing about anybody.
    pub rtcp_cname: String,
    /// Send extended reports (RFC 3611): the other side's SDP has `a=rtcp-xr` with `voip-metrics`. They are
    /// always taken.
    pub rtcp_xr: bool,
    /// Listen for keys in the audio too (ITU-T Q.24).
    pub inband_digits: bool,
    /// How packets are protected.
    pub security: Security,
    /// Our ICE credentials, if the other side offers ICE.
    pub ice: Option<IceConfig>,
    /// A data channel was agreed on; it needs [`Security::Dtls`].
    pub data: bool,
}

impl LegConfig {
    /// PCMU under payload type 0 and telephone events under 101, unprotected: what `remote` understands if it
    /// understands anything.
    pub fn new(remote: SocketAddr) -> Self {
        LegConfig {
            codec: Codec::Pcmu,
            payload_type: 0,
            receive: vec![(0, Codec::Pcmu)],
            dtmf_payload_type: Some(101),
            comfort_noise_payload_type: None,
            encoder: EncoderConfig::default(),
            ssrc: 1,
            sequence: 0,
            timestamp: 0,
            remote,
            symmetric: true,
            rtcp_mux: true,
            rtcp_cname: "leg".into(),
            rtcp_xr: false,
            inband_digits: true,
            security: Security::Plain,
            ice: None,
            data: false,
        }
    }
}

/// What a re-INVITE changed. The stream goes on: same SSRC, sequence and timestamps.
#[derive(Clone)]
pub struct LegChange {
    /// The codec to send from now on.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// Every payload type that may come from now on; packets of former ones still decode.
    pub receive: Vec<(u8, Codec)>,
    /// The payload type of telephone-event, if agreed.
    pub dtmf_payload_type: Option<u8>,
    /// The payload type of comfort noise (RFC 3389), if the agent's silence may be sent as that.
    pub comfort_noise_payload_type: Option<u8>,
    /// What the encoder may do from now on.
    pub encoder: EncoderConfig,
    /// Where the other side wants its RTP now; a new address unlatches the old one.
    pub remote: SocketAddr,
    /// RTCP on the RTP port.
    pub rtcp_mux: bool,
    /// Whether we may send at all (false: we are held with `sendonly` or `inactive`).
    pub send: bool,
    /// Whether the other side may send: silence is no trouble if not.
    pub expect: bool,
    /// How packets are protected; what did not change goes on as it was.
    pub security: Security,
    /// Our ICE credentials; new ones restart it.
    pub ice: Option<IceConfig>,
    /// Whether there is a data channel from now on; one that stays goes on as it was.
    pub data: bool,
}

impl From<&LegConfig> for LegChange {
    /// A re-INVITE that changes nothing.
    fn from(config: &LegConfig) -> Self {
        LegChange {
            codec: config.codec,
            payload_type: config.payload_type,
            receive: config.receive.clone(),
            dtmf_payload_type: config.dtmf_payload_type,
            comfort_noise_payload_type: config.comfort_noise_payload_type,
            encoder: config.encoder,
            remote: config.remote,
            rtcp_mux: config.rtcp_mux,
            send: true,
            expect: true,
            security: config.security.clone(),
            ice: config.ice.clone(),
            data: config.data,
        }
    }
}
