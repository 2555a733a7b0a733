//! Engine threads: a bounded queue of jobs, the threads that work it off, and the box in which a line finds its
//! answers. Knows nothing of speech, never blocks the asking side and never lets a cancelled answer through.

use crate::Wake;
use crate::slots::{Slot, Slots};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

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

struct Entry<R> {
    line: u64,
    ticket: Ticket,
    request: R,
}

struct State<R> {
    entries: VecDeque<Entry<R>>,
    closed: bool,
}

/// Jobs waiting for an engine, in the order asked.
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
        let state = State { entries: VecDeque::with_capacity(capacity), closed: false };
        Self { state: Mutex::new(state), ready: Condvar::new(), capacity }
    }

    /// Adds a job at the end. Cancelled jobs make room first; a job that finds none is cancelled itself.
    pub(crate) fn add(&self, line: u64, ticket: &Ticket, request: R) -> Result<(), Full> {
        let mut state = locked(&self.state);
        if state.entries.len() >= self.capacity {
            state.entries.retain(|entry| !entry.ticket.cancelled());
        }
        if state.closed || state.entries.len() >= self.capacity {
            ticket.cancel();
            return Err(Full);
        }
        state.entries.push_back(Entry { line, ticket: ticket.clone(), request });
        self.ready.notify_one();
        Ok(())
    }

    /// Adds a job in the place of the line's unstarted one, if there is one.
    pub(crate) fn replace(&self, line: u64, ticket: &Ticket, request: R) -> Result<(), Full> {
        {
            let mut state = locked(&self.state);
            if let Some(entry) = state.entries.iter_mut().find(|entry| entry.line == line) {
                entry.ticket.cancel();
                *entry = Entry { line, ticket: ticket.clone(), request };
                return Ok(());
            }
        }
        self.add(line, ticket, request)
    }

    fn take(&self) -> Option<Entry<R>> {
        let mut state = locked(&self.state);
        loop {
            if state.closed {
                return None;
            }
            if let Some(entry) = state.entries.pop_front() {
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
            line.queue.replace(line.number, &Ticket::new(), (Arc::clone(&outbox), text.to_owned())).unwrap();
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
        queue.add(0, &started, letter("started")).unwrap();
        while !locked(&crew.queue.state).entries.is_empty() {
            std::thread::yield_now();
        }
        queue.add(0, &waiting, letter("waiting")).unwrap();
        assert_eq!(queue.add(0, &Ticket::new(), letter("too many")), Err(Full));
        waiting.cancel();
        queue.add(0, &Ticket::new(), letter("kept")).unwrap();
        started.cancel();
        assert_eq!(drain(crew, &open, &outbox, 2), ["kept"]);
    }

    #[test]
    fn a_panic_in_one_job_leaves_the_others_alone() {
        let (crew, open) = gated(3);
        let outbox = Outbox::new(quiet());
        let line = crew.line().unwrap();
        for text in ["boom", "after"] {
            line.queue.add(line.number, &Ticket::new(), (Arc::clone(&outbox), text.to_owned())).unwrap();
        }
        open.send(()).unwrap();
        open.send(()).unwrap();
        while !outbox.waiting() {
            std::thread::yield_now();
        }
        assert_eq!(outbox.receive().as_deref(), Some("after"));
    }
}
