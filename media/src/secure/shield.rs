//! One leg's shield: which keys are in force, who may send, what waits to be sent. The ciphers are `srtp`'s, the
//! handshake is `dtls`'s, the checks are `ice`'s, the data channel is `data`'s; this never looks into a payload.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dtls::{Failure, Fingerprint, HANDSHAKE_TIMEOUT, Handshake, Identity, Outcome, Role};
use super::ice::{Check, Ice, IceConfig};
use super::srtp::{Opener, Sealer};
use super::suite::{Keys, Suite};
use crate::data::{DataChannel, DataEvent};
use crate::rtp;

/// How long the keys before the present ones still open what was under way.
const FORMER_KEYS_FOR: Duration = Duration::from_secs(2);
/// Strangers' handshakes that may fail before nobody but the signalled host may begin one.
const STRANGERS_MAX: u8 = 3;
/// A stranger who began a handshake and fell silent makes room for the next after this.
const STRANGER_KEEPS: Duration = Duration::from_secs(3);

/// How a leg is protected.
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// Not at all: RTP as it is.
    #[default]
    Plain,
    /// SRTP by the keys of the SDP: ours to send with, the other side's to receive with.
    Sdes { send: Keys, receive: Keys },
    /// SRTP by the keys of a handshake. `fingerprint` is that of the other side's certificate.
    Dtls { identity: Arc<Identity>, role: Role, fingerprint: Fingerprint },
}

/// What signalling says about a leg's outer layer, at its start and with every re-INVITE.
#[derive(Clone)]
pub struct ShieldConfig {
    /// The protection.
    pub security: Security,
    /// Our ICE credentials, if the other side offers ICE.
    pub ice: Option<IceConfig>,
    /// Where the other side wants its RTP, from its SDP: the first flight of a handshake goes there.
    pub remote: SocketAddr,
    /// A data channel shares the handshake's association (RFC 8261).
    pub data: bool,
}

/// What a datagram turned out to be.
#[derive(PartialEq, Eq, Debug)]
pub enum Opened<'a> {
    /// An RTP packet. `authenticated`: SRTP proved that the other side sent it.
    Rtp { packet: &'a [u8], authenticated: bool },
    /// A compound RTCP packet, likewise.
    Rtcp { packet: &'a [u8], authenticated: bool },
    /// Dealt with here; [`Shield::poll`] may have an answer.
    Nothing,
    /// Drop it; it is counted.
    Refused(Refusal),
}

/// Why a datagram was refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Neither STUN nor DTLS nor RTP nor RTCP, or too short.
    Junk,
    /// STUN or DTLS where neither was agreed on, or from somebody who may not.
    Unexpected,
    /// It came before the keys.
    NoKeys,
    /// RTCP that says it is not encrypted.
    NotSecured,
    /// Its tag is wrong: forged, damaged, under other keys, or not SRTP at all.
    Unauthenticated,
    /// It came before, or is too old to tell.
    Replayed,
    /// With ICE, from an address that passed no check.
    Unchecked,
}

/// What the leg's owner should know.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum ShieldEvent {
    /// Media is protected by this suite from now on.
    Secured { suite: Suite },
    /// There will be no keys.
    Failed(Failure),
    /// ICE: media goes here from now on.
    Nominated(SocketAddr),
}

/// What happened so far.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct ShieldStats {
    /// Datagrams that were nothing we know.
    pub junk: u64,
    /// STUN and DTLS that was not wanted.
    pub unexpected: u64,
    /// Media that came before the keys.
    pub no_keys: u64,
    /// RTCP that came unencrypted.
    pub not_secured: u64,
    /// Packets with a wrong tag.
    pub unauthenticated: u64,
    /// Packets that came twice.
    pub replayed: u64,
    /// Media and handshakes from addresses that passed no check.
    pub unchecked: u64,
    /// Connectivity checks that passed.
    pub checks_passed: u64,
    /// Connectivity checks with wrong credentials, or too many of them.
    pub checks_refused: u64,
    /// Handshakes begun.
    pub handshakes: u64,
    /// Times that keys came into force.
    pub keyings: u64,
}

/// The outer layer of one leg.
pub struct Shield {
    ssrc: u32,
    remote: SocketAddr,
    security: Security,
    seal: Option<Box<Sealer>>,
    open: Option<Box<Opener>>,
    former: Option<(Box<Opener>, Instant)>,
    dtls: Option<Box<Association>>,
    ice: Option<Box<Ice>>,
    data: Option<Box<DataChannel>>,
    secured: Option<Suite>,
    failed: Option<Failure>,
    nominated: Option<SocketAddr>,
    stats: ShieldStats,
}

/// A handshake and whom it is with.
struct Association {
    handshake: Handshake,
    peer: Option<(SocketAddr, Instant)>,
    strangers: u8,
    done: bool,
    give_up: Instant,
}

impl Shield {
    /// The shield of a leg whose packets carry `ssrc`.
    pub fn new(now: Instant, config: ShieldConfig, ssrc: u32) -> Shield {
        let mut shield = Shield {
            ssrc,
            remote: config.remote,
            security: Security::Plain,
            seal: None,
            open: None,
            former: None,
            dtls: None,
            ice: None,
            data: None,
            secured: None,
            failed: None,
            nominated: None,
            stats: ShieldStats::default(),
        };
        shield.renegotiate(now, config);
        shield
    }

    /// Applies what a re-INVITE says. What did not change goes on as it was, rollover counter and all. New SDES
    /// keys are in force at once, and packets under the former ones are opened for a while. A new DTLS fingerprint
    /// or role begins a handshake, new ICE credentials a restart; the former keys and addresses serve until those
    /// succeed.
    pub fn renegotiate(&mut self, now: Instant, config: ShieldConfig) {
        self.remote = config.remote;
        match (config.ice, &mut self.ice) {
            (Some(new), Some(ice)) => ice.renegotiate(new),
            (Some(new), ice) => *ice = Some(Box::new(Ice::new(new))),
            (None, ice) => *ice = None,
        }
        if config.data {
            self.data.get_or_insert_default();
        } else {
            self.data = None;
        }
        match (&config.security, &self.security) {
            (Security::Plain, _) => {
                (self.seal, self.open, self.former, self.dtls) = (None, None, None, None);
            }
            (Security::Sdes { send, receive }, before) => {
                let (mut new_send, mut new_receive) = (true, true);
                if let Security::Sdes { send: old_send, receive: old_receive } = before {
                    (new_send, new_receive) = (send != old_send, receive != old_receive);
                }
                self.dtls = None;
                self.install(now, new_send.then_some(send), new_receive.then_some(receive));
            }
            // RFC 8842, 3.1: the same certificates and roles are the same association.
            (
                Security::Dtls { identity, role, fingerprint },
                Security::Dtls { identity: i, role: r, fingerprint: f },
            ) if self.dtls.is_some() && Arc::ptr_eq(identity, i) && role == r && fingerprint == f => {}
            (Security::Dtls { identity, role, fingerprint }, _) => {
                let handshake = Handshake::new(now, identity, *role, fingerprint);
                self.dtls = Some(Box::new(Association::new(now, handshake)));
                self.stats.handshakes += 1;
                if let Some(data) = &mut self.data {
                    data.restart();
                }
            }
        }
        self.security = config.security;
        if let Some(association) = &mut self.dtls {
            association.handshake.keep_data(self.data.is_some());
        }
    }

    /// Takes a datagram and says what it is, opened in place. Told apart by the first byte (RFC 7983).
    pub fn open<'a>(&mut self, now: Instant, from: SocketAddr, datagram: &'a mut [u8]) -> Opened<'a> {
        let opened = match datagram.first() {
            Some(0..=3) => self.stun(now, from, datagram),
            Some(20..=63) => self.handshake(now, from, datagram),
            Some(128..=191) => match self.media(now, from, datagram) {
                Ok((true, len, authenticated)) => return Opened::Rtcp { packet: &datagram[..len], authenticated },
                Ok((false, len, authenticated)) => return Opened::Rtp { packet: &datagram[..len], authenticated },
                Err(refusal) => Err(refusal),
            },
            _ => Err(Refusal::Junk),
        };
        match opened {
            Ok(()) => Opened::Nothing,
            Err(refusal) => {
                *self.stats.of(refusal) += 1;
                Opened::Refused(refusal)
            }
        }
    }

    /// Seals the RTP packet of `len` bytes at the start of `datagram`, which needs room for [`super::SEAL_MAX`]
    /// more; the length to send. `None`: do not send it, there are no keys (yet) or no room.
    pub fn seal_rtp(&mut self, datagram: &mut [u8], len: usize) -> Option<usize> {
        match (&mut self.seal, &self.security) {
            (Some(seal), _) => seal.rtp(datagram, len),
            (None, Security::Plain) => Some(len),
            (None, _) => None,
        }
    }

    /// The same for a compound RTCP packet.
    pub fn seal_rtcp(&mut self, datagram: &mut [u8], len: usize) -> Option<usize> {
        match (&mut self.seal, &self.security) {
            (Some(seal), _) => seal.rtcp(datagram, len),
            (None, Security::Plain) => Some(len),
            (None, _) => None,
        }
    }

    /// What is to be sent besides media: answers to checks, flights of a handshake. Call it at every tick, and
    /// after a datagram that was [`Opened::Nothing`], until `None`; `out` has room for a datagram (1,500 bytes).
    pub fn poll(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if let Some(answer) = self.ice.as_mut().and_then(|ice| ice.poll(out)) {
            return Some(answer);
        }
        let association = self.dtls.as_mut()?;
        // With ICE, nothing is sent where no check came from.
        let nominated = self.ice.as_ref().map(|ice| ice.nominated());
        let heard = association.peer.map(|(peer, _)| peer);
        let to = match nominated {
            Some(nominated) => nominated.or(heard),
            None => heard.or(Some(self.remote)),
        };
        if let Some(to) = to {
            let outcome = association.handshake.tick(now);
            self.conclude(now, outcome, true);
            self.send_packet(now);
            let flight = self.dtls.as_mut()?.handshake.poll()?;
            out.get_mut(..flight.len())?.copy_from_slice(&flight);
            return Some((flight.len(), to));
        }
        self.conclude(now, None, true);
        None
    }

    /// What happened on the data channel since the last call; call it until `None`.
    pub fn data(&mut self) -> Option<DataEvent> {
        self.data.as_mut()?.event()
    }

    /// Opens the data channel, if there is one; see [`DataChannel::open`].
    pub fn open_data(&mut self) {
        if let Some(data) = &mut self.data {
            data.open();
        }
    }

    /// Sends a text on the data channel; see [`DataChannel::send`].
    pub fn send_data(&mut self, text: &str) -> bool {
        self.data.as_mut().is_some_and(|data| data.send(text))
    }

    /// What happened since the last call; call it until `None`.
    pub fn event(&mut self) -> Option<ShieldEvent> {
        let failed = self.failed.take().map(ShieldEvent::Failed);
        let secured = || self.secured.take().map(|suite| ShieldEvent::Secured { suite });
        failed.or_else(secured).or_else(|| self.nominated.take().map(ShieldEvent::Nominated))
    }

    /// Whether media can be sent: it needs no keys, or has them.
    pub fn is_open(&self) -> bool {
        self.seal.is_some() || matches!(self.security, Security::Plain)
    }

    /// What happened so far.
    pub fn stats(&self) -> ShieldStats {
        self.stats
    }

    /// Whether it is RTCP, its length, and whether it is authentic.
    fn media(&mut self, now: Instant, from: SocketAddr, datagram: &mut [u8]) -> Result<(bool, usize, bool), Refusal> {
        if self.ice.as_ref().is_some_and(|ice| !ice.is_checked(from)) {
            return Err(Refusal::Unchecked);
        }
        let rtcp = rtp::is_rtcp(datagram);
        let Some(open) = &mut self.open else {
            let plain = matches!(self.security, Security::Plain);
            return if plain { Ok((rtcp, datagram.len(), false)) } else { Err(Refusal::NoKeys) };
        };
        let mut opened = if rtcp { open.rtcp(datagram) } else { open.rtp(datagram) };
        if opened == Err(Refusal::Unauthenticated)
            && let Some((former, until)) = &mut self.former
        {
            if now < *until {
                opened = if rtcp { former.rtcp(datagram) } else { former.rtp(datagram) };
            } else {
                self.former = None;
            }
        }
        opened.map(|len| (rtcp, len, true))
    }

    fn stun(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<(), Refusal> {
        let ice = self.ice.as_mut().ok_or(Refusal::Unexpected)?;
        match ice.handle(now, from, datagram) {
            Check::Passed => self.stats.checks_passed += 1,
            Check::Nominated(address) => {
                self.stats.checks_passed += 1;
                self.nominated = Some(address);
            }
            Check::Refused => self.stats.checks_refused += 1,
            Check::Ignored => {}
            Check::Junk => return Err(Refusal::Junk),
        }
        Ok(())
    }

    fn handshake(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<(), Refusal> {
        if self.ice.as_ref().is_some_and(|ice| !ice.is_checked(from)) {
            return Err(Refusal::Unchecked);
        }
        let checked = self.ice.is_some();
        let known = checked || from.ip().to_canonical() == self.remote.ip().to_canonical();
        let association = self.dtls.as_mut().ok_or(Refusal::Unexpected)?;
        match association.admit(now, from, known, checked) {
            Admission::Refused => return Err(Refusal::Unexpected),
            Admission::Same => {}
            Admission::Other => self.begin_again(now),
        }
        let Some(association) = &mut self.dtls else { return Err(Refusal::Unexpected) };
        association.peer = Some((from, now));
        let outcome = association.handshake.handle(now, datagram);
        self.conclude(now, outcome, known);
        self.take_packets(now);
        Ok(())
    }

    /// Hands what came through the association to the data channel.
    fn take_packets(&mut self, now: Instant) {
        let Some(data) = &mut self.data else { return };
        let Some(association) = &mut self.dtls else { return data.end() };
        while let Some(packet) = association.handshake.received() {
            data.handle(now, &packet);
        }
        if association.handshake.is_over() {
            data.end();
        }
    }

    /// Hands the data channel's next packet to the association, once all that it sent before is gone.
    fn send_packet(&mut self, now: Instant) {
        let (Some(data), Some(association)) = (&mut self.data, &mut self.dtls) else { return };
        let handshake = &mut association.handshake;
        if handshake.is_over() {
            data.end();
        } else if handshake.is_open() && !handshake.is_waiting() {
            data.tick(now);
            if let Some(packet) = data.poll() {
                handshake.send(now, &packet);
            }
        }
    }

    /// `known`: the failure, if it is one, is the other side's and not a stranger's.
    fn conclude(&mut self, now: Instant, outcome: Option<Outcome>, known: bool) {
        let Some(association) = &mut self.dtls else { return };
        let outcome = match outcome {
            None if !association.done && now >= association.give_up => Outcome::Failed(Failure::TimedOut),
            None => return,
            Some(outcome) => outcome,
        };
        match outcome {
            Outcome::Keys { send, receive } => {
                association.done = true;
                self.install(now, Some(&send), Some(&receive));
            }
            Outcome::Failed(failure) if known => {
                self.failed = Some(failure);
                self.dtls = None;
            }
            Outcome::Failed(_) => {
                association.strangers += 1;
                self.begin_again(now);
            }
        }
    }

    /// A new handshake in the place of one with a stranger; the time it may take goes on.
    fn begin_again(&mut self, now: Instant) {
        if let (Some(association), Security::Dtls { identity, role, fingerprint }) = (&mut self.dtls, &self.security) {
            association.handshake = Handshake::new(now, identity, *role, fingerprint);
            association.handshake.keep_data(self.data.is_some());
            association.peer = None;
            self.stats.handshakes += 1;
        }
    }

    fn install(&mut self, now: Instant, send: Option<&Keys>, receive: Option<&Keys>) {
        if let Some(keys) = send {
            self.seal = Some(Box::new(Sealer::new(keys, self.ssrc)));
            self.secured = Some(keys.suite());
            self.stats.keyings += 1;
        }
        if let Some(keys) = receive {
            let opener = Box::new(Opener::new(keys, self.open.as_deref()));
            self.former = self.open.replace(opener).map(|former| (former, now + FORMER_KEYS_FOR));
        }
    }
}

enum Admission {
    /// Go on.
    Same,
    /// Somebody else, who may: begin again.
    Other,
    Refused,
}

impl Association {
    fn new(now: Instant, handshake: Handshake) -> Association {
        Association { handshake, peer: None, strangers: 0, done: false, give_up: now + HANDSHAKE_TIMEOUT }
    }

    /// With ICE, whoever was checked is the other side, wherever it moved. Without, a handshake may come from behind
    /// a NAT, so from anywhere; the signalled host goes first. Once there are keys, only who made them with us is heard.
    fn admit(&self, now: Instant, from: SocketAddr, known: bool, checked: bool) -> Admission {
        match self.peer {
            _ if checked => Admission::Same,
            Some((peer, _)) if peer == from => Admission::Same,
            _ if self.done => Admission::Refused,
            None if known || self.strangers < STRANGERS_MAX => Admission::Same,
            Some(_) if known => Admission::Other,
            Some((_, heard))
                if self.strangers < STRANGERS_MAX && now.saturating_duration_since(heard) > STRANGER_KEEPS =>
            {
                Admission::Other
            }
            _ => Admission::Refused,
        }
    }
}

impl ShieldStats {
    fn of(&mut self, refusal: Refusal) -> &mut u64 {
        match refusal {
            Refusal::Junk => &mut self.junk,
            Refusal::Unexpected => &mut self.unexpected,
            Refusal::NoKeys => &mut self.no_keys,
            Refusal::NotSecured => &mut self.not_secured,
            Refusal::Unauthenticated => &mut self.unauthenticated,
            Refusal::Replayed => &mut self.replayed,
            Refusal::Unchecked => &mut self.unchecked,
        }
    }
}
