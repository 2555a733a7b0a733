//! One call's state: its dialog, where its INVITE stands, what it repeats. It never sends.

use super::config::Reason;
use super::early::Early;
use super::referred::Referred;
use super::reliable::Reliable;
use super::reply::Reply;
use super::session::{Ask, SessionTimer};
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
    /// Their REFER and what it subscribed them to.
    pub referred: Option<Referred>,
    /// What we told reliably before our answer.
    pub reliable: Reliable,
    /// The early dialogs of a call of ours: one for each phone that was heard of.
    pub early: Vec<Early>,
    pub session: SessionTimer,
    /// Our description that both sides agreed on, for refreshes.
    pub described: String,
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
    pub ringing: Option<Ringing>,
    /// What it says about session timers.
    pub ask: Ask,
    /// The call whose place it takes.
    pub replaces: Option<u64>,
    /// What our user adds to the 200.
    pub headers: Vec<(String, String)>,
}

/// RFC 3261 13.3.1.1: a provisional response is repeated every minute.
pub(super) struct Ringing {
    pub at: Instant,
    pub status: u16,
    /// `None`: it went out reliably, so the next is a new one (RFC 3262 3).
    pub bytes: Option<Vec<u8>>,
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

/// What carries an offer within a call.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Carrier {
    Invite,
    /// RFC 3311.
    Update,
    /// RFC 3262 5.
    Prack,
}

/// A change of the peer's that our user has not decided.
pub(super) struct TheirReinvite {
    pub carrier: Carrier,
    /// What it says about session timers.
    pub ask: Ask,
    /// Its tag and its offer, where the call is ours and not answered: what media goes by from then on.
    pub early_offer: Option<(String, Session)>,
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
    /// Nobody asked for it but the session timer (RFC 4028).
    pub is_refresh: bool,
    /// What our user asked for while a refresh was on its way.
    pub then: Option<String>,
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
        Self {
            dialog,
            dialog_key,
            phase,
            is_caller,
            is_over: false,
            repeat: None,
            theirs: None,
            ours: None,
            transfer: None,
            auth: None,
            referred: None,
            reliable: Reliable::default(),
            early: Vec::new(),
            session: SessionTimer::default(),
            described: String::new(),
            goodbye: None,
            armed: None,
        }
    }

    /// A request of ours goes out again under another number (RFC 3261 22.2).
    pub fn renumber(&mut self, old: u32, new: u32) {
        if let Some(ours) = self.ours.as_mut().filter(|o| o.cseq == old) {
            ours.cseq = new;
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.renumber(old, new);
        }
        // It may have been a PRACK; a number left out does no harm (12.2.2).
        for early in &mut self.early {
            early.dialog.local_cseq = early.dialog.local_cseq.max(new);
        }
    }

    /// RFC 3261 14.1: no offer of ours while another exchange is open.
    pub fn may_offer(&self) -> bool {
        matches!(self.phase, Phase::Established) && self.theirs.is_none() && self.repeat.is_none()
    }

    /// The status that refuses an offer of theirs now (RFC 3261 14.2, RFC 3311 5.2): 500 where we owe
    /// the answer to an earlier one, 491 where they owe one to us.
    pub fn offer_clash(&self, remote_tag: Option<&str>) -> Option<u16> {
        if self.theirs.is_some() {
            return Some(500);
        }
        match &self.phase {
            Phase::Incoming(incoming) if incoming.has_offer => (!self.reliable.is_described()).then_some(500),
            Phase::Incoming(_) => self.reliable.their_answer.is_none().then_some(491),
            Phase::Offered(_) => Some(491),
            Phase::Calling(_) => self.early_of(remote_tag).is_none_or(|e| e.remote.is_none()).then_some(491),
            // RFC 5407 3.1.4: nor before the ACK of a 200.
            _ => {
                let is_ours_open = self.ours.as_ref().is_some_and(|o| o.again_at.is_none());
                (is_ours_open || self.repeat.is_some()).then_some(491)
            }
        }
    }

    /// The dialog that a message with this remote tag belongs to.
    pub fn dialog_with(&mut self, remote_tag: Option<&str>) -> Option<&mut Dialog> {
        if self.dialog.matches(remote_tag) {
            return Some(&mut self.dialog);
        }
        self.early.iter_mut().map(|e| &mut e.dialog).find(|d| d.matches(remote_tag))
    }

    pub fn early_of(&self, remote_tag: Option<&str>) -> Option<&Early> {
        self.early.iter().find(|e| e.dialog.matches(remote_tag))
    }

    pub fn deadline(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Incoming(i) => {
                let again = [i.ringing.as_ref().map(|r| r.at), self.reliable.deadline()];
                again.into_iter().flatten().chain([i.until.0]).min()
            }
            Phase::Calling(c) => Some(c.until),
            Phase::Established => self.session.deadline().filter(|_| !self.is_over),
            _ => None,
        };
        let repeat = self.repeat.as_ref().map(|r| r.resend_at.min(r.until));
        let theirs = self.theirs.as_ref().map(|t| t.until);
        let ours = self.ours.as_ref().filter(|_| self.may_offer()).and_then(|o| o.again_at);
        let transfer = self.transfer.as_ref().filter(|_| !self.is_over).and_then(Transfer::deadline);
        let referred = self.referred.as_ref().map(|r| r.until);
        [phase, repeat, theirs, ours, transfer, referred].into_iter().flatten().min()
    }
}
