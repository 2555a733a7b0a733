//! ICE of a lite agent (RFC 8445, 2.5): it answers connectivity checks and learns from them where the other
//! side can be reached. It checks nothing itself, and believes nobody who does not know our password.
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::stun::{self, Binding, Class, Transaction, UNKNOWN_MAX};

/// Addresses that passed a check and are remembered.
const CHECKED_MAX: usize = 8;
/// Answers that wait to be sent.
const ANSWERS_MAX: usize = 8;
/// A full agent checks every 50 ms at most (RFC 8445, 14.2), for all its candidates together.
const ANSWER_EVERY: Duration = Duration::from_millis(20);
/// To whom we do not know we say no more than this often.
const ERROR_EVERY: Duration = Duration::from_millis(200);
/// How many may be answered at once after a pause.
const BURST: u32 = 10;
/// With aggressive nomination (RFC 5245, 8.1.1.2) every check nominates; for this long the one of highest
/// priority stands, then the latest.
const STANDS_FOR: Duration = Duration::from_secs(3);

/// Our half of the credentials; the other side's are needed by who checks, and we do not.
#[derive(Clone, PartialEq, Eq)]
pub struct IceConfig {
    /// `ice-ufrag` of our SDP.
    pub local_ufrag: String,
    /// `ice-pwd` of our SDP, 22 characters or more of chance.
    pub local_pwd: String,
}

impl std::fmt::Debug for IceConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceConfig").finish_non_exhaustive()
    }
}

/// What became of a STUN datagram.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Check {
    /// Passed; an answer waits.
    Passed,
    /// Passed, and media goes there from now on.
    Nominated(SocketAddr),
    /// Not a check: an indication that keeps a NAT open, or an answer to nothing.
    Ignored,
    /// Wrong credentials, attributes that we do not know, or too many; perhaps an error waits.
    Refused,
    /// Not STUN.
    Junk,
}

pub(super) struct Ice {
    config: IceConfig,
    /// Most recently checked first.
    checked: Vec<SocketAddr>,
    nominated: Option<Nominated>,
    answers: VecDeque<Answer>,
    for_checks: Allowance,
    for_strangers: Allowance,
}

#[derive(Copy, Clone)]
struct Nominated {
    address: SocketAddr,
    priority: u32,
    at: Instant,
}

struct Answer {
    to: SocketAddr,
    transaction: Transaction,
    kind: Kind,
}

#[derive(Copy, Clone)]
enum Kind {
    Success,
    Unknown([u16; UNKNOWN_MAX]),
    Refused(u16),
}

impl Ice {
    pub fn new(config: IceConfig) -> Ice {
        Ice {
            config,
            checked: Vec::with_capacity(CHECKED_MAX + 1),
            nominated: None,
            answers: VecDeque::with_capacity(ANSWERS_MAX),
            for_checks: Allowance::new(ANSWER_EVERY),
            for_strangers: Allowance::new(ERROR_EVERY),
        }
    }

    /// New credentials restart ICE (RFC 8445, 9): media goes on where it goes until the other side
    /// nominates anew. The same ones change nothing.
    pub fn renegotiate(&mut self, config: IceConfig) {
        if config != self.config {
            self.config = config;
            self.answers.clear();
            // Whatever is nominated next stands, whichever priority the former one had.
            if let Some(nominated) = &mut self.nominated {
                nominated.priority = 0;
            }
        }
    }

    /// Takes a datagram that looks like STUN.
    pub fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Check {
        let Some(binding) = Binding::read(datagram) else { return Check::Junk };
        if binding.class != Class::Request {
            return Check::Ignored;
        }
        // RFC 8489, 9.1.3 and RFC 8445, 7.3: our fragment is what comes before the colon.
        let ours = |name: &[u8]| name.split(|b| *b == b':').next() == Some(self.config.local_ufrag.as_bytes());
        let error = match binding.username {
            Some(name) if binding.is_signed() => {
                (!ours(name) || !binding.is_by(&self.config.local_pwd)).then_some(Kind::Refused(401))
            }
            _ => Some(Kind::Refused(400)),
        };
        if let Some(kind) = error {
            // An error to a forged address must not be longer than what provoked it, nor come often.
            if datagram.len() >= stun::ANSWER_MAX / 2 && self.for_strangers.take(now) {
                self.answer(Answer { to: from, transaction: binding.transaction, kind });
            }
            return Check::Refused;
        }
        if !self.for_checks.take(now) {
            return Check::Refused;
        }
        if binding.unknown[0] != 0 {
            let kind = Kind::Unknown(binding.unknown);
            self.answer(Answer { to: from, transaction: binding.transaction, kind });
            return Check::Refused;
        }
        self.answer(Answer { to: from, transaction: binding.transaction, kind: Kind::Success });
        let at = self.checked.iter().position(|address| *address == from).unwrap_or_else(|| {
            self.checked.truncate(CHECKED_MAX - 1);
            self.checked.push(from);
            self.checked.len() - 1
        });
        self.checked[..=at].rotate_right(1);
        if binding.use_candidate { self.nominate(now, from, binding.priority) } else { Check::Passed }
    }

    /// Whether the address passed a check, or media goes there.
    pub fn is_checked(&self, address: SocketAddr) -> bool {
        self.nominated() == Some(address) || self.checked.contains(&address)
    }

    /// Where media goes; `None` before the other side said so.
    pub fn nominated(&self) -> Option<SocketAddr> {
        self.nominated.map(|nominated| nominated.address)
    }

    /// Writes an answer, if one waits.
    pub fn poll(&mut self, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let Answer { to, transaction, kind } = self.answers.pop_front()?;
        let password = self.config.local_pwd.as_str();
        let len = match kind {
            Kind::Success => stun::write_success(out, &transaction, to, password),
            Kind::Unknown(list) => stun::write_error(out, &transaction, 420, &list, Some(password)),
            Kind::Refused(code) => stun::write_error(out, &transaction, code, &[], None),
        };
        len.map(|len| (len, to))
    }

    fn nominate(&mut self, now: Instant, address: SocketAddr, priority: u32) -> Check {
        let better = self.nominated.is_none_or(|n| {
            n.address == address || priority >= n.priority || now.saturating_duration_since(n.at) > STANDS_FOR
        });
        if !better {
            return Check::Passed;
        }
        let moved = self.nominated() != Some(address);
        self.nominated = Some(Nominated { address, priority, at: now });
        if moved { Check::Nominated(address) } else { Check::Passed }
    }

    /// When full, the oldest goes: its check is sent again anyway.
    fn answer(&mut self, answer: Answer) {
        if self.answers.len() == ANSWERS_MAX {
            self.answers.pop_front();
        }
        self.answers.push_back(answer);
    }
}

/// So many a second and no more, after a pause a burst at once.
struct Allowance {
    every: Duration,
    left: u32,
    filled: Option<Instant>,
}

impl Allowance {
    fn new(every: Duration) -> Allowance {
        Allowance { every, left: BURST, filled: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let filled = self.filled.get_or_insert(now);
        let more = (now.saturating_duration_since(*filled).as_nanos() / self.every.as_nanos()) as u32;
        if more >= BURST {
            (self.left, *filled) = (BURST, now);
        } else {
            self.left = BURST.min(self.left + more);
            *filled += self.every * more;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}
