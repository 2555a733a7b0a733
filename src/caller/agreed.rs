//! The media of a call of ours that was answered: the leg, and what is measured before it. It opens no socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use media::Leg;
use media::data::DataEvent;
use media::leg::{DATAGRAM_MAX, LegEvent};
use media::rtp::Packet;
use media::secure::{Identity, Security};
use serde::Deserialize;
use sip::sdp::{self, LocalMedia};
use tokio::net::UdpSocket;

use crate::caller::CallerError;
use crate::config::Rtp;
use crate::net::sip::{Shared, leg_config, media_codec};
use crate::random;

/// 120 ms at 16 kHz, the longest packet there is.
pub const PACKET_SAMPLES: usize = 1920;

/// The media of an answered call.
pub(crate) struct Agreed {
    pub leg: Leg,
    pub codec: &'static str,
    payload_type: u8,
    decoder: Option<media::codec::Decoder>,
    /// What SRTP adds to a packet.
    tag_bytes: usize,
    /// What a page is told: the call's id, and that it is over.
    pub id: Option<String>,
    pub is_over: bool,
}

/// Of what a page is told, what we look for.
#[derive(Deserialize)]
struct Told {
    r#type: String,
    call: Option<String>,
}

impl Agreed {
    /// `identity`: our certificate for a handshake. With it comes a data channel, if the other side took it.
    pub fn new(
        now: Instant,
        local: &LocalMedia,
        answer: Option<sdp::Session>,
        identity: Option<(&Arc<Identity>, bool)>,
    ) -> Result<Self, CallerError> {
        let answer = answer.ok_or(CallerError::Answer)?;
        let agreed = sdp::accept(local, &answer).map_err(|_| CallerError::Answer)?;
        let shared = Shared { rtp: &Rtp::default(), identity: identity.map(|(identity, _)| identity) };
        let mut config = leg_config(&agreed, local, &shared, random::bits()).ok_or(CallerError::Answer)?;
        config.data = identity.is_some_and(|(_, has_data)| has_data);
        let tag_bytes = match &config.security {
            Security::Sdes { receive, .. } => receive.suite().rtp_tag_len(),
            _ => 0,
        };
        let mut leg = Leg::new(now, config);
        leg.open_data();
        Ok(Self {
            decoder: media::codec::Decoder::new(media_codec(agreed.codec)).ok(),
            payload_type: agreed.payload_type,
            codec: agreed.codec.name(),
            tag_bytes,
            leg,
            id: None,
            is_over: false,
        })
    }

    /// The leg takes a datagram; how much audio was in it, decoded as it comes, before any buffer. 0: none, or
    /// none that the leg believed.
    pub fn packet(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &mut [u8],
        samples: &mut [i16; PACKET_SAMPLES],
    ) -> usize {
        let before = self.leg.packets_received();
        self.leg.handle(now, from, bytes);
        // What it believed it has decrypted in place.
        if self.leg.packets_received() == before {
            return 0;
        }
        let bytes = bytes.get(..bytes.len().saturating_sub(self.tag_bytes)).unwrap_or_default();
        let Ok(packet) = Packet::parse(bytes) else { return 0 };
        if packet.header.payload_type != self.payload_type {
            return 0;
        }
        self.decoder.as_mut().map_or(0, |d| d.decode(packet.payload, samples))
    }

    /// Handshake and data channel: after a datagram, and every 20 ms.
    pub async fn chores(&mut self, now: Instant, rtp: &UdpSocket) {
        let mut datagram = [0; DATAGRAM_MAX];
        while let Some(out) = self.leg.poll(now, &mut datagram) {
            let _ = rtp.send_to(&datagram[..out.len], out.to).await;
        }
        while let Some(event) = self.leg.event() {
            match event {
                LegEvent::Secured(suite) => self.tag_bytes = suite.rtp_tag_len(),
                LegEvent::Failed(_) => self.is_over = true,
                LegEvent::Trouble(_) => {}
            }
        }
        while let Some(event) = self.leg.data() {
            let DataEvent::Text(text) = event else { continue };
            let Ok(told) = serde_json::from_str::<Told>(&text) else { continue };
            match told.r#type.as_str() {
                "hello" => self.id = told.call,
                "ended" => self.is_over = true,
                _ => {}
            }
        }
    }
}
