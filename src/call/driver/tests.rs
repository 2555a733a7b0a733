//! Scripts of pages over whole calls on virtual time: real driver, call and leg; engines of wood, no socket.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use models::fake;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::call::live::Request;
use crate::call::page::{self, LinkEnd, PageConfig};
use crate::call::script::{Scripted, follow};
use crate::call::{CallConfig, Line, LlmUse, Speaker};
use crate::config::Turn;
use crate::dialogue::Agent;
use ::privacy::Scopes;
use ::privacy::consent::{Permit, Which};
use ::privacy::seal::Plain;

use crate::call::consent::Terms;
use crate::call::consent::tests::{script, terms};
use crate::store::{CallRecord, Full, LineInfo};

const AGENT: &str = include_str!("../../../configs/agents/front-desk.toml");
const TICK: Duration = Duration::from_millis(20);
const CALLER: ([u8; 4], u16) = ([192, 0, 2, 1], 4000);

/// What was kept, and the last record.
#[derive(Default)]
struct Kept {
    rows: Mutex<(Vec<String>, Option<CallRecord>)>,
    /// It has no room for consents.
    full: AtomicBool,
}

impl TranscriptStore for Kept {
    fn event(&self, event: ConsentEvent) -> Result<(), Full> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Full);
        }
        let shown = format!("event {} {} by {}", event.seq, event.state, event.channel);
        self.rows.lock().expect("whole").0.push(shown);
        Ok(())
    }

    fn append(&self, _: &Permit<'_>, line: Line) -> Result<(), Full> {
        self.rows.lock().expect("whole").0.push(format!("kept {}: {}", line.speaker.word(), line.text));
        Ok(())
    }

    fn append_gap(&self, _: &Permit<'_>, _: u32, lost: u32) -> Result<(), Full> {
        self.rows.lock().expect("whole").0.push(format!("gap of {lost}"));
        Ok(())
    }

    fn audio(&self, _: &Permit<'_>, leg: Speaker, seq: u64, duration_ms: u32, opus: Plain) -> Result<(), Full> {
        let stretch = format!("sound {} {seq}: {duration_ms} ms, {}", leg.word(), opus.as_bytes().starts_with(b"OggS"));
        self.rows.lock().expect("whole").0.push(stretch);
        Ok(())
    }

    fn purge(&self, _: CallId, _: &Scopes) {
        self.rows.lock().expect("whole").0.push("purged".into());
    }

    fn record(&self, record: CallRecord) -> Result<(), Full> {
        self.rows.lock().expect("whole").1 = Some(record);
        Ok(())
    }
}

/// Counts what goes out.
#[derive(Default)]
struct Sent(std::cell::Cell<u32>);

impl Wire for Sent {
    fn send_rtp(&self, _: &[u8], _: SocketAddr) {
        self.0.set(self.0.get() + 1);
    }

    fn send_rtcp(&self, _: &[u8], _: SocketAddr) {}
}

struct Stage {
    driver: Driver,
    input: mpsc::Sender<CallInput>,
    end: Option<LinkEnd>,
    now: Instant,
    ticks: u32,
    store: Arc<Kept>,
    hung_up: Arc<AtomicBool>,
    wire: Sent,
    live: Arc<Live>,
    /// The privacy desk, which waits until the call has taken what it was told.
    asked: Option<oneshot::Receiver<()>>,
    /// The caller's leg is there, and sends.
    talks: bool,
    log: Vec<String>,
}

impl Stage {
    fn new(leg: Option<LegConfig>) -> Self {
        Self::under(leg, terms(script()))
    }

    #[allow(clippy::disallowed_methods)]
    fn under(leg: Option<LegConfig>, terms: Terms) -> Self {
        let now = Instant::now();
        let agent = Arc::new(Agent::parse(AGENT).expect("the demo agent"));
        let config = CallConfig {
            turn: Turn::default(),
            silence_ms: 7000,
            duration_s_max: 600,
            llm: LlmUse::Off,
            warm: false,
            answering: None,
        };
        let call = Call::new(now, agent, jiff::civil::date(2026, 11, 23), config).under(terms);
        let wake: models::Wake = Arc::new(|| {});
        let script = fake::Script::new();
        let lines = Lines {
            recognizer: Box::new(fake::Recognizer::new(&script, Arc::clone(&wake))),
            synthesizer: Box::new(fake::Synthesizer::new(&script, Arc::clone(&wake))),
            vad: Box::new(fake::Vad),
            turn: Box::new(fake::TurnDetector::new(&script, wake)),
        };
        let (store, hung_up) = (Arc::new(Kept::default()), Arc::new(AtomicBool::new(false)));
        let signalled = Arc::clone(&hung_up);
        let live = Arc::<Live>::default();
        let around = Surroundings {
            store: Arc::clone(&store) as Arc<dyn TranscriptStore>,
            registry: Arc::default(),
            live: Arc::clone(&live),
            strain: SharedStrain::default(),
            think: None,
            warm: None,
            egress: None,
            signal: Box::new(move |signal| signalled.store(matches!(signal, Signal::HangUp), Ordering::Relaxed)),
            place: Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a place"),
        };
        let (input, inbox) = mpsc::channel(32);
        let page = PageConfig {
            agent: "front-desk".into(),
            language: "en".into(),
            questions: vec![(Scope::Transcript, "May we?".into())],
            notice: Some(json!({ "ai": true })),
            policy_version: "v1".into(),
            policy_url: Some("/privacy".into()),
            resume: "s3cret".into(),
        };
        let talks = leg.is_some();
        let (link, end) = if talks { (None, None) } else { some_link() };
        let summary = Summary::new(CallId(1), "front-desk", "text", &LineInfo::default());
        let driver = Driver::new(now, call, leg, lines, around, inbox, summary).with_page(now, page, link);
        let wire = Sent::default();
        let (ticks, asked, log) = (0, None, vec![]);
        let mut stage = Self { driver, input, end, now, ticks, store, hung_up, wire, live, asked, talks, log };
        stage.driver.start(now);
        stage
    }

    fn tick(&mut self) {
        self.now += TICK;
        self.ticks += 1;
        if self.talks {
            let mut packet = rtp(self.ticks);
            self.driver.datagram(self.now, CALLER.into(), &mut packet);
        }
        let captioned = self.log.len();
        self.driver.tick(self.now, &self.wire);
        if self.driver.new_road().is_some() {
            self.log.push("another road".into());
        }
        if self.driver.ended() {
            self.driver.goodbye(self.now, &self.wire);
        }
        while let Some(message) = self.end.as_mut().and_then(|end| end.from_call.try_recv().ok()) {
            self.log.push(shown(&message));
        }
        self.log.splice(captioned..captioned, self.store.rows.lock().expect("whole").0.drain(..));
        if self.asked.as_mut().is_some_and(|asked| asked.try_recv().is_ok()) {
            (self.asked, _) = (None, self.log.push("the desk hears".into()));
        }
    }

    fn step(&mut self, step: &str) {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        match word {
            "run" => {
                for _ in 0..rest.parse::<u32>().expect("milliseconds") / 20 {
                    self.tick();
                }
            }
            "say" => {
                let message = match rest {
                    "yes" => json!({"type": "consent", "grant": true}).to_string(),
                    "no" => json!({"type": "consent", "grant": false}).to_string(),
                    "bye" | "withdraw" => json!({"type": rest}).to_string(),
                    other if other.starts_with('{') => other.to_owned(),
                    text => json!({"type": "text", "text": text}).to_string(),
                };
                self.end.as_ref().expect("a link").to_call.try_send(message).expect("room");
                self.tick();
                self.tick();
            }
            "request" | "erase" => {
                let request = if word == "erase" { Request::Erase } else { Request::Withdraw(Which::All) };
                self.asked = Some(self.live.hand(CallId(1), request).expect("it goes on"));
                self.tick();
                self.tick();
            }
            "nonsense" => (0..rest.parse().expect("a number")).for_each(|_| self.step("say {}")),
            "full" | "room" => self.store.full.store(word == "full", Ordering::Relaxed),
            "close" => self.end = None,
            "silent" => self.talks = false,
            "talks" => self.talks = true,
            "text" => {
                let (link, end) = page::link();
                self.input.try_send(CallInput::Away(link)).map_err(drop).expect("room");
                (self.end, self.talks) = (Some(end), false);
            }
            "voice" => {
                let leg = Box::new(LegConfig::new(CALLER.into()));
                self.input.try_send(CallInput::Leg(leg, Road::Nowhere)).map_err(drop).expect("room");
                self.talks = true;
            }
            "hangup" => drop(self.input.try_send(CallInput::HangUp(EndCause::Lost))),
            _ => panic!("no such step: {step}"),
        }
    }
}

fn some_link() -> (Option<page::Link>, Option<LinkEnd>) {
    let (link, end) = page::link();
    (Some(link), Some(end))
}

/// 20 ms of silence in PCMU.
fn rtp(number: u32) -> [u8; 172] {
    let mut packet = [0xff; 172];
    packet[..2].copy_from_slice(&[0x80, 0]);
    packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&(number * 160).to_be_bytes());
    packet[8..12].copy_from_slice(&[7; 4]);
    packet
}

/// A message as a script expects it.
fn shown(message: &str) -> String {
    let message: Value = serde_json::from_str(message).expect("JSON");
    let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    match message["type"].as_str().expect("a type") {
        "state" => format!("state {}", text("state")),
        "caption" => {
            let open = if message["final"] == true { "" } else { "~" };
            format!("caption {}{open} {} {}", message["id"], text("who"), text("text"))
        }
        "hello" => format!("hello {} {} {} {}", text("call"), text("agent"), text("language"), text("resume")),
        "disclosure" => format!("disclosure {}", message["ai"]),
        "consent" => {
            let [scope, asked, version, url] = ["scope", "text", "policy_version", "policy_url"].map(text);
            format!("consent {scope} {asked} {version} {url}")
        }
        "consented" => format!("consented {} {}", text("scope"), message["granted"]),
        "ended" => format!("ended {}", text("cause")),
        _ => message.to_string(),
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
fn check(mut stage: Stage, script: &str) -> Stage {
    follow(&mut stage, script);
    stage
}

fn by_text(script: &str) -> Stage {
    check(Stage::new(None), script)
}

fn by_voice(script: &str) -> Stage {
    check(Stage::new(Some(LegConfig::new(CALLER.into()))), script)
}

#[test]
fn a_conversation_in_writing() {
    let stage = by_text(
        "> run 60
           hello 0000000000000001 front-desk en s3cret
           disclosure true
           consent transcript May we? v1 /privacy
           caption 1~ agent Hello, this is Bright Smile Dental.
           caption 1 agent Hello, this is Bright Smile Dental.
           caption 4 agent May I keep
           state listening
           ! kept
           > say yes
           kept agent: Thank you.
           consented transcript true
           caption 6 agent Thank you.
           > say What time do you open on Saturday?
           kept caller: What time do you open on Saturday?
           kept agent: On Saturday
           caption 8 caller What time do you open on Saturday?
           caption 9 agent On Saturday
           > say bye
           ended caller_hung_up",
    );
    assert!(stage.driver.ended() && stage.hung_up.load(Ordering::Relaxed));
    let record = stage.store.rows.lock().expect("whole").1.clone().expect("a record");
    assert_eq!((record.consent.as_str(), record.codec.as_str()), ("granted by click", "text"));
    assert_eq!(record.turns.len(), 2);
    assert_eq!(stage.wire.0.get(), 0, "nothing is sent by the wire");
}

#[test]
fn a_no_keeps_nothing_and_a_withdrawal_purges() {
    by_text("> run 60\n> say no\nconsented transcript false\n> say When are you open?\ncaption\n! kept");
    by_text(
        "> run 60\n> say yes\nconsented transcript true\n> say withdraw\npurged\nconsented transcript false\n> say When are you open?\n! kept",
    );
    // Agreement to another question than the one that was asked.
    let old = r#"say {"type":"consent","grant":true,"policy_version":"v0"}"#;
    let new = r#"say {"type":"consent","grant":true,"policy_version":"v1"}"#;
    by_text(&format!("> run 60\n> {old}\n! consented\n> {new}\nconsented transcript true"));
}

#[test]
fn keys_work_without_a_voice() {
    by_text(
        "> run 60\n> say {\"type\":\"digit\",\"digit\":\"2\"}\nconsented transcript false\n> say {\"type\":\"digit\",\"digit\":\"x\"}\n! caption",
    );
}

#[test]
fn a_page_that_makes_no_sense_is_not_listened_to() {
    let stage =
        by_text("> run 60\n> nonsense 19\n! error\n> run 4000\n> say When are you open?\ncaption\n> nonsense 1\nerror");
    assert!(stage.end.is_some_and(|end| end.to_call.is_closed()), "its WebSocket is closed");
    // Too much at once makes no sense either.
    let mut stage = Stage::new(None);
    for _ in 0..60 {
        let link = stage.end.as_ref().expect("a link");
        let _ = link.to_call.try_send(json!({"type": "text", "text": "hello"}).to_string());
        stage.tick();
    }
    assert!(stage.log.iter().any(|l| l.contains("error")), "{:#?}", stage.log);
}

#[test]
fn a_page_that_comes_back_finds_the_conversation_as_it_was() {
    by_text(
        "> run 60
         > say yes
         > say What time do you open on Saturday?
         > close
         > run 31000
         > text
         > run 40
         another road
         hello
         caption 8 caller What time do you open on Saturday?
         caption 9 agent On Saturday
         consented transcript true
         state listening
         > say And on Sunday?
         kept caller: And on Sunday?
         caption 11 agent On Sunday",
    );
    // While nobody is there nobody is asked.
    by_text(
        "> run 60\n> say no\n> close\n> run 400000\n> text\n> run 40\n! still there\n> run 119000\n! still there\n> run 2000\nstill there",
    );
}

#[test]
fn voice_and_writing_are_one_conversation() {
    let stage = by_text(
        "> run 60
         > say yes
         > say Is there parking near the clinic?
         > voice
         > run 200
         another road
         > text
         > run 40
         hello
         caption 9 agent Yes, there
         consented transcript true
         > say What about Sunday?
         kept caller
         caption 12 agent On Sunday",
    );
    assert!(stage.wire.0.get() > 5, "its voice was sent");
    // The greeting is being said; its clause is read from the beginning.
    by_voice(
        "> run 1000\n> text\n> run 60\nanother road\nhello\ncaption 1~ agent Hello\nconsent transcript May we?\ncaption 1 agent Hello\ncaption 4 agent May I keep",
    );
}

#[test]
fn a_voice_that_was_lost_for_a_moment_is_given_the_clause_again() {
    let said_ms = |stage: &Stage| stage.driver.playout.history().map(|p| p.ms()).sum::<u64>();
    let stage = by_voice("> run 2000\n> silent\n> run 3400");
    let before = said_ms(&stage);
    let stage = check(stage, "> run 20000");
    assert_eq!(said_ms(&stage), before, "nothing more is said to nobody");
    let stage = check(stage, "> talks\n> run 200");
    assert!((20..=200).contains(&said_ms(&stage)), "{} ms", said_ms(&stage));
    // A leg of which nothing comes for a minute is given up, the conversation is not.
    let stage = check(stage, "> silent\n> run 70000\nanother road\n> voice\n> run 200\nanother road");
    assert!(!stage.driver.ended() && (20..=200).contains(&said_ms(&stage)), "{} ms", said_ms(&stage));
}

#[test]
fn a_call_that_ends_tells_its_page() {
    by_text("> run 60\n> say no\n> say goodbye\ncaption\nended completed");
    by_text("> run 60\n> hangup\n> run 20\nended lost");
}

#[test]
fn a_consent_that_is_not_on_record_is_none() {
    by_text(
        "> full
         > run 60
         > say yes
         consented transcript true
         > say Is there parking near the clinic?
         ! kept
         ! event
         > room
         > run 40
         event 1 granted by click by text
         ! kept
         > say Where are you?
         gap of
         kept caller: Where are you?",
    );
}

#[test]
fn sound_is_kept_of_both_legs_where_that_was_granted_and_of_none_else() {
    let leg = || Some(LegConfig::new(CALLER.into()));
    let mut agreed = terms(script());
    let at = agreed.at;
    agreed.gate.ask(at, &Scope::Audio, ::privacy::policy::TextHash::of("May we?"));
    agreed.gate.grant(at, &Scope::Audio, ::privacy::consent::Grant::Click);
    check(
        Stage::under(leg(), agreed),
        "> run 60000
         sound caller 0: 5000 ms, true
         sound agent 0: 5000 ms, true
         sound caller 1: 5000 ms, true
         sound agent 1: 5000 ms, true",
    );
    check(Stage::new(leg()), "> run 60000\n! sound");
}

#[test]
fn what_the_desk_takes_back_is_taken_back_in_the_call() {
    let stage = by_text(
        "> run 60
         > say yes
         > say Is there parking near the clinic?
         kept caller
         > request
         event 2 withdrawn by api
         purged
         consented transcript false
         the desk hears
         agent All right.
         ! kept caller
         > say When are you open?
         caption
         ! kept caller
         > say bye
         ! event",
    );
    let record = stage.store.rows.lock().expect("whole").1.clone().expect("a record");
    assert_eq!(record.consent, "withdrawn");
    assert!(stage.live.hand(CallId(1), Request::Erase).is_none(), "it is over");
    // What was not answered yet is not asked any more, and a yes answers nothing.
    by_text("> run 60\n> request\nevent 1 withdrawn by api\n> say yes\n! granted\n! kept caller\n> say bye\n! event");
    // Who has refused is told nothing, and it is on record all the same.
    by_text("> run 60\n> say no\n> run 60\n> request\nevent 2 withdrawn by api\nthe desk hears\n! caption\n! purged");
}

#[test]
fn an_erasure_is_the_last_word_in_the_call() {
    by_text(
        "> run 60
         > say yes
         > erase
         event 2 erased by api
         purged
         consented transcript false
         the desk hears
         agent All right.
         ! withdrawn
         > say When are you open?
         ! kept caller
         > request
         the desk hears
         ! event
         > say bye
         ! event",
    );
}

#[test]
fn the_desk_hears_once_the_step_is_on_record() {
    by_text(
        "> run 60
         > say yes
         > full
         > request
         consented transcript false
         ! the desk hears
         > run 200
         ! the desk hears
         > room
         > run 40
         event 2 withdrawn by api
         the desk hears",
    );
}

#[test]
fn recording_ends_when_the_desk_takes_the_consent_back() {
    let mut agreed = terms(script());
    let at = agreed.at;
    agreed.gate.ask(at, &Scope::Audio, ::privacy::policy::TextHash::of("May we?"));
    agreed.gate.grant(at, &Scope::Audio, ::privacy::consent::Grant::Click);
    let leg = Some(LegConfig::new(CALLER.into()));
    let mut stage = Stage::under(leg, agreed);
    while !stage.log.iter().any(|l| l.contains("sound caller 0")) {
        assert!(!stage.driver.ended(), "it records");
        stage.step("run 100");
    }
    check(stage, "> request\nwithdrawn by api\npurged\n> run 60000\n! sound");
}
