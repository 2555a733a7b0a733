//! One SCTP association (RFC 9260) and the few things we do with it. The association is `sctp_proto`'s; this waits for the
//! other side's INIT unless it is told to begin.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use sctp_proto::{
    Association, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Ppi, ServerConfig, StreamId, TransportConfig,
};

use super::MESSAGE_LEN_MAX;
use super::guard::STREAMS_MAX;

/// The association wants an address; below it there is DTLS and none.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5_000);
/// Largest chunk of a message, in bytes: with all headers, padding and those of DTLS below 1,200.
const CHUNK_LEN_MAX: u32 = 1_100;
/// Bytes of unfinished messages taken, for all streams together.
const RECEIVED_MAX: u32 = 4 * MESSAGE_LEN_MAX;
/// Somebody waits to see what is said, and the network is the one of a call: below the second of RFC 9260, 16.
const RTO_MS: u64 = 500;
const RTO_MIN_MS: u64 = 400;
const RTO_MAX_MS: u64 = 10_000;

/// The same for all calls.
static CONFIG: LazyLock<(Arc<EndpointConfig>, Arc<ServerConfig>, Arc<TransportConfig>)> = LazyLock::new(|| {
    let mut endpoint = EndpointConfig::new();
    endpoint.max_payload_size(CHUNK_LEN_MAX);
    let transport = TransportConfig::default()
        .with_max_receive_buffer_size(RECEIVED_MAX)
        .with_max_receive_message_size(MESSAGE_LEN_MAX)
        .with_max_num_inbound_streams(STREAMS_MAX)
        .with_max_num_outbound_streams(STREAMS_MAX)
        .with_max_data_retransmits(None)
        .with_rto_initial_ms(RTO_MS)
        .with_rto_min_ms(RTO_MIN_MS)
        .with_rto_max_ms(RTO_MAX_MS);
    let mut server = ServerConfig::new();
    let transport = Arc::new(transport);
    server.transport = Arc::clone(&transport);
    (Arc::new(endpoint), Arc::new(server), transport)
});

/// A message of the other side.
pub(super) struct Message {
    pub ppi: Ppi,
    pub bytes: Vec<u8>,
    /// How many chunks it came in.
    pub chunks: usize,
}

pub(super) struct Link {
    endpoint: Endpoint,
    association: Option<Association>,
}

impl Link {
    pub fn new() -> Link {
        let (endpoint, server, _) = &*CONFIG;
        Link { endpoint: Endpoint::new(Arc::clone(endpoint), Some(Arc::clone(server))), association: None }
    }

    /// One that we begin; `None` where the crate refuses, for which there is no reason.
    pub fn opening() -> Option<Link> {
        let (endpoint, _, transport) = &*CONFIG;
        let mut endpoint = Endpoint::new(Arc::clone(endpoint), None);
        let mut client = ClientConfig::new();
        client.transport = Arc::clone(transport);
        let (_, association) = endpoint.connect(client, NOBODY).ok()?;
        Some(Link { endpoint, association: Some(association) })
    }

    pub fn handle(&mut self, now: Instant, packet: &[u8]) {
        match self.endpoint.handle(now, NOBODY, None, None, packet.to_vec().into()) {
            Some((_, DatagramEvent::NewAssociation(association))) => {
                // A DTLS association carries one of SCTP (RFC 8261, 3).
                self.endpoint.reject_new_associations();
                self.association = Some(association);
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                if let Some(association) = &mut self.association {
                    association.handle_event(event);
                }
            }
            None => {}
        }
    }

    pub fn wake(&mut self, now: Instant) {
        if let Some(association) = &mut self.association {
            association.handle_timeout(now);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.association.as_ref()?.poll_timeout()
    }

    pub fn event(&mut self) -> Option<Event> {
        let association = self.association.as_mut()?;
        // Streams are known by their events; this list of new ones would only grow.
        while association.accept_stream().is_some() {}
        association.poll()
    }

    /// Shows every packet that is to be sent now.
    pub fn packets(&mut self, now: Instant, mut show: impl FnMut(&[u8])) {
        let Some(association) = &mut self.association else { return };
        while let Some(transmit) = association.poll_transmit(now) {
            if let Payload::RawEncode(packets) = transmit.payload {
                packets.iter().for_each(|packet| show(packet));
            }
        }
    }

    /// The other side shuts the association down in order.
    pub fn is_closing(&self) -> bool {
        self.association.as_ref().is_some_and(|a| a.is_closing() || a.is_closed() && !a.is_handshaking())
    }

    pub fn read(&mut self, id: StreamId) -> Option<Message> {
        let message = self.association.as_mut()?.stream(id).ok()?.read_sctp().ok()??;
        let mut bytes = vec![0; message.len()];
        message.read(&mut bytes).ok()?;
        Some(Message { ppi: message.ppi, bytes, chunks: message.chunks.len() })
    }

    pub fn write(&mut self, id: StreamId, ppi: Ppi, bytes: &[u8]) -> bool {
        let stream = self.association.as_mut().and_then(|a| a.stream(id).ok());
        stream.is_some_and(|mut stream| stream.write_with_ppi(bytes, ppi).is_ok())
    }

    /// Opens a stream and writes its first message.
    pub fn open(&mut self, id: StreamId, ppi: Ppi, bytes: &[u8]) -> bool {
        let stream = self.association.as_mut().and_then(|a| a.open_stream(id, ppi).ok());
        stream.is_some_and(|mut stream| stream.write_with_ppi(bytes, ppi).is_ok())
    }

    /// Bytes of this stream that are not acknowledged yet.
    pub fn waiting(&mut self, id: StreamId) -> usize {
        let stream = self.association.as_mut().and_then(|a| a.stream(id).ok());
        stream.and_then(|stream| stream.buffered_amount().ok()).unwrap_or(usize::MAX)
    }

    /// Closes both directions (RFC 8831, 6.7). What cannot be reset is gone already.
    pub fn reset(&mut self, id: StreamId) {
        if let Some(mut stream) = self.association.as_mut().and_then(|a| a.stream(id).ok()) {
            let _ = stream.close();
        }
    }
}
