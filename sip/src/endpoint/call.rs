//! One call's state: its dialog, where its INVITE stands, what it repeats. It never sends.

use super::config::Reason;
use super::reply::Reply;
use super::table::Key;
use super::transfer::Transfer;
use crate::auth;
use crate::dialog::Dialog;
use crate::peer::Peer;
use crate::sdp::Session;
use crate::transaction::{T1, T1_64, T2};
use std::time::{Duration, Instant};

/// Most branches of one forked call that are followed.
pub(super) const FORKS_MAX: usize = 8;

pub(super) struct Call {
    pub dialog: Dialog,
    pub dialog_key: Key,
    pub phase: Phase,
    /// We made the call, so the Call-ID is ours (RFC 3261 14.1: who waits how long after a collision).
    pub is_caller: bool,
    /// The last event has been said; only the signalling goes on.
    pub is_over: bool,
    /// A 200 to an INVITE that waits for its ACK.
    pub repeat: Option<Repeat>,
    pub theirs: Option<TheirReinvite>,
    pub ours: Option<OurReinvite>,
    /// Our REFER and what it subscribed us to.
    pub transfer: Option<Transfer>,
    /// What our requests prove themselves with.
    pub auth: Option<Box<auth::Client>>,
    /// The reason of a hang-up that waits: for the ACK, or for somebody to send CANCEL to.
    pub goodbye: Option<Reason>,
    pub armed: Option<Instant>,
}

pub(super) enum Phase {
    /// They call, we have not answered.
    Incoming(Box<Incoming>),
    /// We answered, the ACK is not here: `Call::repeat`.
    Answered,
    /// We call, they have not answered.
    Calling(Calling),
    /// They answered with an offer of their own: we owe the ACK, and in it our answer.
    Offered(Offered),
    Established,
    /// A BYE of ours is on its way.
    Ending,
}

pub(super) struct Incoming {
    pub tx: u64,
    /// The INVITE's number, which its ACK repeats.
    pub cseq: u32,
    pub reply: Reply,
    pub has_offer: bool,
    /// When nobody answers any more, and the status for it.
    pub until: (Instant, u16),
    /// RFC 3261 13.3.1.1: a provisional response is repeated every minute.
    pub ringing: Option<(Instant, Vec<u8>)>,
}

pub(super) struct Calling {
    pub tx: u64,
    pub until: Instant,
    pub is_heard: bool,
    pub cancel: Cancel,
    /// Our INVITE had an offer, so what comes back is its answer.
    pub has_offer: bool,
    /// Who was heard so far, in order of appearance.
    pub forks: Vec<Fork>,
}

/// One branch of a forked INVITE of ours (RFC 3261 13.2.2.1), told from the others by its tag.
pub(super) struct Fork {
    tag: Option<String>,
    /// Early media's description.
    sdp: Option<Session>,
}

/// A 2xx that waits for our answer.
pub(super) struct Offered {
    pub tx: u64,
    pub cseq: u32,
    /// `None`: nothing we can read.
    pub offer: Option<Session>,
}

#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Cancel {
    No,
    /// RFC 3261 9.1: not before a provisional response.
    Wanted,
    Sent,
}

impl Calling {
    pub const fn new(tx: u64, until: Instant, has_offer: bool) -> Self {
        Self { tx, until, is_heard: false, cancel: Cancel::No, has_offer, forks: Vec::new() }
    }

    /// A provisional response with this tag: which branch it is; `None`: one more than we follow.
    pub fn hear(&mut self, tag: Option<&str>, sdp: Option<&Session>) -> Option<u16> {
        let known = self.forks.iter().position(|f| f.tag.as_deref() == tag);
        let index = known.unwrap_or(self.forks.len());
        if known.is_none() {
            if index >= FORKS_MAX {
                return None;
            }
            self.forks.push(Fork { tag: tag.map(str::to_owned), sdp: None });
        }
        if let Some((fork, sdp)) = self.forks.get_mut(index).zip(sdp) {
            fork.sdp = Some(sdp.clone());
        }
        u16::try_from(index).ok()
    }

    /// What a branch described before it answered.
    pub fn early_sdp(&mut self, tag: Option<&str>) -> Option<Session> {
        self.forks.iter_mut().find(|f| f.tag.as_deref() == tag)?.sdp.take()
    }

    /// The INVITE goes out again, and nobody has answered that one yet.
    pub fn begin_again(&mut self) {
        self.is_heard = false;
        self.forks.clear();
    }
}

/// A re-INVITE of the peer that our user has not decided.
pub(super) struct TheirReinvite {
    pub tx: u64,
    pub reply: Reply,
    pub cseq: u32,
    pub has_offer: bool,
    pub until: Instant,
}

/// A re-INVITE of ours.
pub(super) struct OurReinvite {
    pub sdp: String,
    /// After a 491: when to try again. Else it is on its way.
    pub again_at: Option<Instant>,
    /// Its number, for ACKs.
    pub cseq: u32,
}

/// A 2xx to an INVITE, sent again until its ACK (RFC 3261 13.3.1.4).
pub(super) struct Repeat {
    pub bytes: Vec<u8>,
    pub to: Peer,
    pub cseq: u32,
    /// The 200 carried our offer: the ACK brings the answer.
    pub has_our_offer: bool,
    pub is_first: bool,
    resend_at: Instant,
    interval: Duration,
    until: Instant,
}

/// What a due 2xx wants.
pub(super) enum RepeatStep {
    Nothing,
    Resend,
    GiveUp,
}

impl Repeat {
    pub fn new(now: Instant, bytes: Vec<u8>, to: Peer, cseq: u32) -> Self {
        let (resend_at, until) = (now + T1, now + T1_64);
        Self { bytes, to, cseq, has_our_offer: false, is_first: true, resend_at, interval: T1, until }
    }

    pub fn on_timeout(&mut self, now: Instant) -> RepeatStep {
        if now >= self.until {
            return RepeatStep::GiveUp;
        }
        if now < self.resend_at {
            return RepeatStep::Nothing;
        }
        self.interval = (self.interval * 2).min(T2);
        self.resend_at = now + self.interval;
        RepeatStep::Resend
    }
}

impl Call {
    pub fn new(dialog: Dialog, dialog_key: Key, phase: Phase, is_caller: bool) -> Self {
        let (repeat, theirs, ours, transfer, goodbye, armed) = (None, None, None, None, None, None);
        let (is_over, auth) = (false, None);
        Self { dialog, dialog_key, phase, is_caller, is_over, repeat, theirs, ours, transfer, auth, goodbye, armed }
    }

    /// A request of ours goes out again under another number (RFC 3261 22.2).
    pub fn renumber(&mut self, old: u32, new: u32) {
        if let Some(ours) = self.ours.as_mut().filter(|o| o.cseq == old) {
            ours.cseq = new;
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.renumber(old, new);
        }
    }

    /// RFC 3261 14.1: no offer of ours while another exchange is open.
    pub fn may_offer(&self) -> bool {
        matches!(self.phase, Phase::Established) && self.theirs.is_none() && self.repeat.is_none()
    }

    pub fn deadline(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Incoming(i) => Some(i.ringing.as_ref().map_or(i.until.0, |(at, _)| i.until.0.min(*at))),
            Phase::Calling(c) => Some(c.until),
            _ => None,
        };
        let repeat = self.repeat.as_ref().map(|r| r.resend_at.min(r.until));
        let theirs = self.theirs.as_ref().map(|t| t.until);
        let ours = self.ours.as_ref().filter(|_| self.may_offer()).and_then(|o| o.again_at);
        let transfer = self.transfer.as_ref().filter(|_| !self.is_over).and_then(Transfer::deadline);
        [phase, repeat, theirs, ours, transfer].into_iter().flatten().min()
    }
}
