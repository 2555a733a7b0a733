//! What may be kept of the conversation, and what a language model may hear: the gate, the redaction, and the pause while
//! a card is read. It stores nothing: what may be kept goes out as effects, and each needs a permit again where it is.

use ::privacy::consent::{Channel, ConsentGate, Refusal, State, Which, Withdrawal};
use ::privacy::redact::{self, Limits, Pause, Redactor, Rules, Stretch, Verdict};
use ::privacy::{EventId, Scope, Scopes, Time};

use super::*;
use crate::call::consent::{Hearer, Script, Terms};
use crate::call::live::Request;

/// Lines that wait until it is clear that no card number is in them; the pause holds fewer.
const WAITING_MAX: usize = 256;
/// The keys of the withdrawal come within this of each other.
const KEY_GAP: Duration = Duration::from_secs(2);

/// A call's words on their way to what may be done with them.
pub(super) struct Keeper {
    redactor: Arc<Redactor>,
    language: String,
    /// None: there is no policy; nothing is asked and nothing kept.
    terms: Option<Kept>,
    /// When the caller began to speak, and the agent's clause to sound.
    voice_from: Option<Instant>,
    clause_from: Option<Instant>,
}

struct Kept {
    script: Arc<Script>,
    gate: ConsentGate,
    pause: Pause,
    hearer: Option<Hearer>,
    /// The time of the day when the call began.
    at: Time,
    waiting: VecDeque<Waiting>,
    lines: u64,
    /// Keys that may begin the withdrawal's, and until when more of them count.
    keys: String,
    keys_until: Option<Instant>,
}

/// A line in the pause.
struct Waiting {
    id: u64,
    at_ms: u32,
    speaker: Speaker,
    /// The consent it was said under.
    event: EventId,
}

/// What a key is.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    /// Perhaps the next of those that take consent back.
    Held,
    Withdraws,
    /// Those held before are no withdrawal either.
    Plain(Option<char>),
}

impl Keeper {
    pub fn new(language: &str, terms: Option<Terms>) -> Self {
        let redactor = terms.as_ref().map(|terms| Arc::clone(&terms.redactor));
        let redactor = redactor.unwrap_or_else(|| Arc::new(Redactor::new(&Rules::default())));
        let terms = terms.map(|Terms { script, gate, redactor, at, hearer }| Kept {
            pause: Pause::new(redactor, script.language(), Limits::default(), at),
            script,
            gate,
            hearer,
            at,
            waiting: VecDeque::new(),
            lines: 0,
            keys: String::new(),
            keys_until: None,
        });
        Self { redactor, language: language.to_owned(), terms, voice_from: None, clause_from: None }
    }

    pub fn gate(&self) -> Option<&ConsentGate> {
        self.terms.as_ref().map(|kept| &kept.gate)
    }

    pub fn script(&self) -> Option<&Arc<Script>> {
        self.terms.as_ref().map(|kept| &kept.script)
    }

    pub fn granted(&self) -> Scopes {
        self.gate().map(ConsentGate::granted).unwrap_or_default()
    }

    fn permits(&self, scope: &Scope) -> bool {
        self.gate().is_some_and(|gate| gate.permit(scope).is_some())
    }

    /// Whether all is granted that the language model elsewhere needs; false where none is declared.
    pub fn hearer_may_hear(&self) -> bool {
        let hearer = self.terms.as_ref().and_then(|kept| kept.hearer.as_ref());
        hearer.is_some_and(|hearer| hearer.needs.iter().all(|scope| self.permits(scope)))
    }

    /// Something may be said of it that is no line: a caller began, was not heard, or pressed a key.
    fn pause(&mut self) -> Option<&mut Pause> {
        self.terms.as_mut().map(|kept| &mut kept.pause)
    }
}

impl Kept {
    fn key(&mut self, now: Instant, key: char) -> Key {
        let held = self.keys.chars().next();
        self.keys.push(key);
        let whole = self.script.withdraw_key();
        if self.keys == whole {
            self.forget_keys();
            return Key::Withdraws;
        }
        if whole.starts_with(&self.keys) {
            self.keys_until = Some(now + KEY_GAP);
            return Key::Held;
        }
        self.forget_keys();
        Key::Plain(held)
    }

    fn forget_keys(&mut self) {
        self.keys.clear();
        self.keys_until = None;
    }

    /// What may go where nothing can wait, with this masked; nothing where a card is read.
    fn line(&mut self, now: Time, from: Time, to: Time, at_ms: u32, speaker: Speaker, text: &str) -> Verdict {
        self.lines += 1;
        let id = self.lines;
        if let Some(permit) = self.gate.permit(&Scope::Transcript) {
            if self.waiting.len() >= WAITING_MAX {
                self.waiting.pop_front();
            }
            self.waiting.push_back(Waiting { id, at_ms, speaker, event: permit.event() });
        }
        let who = match speaker {
            Speaker::Caller => redact::Speaker::Caller,
            Speaker::Agent => redact::Speaker::Agent,
        };
        self.pause.line(now, redact::Line { id, speaker: who, from, to, text: text.to_owned() })
    }

    /// The next line of which it is clear what may be kept, if its consent still stands.
    fn decided(&mut self) -> Option<Line> {
        loop {
            let decided = self.pause.poll()?;
            let Some(at) = self.waiting.iter().position(|line| Some(line.id) == decided.id) else { continue };
            let Some(line) = self.waiting.remove(at) else { continue };
            let stands = self.gate.permit(&Scope::Transcript).is_some_and(|permit| permit.event() == line.event);
            if let Some(redacted) = decided.text.as_ref().filter(|_| stands) {
                return Some(Line { at_ms: line.at_ms, speaker: line.speaker, text: redacted.text.clone() });
            }
        }
    }
}

impl Call {
    /// `None`: the call has no policy; nothing of it is kept.
    pub fn gate(&self) -> Option<&ConsentGate> {
        self.keeper.gate()
    }

    /// What callers are told and asked.
    pub fn script(&self) -> Option<&Arc<Script>> {
        self.keeper.script()
    }

    /// Where each scope stands that is asked for, in the order of the questions.
    pub fn consents(&self) -> impl Iterator<Item = (&Scope, State)> {
        let questions = self.keeper.script().into_iter().flat_map(|script| &script.questions);
        questions.filter_map(|question| Some((&question.scope, self.gate()?.state(&question.scope))))
    }

    /// The time of the day.
    pub fn time(&self, now: Instant) -> Time {
        let at = self.keeper.terms.as_ref().map_or(Time(0), |kept| kept.at);
        at.plus_ms(ms_between(self.began, now).into())
    }

    fn instant(&self, time: Time) -> Option<Instant> {
        let at = self.keeper.terms.as_ref()?.at;
        let ms = u64::try_from(time.0.saturating_sub(at.0)).unwrap_or(0);
        self.began.checked_add(Duration::from_millis(ms))
    }

    /// Which sound may be kept; `last`: the call is over, and no more comes.
    pub fn poll_sound(&mut self, now: Instant, last: bool) -> Option<Stretch> {
        let time = self.time(now);
        // Words come some time after their sound; once there are none to come, all is clear.
        let time = if last { time.plus_ms(Limits::default().settle_ms) } else { time };
        self.keeper.pause()?.poll_audio(time)
    }

    /// When the next line, key or statement is decided by time alone.
    pub(super) fn keeping_deadline(&self) -> Option<Instant> {
        let kept = self.keeper.terms.as_ref()?;
        let times = [kept.pause.deadline(), kept.gate.deadline()];
        let next = times.into_iter().flatten().min().and_then(|time| self.instant(time));
        [next, kept.keys_until].into_iter().flatten().min()
    }

    /// Every change: what has run out, and what is decided by now.
    pub(super) fn keep(&mut self, now: Instant) {
        let time = self.time(now);
        let Some(kept) = &mut self.keeper.terms else { return };
        kept.gate.handle_timeout(time);
        kept.pause.handle_timeout(time);
        self.settle();
    }

    /// Events first: what was kept under a consent comes behind it.
    fn settle(&mut self) {
        let Some(kept) = &mut self.keeper.terms else { return };
        while let Some(event) = kept.gate.poll() {
            self.effects.push_back(Effect::Consent(Box::new(event)));
        }
        while let Some(line) = kept.decided() {
            self.effects.push_back(Effect::Remember(line));
        }
    }

    fn purge(&mut self, scopes: Scopes) {
        self.settle();
        if scopes.contains(&Scope::Transcript) {
            self.keeper.terms.iter_mut().for_each(|kept| kept.waiting.clear());
            self.effects.retain(|effect| !matches!(effect, Effect::Remember(_)));
        }
        if !scopes.is_empty() {
            self.effects.push_back(Effect::Purge(scopes));
        }
    }

    /// The question was put: from now on it can be answered.
    pub(super) fn put(&mut self, now: Instant, put: Option<&Put>) {
        self.question = put.map_or(0, |put| usize::from(put.clause));
        let time = self.time(now);
        if let (Some(kept), Some(put)) = (&mut self.keeper.terms, put) {
            kept.gate.ask(time, &put.scope, put.prompt);
            self.settle();
        }
    }

    pub(super) fn decide(&mut self, now: Instant, decision: Option<Decision>) {
        let time = self.time(now);
        if matches!(decision, Some(Decision::Withdraw(..))) {
            self.history.clear();
            self.captions.iter_mut().for_each(Captions::forget);
        }
        let Some(kept) = &mut self.keeper.terms else { return };
        let purge = match decision {
            None => return,
            Some(Decision::Grant(scope, how)) => {
                kept.gate.grant(time, &scope, how);
                Scopes::new()
            }
            Some(Decision::Refuse(which, why)) => kept.gate.refuse(time, &which, why),
            Some(Decision::Withdraw(which, how)) => kept.gate.withdraw(time, &which, how),
        };
        self.purge(purge);
    }

    /// The other side is gone, or we end it: what is not granted by now is refused, and what waits is decided.
    pub(super) fn keep_no_more(&mut self, now: Instant) {
        let time = self.time(now);
        let Some(kept) = &mut self.keeper.terms else { return };
        let purge = kept.gate.refuse(time, &Which::All, Refusal::HungUp);
        kept.pause.end(time);
        self.purge(purge);
    }

    /// By which road a caller takes part, for the record of their consent.
    pub(super) fn reached_by(&mut self, presence: Presence) {
        let channel = match presence {
            Presence::Voice => Channel::Web,
            Presence::Text => Channel::Text,
        };
        if let Some(kept) = &mut self.keeper.terms
            && let Some(told) = kept.script.told(channel)
        {
            kept.gate.speak(told);
        }
    }

    pub(super) fn voice_began(&mut self, now: Instant) {
        self.keeper.voice_from = Some(now);
        let time = self.time(now);
        self.keeper.pause().into_iter().for_each(|pause| pause.began(time));
    }

    pub(super) fn voice_was_nothing(&mut self, now: Instant) {
        let time = self.time(now);
        self.keeper.pause().into_iter().for_each(|pause| pause.nothing_heard(time));
    }

    pub(super) fn words_so_far(&mut self, now: Instant, text: &str) {
        let time = self.time(now);
        if let Some(pause) = self.keeper.pause() {
            pause.partial(time, text);
        }
    }

    pub(super) fn clause_sounds(&mut self, now: Instant) {
        self.keeper.clause_from = Some(now);
    }

    /// A line was said, or written. What a language model is told of it is redacted here; what is kept of it comes when
    /// it is clear that it holds no card.
    pub(super) fn remember(&mut self, now: Instant, at: Instant, speaker: Speaker, text: &str) {
        let at_ms = ms_between(self.began, at);
        let from = match speaker {
            Speaker::Caller => self.keeper.voice_from.take(),
            Speaker::Agent => self.keeper.clause_from.take(),
        };
        let (time, to) = (self.time(now), self.time(at));
        let from = self.time(from.unwrap_or(at)).min(to);
        let Keeper { redactor, language, terms, .. } = &mut self.keeper;
        let hearer = terms.as_ref().and_then(|kept| kept.hearer.as_ref());
        let scope = hearer.map_or(Scope::AiProcess, |hearer| hearer.scope.clone());
        let verdict = terms.as_mut().map_or(Verdict::Keep, |kept| kept.line(time, from, to, at_ms, speaker, text));
        match verdict {
            Verdict::Keep => self.history.push(speaker, &redactor.redact(text, language, &scope).text),
            Verdict::MaskDigits => self.history.push(speaker, &redactor.mask_digits(text, language, &scope).text),
            Verdict::Drop => {}
        }
        self.settle();
    }

    // --- the keys that take consent back ---

    /// True: the key is dealt with, or waits for the next one.
    pub(super) fn takes_key(&mut self, now: Instant, key: char) -> bool {
        let time = self.time(now);
        let Some(kept) = &mut self.keeper.terms else { return false };
        kept.pause.key(time, key);
        match kept.key(now, key) {
            Key::Held => true,
            Key::Withdraws => {
                self.take_back(now, &Which::All, Withdrawal::Key);
                true
            }
            Key::Plain(held) => {
                held.into_iter().for_each(|held| self.pressed(now, held));
                false
            }
        }
    }

    /// No other key came: the first one meant itself.
    pub(super) fn release_key(&mut self, now: Instant) {
        let Some(kept) = self.keeper.terms.as_mut().filter(|kept| kept.keys_until.is_some_and(|until| now >= until))
        else {
            return;
        };
        let held = kept.keys.chars().next();
        kept.forget_keys();
        held.into_iter().for_each(|held| self.pressed(now, held));
    }

    /// Somebody takes consent back otherwise than in words. It counts at once; where something has to be heard to its
    /// end, nothing is said of it.
    pub(super) fn take_back(&mut self, now: Instant, which: &Which, how: Withdrawal) {
        let kept = self.keeper.terms.is_some();
        if !kept || self.screening() || self.turned_away {
            return;
        }
        let mut brain = self.brain.clone();
        let answer = brain.withdraw(which, how);
        let judgement = match how {
            Withdrawal::Key => Judgement::Key,
            Withdrawal::Request => Judgement::Request,
            _ => Judgement::Click,
        };
        self.answer_at_once(now, brain, answer, judgement);
    }

    /// The privacy desk takes consent back, or has everything erased, while the call goes on. It counts at once; the
    /// caller is told where anything was agreed to or is being asked.
    pub(super) fn requested(&mut self, now: Instant, request: &Request) {
        let which = request.which();
        let open = self.brain.question().is_some_and(|question| which.holds(&question.scope));
        let matters = open || self.has_granted(which);
        if *request == Request::Erase {
            self.erase(now);
        }
        if matters && !self.screening() && (open || !self.brain.asks_consent()) {
            return self.take_back(now, which, Withdrawal::Request);
        }
        if matters && self.screening() {
            // Nobody is talked to yet: what is said then begins without it.
            let _ = self.brain.withdraw(which, Withdrawal::Request);
        }
        self.decide(now, Some(Decision::Withdraw(which.clone(), Withdrawal::Request)));
    }

    /// The last word on every scope. What is taken back behind it is no step any more.
    fn erase(&mut self, now: Instant) {
        let time = self.time(now);
        let Some(kept) = &mut self.keeper.terms else { return };
        let purge = kept.gate.erased(time);
        self.purge(purge);
    }

    /// Whether the question for this scope was put, and is open.
    pub(super) fn is_asked(&self, scope: &Scope) -> bool {
        self.gate().is_some_and(|gate| gate.state(scope) == State::Asked)
    }

    /// Whether anything was granted that could be taken back.
    pub(super) fn has_granted(&self, which: &Which) -> bool {
        self.keeper.granted().iter().any(|scope| which.holds(scope))
    }
}
