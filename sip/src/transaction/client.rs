//! The client machines: INVITE (RFC 3261 17.1.1, RFC 6026 8.4) and the rest (17.1.2). They never look into a message.

use super::{T1, T1_64, T2, T4, TIMER_D, unless_reliable};
use crate::peer::Transport;
use std::time::{Duration, Instant};

/// What a client machine asks for.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ClientStep {
    /// Send the request again.
    pub resend: bool,
    /// Acknowledge a failure, hop by hop (17.1.1.3).
    pub ack: bool,
    /// Tell the user of the transaction about the response.
    pub up: bool,
    /// Tell it that nobody answered.
    pub timeout: bool,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    /// Calling, or Trying.
    Calling {
        /// Timer A or E; `None` over a reliable transport.
        resend_at: Option<Instant>,
        interval: Duration,
        until: Instant,
    },
    /// INVITE: no timer runs, the caller bounds it, unless it `ends`. Others: still retransmitting every T2.
    Proceeding {
        resend_at: Option<Instant>,
        until: Option<Instant>,
    },
    /// Timer D or K.
    Completed {
        until: Instant,
    },
    /// RFC 6026: timer M, 2xx responses go up.
    Accepted {
        until: Instant,
    },
    Terminated,
}

/// RFC 3261 17.1.1.
#[derive(Debug)]
pub(crate) struct InviteClient {
    state: State,
    transport: Transport,
    /// When it ends without a final response, whatever else was heard.
    ends: Option<Instant>,
}

impl InviteClient {
    /// The request was just sent; `within`: how long nobody may answer.
    pub fn new(now: Instant, transport: Transport, within: Duration) -> Self {
        Self { state: calling(now, transport, within), transport, ends: None }
    }

    /// Where no caller bounds it.
    pub const fn ending(mut self, at: Instant) -> Self {
        self.ends = Some(at);
        self
    }

    /// Nobody waits for it any more, so nothing is sent again; but what it was sent to may answer late.
    pub fn abandoned(now: Instant, transport: Transport) -> Self {
        let until = now + T1_64;
        Self { state: State::Calling { resend_at: None, interval: T1, until }, transport, ends: Some(until) }
    }

    pub fn on_response(&mut self, now: Instant, status: u16) -> ClientStep {
        let early = matches!(self.state, State::Calling { .. } | State::Proceeding { .. });
        let up = ClientStep { up: true, ..ClientStep::default() };
        match (self.state, status) {
            (_, 100..=199) if early => {
                self.state = State::Proceeding { resend_at: None, until: self.ends };
                up
            }
            (_, 200..=299) if early => {
                self.state = State::Accepted { until: now + T1_64 };
                up
            }
            (_, 300..) if early => {
                self.state = State::Completed { until: now + unless_reliable(self.transport, TIMER_D) };
                ClientStep { up: true, ack: true, ..ClientStep::default() }
            }
            // RFC 6026 7.2: every further 2xx, retransmitted or from another branch, goes up.
            (State::Accepted { .. }, 200..=299) => up,
            (State::Completed { .. }, 300..) => ClientStep { ack: true, ..ClientStep::default() },
            _ => ClientStep::default(),
        }
    }

    pub fn on_timeout(&mut self, now: Instant) -> ClientStep {
        match &mut self.state {
            State::Calling { until, .. } | State::Proceeding { until: Some(until), .. } if now >= *until => {
                self.state = State::Terminated;
                ClientStep { timeout: true, ..ClientStep::default() }
            }
            State::Calling { resend_at: Some(resend_at), interval, .. } if now >= *resend_at => {
                // Timer A doubles without a cap (17.1.1.2).
                *interval *= 2;
                *resend_at = now + *interval;
                ClientStep { resend: true, ..ClientStep::default() }
            }
            State::Completed { until } | State::Accepted { until } if now >= *until => {
                self.state = State::Terminated;
                ClientStep::default()
            }
            _ => ClientStep::default(),
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        deadline(self.state)
    }

    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Nobody has answered anything.
    pub const fn is_unheard(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }
}

/// RFC 3261 17.1.2.
#[derive(Debug)]
pub(crate) struct RequestClient {
    state: State,
    transport: Transport,
    /// Timer F.
    ends: Instant,
}

impl RequestClient {
    /// The request was just sent; `within`: how long nobody may answer.
    pub fn new(now: Instant, transport: Transport, within: Duration) -> Self {
        Self { state: calling(now, transport, within), transport, ends: now + T1_64 }
    }

    pub fn on_response(&mut self, now: Instant, status: u16) -> ClientStep {
        let up = ClientStep { up: true, ..ClientStep::default() };
        match (self.state, status) {
            (State::Calling { .. }, 100..=199) => {
                let resend_at = (!self.transport.is_reliable()).then_some(now + T2);
                self.state = State::Proceeding { resend_at, until: Some(self.ends) };
                up
            }
            (State::Proceeding { .. }, 100..=199) => up,
            (State::Calling { .. } | State::Proceeding { .. }, 200..) => {
                self.state = State::Completed { until: now + unless_reliable(self.transport, T4) };
                up
            }
            _ => ClientStep::default(),
        }
    }

    pub fn on_timeout(&mut self, now: Instant) -> ClientStep {
        let resend = ClientStep { resend: true, ..ClientStep::default() };
        match &mut self.state {
            State::Calling { until, .. } | State::Proceeding { until: Some(until), .. } if now >= *until => {
                self.state = State::Terminated;
                ClientStep { timeout: true, ..ClientStep::default() }
            }
            State::Calling { resend_at: Some(resend_at), interval, .. } if now >= *resend_at => {
                // Timer E doubles up to T2 (17.1.2.2).
                *interval = (*interval * 2).min(T2);
                *resend_at = now + *interval;
                resend
            }
            State::Proceeding { resend_at: Some(at), .. } if now >= *at => {
                *at = now + T2;
                resend
            }
            State::Completed { until } if now >= *until => {
                self.state = State::Terminated;
                ClientStep::default()
            }
            _ => ClientStep::default(),
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        deadline(self.state)
    }

    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Nobody has answered anything.
    pub const fn is_unheard(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }
}

fn calling(now: Instant, transport: Transport, within: Duration) -> State {
    let resend_at = (!transport.is_reliable()).then_some(now + T1);
    State::Calling { resend_at, interval: T1, until: now + within.min(T1_64) }
}

fn deadline(state: State) -> Option<Instant> {
    match state {
        State::Calling { resend_at, until, .. } => Some(resend_at.map_or(until, |at| at.min(until))),
        State::Proceeding { resend_at, until } => [resend_at, until].into_iter().flatten().min(),
        State::Completed { until } | State::Accepted { until } => Some(until),
        State::Terminated => None,
    }
}
