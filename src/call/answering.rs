//! Who answered a call of ours: a person, or a machine. It goes by how long they speak, what they say, and tones; it
//! reads no clock and says nothing itself.

use serde::{Deserialize, Serialize};

const FRAME_MS: u32 = 20;
/// Nobody spoke: whoever it is waits for us.
const NOBODY_SPOKE_MS: u32 = 3_000;
/// What is not decided by now never will be.
const UNDECIDED_MS: u32 = 8_000;
/// A person says "Hello?" and waits; a greeting that was recorded takes its time.
const PERSON_MS_MAX: u32 = 1_800;
const MACHINE_MS_MIN: u32 = 2_400;
/// Nobody speaks for so long without taking a breath, unless it was written down.
const RECITAL_MS: u32 = 5_000;
/// Silence that ends a greeting; after "Hello?" less will do.
const PAUSE_MS: u32 = 600;
const PAUSE_AFTER_HELLO_MS: u32 = 200;
/// How long the words of a greeting of middling length are waited for.
const PAUSE_WITHOUT_WORDS_MS: u32 = 1_000;
/// A tone this long is one; and the same tone if it is this near, in hertz per hertz.
const TONE_MS: u32 = 120;
const TONE_SAME: f32 = 0.04;
/// Silence behind a tone before a message begins.
const AFTER_TONE_MS: u32 = 200;
/// Without a tone a message begins after this much silence, and after this time in any case.
const SILENT_MS: u32 = 1_500;
const GREETING_MS_MAX: u32 = 30_000;

/// Who answered a call of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    Person,
    Machine,
    /// They said nothing, or nothing that tells; treated as a person.
    Unknown,
}

impl AnsweredBy {
    pub fn word(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Machine => "machine",
            Self::Unknown => "unknown",
        }
    }
}

/// What to do with a machine that answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineAction {
    HangUp,
    /// As with a person.
    #[default]
    Talk,
    /// Leave the agent's `[voicemail]` after the tone.
    Message,
}

#[derive(Debug, Default)]
pub struct Answering {
    heard_ms: u32,
    /// From the first sound of the greeting to its last.
    greeting_ms: u32,
    silence_ms: u32,
    began: bool,
    words: Option<Words>,
    /// The tone that goes on: its frequency and length.
    tone: Option<(u16, u32)>,
    /// Tones that ended, and the silence since.
    tones: u32,
    after_tone_ms: u32,
}

/// What the words of a greeting say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// "Hello?", "Speaking.", "How can I help you?"
    Person,
    Machine,
    Neither,
}

impl Answering {
    /// Takes 20 ms of what the other side says. Decides at most once what it decides.
    pub fn frame(&mut self, speech: bool, tone_hz: Option<u16>) -> Option<AnsweredBy> {
        self.heard_ms += FRAME_MS;
        self.listen_for_tones(tone_hz);
        if speech {
            self.began = true;
            self.greeting_ms += self.silence_ms + FRAME_MS;
            self.silence_ms = 0;
        } else if self.began {
            self.silence_ms += FRAME_MS;
        }
        self.verdict()
    }

    /// The words of the greeting so far.
    pub fn text(&mut self, text: &str) -> Option<AnsweredBy> {
        self.words = Some(words_of(text));
        self.verdict()
    }

    fn verdict(&self) -> Option<AnsweredBy> {
        let sounding = self.tone.is_some_and(|(_, ms)| ms >= TONE_MS);
        if sounding || self.tones > 0 || self.words == Some(Words::Machine) {
            return Some(AnsweredBy::Machine);
        }
        if !self.began {
            return (self.heard_ms >= NOBODY_SPOKE_MS).then_some(AnsweredBy::Unknown);
        }
        let paused = |ms| self.silence_ms >= ms;
        match self.words {
            Some(Words::Person) if paused(PAUSE_AFTER_HELLO_MS) => return Some(AnsweredBy::Person),
            _ if self.greeting_ms >= RECITAL_MS => return Some(AnsweredBy::Machine),
            _ => {}
        }
        match self.greeting_ms {
            ..=PERSON_MS_MAX if paused(PAUSE_MS) => Some(AnsweredBy::Person),
            MACHINE_MS_MIN.. if paused(PAUSE_MS) && self.words.is_some() => Some(AnsweredBy::Machine),
            MACHINE_MS_MIN.. if paused(PAUSE_WITHOUT_WORDS_MS) => Some(AnsweredBy::Machine),
            _ if paused(PAUSE_WITHOUT_WORDS_MS) => Some(AnsweredBy::Person),
            _ => (self.heard_ms >= UNDECIDED_MS).then_some(AnsweredBy::Unknown),
        }
    }

    fn listen_for_tones(&mut self, tone_hz: Option<u16>) {
        self.after_tone_ms = self.after_tone_ms.saturating_add(FRAME_MS);
        let same = |a: u16, b: u16| (f32::from(a) - f32::from(b)).abs() <= f32::from(a) * TONE_SAME;
        self.tone = match (self.tone, tone_hz) {
            (Some((hz, ms)), Some(now)) if same(hz, now) => Some((hz, ms + FRAME_MS)),
            (was, now) => {
                if was.is_some_and(|(_, ms)| ms >= TONE_MS) {
                    self.tones += 1;
                    self.after_tone_ms = 0;
                }
                now.map(|hz| (hz, FRAME_MS))
            }
        };
    }

    /// The machine listens: its tone is over, or it has said all it has to say.
    pub fn wants_a_message(&self) -> bool {
        let silent = self.silence_ms >= SILENT_MS || (!self.began && self.heard_ms >= SILENT_MS);
        let after_tone = self.tones > 0 && self.tone.is_none() && self.after_tone_ms >= AFTER_TONE_MS;
        after_tone || silent || self.heard_ms >= GREETING_MS_MAX
    }

    /// Several tones in a row say that the number is not in service (ITU-T E.180): there is nobody to leave a word for.
    pub fn is_out_of_service(&self) -> bool {
        self.tones >= 2
    }
}

/// Whether these are the words of an answering machine, in whatever language.
pub fn is_machine(text: &str) -> bool {
    words_of(text) == Words::Machine
}

fn words_of(text: &str) -> Words {
    let plain: String =
        text.to_lowercase().chars().map(|c| if c.is_alphanumeric() || c == '\'' { c } else { ' ' }).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let line = format!(" {} ", words.join(" "));
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| line.contains(phrase));
    if says(&MACHINES) {
        return Words::Machine;
    }
    if says(&SERVICE) || (words.len() <= SHORT && says(&HELLOS)) {
        return Words::Person;
    }
    Words::Neither
}

/// A greeting of so few words is a person's.
const SHORT: usize = 4;

const MACHINES: [&str; 40] = [
    " leave a message ",
    " leave your message ",
    " leave me a message ",
    " leave a short message ",
    " leave your name ",
    " leave a name ",
    " after the tone ",
    " after the beep ",
    " at the tone ",
    " at the beep ",
    " voicemail ",
    " voice mail ",
    " mailbox ",
    " answering machine ",
    " not available ",
    " unavailable ",
    " record your message ",
    " take your call ",
    " come to the phone ",
    " get back to you ",
    " return your call ",
    " you've reached ",
    " you have reached ",
    " not in service ",
    " been disconnected ",
    " person you are calling ",
    " number you have dialed ",
    " number you have dialled ",
    " автоответчик",
    " после сигнала ",
    " после гудка ",
    " абонент",
    " оставьте ",
    " оставить сообщение ",
    " голосовое сообщение ",
    " голосовая почта ",
    " голосовой почт",
    " не может ответить ",
    " набранный ",
    " переадресован",
];
/// Said by whoever picked up, however long the rest was.
const SERVICE: [&str; 8] = [
    " help you ",
    " speaking ",
    " who is this ",
    " who's calling ",
    " who is calling ",
    " помочь ",
    " слушаю ",
    " кто это ",
];
const HELLOS: [&str; 16] = [
    " hello ",
    " hi ",
    " hey ",
    " yes ",
    " yeah ",
    " yep ",
    " good morning ",
    " good afternoon ",
    " good evening ",
    " алло ",
    " ало ",
    " да ",
    " здравствуйте ",
    " добрый ",
    " доброе ",
    " слушаем ",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps: `speak MS`, `quiet MS`, `tone HZ MS`, `text WORDS`. What was decided first, and after how long.
    fn check(script: &str, want: &str) {
        let mut answering = Answering::default();
        let (mut at_ms, mut seen) = (0, None);
        for step in script.split('|').map(str::trim) {
            let mut words = step.splitn(2, ' ');
            let (word, rest) = (words.next().expect("a step"), words.next().expect("what of it"));
            if word == "text" {
                seen = seen.or(answering.text(rest).map(|by| (by, at_ms)));
                continue;
            }
            let numbers: Vec<u32> = rest.split(' ').map(|n| n.parse().expect("a number")).collect();
            let hz = (word == "tone").then(|| u16::try_from(numbers[0]).expect("hertz"));
            for _ in 0..numbers.last().expect("milliseconds") / FRAME_MS {
                at_ms += FRAME_MS;
                seen = seen.or(answering.frame(word != "quiet", hz).map(|by| (by, at_ms)));
            }
        }
        let seen = seen.map_or("nothing".to_owned(), |(by, at_ms)| format!("{} at {at_ms}", by.word()));
        assert_eq!(seen, want, "{script}");
    }

    #[test]
    fn a_person_says_hello_and_waits() {
        check("quiet 600|speak 500|quiet 120|text Hello?|quiet 400", "person at 1300");
        check("quiet 600|speak 500|quiet 800", "person at 1700");
        check("quiet 200|speak 1600|quiet 120|text Smith Dental.|quiet 600", "person at 2400");
        // The words come late: those who said little are believed to wait.
        check("speak 2000|quiet 1200", "person at 3000");
        check("speak 3000|quiet 100|text Good morning, Smith Dental, how can I help you?|quiet 300", "person at 3200");
        check("speak 700|quiet 120|text Алло, слушаю|quiet 300", "person at 900");
        check("quiet 3200", "unknown at 3000");
    }

    #[test]
    fn a_machine_talks_and_beeps() {
        check("speak 1500|quiet 100|text You have reached the voicemail of", "machine at 1600");
        check("speak 900|quiet 100|text Абонент временно недоступен", "machine at 1000");
        check("speak 3000|quiet 100|text Our office is at twelve Garden Street.|quiet 600", "machine at 3600");
        check("speak 6000", "machine at 5000");
        check("quiet 400|tone 1000 200", "machine at 520");
        check("quiet 400|tone 1000 80|quiet 300|speak 400|quiet 700", "person at 1780");
        check("tone 914 340|tone 1371 340|tone 1777 340", "machine at 120");
    }

    #[test]
    fn a_message_waits_for_the_tone_or_for_silence() {
        let wants = |steps: &[(u32, bool, Option<u16>)]| {
            let mut answering = Answering::default();
            for (ms, speech, tone) in steps {
                for _ in 0..ms / FRAME_MS {
                    let _ = answering.frame(*speech, *tone);
                }
            }
            (answering.wants_a_message(), answering.is_out_of_service())
        };
        assert_eq!(wants(&[(4_000, true, None), (800, false, None)]), (false, false));
        assert_eq!(wants(&[(4_000, true, None), (1_500, false, None)]), (true, false));
        assert_eq!(wants(&[(4_000, true, None), (500, false, None), (300, true, Some(1_000))]), (false, false));
        let beep = [(4_000, true, None), (300, true, Some(1_000)), (240, false, None)];
        assert_eq!(wants(&beep), (true, false));
        assert_eq!(wants(&[(340, true, Some(914)), (340, true, Some(1_371)), (100, true, Some(1_777))]), (false, true));
        assert_eq!(wants(&[(31_000, true, None)]), (true, false));
    }
}
