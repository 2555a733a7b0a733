//! Whether words, sound and keys of a call may be kept just now. While a card is read or keyed nothing
//! is; and lines wait, bounded, until it is clear that their digits are no piece of a card number said
//! over several turns. It reads no clock, stores nothing, and where in doubt it drops.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use zeroize::{Zeroize, Zeroizing};

use super::held::{Held, Item, Looks, PIECE_MIN, count_digits};
use super::limits::Limits;
use super::sound::{Sound, Stretch};
use super::{Redacted, Redactor, lexicon, token};
use crate::{Scope, Time};

/// Digits that look like the beginning of a card, and nothing else was asked for: a card is read.
const DIGITS_BEGUN: usize = 8;
/// The same where a card was spoken of.
const DIGITS_OF_CARD: usize = 4;
/// The same where a phone number or an IIN was asked for: those are shorter.
const DIGITS_OF_OTHERS: usize = 13;
/// Where an order's number was, only the check digit tells.
const DIGITS_OF_ORDERS: usize = usize::MAX;
/// Fewer digits of a card may be shown (PCI DSS 3.4: the first six), so nothing that waits needs them masked.
const DIGITS_SHOWN: usize = 6;
/// More keys in a row than menus and codes of rooms have.
const KEYS_MENU: usize = 4;
/// A card number has at least so many.
const DIGITS_COMPLETE: usize = 13;
/// And a code so many.
const DIGITS_CODE: usize = 3;
/// Decisions nobody fetched; with more, the oldest are lost, which keeps nothing.
const DECIDED_MAX: usize = 1024;
const KEYS_MAX: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// With what the rules mask masked.
    Keep,
    /// With all digits masked: a card may be in the making.
    MaskDigits,
    /// Nothing of it.
    Drop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Caller,
    Agent,
}

/// One turn's words. Wiped on drop; no Debug.
pub struct Line {
    /// Comes back with the decision.
    pub id: u64,
    pub speaker: Speaker,
    /// When it began and ended to be said.
    pub from: Time,
    pub to: Time,
    pub text: String,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

/// What became of a line or of keys, in the order in which they came.
#[derive(Debug, PartialEq, Eq)]
pub struct Decided {
    /// The line's; None for keys.
    pub id: Option<u64>,
    pub from: Time,
    pub verdict: Verdict,
    /// None where all of it is dropped.
    pub text: Option<Redacted>,
}

/// A card is being read.
struct Paused {
    from: Time,
    last_digit: Time,
    digits: usize,
    /// With so many it is complete.
    complete: usize,
    /// The caller's lines without a digit, in a row.
    idle: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Topic {
    Card,
    /// A phone number, an IIN.
    Person,
    /// An order, a contract.
    Order,
}

struct Keys {
    from: Time,
    last: Time,
    pressed: Zeroizing<String>,
}

/// One call's. Feed it all that comes, in the order of time; take decisions by [`Pause::poll`] and
/// [`Pause::poll_audio`].
pub struct Pause {
    redactor: Arc<Redactor>,
    language: String,
    limits: Limits,
    held: Held,
    last_digit: Time,
    paused: Option<Paused>,
    after: Option<Time>,
    topic: Option<(Topic, Time)>,
    speaking: Option<Time>,
    keys: Option<Keys>,
    lone_key: Option<Time>,
    decided: VecDeque<Decided>,
    sound: Sound,
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause")
            .field("paused", &self.paused.is_some())
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Pause {
    pub fn new(redactor: Arc<Redactor>, language: &str, limits: Limits, now: Time) -> Self {
        Self {
            redactor,
            language: language.to_owned(),
            limits,
            held: Held::default(),
            last_digit: now,
            paused: None,
            after: None,
            topic: None,
            speaking: None,
            keys: None,
            lone_key: None,
            decided: VecDeque::new(),
            sound: Sound::new(now),
        }
    }

    /// Whether nothing is kept just now.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// The caller's language turned out to be another.
    pub fn set_language(&mut self, language: &str) {
        language.clone_into(&mut self.language);
    }

    /// The dialogue asks for a card next, by whatever words.
    pub fn expect_card(&mut self, now: Time) {
        self.handle_timeout(now);
        self.begin(now, now, 0, self.held.len());
    }

    /// The dialogue has all it wanted of the card.
    pub fn finished(&mut self, now: Time) {
        self.handle_timeout(now);
        self.over(now, now);
    }

    /// The caller begins to speak; the sound from here on waits for the words.
    pub fn began(&mut self, now: Time) {
        self.handle_timeout(now);
        self.speaking.get_or_insert(now);
    }

    /// The caller spoke and no words came of it.
    pub fn nothing_heard(&mut self, now: Time) {
        self.handle_timeout(now);
        self.speaking = None;
    }

    /// Words of an utterance that goes on. Never keep them; it says what may be shown or sent of them now.
    pub fn partial(&mut self, now: Time, text: &str) -> Verdict {
        self.handle_timeout(now);
        let from = *self.speaking.get_or_insert(now);
        if self.paused.is_some() {
            self.heard_in_pause(now, text);
            return Verdict::Drop;
        }
        match self.held.looks(text, &self.language) {
            Looks::Card { digits, item } if digits >= self.enough(text) => {
                self.begin(now, from, digits, item);
                Verdict::Drop
            }
            looks => self.meanwhile(looks, text),
        }
    }

    /// A finished line. What may be kept of it comes by [`Pause::poll`]; the answer here is for what
    /// cannot wait, the language model and logs.
    pub fn line(&mut self, now: Time, line: Line) -> Verdict {
        self.handle_timeout(now);
        let verdict = match line.speaker {
            Speaker::Caller => {
                self.speaking = None;
                self.close_keys(now);
                self.callers_line(now, line)
            }
            Speaker::Agent => self.agents_line(now, line),
        };
        self.release(now);
        verdict
    }

    /// A key (DTMF). Held until the sequence ends.
    pub fn key(&mut self, now: Time, key: char) -> Verdict {
        self.handle_timeout(now);
        if let Some(paused) = &mut self.paused {
            if key.is_ascii_digit() {
                (paused.digits, paused.last_digit, paused.idle) = (paused.digits.saturating_add(1), now, 0);
            }
            return Verdict::Drop;
        }
        if !key.is_ascii_digit() {
            self.close_keys(now);
            self.keep_key(now, key.to_string());
            return Verdict::Keep;
        }
        let keys =
            self.keys.get_or_insert_with(|| Keys { from: now, last: now, pressed: Zeroizing::new(String::new()) });
        keys.last = now;
        keys.pressed.push(key);
        let (from, count) = (keys.from, keys.pressed.len());
        let most = match self.topic {
            Some((Topic::Person, until)) if now < until => DIGITS_OF_OTHERS - 1,
            Some((Topic::Order, until)) if now < until => KEYS_MAX,
            _ => KEYS_MENU,
        };
        if count > most {
            self.keys = None;
            self.begin(now, from, count, self.held.len());
            return Verdict::Drop;
        }
        Verdict::MaskDigits
    }

    /// The call is over: everything is decided now.
    pub fn end(&mut self, now: Time) {
        self.close_keys(now);
        self.speaking = None;
        self.over(now, now);
        self.flush(now);
    }

    pub fn deadline(&self) -> Option<Time> {
        let held = self.held.has_digits().then(|| self.last_digit.plus_ms(self.limits.hold_ms));
        let paused = self.paused.as_ref().map(|paused| paused.last_digit.plus_ms(self.limits.quiet_ms));
        let keys = self.keys.as_ref().map(|keys| keys.last.plus_ms(self.limits.key_gap_ms));
        held.into_iter().chain(paused).chain(keys).min()
    }

    pub fn handle_timeout(&mut self, now: Time) {
        if self.keys.as_ref().is_some_and(|keys| now >= keys.last.plus_ms(self.limits.key_gap_ms)) {
            self.close_keys(now);
        }
        let quiet = self.paused.as_ref().map(|paused| paused.last_digit.plus_ms(self.limits.quiet_ms));
        // Who still speaks may still be reading.
        if quiet.is_some_and(|quiet| now >= quiet) && self.speaking.is_none() {
            self.over(now, now);
        }
        self.release(now);
    }

    /// The next line or keys of which it is clear what may be kept.
    pub fn poll(&mut self) -> Option<Decided> {
        self.decided.pop_front()
    }

    /// The next stretch of sound that is decided. The driver keeps sound in memory until it is told.
    pub fn poll_audio(&mut self, now: Time) -> Option<Stretch> {
        let open = [self.held.from(), self.speaking, self.keys.as_ref().map(|keys| keys.from)];
        let open = open.into_iter().flatten().map(|from| from.plus_ms(-self.limits.margin_ms)).min();
        let mut until = now.plus_ms(-self.limits.settle_ms);
        if let Some(paused) = &self.paused {
            let from = paused.from;
            self.sound.drop_stretch(from, now);
            until = now;
        } else if let Some(open) = open {
            until = until.min(open);
            let late = now.plus_ms(-self.limits.lag_ms);
            if until < late {
                // Undecided for too long.
                self.sound.drop_stretch(until.max(self.sound.told), late);
                until = late;
            }
        }
        self.sound.next(until)
    }

    fn callers_line(&mut self, now: Time, line: Line) -> Verdict {
        if self.paused.is_some() {
            self.heard_in_pause(now, &line.text);
            if !self.ends_pause(&line) {
                return self.drop_line(&line);
            }
            self.over(line.from, now);
        }
        let card = said(&line.text, lexicon::about_card).then_some(Topic::Card);
        // A card that was asked for is not talked away.
        let other = other(&line.text).filter(|_| !self.expects(now, Topic::Card));
        if let Some(topic) = card.or(other) {
            self.topic = Some((topic, now.plus_ms(self.limits.asked_ms)));
        }
        let looks = self.held.looks(&line.text, &self.language);
        let enough = self.enough(&line.text);
        let meanwhile = self.meanwhile(looks, &line.text);
        let announced = said(&line.text, lexicon::about_number_of_card);
        let from = line.from;
        if count_digits(&line.text, &self.language) > 0 {
            self.last_digit = now;
        }
        self.held.push(line, false, &self.language);
        match looks {
            Looks::Card { digits, item } if digits >= enough => {
                self.begin(now, from, digits, item);
                Verdict::MaskDigits
            }
            // "My card number is", and a breath.
            _ if announced => {
                self.begin(now, from, 0, self.held.len().saturating_sub(1));
                Verdict::MaskDigits
            }
            _ => meanwhile,
        }
    }

    fn agents_line(&mut self, now: Time, line: Line) -> Verdict {
        let asks = [lexicon::about_number_of_card, lexicon::about_code].iter().any(|about| said(&line.text, *about))
            || (said(&line.text, lexicon::about_expiry) && (self.expects(now, Topic::Card) || self.is_after(now)));
        let complete = if said(&line.text, lexicon::about_number_of_card) { DIGITS_COMPLETE } else { DIGITS_CODE };
        if let Some(paused) = &mut self.paused {
            if asks {
                *paused = Paused { from: paused.from, last_digit: now, digits: 0, complete, idle: 0 };
            }
            return self.drop_line(&line);
        }
        let topic = if asks || said(&line.text, lexicon::about_card) { Some(Topic::Card) } else { other(&line.text) };
        if let Some(topic) = topic {
            self.topic = Some((topic, now.plus_ms(self.limits.asked_ms)));
        }
        let digits = count_digits(&line.text, &self.language);
        if digits > 0 {
            self.last_digit = now;
        }
        let to = line.to;
        // An hour or a price that follows no digits is no piece of a card that an agent might repeat.
        let few = digits < PIECE_MIN && !self.held.has_digits();
        self.held.push(line, false, &self.language);
        if few {
            self.held.clear_last();
        }
        if asks {
            self.begin(now, to.min(now), 0, self.held.len());
            self.paused.iter_mut().for_each(|paused| paused.complete = complete);
        }
        Verdict::Keep
    }

    /// Words in a pause: only whether there are digits among them counts.
    fn heard_in_pause(&mut self, now: Time, text: &str) {
        let digits = count_digits(text, &self.language);
        if let Some(paused) = self.paused.as_mut().filter(|_| digits > 0) {
            paused.last_digit = now;
            paused.idle = 0;
        }
    }

    /// A line without digits ends it: the first after a whole number, else the second.
    fn ends_pause(&mut self, line: &Line) -> bool {
        let digits = count_digits(&line.text, &self.language);
        let Some(paused) = &mut self.paused else { return false };
        paused.digits = paused.digits.saturating_add(digits);
        paused.idle = if digits == 0 { paused.idle + 1 } else { 0 };
        paused.idle >= if paused.digits >= paused.complete { 1 } else { 2 }
    }

    fn drop_line(&mut self, line: &Line) -> Verdict {
        self.tell(Decided { id: Some(line.id), from: line.from, verdict: Verdict::Drop, text: None });
        Verdict::Drop
    }

    fn tell(&mut self, decided: Decided) {
        if self.decided.len() >= DECIDED_MAX {
            self.decided.pop_front();
        }
        self.decided.push_back(decided);
    }

    /// How many digits that begin as a card's make it one, given what was asked and said.
    fn enough(&self, text: &str) -> usize {
        let card = said(text, lexicon::about_card).then_some(Topic::Card);
        match card.or(self.topic.map(|(topic, _)| topic)).or_else(|| other(text)) {
            Some(Topic::Card) => DIGITS_OF_CARD,
            Some(Topic::Person) => DIGITS_OF_OTHERS,
            Some(Topic::Order) => DIGITS_OF_ORDERS,
            None => DIGITS_BEGUN,
        }
    }

    /// What may be shown of words that are no card yet.
    fn meanwhile(&self, looks: Looks, text: &str) -> Verdict {
        match looks {
            Looks::Card { digits, .. } if digits >= DIGITS_SHOWN && self.enough(text) <= DIGITS_BEGUN => {
                Verdict::MaskDigits
            }
            _ => Verdict::Keep,
        }
    }

    fn expects(&self, now: Time, topic: Topic) -> bool {
        self.topic.is_some_and(|(asked, until)| asked == topic && now < until)
    }

    fn is_after(&self, now: Time) -> bool {
        self.after.is_some_and(|until| now < until)
    }

    /// Nothing is kept from `from` on. Of the held lines, those from `item` on keep no digit.
    fn begin(&mut self, now: Time, from: Time, digits: usize, item: usize) {
        self.close_keys(now);
        self.mark(now);
        let mut start = from;
        for i in 0.. {
            let Some(held) = self.held.pop() else { break };
            if i >= item && held.line.speaker == Speaker::Caller {
                start = start.min(held.line.from);
                self.decide(&held, Verdict::MaskDigits);
            } else {
                self.decide(&held, Verdict::Keep);
            }
        }
        self.topic = Some((Topic::Card, now.plus_ms(self.limits.asked_ms)));
        let from = start.plus_ms(-self.limits.margin_ms);
        match &mut self.paused {
            Some(paused) => paused.last_digit = now,
            None => self.paused = Some(Paused { from, last_digit: now, digits, complete: DIGITS_COMPLETE, idle: 0 }),
        }
    }

    /// The card is read: things are kept again from `at` on.
    fn over(&mut self, at: Time, now: Time) {
        if let Some(paused) = self.paused.take() {
            self.sound.drop_stretch(paused.from, at);
            self.after = Some(now.plus_ms(self.limits.after_ms));
        }
    }

    fn close_keys(&mut self, now: Time) {
        let Some(keys) = self.keys.take() else { return };
        let text = keys.pressed.as_str().to_owned();
        if text.len() == 1 && self.answers_menu(now) {
            return self.keep_key(keys.from, text);
        }
        // Three or four digits where a card is spoken of are its code.
        let code = text.len() >= 3 && (self.expects(now, Topic::Card) || self.is_after(now));
        let looks = self.held.looks(&text, &self.language);
        let line = Line { id: 0, speaker: Speaker::Caller, from: keys.from, to: keys.last, text };
        self.held.push(line, true, &self.language);
        self.last_digit = now;
        if let Looks::Card { digits, item } = looks
            && digits >= self.enough("")
        {
            self.begin(now, keys.from, digits, item);
        } else if code {
            self.begin(now, keys.from, keys.pressed.len(), self.held.len().saturating_sub(1));
        }
    }

    /// A key by itself is a choice, and nothing waits for it; two in a row may be a number keyed slowly.
    fn answers_menu(&mut self, now: Time) -> bool {
        let before = self.lone_key.replace(now);
        let apart = before.is_none_or(|before| now >= before.plus_ms(self.limits.hold_ms));
        apart && !self.held.has_digits() && !self.expects(now, Topic::Card) && !self.is_after(now)
    }

    fn keep_key(&mut self, from: Time, text: String) {
        let text = Some(Redacted { text, found: super::Counts::default() });
        self.tell(Decided { id: None, from, verdict: Verdict::Keep, text });
    }

    fn release(&mut self, now: Time) {
        if self.topic.is_some_and(|(_, until)| now >= until) {
            self.topic = None;
        }
        if self.held.is_empty() {
            return;
        }
        if !self.held.has_digits() || now >= self.last_digit.plus_ms(self.limits.hold_ms) {
            return self.flush(now);
        }
        let full = |held: &Held, limits: &Limits| held.len() > limits.lines_max || held.bytes() > limits.bytes_max;
        if !self.held.first_is_clear() && !full(&self.held, &self.limits) {
            return;
        }
        self.mark(now);
        loop {
            let verdict = match (self.held.first_is_clear(), full(&self.held, &self.limits)) {
                (true, _) => Verdict::Keep,
                (false, true) => Verdict::MaskDigits,
                (false, false) => break,
            };
            let Some(item) = self.held.pop() else { break };
            self.decide(&item, verdict);
        }
    }

    /// All that is held, as it stands.
    fn flush(&mut self, now: Time) {
        self.mark(now);
        let Looks::Card { digits, item: first } = self.held.looks("", &self.language) else {
            while let Some(item) = self.held.pop() {
                self.decide(&item, Verdict::Keep);
            }
            return;
        };
        let doubtful = digits >= self.enough("");
        for i in 0.. {
            let Some(item) = self.held.pop() else { break };
            let masks = doubtful && i >= first && item.line.speaker == Speaker::Caller;
            self.decide(&item, if masks { Verdict::MaskDigits } else { Verdict::Keep });
        }
    }

    fn mark(&mut self, now: Time) {
        let after = self.is_after(now);
        self.held.mark(&self.redactor, &self.language, &Scope::Transcript, after);
    }

    fn decide(&mut self, item: &Item, verdict: Verdict) {
        if verdict == Verdict::MaskDigits || item.is_heard(&self.redactor, &self.language) {
            self.sound.drop_stretch(
                item.line.from.plus_ms(-self.limits.margin_ms),
                item.line.to.plus_ms(self.limits.margin_ms),
            );
        }
        let text = item.redacted(verdict == Verdict::MaskDigits, &self.language);
        let id = (!item.keys).then_some(item.line.id);
        self.tell(Decided { id, from: item.line.from, verdict, text: Some(text) });
    }
}

/// Whose digits are spoken of, if no card's.
fn other(text: &str) -> Option<Topic> {
    if said(text, lexicon::about_order) {
        return Some(Topic::Order);
    }
    (said(text, lexicon::about_phone) || said(text, lexicon::about_iin)).then_some(Topic::Person)
}

fn said(text: &str, about: fn(&[&str]) -> bool) -> bool {
    let tokens = token::tokens(text);
    let words = token::words(&tokens);
    (0..words.len()).any(|i| about(&words[i..]))
}
