//! The calls in progress as the privacy desk reaches them: it takes consent back in a call that goes on, and hears when
//! the call has taken it. Nobody waits for a call longer than one may take, and no words pass here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::privacy::consent::Which;
use ::privacy::{CallId, SubjectId};
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for a call's next tick; one more, and the store does without the call.
const REQUESTS: usize = 4;
/// A call looks every 20 ms. What takes longer is stuck, or is ending.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the desk does to the consent of a call that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Its subject takes it back, outside the call.
    Withdraw(Which),
    /// Everything of its subject is being erased.
    Erase,
}

impl Request {
    /// Which scopes end by it.
    pub fn which(&self) -> &Which {
        match self {
            Self::Withdraw(which) => which,
            Self::Erase => &Which::All,
        }
    }
}

/// A request on its way to its call.
struct Told {
    request: Request,
    taken: oneshot::Sender<()>,
}

struct Seat {
    subject: SubjectId,
    requests: mpsc::Sender<Told>,
}

#[derive(Default)]
pub struct Live {
    calls: Mutex<HashMap<CallId, Seat>>,
}

impl Live {
    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, Seat>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call can be reached from now on, until it drops what it gets here.
    pub fn join(self: &Arc<Self>, call: CallId, subject: SubjectId) -> Requests {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        self.calls().insert(call, Seat { subject, requests });
        Requests { call, live: Arc::clone(self), inbox, pending: vec![] }
    }

    /// The subject's calls that go on.
    pub fn calls_of(&self, subject: SubjectId) -> Vec<CallId> {
        self.calls().iter().filter(|(_, seat)| seat.subject == subject).map(|(call, _)| *call).collect()
    }

    /// Hands a request to its call, now or not at all. What comes back hears when it is taken. None: no such call goes
    /// on, or it has no room.
    pub fn hand(&self, call: CallId, request: Request) -> Option<oneshot::Receiver<()>> {
        let (taken, heard) = oneshot::channel();
        let calls = self.calls();
        let sent = calls.get(&call)?.requests.try_send(Told { request, taken });
        sent.is_ok().then_some(heard)
    }

    /// The same, and waits until the call has taken it. False: it has not, or does not go on; what it would have done
    /// to the records has to be done without it.
    pub async fn tell(&self, call: CallId, request: &Request) -> bool {
        let Some(heard) = self.hand(call, request.clone()) else { return false };
        let taken = matches!(tokio::time::timeout(PATIENCE, heard).await, Ok(Ok(())));
        if !taken {
            tracing::warn!(%call, "a call did not take what the privacy desk told it; the store keeps nothing more of it");
        }
        taken
    }
}

/// A call's own end.
pub struct Requests {
    call: CallId,
    live: Arc<Live>,
    inbox: mpsc::Receiver<Told>,
    /// Taken, while a step of consent is still on its way to the store.
    pending: Vec<oneshot::Sender<()>>,
}

impl Requests {
    /// The next one, and what it asks for. Those before are told with [`settle`](Self::settle).
    pub fn poll(&mut self) -> Option<Request> {
        if self.pending.len() >= REQUESTS {
            return None;
        }
        let Told { request, taken } = self.inbox.try_recv().ok()?;
        self.pending.push(taken);
        Some(request)
    }

    /// What was taken is with the store. Whoever asked may have stopped waiting.
    pub fn settle(&mut self) {
        for taken in self.pending.drain(..) {
            let _ = taken.send(());
        }
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.live.calls().remove(&self.call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_reached_while_it_goes_on_and_nobody_waits_for_a_stuck_one() {
        let (live, subject) = (Arc::new(Live::default()), SubjectId([1; 16]));
        assert!(!live.tell(CallId(1), &Request::Erase).await, "there is none");
        let mut requests = live.join(CallId(1), subject);
        let other = live.join(CallId(2), SubjectId([2; 16]));
        assert_eq!((live.calls_of(subject), live.calls_of(SubjectId([3; 16]))), (vec![CallId(1)], vec![]));
        let mut heard = live.hand(CallId(1), Request::Withdraw(Which::All)).expect("room");
        assert_eq!(requests.poll(), Some(Request::Withdraw(Which::All)));
        assert!(heard.try_recv().is_err(), "taken is what is with the store");
        requests.settle();
        assert!(heard.try_recv().is_ok());
        let waiting: Vec<_> = (0..REQUESTS).map_while(|_| live.hand(CallId(1), Request::Erase)).collect();
        assert!(waiting.len() == REQUESTS && live.hand(CallId(1), Request::Erase).is_none(), "it has a bound");
        assert!(!live.tell(CallId(2), &Request::Erase).await, "it never looks");
        drop((requests, other));
        assert!(live.calls_of(subject).is_empty() && live.hand(CallId(1), Request::Erase).is_none());
    }
}
