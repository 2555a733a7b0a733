//! Engine threads: a bounded queue of jobs, worked off in the order they are due, and the box in which a line finds its
//! answers. Knows nothing of speech, never blocks the asking side and never lets a cancelled answer through.

use crate::slots::{Slot, Slots};
use crate::{Due, Wake};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// A panic in one job must not take the queue with it: what a lock guards here is whole after every statement.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request's right to an answer; cancelling it makes the answer vanish wherever it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ticket(Arc<AtomicBool>);

impl Ticket {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Answers on their way from an engine's thread to one line. Its bound is the line's: one ticket per queued job.
pub(crate) struct Outbox<T> {
    answers: Mutex<VecDeque<(Ticket, T)>>,
    wake: Wake,
}

impl<T> Outbox<T> {
    pub(crate) fn new(wake: Wake) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(VecDeque::new()), wake })
    }

    pub(crate) fn send(&self, ticket: &Ticket, answer: T) {
        if ticket.cancelled() {
            return;
        }
        locked(&self.answers).push_back((ticket.clone(), answer));
        (self.wake)();
    }

    pub(crate) fn receive(&self) -> Option<T> {
        let mut answers = locked(&self.answers);
        while let Some((ticket, answer)) = answers.pop_front() {
            if !ticket.cancelled() {
                return Some(answer);
            }
        }
        None
    }

    /// Whether a live answer waits.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> bool {
        locked(&self.answers).iter().any(|(ticket, _)| !ticket.cancelled())
    }
}

/// A job on its way to an engine.
pub(crate) struct Entry<R> {
    line: u64,
    pub(crate) ticket: Ticket,
    request: R,
}

struct State<R> {
    /// By when they are due; of those due at once, in the order asked.
    entries: BTreeMap<(Due, u64), Entry<R>>,
    asked: u64,
    closed: bool,
}

impl<R> State<R> {
    fn insert(&mut self, due: Due, entry: Entry<R>) {
        self.entries.insert((due, self.asked), entry);
        self.asked += 1;
    }
}

/// Jobs waiting for an engine, in the order they are due.
pub(crate) struct Queue<R> {
    state: Mutex<State<R>>,
    ready: Condvar,
    capacity: usize,
}

/// The queue is full; nothing was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<R> Queue<R> {
    fn new(capacity: usize) -> Self {
        let state = State { entries: BTreeMap::new(), asked: 0, closed: false };
        Self { state: Mutex::new(state), ready: Condvar::new(), capacity }
    }

    /// Adds a job. Cancelled jobs make room first; a job that finds none is cancelled itself.
    pub(crate) fn add(&self, line: u64, ticket: &Ticket, due: Due, request: R) -> Result<(), Full> {
        let mut state = locked(&self.state);
        if state.entries.len() >= self.capacity {
            state.entries.retain(|_, entry| !entry.ticket.cancelled());
        }
        if state.closed || state.entries.len() >= self.capacity {
            ticket.cancel();
            return Err(Full);
        }
        state.insert(due, Entry { line, ticket: ticket.clone(), request });
        self.ready.notify_one();
        Ok(())
    }

    /// Adds a job instead of the line's unstarted one, if there is one; it takes the place that its due time gives it.
    pub(crate) fn replace(&self, line: u64, ticket: &Ticket, due: Due, request: R) -> Result<(), Full> {
        {
            let mut state = locked(&self.state);
            let old = state.entries.iter().find(|(_, entry)| entry.line == line).map(|(key, _)| *key);
            if let Some(entry) = old.and_then(|key| state.entries.remove(&key)) {
                entry.ticket.cancel();
                state.insert(due, Entry { line, ticket: ticket.clone(), request });
                self.ready.notify_one();
                return Ok(());
            }
        }
        self.add(line, ticket, due, request)
    }

    /// Since when somebody waits, of all the jobs that have not started.
    pub(crate) fn due_since(&self) -> Option<Instant> {
        let state = locked(&self.state);
        let first = state.entries.iter().find(|(_, entry)| !entry.ticket.cancelled());
        first.and_then(|((due, _), _)| if let Due::By(at) = due { Some(*at) } else { None })
    }

    /// The job that is due first; waits for one. None: the crew ends.
    pub(crate) fn take(&self) -> Option<Entry<R>> {
        let mut state = locked(&self.state);
        loop {
            if state.closed {
                return None;
            }
            if let Some((_, entry)) = state.entries.pop_first() {
                return Some(entry);
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        let waiting = {
            let mut state = locked(&self.state);
            state.closed = true;
            std::mem::take(&mut state.entries)
        };
        self.ready.notify_all();
        // Their answers ("failed") go out here, not under the lock.
        drop(waiting);
    }
}

/// The threads of one engine, their queue and their places. Dropping it ends the threads after the job at hand.
pub(crate) struct Crew<R> {
    pub(crate) queue: Arc<Queue<R>>,
    slots: Slots,
    lines: AtomicU64,
    threads: Vec<JoinHandle<()>>,
}

/// One line's way to a crew.
pub(crate) struct Line<R> {
    pub(crate) queue: Arc<Queue<R>>,
    pub(crate) number: u64,
    _slot: Slot,
}

impl<R: Send + 'static> Crew<R> {
    /// Starts one thread per worker, named `name-0`, `name-1`, ... The queue holds `per_line` jobs for every slot.
    pub(crate) fn start<W>(name: &str, workers: Vec<W>, per_line: usize, slots: u32) -> std::io::Result<Self>
    where
        W: FnMut(&Ticket, R) + Send + 'static,
    {
        // One line more: what the gateway prepares for itself.
        let capacity = per_line * (slots as usize + 1);
        let queue = Arc::new(Queue::new(capacity));
        let mut crew = Self { queue, slots: Slots::new(slots), lines: AtomicU64::new(0), threads: Vec::new() };
        for (number, mut work) in workers.into_iter().enumerate() {
            let queue = Arc::clone(&crew.queue);
            let body = move || serve(&queue, &mut work);
            crew.threads.push(std::thread::Builder::new().name(format!("{name}-{number}")).spawn(body)?);
        }
        Ok(crew)
    }

    /// Takes a place, if one is free.
    pub(crate) fn line(&self) -> Option<Line<R>> {
        let slot = self.slots.take()?;
        let number = self.lines.fetch_add(1, Ordering::Relaxed);
        Some(Line { queue: Arc::clone(&self.queue), number, _slot: slot })
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }
}

/// How much nicer than the media threads an engine's thread is: about half their share of a busy core.
const NICENESS: &str = "3";

/// Makes the calling thread give way to media. Best effort, by the system's own tool: the call behind it is unsafe.
fn give_way() {
    // The link reads "PID/task/TID"; Linux keeps a niceness for each thread.
    let thread = std::fs::read_link("/proc/thread-self").ok();
    let Some(thread) = thread.as_deref().and_then(std::path::Path::file_name) else { return };
    let mut renice = Command::new("renice");
    renice.args(["-n", NICENESS, "-p"]).arg(thread).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !renice.status().is_ok_and(|status| status.success()) {
        tracing::debug!("an engine's thread keeps the priority of media");
    }
}

fn serve<R>(queue: &Queue<R>, work: &mut impl FnMut(&Ticket, R)) {
    give_way();
    while let Some(Entry { ticket, request, .. }) = queue.take() {
        if ticket.cancelled() {
            continue;
        }
        // A job that panics answers through its request's Drop; the thread lives on for the other lines.
        if catch_unwind(AssertUnwindSafe(|| work(&ticket, request))).is_err() {
            tracing::error!(thread = std::thread::current().name(), "an engine job panicked");
        }
        media::wipe_stack();
    }
}

impl<R> Drop for Crew<R> {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    type Letter = (Arc<Outbox<String>>, String);

    fn quiet() -> Wake {
        Arc::new(|| {})
    }

    /// A crew of one that answers each text once the gate opens, and a way to open it.
    fn gated(slots: u32) -> (Crew<Letter>, std::sync::mpsc::SyncSender<()>) {
        let (open, gate) = sync_channel::<()>(16);
        let work = move |ticket: &Ticket, (outbox, text): Letter| {
            let _ = gate.recv();
            assert!(text != "boom", "told to");
            outbox.send(ticket, text);
        };
        (Crew::start("test", vec![work], 1, slots).unwrap(), open)
    }

    fn drain(
        crew: Crew<Letter>,
        open: &std::sync::mpsc::SyncSender<()>,
        outbox: &Outbox<String>,
        jobs: usize,
    ) -> Vec<String> {
        for _ in 0..jobs {
            open.send(()).unwrap();
        }
        let mut heard = Vec::new();
        while heard.len() < jobs {
            if locked(&crew.queue.state).entries.is_empty() && !outbox.waiting() {
                break;
            }
            heard.extend(outbox.receive());
            std::thread::yield_now();
        }
        drop(crew);
        heard.extend(std::iter::from_fn(|| outbox.receive()));
        heard
    }

    #[test]
    fn a_newer_job_replaces_an_unstarted_one() {
        let (crew, open) = gated(3);
        let outbox = Outbox::new(quiet());
        let (busy, line) = (crew.line().unwrap(), crew.line().unwrap());
        let say = |line: &Line<Letter>, text: &str| {
            line.queue.replace(line.number, &Ticket::new(), Due::Idle, (Arc::clone(&outbox), text.to_owned())).unwrap();
        };
        say(&busy, "first");
        while !locked(&crew.queue.state).entries.is_empty() {
            std::thread::yield_now();
        }
        say(&line, "old");
        say(&line, "new");
        assert_eq!(drain(crew, &open, &outbox, 2), ["first", "new"]);
    }

    #[test]
    fn a_cancelled_job_never_answers_and_makes_room() {
        let (crew, open) = gated(0);
        let outbox = Outbox::new(quiet());
        let queue = Arc::clone(&crew.queue);
        let letter = |text: &str| (Arc::clone(&outbox), text.to_owned());
        let (started, waiting) = (Ticket::new(), Ticket::new());
        queue.add(0, &started, Due::Idle, letter("started")).unwrap();
        while !locked(&crew.queue.state).entries.is_empty() {
            std::thread::yield_now();
        }
        queue.add(0, &waiting, Due::Idle, letter("waiting")).unwrap();
        assert_eq!(queue.add(0, &Ticket::new(), Due::Idle, letter("too many")), Err(Full));
        waiting.cancel();
        queue.add(0, &Ticket::new(), Due::Idle, letter("kept")).unwrap();
        started.cancel();
        assert_eq!(drain(crew, &open, &outbox, 2), ["kept"]);
    }

    #[test]
    fn a_panic_in_one_job_leaves_the_others_alone() {
        let (crew, open) = gated(3);
        let outbox = Outbox::new(quiet());
        let line = crew.line().unwrap();
        for text in ["boom", "after"] {
            line.queue.add(line.number, &Ticket::new(), Due::Idle, (Arc::clone(&outbox), text.to_owned())).unwrap();
        }
        open.send(()).unwrap();
        open.send(()).unwrap();
        while !outbox.waiting() {
            std::thread::yield_now();
        }
        assert_eq!(outbox.receive().as_deref(), Some("after"));
    }

    /// What a queue gives to one thread of what was asked in this order: `0 by 30` is of line 0, due at 30 ms.
    /// `replace` instead of `by` takes the line's earlier one out.
    fn check(asked: &[&str], want: &[&str]) {
        let queue: Queue<&str> = Queue::new(8);
        let began = queue_time();
        for job in asked {
            let (line, how) = job.split_once(' ').unwrap();
            let line = line.parse().unwrap();
            let (word, ms) = how.split_once(' ').unwrap_or((how, "0"));
            let at = began + std::time::Duration::from_millis(ms.parse().unwrap());
            match word {
                "by" => queue.add(line, &Ticket::new(), Due::By(at), job).unwrap(),
                "maybe" => queue.add(line, &Ticket::new(), Due::Maybe(at), job).unwrap(),
                "replace" => queue.replace(line, &Ticket::new(), Due::By(at), job).unwrap(),
                _ => queue.add(line, &Ticket::new(), Due::Idle, job).unwrap(),
            }
        }
        let waits = locked(&queue.state).entries.keys().find(|(due, _)| matches!(due, Due::By(_))).copied();
        assert_eq!(queue.due_since().map(Due::By), waits.map(|(due, _)| due));
        let given: Vec<&str> =
            std::iter::from_fn(|| locked(&queue.state).entries.pop_first().map(|(_, entry)| entry.request)).collect();
        assert_eq!(given, want);
    }

    #[test]
    fn what_is_due_first_is_done_first() {
        check(&["0 by 30", "1 by 10", "2 by 20"], &["1 by 10", "2 by 20", "0 by 30"]);
        check(&["0 by 10", "1 by 10", "2 by 10"], &["0 by 10", "1 by 10", "2 by 10"]);
        check(&["0 idle", "1 maybe 5", "2 by 900", "3 maybe 1"], &["2 by 900", "3 maybe 1", "1 maybe 5", "0 idle"]);
        check(&["0 by 10", "1 by 20", "0 replace 30"], &["1 by 20", "0 replace 30"]);
        check(&["0 by 20", "1 by 10", "2 replace 5"], &["2 replace 5", "1 by 10", "0 by 20"]);
        check(&[], &[]);
    }

    #[test]
    fn nobody_waits_for_a_cancelled_job() {
        let queue: Queue<()> = Queue::new(2);
        let at = queue_time();
        let (first, second) = (Ticket::new(), Ticket::new());
        queue.add(0, &first, Due::By(at), ()).unwrap();
        queue.add(1, &second, Due::By(at + std::time::Duration::from_millis(1)), ()).unwrap();
        assert_eq!(queue.due_since(), Some(at));
        first.cancel();
        assert_eq!(queue.due_since(), Some(at + std::time::Duration::from_millis(1)));
        second.cancel();
        assert_eq!(queue.due_since(), None);
    }

    #[allow(clippy::disallowed_methods)]
    fn queue_time() -> Instant {
        Instant::now()
    }
}
