//! The server machines: INVITE (RFC 3261 17.2.1, RFC 6026 8.5) and the rest (17.2.2). They keep the last response and never build one.

use super::{T1, T1_64, T2, T4, unless_reliable};
use crate::peer::Transport;
use std::time::{Duration, Instant};

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    /// Trying, Proceeding: the user of the transaction bounds it.
    Open,
    /// Timer G resends the failure until timer H.
    Completed {
        /// `None` over a reliable transport.
        resend_at: Option<Instant>,
        interval: Duration,
        until: Instant,
    },
    /// Timer I soaks up further ACKs.
    Confirmed {
        until: Instant,
    },
    /// RFC 6026: timer L soaks up INVITEs behind a 2xx, which its user retransmits.
    Accepted {
        until: Instant,
    },
    /// Timer J (not INVITE).
    Answered {
        until: Instant,
    },
    Terminated,
}

/// RFC 3261 17.2.1.
#[derive(Debug)]
pub(crate) struct InviteServer {
    state: State,
    transport: Transport,
    last: Vec<u8>,
}

impl InviteServer {
    /// With its first response, 100.
    pub const fn new(trying: Vec<u8>, transport: Transport) -> Self {
        Self { state: State::Open, transport, last: trying }
    }

    /// The last response again, for a retransmitted INVITE. `None`: absorb it; in Accepted the 2xx is
    /// its user's to repeat.
    pub fn on_retransmit(&self) -> Option<&[u8]> {
        matches!(self.state, State::Open | State::Completed { .. }).then_some(&self.last)
    }

    /// Its user sends a response; false: too late, do not send.
    pub fn on_response(&mut self, now: Instant, status: u16, bytes: &[u8]) -> bool {
        if self.state != State::Open {
            return false;
        }
        let is_accepted = (200..300).contains(&status);
        // A 2xx is its user's to repeat; nothing is kept here.
        self.last = if is_accepted { Vec::new() } else { bytes.to_vec() };
        self.state = match status {
            0..=199 => State::Open,
            _ if is_accepted => State::Accepted { until: now + T1_64 },
            _ => {
                let resend_at = (!self.transport.is_reliable()).then_some(now + T1);
                State::Completed { resend_at, interval: T1, until: now + T1_64 }
            }
        };
        true
    }

    /// The ACK of a failure.
    pub fn on_ack(&mut self, now: Instant) {
        if let State::Completed { .. } = self.state {
            self.state = State::Confirmed { until: now + unless_reliable(self.transport, T4) };
            self.last = Vec::new();
        }
    }

    /// The response to send again.
    pub fn on_timeout(&mut self, now: Instant) -> Option<&[u8]> {
        match &mut self.state {
            State::Completed { until, .. } | State::Confirmed { until } | State::Accepted { until }
                if now >= *until =>
            {
                self.state = State::Terminated;
                None
            }
            State::Completed { resend_at: Some(resend_at), interval, .. } if now >= *resend_at => {
                // Timer G doubles up to T2.
                *interval = (*interval * 2).min(T2);
                *resend_at = now + *interval;
                Some(&self.last)
            }
            _ => None,
        }
    }

    /// Still without a final response?
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub fn deadline(&self) -> Option<Instant> {
        deadline(self.state)
    }

    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }
}

/// RFC 3261 17.2.2.
#[derive(Debug)]
pub(crate) struct RequestServer {
    state: State,
    transport: Transport,
    last: Vec<u8>,
}

impl RequestServer {
    /// With its final response.
    pub fn new(now: Instant, last: Vec<u8>, transport: Transport) -> Self {
        Self { state: State::Answered { until: now + unless_reliable(transport, T1_64) }, transport, last }
    }

    /// Its user has to think. No 100 is sent meanwhile (RFC 4320 4.1).
    pub const fn waiting(transport: Transport) -> Self {
        Self { state: State::Open, transport, last: Vec::new() }
    }

    /// The response again. `None`: there is none so far.
    pub fn on_retransmit(&self) -> Option<&[u8]> {
        (self.state != State::Open).then_some(&self.last)
    }

    /// Its user sends the final response; false: too late, do not send.
    pub fn on_response(&mut self, now: Instant, bytes: &[u8]) -> bool {
        if self.state != State::Open {
            return false;
        }
        *self = Self::new(now, bytes.to_vec(), self.transport);
        true
    }

    pub fn on_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| now >= at) {
            self.state = State::Terminated;
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        deadline(self.state)
    }

    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }
}

fn deadline(state: State) -> Option<Instant> {
    match state {
        State::Completed { resend_at, until, .. } => Some(resend_at.map_or(until, |at| at.min(until))),
        State::Confirmed { until } | State::Accepted { until } | State::Answered { until } => Some(until),
        State::Open | State::Terminated => None,
    }
}
