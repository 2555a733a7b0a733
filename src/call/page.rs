//! The page of a call from the web: what the two tell each other, as JSON texts that are the same over a data channel and
//! over a WebSocket (docs/page-messages.md). It keeps to its bounds whatever a page sends, decides nothing about the
//! conversation and never waits.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use ::privacy::Scope;
use ::privacy::consent::State;
use media::Digit;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::call::action::Caption;
use crate::call::{Action, Activity, CallId, EndCause};

/// A message of a page's may be so long, in bytes.
pub const MESSAGE_MAX: usize = 4096;
/// And a text in it, in characters.
const TEXT_MAX: usize = 500;
/// Messages that wait for the page; for one more the oldest goes.
const WAITING_MAX: usize = 32;
/// Messages of a page's that wait for the call.
const UNHEARD_MAX: usize = 16;
/// So many messages that mean nothing, and the page is not listened to any more.
const BAD_MAX: u32 = 20;
/// A page may say so much at once, and then one more each time this has passed.
const BURST: u32 = 20;
const EVERY: Duration = Duration::from_millis(200);
/// A page that sends sound is heard fifty times a second. One of which nothing came for so long may be gone.
const GONE_AFTER: Duration = Duration::from_secs(3);

/// What the call tells its page.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    Hello {
        call: String,
        agent: &'a str,
        language: &'a str,
        /// By which the conversation is found again; whoever has it can take the call over.
        resume: &'a str,
    },
    State {
        state: &'static str,
    },
    Caption {
        who: &'static str,
        id: u64,
        text: &'a str,
        #[serde(rename = "final")]
        last: bool,
    },
    /// That an AI answers, for whom, what is kept and how a person is reached, for machines to read.
    Disclosure {
        #[serde(flatten)]
        notice: &'a serde_json::Value,
    },
    /// The question whether this may be done.
    Consent {
        scope: &'a Scope,
        text: &'a str,
        policy_version: &'a str,
        policy_url: Option<&'a str>,
    },
    Consented {
        scope: &'a Scope,
        granted: bool,
    },
    Ended {
        cause: &'static str,
    },
    Error {
        text: &'a str,
    },
}

/// What a page tells the call.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Consent {
        grant: bool,
        /// Of the question that was read; none: of the one that was asked last.
        scope: Option<Scope>,
        policy_version: Option<String>,
    },
    Digit {
        digit: char,
    },
    Text {
        text: String,
    },
    Withdraw {
        /// None: everything.
        scope: Option<Scope>,
    },
    Bye,
}

/// What a page wants. No Debug: it holds words.
#[derive(Clone, PartialEq)]
pub enum Wish {
    Do(Action),
    Key(Digit),
    /// The call is over for it.
    Bye,
}

/// What a page is told of its call.
#[derive(Clone, Default)]
pub struct PageConfig {
    pub agent: String,
    /// BCP 47.
    pub language: String,
    /// The questions for consent, as they are asked; none: there is no policy.
    pub questions: Vec<(Scope, String)>,
    pub policy_version: String,
    pub policy_url: Option<String>,
    /// The disclosure for machines.
    pub notice: Option<serde_json::Value>,
    /// The call's secret for its page.
    pub resume: String,
}

/// The call's end of a WebSocket's queues. Dropped, the WebSocket closes; closed, the page is gone.
pub struct Link {
    to_page: mpsc::Sender<String>,
    from_page: mpsc::Receiver<String>,
}

/// The WebSocket's end of the same.
pub struct LinkEnd {
    pub to_call: mpsc::Sender<String>,
    pub from_call: mpsc::Receiver<String>,
}

pub fn link() -> (Link, LinkEnd) {
    let (to_page, from_call) = mpsc::channel(WAITING_MAX);
    let (to_call, from_page) = mpsc::channel(UNHEARD_MAX);
    (Link { to_page, from_page }, LinkEnd { to_call, from_call })
}

/// That a page came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Gone,
    Back,
}

pub struct Page {
    config: PageConfig,
    waiting: VecDeque<String>,
    /// Without one it is reached over the leg's data channel.
    link: Option<Link>,
    bad: u32,
    /// Messages it may say now, and since when.
    allowance: u32,
    allowed_at: Instant,
    heard: Instant,
    gone: bool,
    told: Shown,
}

/// What the page was told last.
#[derive(Default)]
struct Shown {
    activity: Option<Activity>,
    consents: BTreeMap<Scope, State>,
}

impl Page {
    pub fn new(now: Instant, config: PageConfig, link: Option<Link>) -> Self {
        Self {
            config,
            waiting: VecDeque::new(),
            link,
            bad: 0,
            allowance: BURST,
            allowed_at: now,
            heard: now,
            gone: false,
            told: Shown::default(),
        }
    }

    /// A page that comes by this road from now on knows nothing yet.
    pub fn attach(&mut self, now: Instant, link: Option<Link>) {
        self.link = link;
        self.waiting.clear();
        self.told = Shown::default();
        self.heard = now;
        self.gone = false;
        self.bad = 0;
    }

    pub fn has_link(&self) -> bool {
        self.link.is_some()
    }

    // --- to the page ---

    pub fn hello(&mut self, call: CallId) {
        let PageConfig { agent, language, resume, .. } = &self.config;
        let hello = written(&Told::Hello { call: call.to_string(), agent, language, resume });
        let disclosure = self.config.notice.as_ref().map(|notice| written(&Told::Disclosure { notice }));
        self.push(hello);
        disclosure.into_iter().for_each(|disclosure| self.push(disclosure));
    }

    /// What of the call's state is news to the page.
    pub fn update<'a>(&mut self, activity: Activity, consents: impl Iterator<Item = (&'a Scope, State)>) {
        for (scope, state) in consents {
            if self.told.consents.get(scope) != Some(&state) {
                self.told.consents.insert(scope.clone(), state);
                self.tell_consent(scope, state);
            }
        }
        if self.told.activity != Some(activity) {
            self.told.activity = Some(activity);
            self.tell(&Told::State { state: activity.word() });
        }
    }

    fn tell_consent(&mut self, scope: &Scope, state: State) {
        let PageConfig { questions, policy_version, policy_url, .. } = &self.config;
        let question = questions.iter().find(|(asked, _)| asked == scope);
        let news = match (state, question) {
            (State::None, _) | (State::Asked, None) => return,
            (State::Asked, Some((_, text))) => {
                Told::Consent { scope, text, policy_version, policy_url: policy_url.as_deref() }
            }
            (state, _) => Told::Consented { scope, granted: matches!(state, State::Granted(_)) },
        };
        let news = written(&news);
        self.push(news);
    }

    pub fn caption(&mut self, caption: &Caption) {
        let Caption { id, who, text, last } = caption;
        self.tell(&Told::Caption { who: who.word(), id: *id, text, last: *last });
    }

    pub fn ended(&mut self, cause: EndCause) {
        self.tell(&Told::Ended { cause: cause.word() });
    }

    fn tell(&mut self, news: &Told<'_>) {
        self.push(written(news));
    }

    fn push(&mut self, message: String) {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
    }

    /// Sends what waits, as far as it goes; `channel` sends over the leg's data channel.
    pub fn flush(&mut self, mut channel: impl FnMut(&str) -> bool) {
        while let Some(message) = self.waiting.front() {
            let sent = match &self.link {
                Some(link) => link.to_page.try_send(message.clone()).is_ok(),
                None => channel(message),
            };
            if !sent {
                return;
            }
            self.waiting.pop_front();
        }
    }

    // --- from the page ---

    /// The next message of a WebSocket's.
    pub fn receive(&mut self) -> Option<String> {
        self.link.as_mut()?.from_page.try_recv().ok()
    }

    /// What a message asks for. `None`: it means nothing, or too many came.
    pub fn read(&mut self, now: Instant, message: &str) -> Option<Wish> {
        if self.bad >= BAD_MAX {
            return None;
        }
        let wish = if self.may_speak(now) { self.wish(message) } else { None };
        if wish.is_none() {
            self.bad += 1;
            metrics::counter!("dauys_page_messages_bad_total").increment(1);
            if self.bad == BAD_MAX {
                self.tell(&Told::Error { text: "too many messages that make no sense; see docs/page-messages.md" });
            }
        }
        wish
    }

    /// Closes the WebSocket of a page that is not listened to any more, once it was told why.
    pub fn close_if_bad(&mut self) {
        if self.bad >= BAD_MAX && self.waiting.is_empty() {
            self.link = None;
        }
    }

    fn wish(&self, message: &str) -> Option<Wish> {
        if message.len() > MESSAGE_MAX {
            return None;
        }
        Some(match serde_json::from_str(message).ok()? {
            // Agreement is to what was read.
            Said::Consent { policy_version: Some(version), .. } if version != self.config.policy_version => {
                return None;
            }
            Said::Consent { grant, scope, .. } => Wish::Do(Action::Clicked { grant, scope }),
            Said::Digit { digit } => Wish::Key(Digit::from_char(digit)?),
            Said::Text { text } => Wish::Do(Action::Typed(plain(&text)?)),
            Said::Withdraw { scope } => Wish::Do(Action::Withdrawn { scope }),
            Said::Bye => Wish::Bye,
        })
    }

    fn may_speak(&mut self, now: Instant) -> bool {
        let periods = now.saturating_duration_since(self.allowed_at).as_millis() / EVERY.as_millis();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        self.allowed_at += EVERY.saturating_mul(periods);
        self.allowance = self.allowance.saturating_add(periods).min(BURST);
        let may = self.allowance > 0;
        self.allowance = self.allowance.saturating_sub(1);
        may
    }

    // --- whether it is there ---

    /// Something came from it.
    pub fn heard(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    /// Whether it came or went since this was asked last. Without a link it is there by a leg, or not at all.
    pub fn news(&mut self, now: Instant, has_leg: bool) -> Option<Reach> {
        let gone = match &self.link {
            Some(link) => link.to_page.is_closed(),
            None => !has_leg || now.saturating_duration_since(self.heard) > GONE_AFTER,
        };
        let news = std::mem::replace(&mut self.gone, gone) != gone;
        news.then_some(if gone { Reach::Gone } else { Reach::Back })
    }

    pub fn is_gone(&self) -> bool {
        self.gone
    }
}

/// A text as it is read: without control characters, on one line, not empty and not too long.
fn plain(text: &str) -> Option<String> {
    if text.chars().count() > TEXT_MAX {
        return None;
    }
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

fn written(news: &Told<'_>) -> String {
    // Strings and numbers: nothing that could fail.
    serde_json::to_string(news).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)]
    fn page() -> (Instant, Page) {
        let now = Instant::now();
        let questions = vec![(Scope::Transcript, "May we?".into()), (Scope::Audio, "This too?".into())];
        let config = PageConfig { policy_version: "v1".into(), questions, ..PageConfig::default() };
        (now, Page::new(now, config, None))
    }

    /// What a message asks for, as a word.
    fn check(message: &str, expected: &str) {
        let (now, mut page) = page();
        let wish = match page.read(now, message) {
            None => "nothing".to_owned(),
            Some(Wish::Bye) => "bye".into(),
            Some(Wish::Key(digit)) => format!("key {}", digit.as_char()),
            Some(Wish::Do(Action::Typed(text))) => format!("typed {text}"),
            Some(Wish::Do(Action::Clicked { grant, scope: None })) => format!("clicked {grant}"),
            Some(Wish::Do(Action::Clicked { grant, scope: Some(scope) })) => format!("clicked {scope} {grant}"),
            Some(Wish::Do(Action::Withdrawn { scope: None })) => "withdrawn".into(),
            Some(Wish::Do(Action::Withdrawn { scope: Some(scope) })) => format!("withdrawn {scope}"),
            Some(Wish::Do(_)) => "something else".into(),
        };
        assert_eq!(wish, expected, "{message}");
        assert_eq!(page.bad, u32::from(expected == "nothing"), "{message}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Whatever a page says: what is typed is bounded, and has nothing in it that is not to be seen.
        #[test]
        fn any_message_is_read_or_ignored(
            kind in "consent|digit|text|withdraw|bye|\\PC{0,6}",
            key in "grant|digit|text|\\PC{0,6}",
            value in "true|null|[0-9]{0,30}|\"[0-9*#A-D]{0,3}\"|\"\\PC{0,600}\"|\\PC{0,40}",
        ) {
            for message in [format!(r#"{{"type":"{kind}","{key}":{value}}}"#), kind.clone(), value.clone()] {
                let (now, mut page) = page();
                if let Some(Wish::Do(Action::Typed(text))) = page.read(now, &message) {
                    let is_bounded = (1..=TEXT_MAX).contains(&text.chars().count());
                    proptest::prop_assert!(is_bounded && !text.contains(char::is_control), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn messages_mean_one_thing_or_nothing() {
        check(r#"{"type":"consent","grant":true}"#, "clicked true");
        check(r#"{"type":"consent","grant":false,"policy_version":"v1"}"#, "clicked false");
        check(r#"{"type":"consent","grant":true,"policy_version":"v2"}"#, "nothing");
        check(r#"{"type":"consent","scope":"audio","grant":true,"policy_version":"v1"}"#, "clicked audio true");
        check(r#"{"type":"consent","scope":"everything","grant":true}"#, "nothing");
        check(r#"{"type":"withdraw","scope":"xborder:US"}"#, "withdrawn xborder:US");
        check(r#"{"type":"consent","grant":"yes"}"#, "nothing");
        check(r#"{"type":"consent"}"#, "nothing");
        check(r#"{"type":"digit","digit":"5"}"#, "key 5");
        check(r##"{"type":"digit","digit":"#"}"##, "key #");
        check(r#"{"type":"digit","digit":"55"}"#, "nothing");
        check(r#"{"type":"digit","digit":"z"}"#, "nothing");
        check(r#"{"type":"withdraw"}"#, "withdrawn");
        check(r#"{"type":"bye"}"#, "bye");
        check(r#"{"type":"text","text":"  When are\n\tyou open?\u0000 "}"#, "typed When are you open?");
        check(r#"{"type":"text","text":" \n "}"#, "nothing");
        for nonsense in ["", "{}", "[]", "null", "hello", r#"{"type":"hello"}"#, r#"{"grant":true}"#, "\u{0}", "{{{{{{"]
        {
            check(nonsense, "nothing");
        }
        let text = |n| format!(r#"{{"type":"text","text":"{}"}}"#, "ж".repeat(n));
        check(&text(500), &format!("typed {}", "ж".repeat(500)));
        check(&text(501), "nothing");
        check(&"[".repeat(4000), "nothing");
        check(&format!("{}{}", r#"{"type":"bye"}"#, " ".repeat(MESSAGE_MAX)), "nothing");
    }

    #[test]
    fn whatever_comes_is_read_in_bounds() {
        let good = [
            r#"{"type":"consent","grant":true,"policy_version":"v1"}"#,
            r#"{"type":"text","text":"When \u0436 \ud83d\ude00 are you open?"}"#,
            r#"{"type":"digit","digit":"5"}"#,
        ];
        // The same numbers in every run.
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut meant = 0;
        for _ in 0..20_000 {
            let mut bytes = good[random(good.len())].as_bytes().to_vec();
            for _ in 0..random(4) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.extend_from_within(at..),
                }
            }
            let (now, mut page) = page();
            if let Some(wish) = page.read(now, &String::from_utf8_lossy(&bytes)) {
                meant += 1;
                if let Wish::Do(Action::Typed(text)) = wish {
                    assert!(!text.is_empty() && text.chars().count() <= TEXT_MAX && !text.contains(char::is_control));
                }
            }
        }
        assert!((1_000..19_000).contains(&meant), "{meant}");
    }

    #[test]
    fn a_page_may_say_so_much() {
        let (mut now, mut page) = page();
        let bye = r#"{"type":"bye"}"#;
        let said = |page: &mut Page, now| page.read(now, bye).is_some();
        assert!((0..BURST).all(|_| said(&mut page, now)));
        assert!(!said(&mut page, now));
        now += EVERY * 3;
        assert_eq!((0..5).filter(|_| said(&mut page, now)).count(), 3);
        // Three bad ones so far.
        assert_eq!(page.bad, 3);
        now += EVERY * 1000;
        (0..BAD_MAX - 3).for_each(|_| assert!(page.read(now, "no").is_none()));
        now += EVERY * 1000;
        assert!(!said(&mut page, now), "it is not listened to any more");
        let (mut told, mut open) = (vec![], true);
        page.flush(|message| {
            told.push(message.to_owned());
            std::mem::replace(&mut open, true)
        });
        assert!(told.len() == 1 && told[0].contains("error"), "{told:?}");
    }

    #[test]
    fn what_waits_has_a_bound_and_keeps_its_order() {
        let (_, mut page) = page();
        for id in 0..100 {
            page.caption(&Caption { id, who: crate::call::Speaker::Agent, text: "x".into(), last: true });
        }
        assert_eq!(page.waiting.len(), WAITING_MAX);
        let mut ids = vec![];
        let mut take = |message: &str| {
            let message: serde_json::Value = serde_json::from_str(message).expect("JSON");
            ids.push(message["id"].as_u64().expect("an id"));
            ids.len() < 5
        };
        page.flush(&mut take);
        assert_eq!(ids, [68, 69, 70, 71, 72]);
        assert_eq!(page.waiting.len(), WAITING_MAX - 4, "what was not taken still waits");
    }

    #[test]
    fn a_page_is_told_of_a_change_once() {
        let (_, mut page) = page();
        let refused = State::Refused(::privacy::consent::Refusal::Click);
        let text = Scope::Transcript;
        page.update(Activity::Listening, [(&text, State::Asked), (&Scope::Audio, State::None)].into_iter());
        page.update(Activity::Listening, [(&text, State::Asked), (&Scope::Audio, State::None)].into_iter());
        page.update(Activity::Speaking, [(&text, refused), (&Scope::Audio, State::Asked)].into_iter());
        let told: Vec<&str> = page.waiting.iter().map(String::as_str).collect();
        assert_eq!(
            told,
            [
                r#"{"type":"consent","scope":"transcript","text":"May we?","policy_version":"v1","policy_url":null}"#,
                r#"{"type":"state","state":"listening"}"#,
                r#"{"type":"consented","scope":"transcript","granted":false}"#,
                r#"{"type":"consent","scope":"audio","text":"This too?","policy_version":"v1","policy_url":null}"#,
                r#"{"type":"state","state":"speaking"}"#,
            ]
        );
    }

    #[test]
    fn a_page_is_gone_when_nothing_comes_from_it() {
        let (now, mut page) = page();
        assert_eq!(page.news(now, true), None);
        assert_eq!(page.news(now + GONE_AFTER, true), None);
        assert_eq!(page.news(now + GONE_AFTER * 2, true), Some(Reach::Gone));
        page.heard(now + GONE_AFTER * 3);
        assert_eq!(page.news(now + GONE_AFTER * 3, true), Some(Reach::Back));
        assert_eq!(page.news(now + GONE_AFTER * 3, false), Some(Reach::Gone), "without a leg there is no road to it");
        let (link, end) = link();
        page.attach(now, Some(link));
        assert_eq!(page.news(now + GONE_AFTER * 9, false), None);
        drop(end);
        assert_eq!(page.news(now, false), Some(Reach::Gone));
    }
}
