//! Calls of web pages, each known to its page by a secret, by which it comes back after a reload or a change between
//! voice and writing. Whose page is gone for too long is ended. It holds no words.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sip::sdp::{LocalMedia, Negotiated};
use tokio::sync::mpsc;
use tracing::info;

use super::access::Seat;
use crate::call::driver::{CallInput, Signal};
use crate::call::{CallId, EndCause};
use crate::clock;
use crate::gateway::Gateway;
use crate::hex::{hex, unhex};
use crate::net::web::WebLine;
use crate::random;

/// How often it is looked who is gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a page shows to come back. Whoever has it has the call.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// `None`: there are no good random numbers.
    pub fn new() -> Option<Self> {
        random::secret().ok().map(Self)
    }

    pub fn parse(text: &str) -> Option<Self> {
        unhex(text)?.try_into().ok().map(Self)
    }
}

/// 32 hexadecimal digits, for the page alone.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A call of a page.
pub struct Session {
    pub call: CallId,
    pub agent: String,
    pub inputs: mpsc::Sender<CallInput>,
    pub seat: Seat,
    pub presence: Presence,
}

/// How its page is there.
pub enum Presence {
    Voice(Box<Voice>),
    /// Its WebSocket is open; the number tells it from those before.
    Chat(u64),
    /// Its WebSocket was closed then.
    Gone(Instant),
}

/// What was agreed on a voice, for an ICE restart.
pub struct Voice {
    pub line: WebLine,
    pub local: LocalMedia,
    pub negotiated: Negotiated,
    /// Of the ICE session.
    pub etag: String,
}

/// A call as its handlers see it.
#[derive(Clone)]
pub struct Handle {
    pub call: CallId,
    pub inputs: mpsc::Sender<CallInput>,
}

/// All of them.
#[derive(Default)]
pub struct Sessions {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<SessionId, Session>,
    chats: u64,
}

impl Sessions {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins.
    pub fn begin(&self, id: SessionId, session: Session) {
        self.table().sessions.insert(id, session);
    }

    /// The call of this secret, if it is with this agent and goes on.
    pub fn find(&self, agent: &str, id: &str) -> Option<(SessionId, Handle)> {
        let id = SessionId::parse(id)?;
        let table = self.table();
        let session = table.sessions.get(&id).filter(|s| s.agent == agent && !s.inputs.is_closed())?;
        Some((id, Handle { call: session.call, inputs: session.inputs.clone() }))
    }

    /// The page talks from now on, or again. False: the call is over.
    pub fn talks(&self, id: SessionId, voice: Voice) -> bool {
        let mut table = self.table();
        let session = table.sessions.get_mut(&id);
        session.map(|s| s.presence = Presence::Voice(Box::new(voice))).is_some()
    }

    /// The page writes from now on; the number is for [`Sessions::left`]. `None`: the call is over.
    pub fn writes(&self, id: SessionId) -> Option<u64> {
        let mut table = self.table();
        table.chats += 1;
        let number = table.chats;
        table.sessions.get_mut(&id)?.presence = Presence::Chat(number);
        Some(number)
    }

    /// The WebSocket of this number was closed. If the page is there by another way already, nothing changes.
    pub fn left(&self, now: Instant, id: SessionId, number: u64) {
        let mut table = self.table();
        if let Some(session) = table.sessions.get_mut(&id)
            && matches!(session.presence, Presence::Chat(n) if n == number)
        {
            session.presence = Presence::Gone(now);
        }
    }

    /// Works on what was agreed on a call's voice. `None`: there is no such call, or it has no voice now.
    pub fn voice<T>(&self, id: SessionId, work: impl FnOnce(&mut Voice, &mpsc::Sender<CallInput>) -> T) -> Option<T> {
        let mut table = self.table();
        let session = table.sessions.get_mut(&id)?;
        match &mut session.presence {
            Presence::Voice(voice) if !voice.line.is_closed() => Some(work(voice, &session.inputs)),
            Presence::Voice(_) | Presence::Chat(_) | Presence::Gone(_) => None,
        }
    }

    /// The page hangs up. False: there is no such call.
    pub fn hang_up(&self, agent: &str, id: &str) -> bool {
        let found = self.find(agent, id);
        let ended = found.and_then(|(id, _)| self.table().sessions.remove(&id));
        ended.map(|session| session.end(EndCause::CallerHungUp)).is_some()
    }

    /// The call is over by itself.
    fn over(&self, call: CallId) {
        self.table().sessions.retain(|_, session| session.call != call);
    }

    /// Ends the calls whose pages were not heard for so long.
    fn sweep(&self, now: Instant, patience: Duration) {
        self.table().sessions.retain(|_, session| {
            let heard = match &session.presence {
                Presence::Voice(voice) => voice.line.heard(),
                Presence::Gone(since) => *since,
                Presence::Chat(_) => now,
            };
            let gone = now.saturating_duration_since(heard) > patience;
            if gone {
                info!(call = %session.call, "its page is gone");
                session.end(EndCause::Lost);
            }
            !gone && !session.inputs.is_closed()
        });
    }

    fn end_all(&self) {
        self.table().sessions.drain().for_each(|(_, session)| session.end(EndCause::Shutdown));
    }

    pub fn len(&self) -> usize {
        self.table().sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Session {
    /// Where the queue is full, the loss of the sender says it.
    fn end(&self, cause: EndCause) {
        let _ = self.inputs.try_send(CallInput::HangUp(cause));
    }
}

/// What a page's call asks of its signalling.
pub fn signaller(
    sessions: &Arc<Sessions>,
    call: CallId,
    inputs: &mpsc::Sender<CallInput>,
) -> Box<dyn Fn(Signal) + Send> {
    let (sessions, inputs) = (Arc::clone(sessions), inputs.downgrade());
    Box::new(move |signal| match signal {
        Signal::HangUp => sessions.over(call),
        // A page cannot be sent to somebody else's phone.
        Signal::Transfer(_) => {
            if let Some(inputs) = inputs.upgrade() {
                let _ = inputs.try_send(CallInput::TransferFailed);
            }
        }
    })
}

/// Ends the calls of pages that are gone, and all of them when the gateway stops.
pub async fn watch(gateway: Arc<Gateway>) {
    let Some(side) = &gateway.web else { return };
    let patience = Duration::from_secs(side.config.reconnect_s.into());
    let mut tick = tokio::time::interval(LOOK_EVERY);
    let stopping = gateway.stopping();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                side.sessions.sweep(clock::now(), patience);
                side.port.publish();
            }
            () = &mut stopping => return side.sessions.end_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::access::Seats;

    fn session(call: u64, agent: &str) -> (SessionId, mpsc::Receiver<CallInput>, Session) {
        let (inputs, inbox) = mpsc::channel(4);
        let seat = Seats::default().take_any();
        let presence = Presence::Chat(0);
        let session = Session { call: CallId(call), agent: agent.into(), inputs, seat, presence };
        (SessionId::new().unwrap(), inbox, session)
    }

    fn ended(inbox: &mut mpsc::Receiver<CallInput>) -> Option<&'static str> {
        match inbox.try_recv() {
            Ok(CallInput::HangUp(cause)) => Some(cause.word()),
            _ => None,
        }
    }

    #[test]
    fn a_page_that_left_is_waited_for() {
        let (sessions, start) = (Sessions::default(), clock::now());
        let (id, mut inbox, session) = session(1, "a");
        sessions.begin(id, session);
        let at = |s| start + Duration::from_secs(s);
        let patience = Duration::from_secs(20);
        let first = sessions.writes(id).unwrap();
        sessions.sweep(at(1_000), patience);
        assert_eq!(ended(&mut inbox), None, "its WebSocket is open");
        // A reload: the new connection is there before the old one is missed.
        let second = sessions.writes(id).unwrap();
        sessions.left(at(1_000), id, first);
        sessions.sweep(at(2_000), patience);
        sessions.left(at(2_000), id, second);
        sessions.sweep(at(2_020), patience);
        assert_eq!((ended(&mut inbox), sessions.len()), (None, 1));
        sessions.sweep(at(2_021), patience);
        assert_eq!((ended(&mut inbox), sessions.len()), (Some("lost"), 0));
        assert!(sessions.writes(id).is_none());
    }

    #[test]
    fn a_secret_opens_one_call_with_one_agent() {
        let sessions = Sessions::default();
        let (id, mut inbox, session) = session(1, "a");
        sessions.begin(id, session);
        let text = id.to_string();
        assert_eq!(text.len(), 32);
        assert!(sessions.find("a", &text).is_some_and(|(_, handle)| handle.call == CallId(1)));
        for (agent, wrong) in [("b", text.as_str()), ("a", &text[..30]), ("a", ""), ("a", &"0".repeat(32))] {
            assert!(sessions.find(agent, wrong).is_none());
            assert!(!sessions.hang_up(agent, wrong));
        }
        assert!(sessions.hang_up("a", &text) && !sessions.hang_up("a", &text));
        assert_eq!(ended(&mut inbox), Some("caller_hung_up"));
    }

    #[test]
    fn a_call_that_is_over_is_forgotten() {
        let sessions = Arc::new(Sessions::default());
        let (id, mut inbox, session) = session(1, "a");
        let signal = signaller(&sessions, CallId(1), &session.inputs);
        sessions.begin(id, session);
        signal(Signal::Transfer("sip:person@127.0.0.1".into()));
        assert!(matches!(inbox.try_recv(), Ok(CallInput::TransferFailed)));
        signal(Signal::HangUp);
        assert!(sessions.is_empty());
        assert!(matches!(inbox.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)), "nobody else can reach it");
        // One whose shard lost it, without a word.
        let (id, inbox, lost) = self::session(2, "a");
        sessions.begin(id, lost);
        drop(inbox);
        assert!(sessions.find("a", &id.to_string()).is_none());
        sessions.sweep(clock::now(), Duration::from_secs(20));
        assert!(sessions.is_empty());
    }
}
