//! Everything that can happen to a call, and everything a call can ask for. Two closed sets; no behaviour.

use std::fmt;

use ::privacy::consent::ConsentEvent;
use ::privacy::{Scope, Scopes};
use media::MediaTime;
use models::{ClauseId, Due, Job};

use crate::call::answering::AnsweredBy;
use crate::call::live::Request;
use crate::call::timing::TurnRecord;
use crate::dialogue::Outcome;

/// Random, so that it says nothing about the caller. Shown as sixteen hex digits.
pub use ::privacy::CallId;

/// How much of the clause that is going out was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sounding {
    pub clause: ClauseId,
    pub played_ms: u32,
    /// Of the whole clause, once it is made.
    pub length_ms: Option<u32>,
}

/// What happened. No Debug: it holds words.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// Media flows both ways: speak.
    Started,
    /// 20 ms of caller audio, as the voice activity detector saw it, and what the agent was saying meanwhile.
    Frame {
        at: MediaTime,
        speech: f32,
        /// How loud it is.
        dbfs: f32,
        /// It has a pitch, as vowels have. Told only where it sounds like speech.
        pitched: bool,
        sounding: Option<Sounding>,
    },
    /// The frame that comes next is one pure tone. Told only where a machine may have answered.
    Beep {
        hz: u16,
    },
    Heard {
        job: Job,
        text: String,
    },
    NotHeard {
        job: Job,
    },
    Scored {
        job: Job,
        finished: f32,
    },
    Digit(char),
    /// The caller wrote this: a turn at once.
    Typed(String),
    /// The caller answered the question for consent by a click, or took back what was agreed.
    Clicked {
        grant: bool,
        /// None: the one that is asked for.
        scope: Option<Scope>,
    },
    /// The caller took one consent back by a click, or all.
    Withdrawn {
        scope: Option<Scope>,
    },
    /// The privacy desk took consent back.
    Requested(Request),
    /// The caller is there from now on, or again, and may have missed what was said last.
    Present(Presence),
    /// The sound of the last frames was a key's tone, as can be told some 60 ms after it began. The key itself comes as
    /// `Digit`, unless it had come already.
    Tone,
    /// The synthesizer gave the last frame of a clause.
    ClauseEnded(ClauseId),
    /// The synthesizer could not say a clause.
    ClauseFailed(ClauseId),
    /// The first frame of a clause went out.
    ClauseStarted(ClauseId),
    /// The last frame of a clause went out.
    ClausePlayed(ClauseId),
    /// The language model's next clause, its end, or its failure.
    Thought {
        utterance: u64,
        clause: String,
    },
    ThoughtEnded {
        utterance: u64,
    },
    ThoughtFailed {
        utterance: u64,
    },
    /// The other side took the caller over, or did not.
    Transferred,
    TransferFailed,
    /// The other side put us on hold, or took us back.
    Held(bool),
    /// A deadline passed.
    Timeout,
    /// The other side, or the network, ended the call.
    HungUp(EndCause),
}

/// How a caller takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// They hear and are heard.
    Voice,
    /// They read and write.
    Text,
}

/// What a call is doing, as a page shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    Listening,
    Thinking,
    Speaking,
    /// Nobody is asked to speak: on hold, or being put through.
    Held,
}

impl Activity {
    pub fn word(self) -> &'static str {
        match self {
            Self::Listening => "listening",
            Self::Thinking => "thinking",
            Self::Speaking => "speaking",
            Self::Held => "held",
        }
    }
}

/// What the call wants done. No Debug: it holds words.
#[derive(Clone, PartialEq)]
pub enum Effect {
    /// `Due::Maybe`: the words so far, of somebody who still speaks.
    Recognize {
        job: Job,
        due: Due,
    },
    Score {
        job: Job,
        due: Due,
    },
    /// Nobody waits for the text and score of this job any more; the audio stays.
    GiveUp(Job),
    /// Drop the utterance's audio but for the last part; with 0 the turn detector's as well.
    ForgetAudio {
        keep_ms: u32,
    },
    /// Start making speech; it waits for `Release`.
    Say {
        clause: ClauseId,
        text: String,
        due: Due,
    },
    /// Let this utterance go out.
    Release {
        utterance: u64,
    },
    /// Forget an utterance, made or not.
    Cancel {
        utterance: u64,
    },
    /// Stop what is going out, now.
    StopPlayout,
    Duck(bool),
    /// Fall silent now and keep what is left to say ...
    HoldPlayout,
    /// ... and go on where the word began that was cut.
    ResumePlayout,
    /// The caller spoke over the agent, who let them or, false, went on.
    BargedIn {
        yielded: bool,
    },
    /// Ask the language model.
    Think {
        utterance: u64,
        prompt: Vec<PromptLine>,
    },
    StopThinking,
    /// Let the language model read so far: the caller speaks, and it may be asked next.
    Warm(Vec<PromptLine>),
    /// Who answered a call of ours.
    AnsweredBy(AnsweredBy),
    /// A form was completed, in a turn that counts.
    Outcome(Outcome),
    /// Keep a step of consent, before anything is kept under it.
    Consent(Box<ConsentEvent>),
    /// Keep a line, redacted, if a permit can be had.
    Remember(Line),
    /// Destroy what was kept of this call under these scopes.
    Purge(Scopes),
    TurnDone(TurnRecord),
    /// Show the caller what is said. It goes to nobody else, and is not kept.
    Caption(Caption),
    /// Ask the other side to call this target instead (RFC 3515).
    Transfer(String),
    HangUp(EndCause),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Caller,
    Agent,
}

impl Speaker {
    pub fn word(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Agent => "agent",
        }
    }
}

/// One line of the conversation. Debug prints no words.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// When it had been said, since the call began.
    pub at_ms: u32,
    pub speaker: Speaker,
    pub text: String,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({} at {} ms, {} bytes)", self.speaker.word(), self.at_ms, self.text.len())
    }
}

/// What a page shows of one clause, or of one turn of the caller's. Debug prints no words.
#[derive(Clone, PartialEq, Eq)]
pub struct Caption {
    /// A later one of the same number takes the place of this one.
    pub id: u64,
    pub who: Speaker,
    /// Empty: nothing was said after all.
    pub text: String,
    /// No other one of this number follows.
    pub last: bool,
}

impl fmt::Debug for Caption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caption({} of the {}, {} bytes)", self.id, self.who.word(), self.text.len())
    }
}

/// One message to the language model.
#[derive(Clone, PartialEq, Eq)]
pub struct PromptLine {
    /// `system`, `user` or `assistant`.
    pub role: &'static str,
    pub text: String,
}

impl fmt::Debug for PromptLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PromptLine({}, {} bytes)", self.role, self.text.len())
    }
}

/// Why a call ended. A closed set: it is a metric label and a stored column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndCause {
    /// The conversation came to its end.
    Completed,
    CallerHungUp,
    /// There was no room for it; the caller was told so.
    TurnedAway,
    /// The caller gave up before the answer.
    Cancelled,
    /// A person took over.
    Transferred,
    /// Nobody spoke for too long.
    Silence,
    /// There was nothing but noise, or music.
    Noise,
    /// The caller was not understood, and wanted no person.
    NotUnderstood,
    /// A machine answered a call of ours.
    Machine,
    DurationMax,
    /// No media and no signalling any more.
    Lost,
    /// The gateway is stopping.
    Shutdown,
}

impl EndCause {
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::TurnedAway => "turned_away",
            Self::CallerHungUp => "caller_hung_up",
            Self::Cancelled => "cancelled",
            Self::Transferred => "transferred",
            Self::Silence => "silence",
            Self::Noise => "noise",
            Self::NotUnderstood => "not_understood",
            Self::Machine => "machine",
            Self::DurationMax => "duration_max",
            Self::Lost => "lost",
            Self::Shutdown => "shutdown",
        }
    }
}
