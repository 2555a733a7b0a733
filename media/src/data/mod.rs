//! The data channel of a call (RFC 8831), sans-IO: SCTP packets out of the media path's DTLS in, texts out, and the
//! other way round. It opens no socket, reads no clock, and keeps no more than its bounds, whatever the other side sends.
//!
//! There is one channel, opened with DCEP (RFC 8832): labelled [`LABEL`], ordered, reliable. The other side opens it, and
//! may open it again, some times, after it was closed; any other is reset. A caller of our own opens it
//! ([`DataChannel::open`]).
use std::collections::VecDeque;
use std::time::Instant;

use sctp_proto::{Event, PayloadProtocolIdentifier as Ppi, StreamEvent, StreamId};

mod dcep;
mod guard;
mod link;
#[cfg(test)]
pub(crate) mod tests;

use guard::{Guard, Verdict};
use link::Link;

/// The stream of a channel that we open: we are then the client of the handshake (RFC 8832, 6).
const OUR_STREAM: StreamId = 0;
/// How the one channel is called.
pub const LABEL: &str = "dauys";
/// Longest message taken, in bytes; a longer one ends the association. To be told in SDP (`a=max-message-size`).
pub const MESSAGE_LEN_MAX: u32 = 4 * 1_024;
/// Longest message sent, in bytes: what everybody takes without a word in SDP is longer (RFC 8841, 6.1).
const SENT_LEN_MAX: usize = 16 * 1_024;
/// Texts that wait to be fetched; one more closes the channel.
const TEXTS_MAX: usize = 16;
/// Times that a channel may be opened: what waited for the former ones is not taken back.
const OPENINGS_MAX: u8 = 8;
/// Bytes that wait to be sent or acknowledged.
const WAITING_MAX: usize = 64 * 1_024;
/// Packets that wait to be sent; what is made beyond is as good as lost on the way, and SCTP deals with that.
const PACKETS_MAX: usize = 64;

/// What happened on the channel.
#[derive(Clone, PartialEq, Eq)]
pub enum DataEvent {
    /// It is there: [`DataChannel::send`] works.
    Open,
    /// A message of the other side. Binary ones, and what is not UTF-8, are dropped.
    Text(String),
    /// It is gone: closed by either side, or with its association.
    Closed,
}

impl std::fmt::Debug for DataEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DataEvent::Open => "Open",
            DataEvent::Text(_) => "Text",
            DataEvent::Closed => "Closed",
        })
    }
}

/// One call's channel and the association beneath it.
#[derive(Default)]
pub struct DataChannel {
    /// From the first packet to the end of the association.
    link: Option<Link>,
    guard: Guard,
    /// We begin the association and open the channel.
    opens: bool,
    /// The channel's stream, while it is open.
    stream: Option<StreamId>,
    openings: u8,
    events: VecDeque<DataEvent>,
    texts: usize,
    packets: VecDeque<Vec<u8>>,
    /// When the association wants to be woken.
    wake: Option<Instant>,
    /// Something was written since the packets were last made.
    written: bool,
    /// The association ended; the next one needs another DTLS association.
    over: bool,
}

impl DataChannel {
    /// Begins the association and opens the channel, for a caller of our own. Call it before anything else.
    pub fn open(&mut self) {
        if self.link.is_none() && !self.over {
            (self.link, self.guard) = (Link::opening(), Guard::opening());
            (self.opens, self.written) = (true, true);
        }
    }

    /// Takes an SCTP packet, as DTLS brought it.
    pub fn handle(&mut self, now: Instant, packet: &[u8]) {
        if self.over {
            return;
        }
        match self.guard.admit(packet) {
            Verdict::Pass => {
                self.link.get_or_insert_with(Link::new).handle(now, packet);
                self.proceed(now);
            }
            Verdict::Drop => {}
            Verdict::End => self.end(),
        }
    }

    /// Retransmissions, delayed acknowledgements, and what [`DataChannel::send`] wrote. Call it every 20 ms, then
    /// [`DataChannel::poll`] until `None`.
    pub fn tick(&mut self, now: Instant) {
        let is_due = self.wake.is_some_and(|wake| now >= wake);
        if let Some(link) = self.link.as_mut().filter(|_| is_due) {
            link.wake(now);
        }
        if is_due || self.written {
            self.proceed(now);
        }
    }

    /// The next packet to send through DTLS.
    pub fn poll(&mut self) -> Option<Vec<u8>> {
        self.packets.pop_front()
    }

    /// What happened; call it until `None`.
    pub fn event(&mut self) -> Option<DataEvent> {
        let event = self.events.pop_front()?;
        self.texts -= usize::from(matches!(event, DataEvent::Text(_)));
        Some(event)
    }

    /// Sends a message. False: it is not open, the message is longer than 16 KiB, or 64 KiB wait already.
    pub fn send(&mut self, text: &str) -> bool {
        let (Some(id), Some(link)) = (self.stream, &mut self.link) else { return false };
        let fits = text.len() <= SENT_LEN_MAX && link.waiting(id).saturating_add(text.len()) <= WAITING_MAX;
        // RFC 8831, 6.6: SCTP has no empty messages.
        let (ppi, bytes) =
            if text.is_empty() { (Ppi::StringEmpty, [0].as_slice()) } else { (Ppi::String, text.as_bytes()) };
        let sent = fits && link.write(id, ppi, bytes);
        self.written |= sent;
        sent
    }

    /// The DTLS association is over, and so is everything above it.
    pub fn end(&mut self) {
        self.over = true;
        (self.link, self.wake) = (None, None);
        self.packets.clear();
        self.close();
    }

    /// Another DTLS association takes the place of the former: everything begins anew.
    pub fn restart(&mut self) {
        self.end();
        let (events, texts) = (std::mem::take(&mut self.events), self.texts);
        *self = DataChannel { events, texts, ..DataChannel::default() };
    }

    /// What the association has to tell and to send by now.
    fn proceed(&mut self, now: Instant) {
        while let Some(event) = self.link.as_mut().and_then(Link::event) {
            match event {
                Event::Connected => {
                    self.guard.connected();
                    let opening = self.link.as_mut().filter(|_| self.opens);
                    opening.map(|link| link.open(OUR_STREAM, Ppi::Dcep, &dcep::open(LABEL)));
                }
                Event::Stream(StreamEvent::Readable { id }) => self.read(id),
                Event::Stream(StreamEvent::Finished { id }) if self.stream == Some(id) => self.close(),
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => self.end(),
                _ => {}
            }
        }
        let Some(link) = &mut self.link else { return };
        link.packets(now, |packet| {
            self.guard.sent(packet);
            if self.packets.len() < PACKETS_MAX {
                self.packets.push_back(packet.to_vec());
            }
        });
        (self.wake, self.written) = (link.deadline(), false);
        if link.is_closing() {
            self.close();
        }
    }

    fn read(&mut self, id: StreamId) {
        while let Some(message) = self.link.as_mut().and_then(|link| link.read(id)) {
            self.guard.delivered(message.chunks);
            match (message.ppi, self.stream) {
                (Ppi::Dcep, None) if self.opens && id == OUR_STREAM && message.bytes == dcep::ACK => {
                    self.stream = Some(id);
                    self.events.push_back(DataEvent::Open);
                }
                (Ppi::Dcep, None) if !self.opens && dcep::opens(&message.bytes, LABEL) => self.accept(id),
                (Ppi::Dcep | Ppi::Binary | Ppi::BinaryEmpty, Some(open)) if open == id => {}
                (Ppi::String, Some(open)) if open == id => {
                    if let Ok(text) = String::from_utf8(message.bytes) {
                        self.hear(text);
                    }
                }
                (Ppi::StringEmpty, Some(open)) if open == id => self.hear(String::new()),
                // RFC 8832, 6: what was not opened, or not in a way we do.
                _ => self.reset(id),
            }
        }
    }

    fn accept(&mut self, id: StreamId) {
        let may = self.openings < OPENINGS_MAX;
        if may && self.link.as_mut().is_some_and(|link| link.write(id, Ppi::Dcep, &dcep::ACK)) {
            self.openings += 1;
            self.stream = Some(id);
            self.events.push_back(DataEvent::Open);
        } else {
            self.reset(id);
        }
    }

    fn hear(&mut self, text: String) {
        if self.texts < TEXTS_MAX {
            self.texts += 1;
            self.events.push_back(DataEvent::Text(text));
        } else if let Some(id) = self.stream {
            self.close();
            self.reset(id);
        }
    }

    fn reset(&mut self, id: StreamId) {
        if let Some(link) = &mut self.link {
            link.reset(id);
        }
    }

    fn close(&mut self) {
        if self.stream.take().is_some() {
            self.events.push_back(DataEvent::Closed);
        }
    }
}
