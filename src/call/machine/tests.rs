//! Scripts of whole calls on virtual time: a caller who speaks, an agent file that answers, no engine.

mod interrupting;

use std::collections::{HashMap, VecDeque};

use super::*;
use ::privacy::Scope;
use ::privacy::consent::{State, Which};

use crate::call::action::Presence;
use crate::call::consent::tests::{asking_also, script, terms};
use crate::call::consent::{Hearer, Script};
use crate::call::live::Request;
use crate::call::script::{Scripted, follow};

mod answering;
mod consent;
mod filling;
mod page;
mod trouble;

const AGENT: &str = include_str!("../../../configs/agents/front-desk.toml");
const TICK: Duration = Duration::from_millis(20);
/// What the engines of these tests take.
const RECOGNITION: Duration = Duration::from_millis(40);
const SCORE: Duration = Duration::from_millis(60);
const CHARS_PER_S: usize = 15;

struct Stage {
    call: Call,
    began: Instant,
    now: Instant,
    at_ms: u64,
    /// How long the caller has been speaking.
    spoken_ms: u32,
    log: Vec<String>,
    due: VecDeque<(Instant, Action)>,
    caller: (String, f32),
    /// How loud the caller is.
    dbfs: f32,
    texts: HashMap<ClauseId, String>,
    playing: Option<(ClauseId, u32)>,
    /// The agent is silent for the caller.
    held: bool,
    /// The recognizer fails.
    deaf: bool,
    queue: VecDeque<ClauseId>,
    released: Option<u64>,
    ended: bool,
    recognition: Duration,
    loud: bool,
    pitched: bool,
    beep: Option<u16>,
    thinking: u64,
    read_ahead: Vec<crate::call::PromptLine>,
    /// The caller reads and writes.
    text: bool,
    /// Consent on record.
    events: Vec<::privacy::EventId>,
    /// What the model was told last.
    prompt: String,
}

impl Stage {
    fn new(llm: LlmUse) -> Self {
        Self::with(CallConfig {
            turn: Turn::default(),
            silence_ms: 7000,
            duration_s_max: 600,
            llm,
            warm: llm == LlmUse::Local,
            answering: None,
        })
    }

    fn with(config: CallConfig) -> Self {
        let model = Hearer {
            name: "model".into(),
            needs: [Scope::Transcript].into(),
            scope: Scope::ThirdParty("model".into()),
        };
        Self::under(config, Some(script()), Some(model))
    }

    #[allow(clippy::disallowed_methods)]
    fn under(config: CallConfig, script: Option<Script>, hearer: Option<Hearer>) -> Self {
        let began = Instant::now();
        let agent = Arc::new(Agent::parse(AGENT).expect("the demo agent"));
        let monday = jiff::civil::date(2026, 11, 23);
        let call = Call::new(began, agent, monday, config);
        let call = match script {
            Some(script) => call.under(Terms { hearer, ..terms(script) }),
            None => call,
        };
        Self {
            call,
            began,
            now: began,
            at_ms: 0,
            spoken_ms: 0,
            log: vec![],
            due: VecDeque::new(),
            caller: (String::new(), 0.9),
            dbfs: -20.0,
            texts: HashMap::new(),
            playing: None,
            held: false,
            deaf: false,
            queue: VecDeque::new(),
            released: None,
            ended: false,
            recognition: RECOGNITION,
            loud: false,
            pitched: true,
            beep: None,
            thinking: 0,
            read_ahead: vec![],
            text: false,
            events: vec![],
            prompt: String::new(),
        }
    }

    fn apply(&mut self, action: Action) {
        self.call.apply(self.now, action);
        while let Some(effect) = self.call.poll() {
            self.effect(effect);
        }
    }

    fn effect(&mut self, effect: Effect) {
        let (text, score) = self.caller.clone();
        match effect {
            Effect::Recognize { job, due: Due::Maybe(_) } => {
                self.log.push("words so far".into());
                self.due.push_back((self.now + self.recognition, Action::Heard { job, text }));
            }
            Effect::Recognize { job, .. } if self.deaf => {
                self.due.push_back((self.now + self.recognition, Action::NotHeard { job }));
            }
            Effect::Recognize { job, .. } => {
                self.due.push_back((self.now + self.recognition, Action::Heard { job, text }))
            }
            Effect::Score { job, .. } => {
                self.due.push_back((self.now + SCORE, Action::Scored { job, finished: score }))
            }
            Effect::Say { clause, text, .. } => {
                self.texts.insert(clause, text);
                self.queue.push_back(clause);
            }
            Effect::Release { utterance } => self.released = Some(utterance),
            Effect::Cancel { utterance } => self.queue.retain(|c| c.utterance != utterance),
            Effect::HoldPlayout => {
                self.held = true;
                self.log.push(format!("agent held after {} ms", self.spoken_ms));
            }
            Effect::ResumePlayout => {
                self.held = false;
                // As the playout does, which goes back to where a word began.
                if let Some((_, ms)) = &mut self.playing {
                    *ms = ms.saturating_sub(200);
                }
                self.log.push("agent goes on".into());
            }
            Effect::BargedIn { yielded } => {
                self.log.push(if yielded { "yielded".into() } else { "not yielded".into() })
            }
            Effect::StopPlayout => {
                self.held = false;
                if self.playing.take().is_some() {
                    self.log.push("agent stops".into());
                }
            }
            Effect::Duck(on) => self.log.push(if on { "agent quieter".into() } else { "agent louder".into() }),
            Effect::Think { utterance, prompt } => {
                self.thinking = utterance;
                self.prompt = prompt.iter().skip(1).map(|line| line.text.as_str()).collect::<Vec<_>>().join("|");
                if !self.read_ahead.is_empty() && prompt.starts_with(&self.read_ahead) {
                    self.log.push("goes on from what was read".into());
                }
                self.log.push(format!("asks the model, {} lines", prompt.len()));
            }
            Effect::Warm(prompt) => {
                self.log.push(format!("the model reads ahead, {} lines", prompt.len()));
                self.read_ahead = prompt;
            }
            Effect::StopThinking => self.log.push("thinks no more".into()),
            Effect::AnsweredBy(by) => self.log.push(format!("answered by {}", by.word())),
            Effect::Outcome(outcome) => {
                let done = outcome.done();
                self.log.push(format!("outcome: {} {}", done.form, done.kind.word()));
            }
            Effect::Remember(line) => {
                let permit = self.call.gate().and_then(|gate| gate.permit(&Scope::Transcript));
                let event = permit.expect("a permit").event();
                assert!(self.events.contains(&event), "the consent is on record before the line");
                self.log.push(format!("kept {}: {}", line.speaker.word(), line.text));
            }
            Effect::Consent(event) => {
                self.events.push(event.id);
                let scopes = match &event.scopes {
                    Which::All => "all".to_owned(),
                    Which::Only(scopes) => scopes.iter().map(Scope::to_string).collect::<Vec<_>>().join(","),
                };
                self.log.push(format!("event {} {scopes}: {}", event.seq, event.state));
            }
            Effect::Purge(_) => self.log.push("purged".into()),
            Effect::TurnDone(t) => {
                let late = if t.filler { " after a filler" } else { "" };
                self.log.push(format!("turn {} {} committed +{}{late}", t.turn, t.judgement.word(), t.committed_ms));
            }
            Effect::Caption(c) => {
                let open = if c.last { "" } else { "~" };
                self.log.push(format!("caption {}{open} {} {}", c.id, c.who.word(), c.text));
            }
            Effect::Transfer(target) => self.log.push(format!("transfers to {target}")),
            Effect::HangUp(cause) => {
                self.ended = true;
                self.log.push(format!("hangs up: {}", cause.word()));
            }
            Effect::GiveUp(given_up) => self.due.retain(|(_, action)| match action {
                Action::Heard { job, .. } | Action::Scored { job, .. } => *job != given_up,
                _ => true,
            }),
            Effect::ForgetAudio { .. } => {}
        }
    }

    fn tick(&mut self, speech: f32) {
        self.now += TICK;
        self.at_ms += 20;
        self.spoken_ms = if speech >= 0.5 { self.spoken_ms + 20 } else { 0 };
        while let Some(at) = self.due.iter().position(|(t, _)| *t <= self.now) {
            let (_, action) = self.due.remove(at).expect("it is there");
            self.apply(action);
        }
        if self.text {
            return self.read_out();
        }
        self.play();
        let sounding = self.playing.map(|(clause, played_ms)| {
            let length_ms = self.texts[&clause].chars().count() * 1000 / CHARS_PER_S;
            crate::call::Sounding { clause, played_ms, length_ms: u32::try_from(length_ms).ok() }
        });
        if let Some(hz) = self.beep {
            self.apply(Action::Beep { hz });
        }
        let dbfs = if self.loud {
            -20.0
        } else if speech > 0.5 {
            self.dbfs
        } else {
            -70.0
        };
        self.apply(Action::Frame { at: MediaTime::from_ms(self.at_ms), speech, dbfs, pitched: self.pitched, sounding });
    }

    fn play(&mut self) {
        if self.held {
            return;
        }
        if self.playing.is_none() {
            let next = self.queue.front().copied().filter(|c| Some(c.utterance) == self.released);
            let Some(clause) = next else { return };
            self.queue.pop_front();
            self.log.push(format!("agent: {}", self.texts[&clause]));
            self.playing = Some((clause, 0));
            self.apply(Action::ClauseEnded(clause));
            return self.apply(Action::ClauseStarted(clause));
        }
        if let Some((clause, ms)) = &mut self.playing {
            *ms += 20;
            if *ms as usize * CHARS_PER_S / 1000 >= self.texts[clause].chars().count() {
                let clause = *clause;
                self.playing = None;
                self.apply(Action::ClausePlayed(clause));
            }
        }
    }

    /// Without a voice everything is read as soon as it may be said.
    fn read_out(&mut self) {
        while let Some(at) = self.queue.iter().position(|c| Some(c.utterance) == self.released) {
            let clause = self.queue.remove(at).expect("it is there");
            self.log.push(format!("agent writes: {}", self.texts[&clause]));
            for action in [Action::ClauseEnded(clause), Action::ClauseStarted(clause), Action::ClausePlayed(clause)] {
                self.apply(action);
            }
        }
        if self.call.deadline().is_some_and(|d| d <= self.now) {
            self.apply(Action::Timeout);
        }
    }

    /// Lets `ms` pass, at most until the agent falls silent if `until_quiet`.
    fn run(&mut self, ms: u32, speech: f32, until_quiet: bool) {
        for _ in 0..ms / 20 {
            if self.ended || (until_quiet && !self.call.mouth.speaking()) {
                return;
            }
            self.tick(speech);
        }
    }

    fn step(&mut self, step: &str) {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        let ms = || rest.parse().expect("milliseconds");
        match word {
            "start" => self.apply(Action::Started),
            "listen" => self.run(60_000, 0.02, true),
            "wait" => self.run(ms(), 0.02, false),
            "key" => self.apply(Action::Digit(rest.chars().next().expect("a key"))),
            // Of a key that was taken already: the detector hears speech until it is told.
            "tone" => {
                self.caller = ("Beep.".to_owned(), 0.9);
                self.run(ms(), 0.95, false);
                self.apply(Action::Tone);
                self.run(1000, 0.02, false);
            }
            "type" => self.apply(Action::Typed(rest.to_owned())),
            "click" => {
                let (answer, scope) =
                    rest.split_once(' ').map_or((rest, None), |(answer, scope)| (answer, scope.parse().ok()));
                self.apply(Action::Clicked { grant: answer == "yes", scope });
            }
            "request" => self.apply(Action::Requested(Request::Withdraw(Which::All))),
            "erase" => self.apply(Action::Requested(Request::Erase)),
            "withdraw" => self.apply(Action::Withdrawn { scope: rest.parse().ok() }),
            "by-text" | "by-voice" => {
                self.text = word == "by-text";
                self.apply(Action::Present(if self.text { Presence::Text } else { Presence::Voice }));
            }
            "transferred" => self.apply(Action::Transferred),
            "not-transferred" => self.apply(Action::TransferFailed),
            "hold" => self.apply(Action::Held(true)),
            "resume" => self.apply(Action::Held(false)),
            "deaf" => self.deaf = true,
            "from-now-on-dbfs" => self.dbfs = rest.parse().expect("a level"),
            // The detector is as sure as of speech, the recognizer finds words, and there is no vowel in it.
            "crackle" => {
                self.caller = ("What time do you open?".to_owned(), 0.9);
                self.pitched = false;
                self.run(ms(), 0.95, false);
                self.pitched = true;
                self.run(1000, 0.02, false);
            }
            // What the detector is not sure of, and the recognizer makes a word of.
            "cough" => {
                self.caller = ("Blub.".to_owned(), 0.5);
                self.run(ms(), 0.55, false);
                self.run(1000, 0.02, false);
            }
            // Speech that has not ended yet.
            "begin" => {
                let (ms, text) = rest.split_once(' ').expect("milliseconds and words");
                self.caller = (text.to_owned(), 0.9);
                self.run(ms.parse().expect("milliseconds"), 0.95, false);
            }
            // Nothing comes from the line, not even silence.
            "lost" => {
                for _ in 0..ms() / 20 {
                    self.now += TICK;
                    self.play();
                    if self.call.deadline().is_some_and(|d| d <= self.now) {
                        self.apply(Action::Timeout);
                    }
                }
            }
            "bye" => self.apply(Action::HungUp(EndCause::CallerHungUp)),
            "noise" => {
                self.caller = (String::new(), 0.5);
                self.run(ms(), 0.9, false);
                self.run(1000, 0.02, false);
            }
            // The caller makes a sound, and goes on: `babble 9000`, `music 9000`, `sound 400 hello` with these words.
            "babble" | "music" | "beep" | "sound" => {
                let (ms, text) = rest.split_once(' ').unwrap_or((rest, ""));
                self.caller = (text.to_owned(), 0.9);
                self.loud = true;
                self.beep = (word == "beep").then_some(1_000);
                self.run(ms.parse().expect("milliseconds"), if word == "music" { 0.1 } else { 0.9 }, false);
                self.loud = false;
                self.beep = None;
            }
            // A conversation until so many seconds after the call's beginning, or a little longer.
            "talk" => {
                let until_ms: u64 = rest.parse::<u64>().expect("seconds") * 1000;
                while self.at_ms < until_ms && !self.ended {
                    self.step("speak When are you open?");
                    self.step("listen");
                }
            }
            "slow" => self.recognition = Duration::from_millis(ms().into()),
            "thought" => self.apply(Action::Thought { utterance: self.thinking, clause: rest.to_owned() }),
            "thought-end" => self.apply(Action::ThoughtEnded { utterance: self.thinking }),
            // A second of speech (or as said: `speak 300 uh huh`), then silence.
            "speak" => {
                let (first, others) = rest.split_once(' ').unwrap_or((rest, ""));
                let (ms, text) = first.parse().map_or((1000, rest), |ms| (ms, others));
                let (text, score) = text.split_once(" ?").map_or((text, 0.9), |(t, s)| (t, s.parse().expect("score")));
                self.caller = (text.to_owned(), score);
                self.run(ms, 0.95, false);
                self.run(1000, 0.02, false);
            }
            _ => panic!("no such step: {step}"),
        }
    }
}

impl Scripted for Stage {
    fn log(&mut self) -> &mut Vec<String> {
        &mut self.log
    }

    fn step(&mut self, step: &str) {
        Stage::step(self, step);
    }
}

/// By the rules of [`follow`].
fn check(script: &str) {
    check_with(script, LlmUse::Off);
}

fn check_with(script: &str, llm: LlmUse) {
    check_on(Stage::new(llm), script);
}

fn check_on(mut stage: Stage, script: &str) {
    follow(&mut stage, script);
    assert!(stage.now >= stage.began);
}

#[test]
fn a_question_after_consent_is_answered_and_kept() {
    check(
        "> start
         > listen
         ! kept agent:
         > speak Yes.
         agent: Thank you.
         turn 1 finished committed +180
         > listen
         kept agent:
         > speak What time do you open on Saturday?
         kept caller: What time do you open on Saturday?
         nine
         turn 2 finished committed +180
         > listen
         kept agent: On Saturday",
    );
}

#[test]
fn keys_answer_the_question_but_not_before_it_was_heard() {
    check("> start\n> listen\n> key 1\n> listen\nturn 1 key\nkept agent");
    check("> start\n> listen\n> key 2\n> listen\n! kept agent\n> speak When are you open?\n! kept caller");
    check("> start\n> wait 400\n> key 1\n! turn\n> listen\n! kept agent");
    let answered = "> start\n> listen\n> key 2\n> listen\n";
    check(&format!("{answered}> tone 80\n! turn"));
    // Somebody speaks while a key is pressed.
    check(&format!("{answered}> tone 600\nturn 2"));
}

#[test]
fn a_yes_that_began_before_the_question_grants_nothing() {
    // The greeting takes seven seconds; the caller says "Yes." across its end.
    check("> start\n> wait 6600\n> speak 800 Yes.\n! turn\n> listen\n! kept agent");
    // Over the end of the question it counts, once the question was heard.
    check("> start\n> wait 9000\n> speak 600 Yes.\n! turn\n> wait 2500\nturn 1\n> listen\nkept agent");
}

#[test]
fn clauses_that_cannot_be_spoken_do_not_mute_the_call() {
    let mut stage = Stage::new(LlmUse::Off);
    stage.step("start");
    for index in 0..8 {
        stage.queue.clear();
        stage.apply(Action::ClauseFailed(ClauseId { utterance: 1, index }));
    }
    stage.step("wait 8000");
    assert!(stage.log.iter().any(|l| l.contains("silence")), "{:#?}", stage.log);
}

#[test]
fn a_thank_you_over_the_promise_does_not_lose_the_transfer() {
    check(
        "> start
         > listen
         > key 2
         > listen
         > speak I want to speak to a real person.
         > speak 700 Thank you.
         > listen
         transfers to sip:",
    );
}

#[test]
fn an_unfinished_sentence_waits_and_a_pause_drops_the_draft() {
    let opening = "> start\n> listen\n> key 1\n> listen\n";
    check(&format!("{opening}> speak I'd like to\n! turn\n> wait 600\nunfinished committed +1200"));
    check(&format!("{opening}> speak Who won the match ?0.95\nunsure committed +400"));
}

#[test]
fn a_number_waits_for_its_groups() {
    let asked = "> start\n> listen\n> key 1\n> listen\n> speak I'd like to book an appointment.\n> listen\n\
                 > speak Next Thursday.\n> listen\n> speak Half past ten in the morning.\n> listen\n\
                 > speak My name is Anna Miller.\n> listen\n";
    // Digits that take three seconds to say, and are there.
    check(&format!(
        "{asked}> speak 3500 My number is 555 123 4567.\nagent: Thank you.\n> listen\nfinished committed +360"
    ));
    check(&format!("{asked}> speak 2000 My number is 555 123\n! turn\n> wait 600\nunfinished committed +1500"));
    // Ten digits in a second are the recognizer's.
    check(&format!("{asked}> speak 1000 My number is 555-555-5555\n! agent:\n> wait 600\n> listen\nunfinished"));
}

#[test]
fn a_real_interruption_stops_the_agent_and_the_history_keeps_what_was_heard() {
    check(
        "> start
         > listen
         > key 1
         > listen
         > speak How much is a cleaning?
         agent:
         > speak 900 Actually, what about Sunday?
         agent quieter
         agent stops
         kept caller: Actually, what about Sunday?
         agent:",
    );
}

#[test]
fn a_backchannel_or_a_cough_does_not_stop_the_agent() {
    let opening = "> start\n> listen\n> key 1\n> listen\n> speak Is there parking near the clinic?\nagent:\n";
    check(&format!("{opening}> speak 300 Uh huh.\nagent quieter\nagent louder\n! agent stops\n! kept caller"));
    check(&format!("{opening}> noise 200\nagent quieter\nagent louder\n! agent stops"));
}

#[test]
fn what_must_be_heard_cannot_be_talked_over() {
    check("> start\n> wait 200\n> speak 900 What time do you open on Saturday?\n! agent stops\n! turn");
}

#[test]
fn nobody_there_ends_the_call() {
    check("> start\n> listen\n> wait 60000\nhangs up: silence");
}

#[test]
fn a_caller_who_wants_a_person_is_transferred_or_served_on() {
    let opening = "> start\n> listen\n> key 2\n> listen\n> speak I want to speak to a real person.\nagent:\n\
                   > listen\ntransfers to sip:";
    check(&format!("{opening}\n> transferred\nhangs up: transferred"));
    check(&format!("{opening}\n> not-transferred\n> listen\nagent: I'm sorry\n> speak When are you open?\nagent:"));
    check("> start\n> wait 200\n> key 0\n> listen\ntransfers to sip:");
}

#[test]
fn a_caller_on_hold_is_not_asked_to_speak() {
    check("> start\n> listen\n> key 2\n> listen\n> hold\n> wait 60000\n! turn\n> resume\n> wait 8000\nsilence");
}

#[test]
fn goodbye_ends_the_call() {
    check("> start\n> listen\n> key 2\n> listen\n> speak Thank you, goodbye.\nagent:\n> listen\nhangs up: completed");
}

#[test]
fn the_model_is_asked_only_for_what_the_flows_do_not_cover() {
    let opening = "> start\n> listen\n> key 1\n> listen\n";
    let outside = "> speak Who won the match last night?";
    check_with(&format!("{opening}{outside}\nasks the model"), LlmUse::Local);
    check_with(&format!("{opening}> speak When are you open?\nagent:\n! asks the model"), LlmUse::Local);
    check_with(&format!("{opening}{outside}\nagent:\n! asks the model"), LlmUse::Off);
    // What leaves the machine needs a yes; what stays does not.
    let refused = opening.replace("key 1", "key 2");
    check_with(&format!("{opening}{outside}\nasks the model"), LlmUse::Declared);
    check_with(&format!("{refused}{outside}\nagent:\n! asks the model"), LlmUse::Declared);
    check_with(&format!("{refused}{outside}\nasks the model"), LlmUse::Local);
}
