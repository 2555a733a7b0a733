//! What a call of our own measured, as JSON and as words. Times are on the wire: the moment a packet was
//! handed to, or came from, the socket.

use std::time::Instant;

use media::Leg;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Report {
    /// INVITE sent to 200 received; of a page's call from the offer until it was reached.
    pub answered_ms: Option<u32>,
    /// To the first packet with the agent's speech.
    pub first_speech_ms: Option<u32>,
    pub codec: Option<&'static str>,
    /// `caller`, `agent` or `lost`.
    pub ended_by: &'static str,
    pub duration_ms: u32,
    pub turns: Vec<Turn>,
    pub packets_sent: u64,
    pub packets_received: u64,
    pub packets_lost: i64,
    pub jitter_ms: f32,
    #[serde(skip)]
    started: Instant,
}

/// One recording played and what came back.
#[derive(Debug, Clone, Serialize)]
pub struct Turn {
    /// The recording's file name, or the keys pressed.
    pub said: String,
    /// The packet with the caller's last speech, milliseconds since the INVITE.
    pub last_speech_sent_ms: u32,
    /// The first packet with the agent's speech after it; none where nothing came.
    pub first_agent_speech_ms: Option<u32>,
    /// The difference.
    pub voice_to_voice_ms: Option<u32>,
}

impl Report {
    pub fn new(started: Instant) -> Self {
        Self {
            answered_ms: None,
            first_speech_ms: None,
            codec: None,
            ended_by: "nobody",
            duration_ms: 0,
            turns: vec![],
            packets_sent: 0,
            packets_received: 0,
            packets_lost: 0,
            jitter_ms: 0.0,
            started,
        }
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    pub fn answered(&mut self, now: Instant, codec: &'static str) {
        self.answered_ms = Some(ms(self.started, now));
        self.codec = Some(codec);
    }

    /// The agent is heard.
    pub fn speech(&mut self, now: Instant) {
        let since = ms(self.started, now);
        self.first_speech_ms.get_or_insert(since);
    }

    pub fn finish(&mut self, now: Instant, leg: Option<&Leg>) {
        self.duration_ms = ms(self.started, now);
        if let Some(stats) = leg.map(Leg::stats) {
            self.packets_sent = stats.packets_sent;
            self.packets_received = stats.packets_received;
            self.packets_lost = stats.packets_lost;
            self.jitter_ms = stats.jitter_ms;
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut lines = vec![match self.answered_ms {
            Some(t) => {
                let heard = self.first_speech_ms.map(|t| format!(", heard after {t} ms")).unwrap_or_default();
                format!("answered after {t} ms{heard}, {}", self.codec.unwrap_or("?"))
            }
            None => "not answered".to_owned(),
        }];
        for turn in &self.turns {
            lines.push(match turn.voice_to_voice_ms {
                Some(t) => format!("{:<32} answered after {t} ms", turn.said),
                None => format!("{:<32} no answer", turn.said),
            });
        }
        lines.push(format!(
            "ended by the {} after {:.1} s; {} packets sent, {} received, {} lost, jitter {:.1} ms",
            self.ended_by,
            f64::from(self.duration_ms) / 1000.0,
            self.packets_sent,
            self.packets_received,
            self.packets_lost,
            self.jitter_ms
        ));
        lines.join("\n")
    }
}

pub fn ms(from: Instant, to: Instant) -> u32 {
    crate::call::ms_between(from, to)
}
