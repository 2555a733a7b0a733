//! The agent file as TOML has it: every key there is, nothing checked beyond types. An unknown key is
//! an error here; what the values mean is `check`'s business.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// A text with its place in the file.
pub(crate) type Text = Spanned<String>;
pub(crate) type Texts = Spanned<Vec<Text>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub name: Text,
    pub language: Text,
    pub voice: Text,
    pub greeting: Greeting,
    pub hours: Option<Spanned<Hours>>,
    #[serde(default)]
    pub kinds: BTreeMap<String, BTreeMap<String, Texts>>,
    pub fact: Spanned<Vec<Fact>>,
    #[serde(default)]
    pub form: Vec<Form>,
    pub human: Human,
    pub repeat: Repeat,
    pub bye: AskSay,
    pub withdraw: AskSay,
    pub interrupt: AskSay,
    pub abandon: AskSay,
    pub idle: Idle,
    pub silence: Silence,
    pub unclear: Unclear,
    pub fallback: SayList,
    pub noise: Option<Noise>,
    pub filler: Option<SayList>,
    pub limit: Option<Limit>,
    pub voicemail: Option<Say>,
    pub turn: Option<Spanned<Waits>>,
    /// Said to a caller for whom there is no room; without it a sentence of the language's.
    pub busy: Option<Say>,
    #[serde(default)]
    pub keys: BTreeMap<String, Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Say {
    pub say: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SayList {
    pub say: Texts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskSay {
    pub ask: Texts,
    pub say: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Greeting {
    /// Where there is a policy, its disclosure is said instead.
    pub say: Text,
    /// Said once all is told and asked: "How can I help you?"
    pub ready: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hours {
    pub monday: Text,
    pub tuesday: Text,
    pub wednesday: Text,
    pub thursday: Text,
    pub friday: Text,
    pub saturday: Text,
    pub sunday: Text,
    /// Dates on which the place is closed whatever the weekday, `2026-12-25`.
    #[serde(default)]
    pub closed: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fact {
    pub id: Text,
    pub ask: Texts,
    pub say: Text,
    /// `day`, or a name under `[kinds]`: the answer then depends on which one the caller named.
    pub by: Option<Text>,
    #[serde(default)]
    pub answers: BTreeMap<String, Text>,
    /// With `by = "day"`: the answer for a date in `hours.closed`.
    pub closed: Option<Text>,
    /// `say` ends in "anything else?": a no to it ends the call.
    #[serde(default)]
    pub asks_more: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Form {
    pub id: Text,
    /// `booking` or `cancelling`.
    pub kind: Text,
    pub ask: Texts,
    pub start: Text,
    pub confirm: Text,
    /// What to say to a "no" without a reason: booking asks what to change, cancelling ends here.
    pub change: Text,
    pub done: Text,
    pub slot: Spanned<Vec<Slot>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    /// `day`, `time`, `name` or `phone`.
    pub name: Text,
    pub ask: Text,
    pub again: Texts,
    /// What callers call this slot: "no, the day is wrong".
    #[serde(default)]
    pub called: Vec<Text>,
    /// Another slot that does instead: a phone number for a name.
    pub instead: Option<Text>,
    /// Day: the place is closed then.
    pub closed: Option<Text>,
    /// Day: too far ahead.
    pub far: Option<Text>,
    pub days_ahead_max: Option<Spanned<u16>>,
    /// Time: outside opening hours.
    pub outside: Option<Text>,
    /// Time: the last appointment begins this long before closing.
    pub minutes_before_closing: Option<Spanned<u16>>,
    /// Phone: said when the number so far is too short.
    pub more: Option<Text>,
    pub digits_min: Option<Spanned<u8>>,
    pub digits_max: Option<Spanned<u8>>,
    /// Phone: how many digits numbers here usually have.
    pub digits_usual: Option<Spanned<Vec<u8>>>,
    /// How long to wait for more where this slot is asked for.
    pub turn: Option<Spanned<Waits>>,
}

/// Silence until a turn is over, as in the gateway's `[turn]`; what is absent is as there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waits {
    pub finished_ms: Option<u32>,
    pub unsure_ms: Option<u32>,
    pub unfinished_ms: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Human {
    pub ask: Texts,
    pub say: Text,
    /// Said after too many misunderstandings: shall I put you through?
    pub offer: Text,
    /// A SIP URI or an extension.
    pub target: Text,
    /// Said when nobody could be reached there.
    pub failed: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repeat {
    pub ask: Texts,
    pub nothing: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Idle {
    /// To a "yes" that answers nothing.
    pub yes: Text,
    /// To a "no" that answers nothing.
    pub no: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Silence {
    pub say: Texts,
    pub bye: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unclear {
    pub say: Texts,
    /// When a person was offered and declined, and still nothing is understood.
    pub bye: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Noise {
    pub say: Texts,
    pub bye: Text,
}

/// What is said of the longest time that a call may take.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    /// A minute before it.
    pub warn: Text,
    pub bye: Text,
}
