//! The gateway's own times of a turn, read from its API and laid beside what was measured on the wire. It changes
//! nothing there.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rehearse::measure::{Sort, Turn};

const PATIENCE: Duration = Duration::from_secs(10);
/// The store writes a call's end a moment after the call.
const TRIES: u32 = 10;

#[derive(Debug, thiserror::Error)]
pub enum StagesError {
    #[error(
        "the API at {url} does not answer: {problem}. Give the gateway's [http] address, such as http://127.0.0.1:8080"
    )]
    Api { url: String, problem: String },
}

/// A turn as the API tells it; milliseconds after the caller's last speech, as the gateway heard it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    pub judgement: String,
    pub draft_ms: Option<u32>,
    pub heard_ms: Option<u32>,
    pub scored_ms: Option<u32>,
    pub committed_ms: Option<u32>,
    pub first_frame_ms: Option<u32>,
    /// The first frame of the answer itself, where a filler came before it.
    #[serde(default)]
    pub content_ms: Option<u32>,
    #[serde(default)]
    pub filler: bool,
    #[serde(default)]
    pub late_ms: u32,
    #[serde(default)]
    pub barge_in: bool,
    /// What is left of the time on the wire: packets, jitter buffer, voice detection, the first sound's onset.
    #[serde(default, skip_deserializing)]
    pub outside_ms: Option<i32>,
}

#[derive(Deserialize)]
struct CallBody {
    state: String,
    turns: Vec<Stages>,
}

/// The parts of a voice-to-voice time, in order; together they are it.
pub const PARTS: [&str; 5] =
    ["line and voice detection", "silence before the draft", "recognition", "wait for the commit", "first sound"];

impl Stages {
    /// How long each of `PARTS` took; `None` for a turn that was not answered by a draft.
    pub fn parts(&self) -> Option<[i32; 5]> {
        let (draft, heard) = (self.draft_ms? as i32, self.heard_ms? as i32);
        let (committed, first) = (self.committed_ms? as i32, self.first_frame_ms? as i32);
        let ready = self.scored_ms.map_or(heard, |s| heard.max(s as i32)).min(committed);
        Some([self.outside_ms?, draft, ready - draft, committed - ready, first - committed])
    }
}

pub struct Api {
    url: String,
    client: reqwest::Client,
}

impl Api {
    pub fn new(url: &str) -> Result<Self, StagesError> {
        let url = url.trim_end_matches('/').to_owned();
        let failed = |e: reqwest::Error| StagesError::Api { url: url.clone(), problem: e.to_string() };
        let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(failed)?;
        Ok(Self { url, client })
    }

    /// Whether anybody is there, before a long run is measured for nothing.
    pub async fn check(&self) -> Result<(), StagesError> {
        let failed =
            |e: reqwest::Error| StagesError::Api { url: self.url.clone(), problem: e.without_url().to_string() };
        let answer = self.client.get(format!("{}/healthz", self.url)).send().await.map_err(failed)?;
        answer.error_for_status().map(drop).map_err(failed)
    }

    /// The turns of an ended call; `None` where the gateway does not know it.
    pub async fn turns(&self, id: &str) -> Option<Vec<Stages>> {
        for _ in 0..TRIES {
            let answer = self.client.get(format!("{}/api/v1/calls/{id}", self.url)).send().await.ok()?;
            if let Ok(body) = answer.json::<CallBody>().await
                && !matches!(body.state.as_str(), "active" | "calling")
            {
                return Some(body.turns);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        None
    }
}

/// Lays the gateway's turns beside the caller's, in order: a key beside a key, speech beside speech. An utterance that
/// was cut off has one more for each time. False: they do not fit, and nothing is claimed.
pub fn join(turns: &mut [Turn], records: Vec<Stages>) -> bool {
    let spoken = |s: &Stages| s.judgement != "silence";
    let mut records = records.into_iter().filter(spoken).peekable();
    let mut found: Vec<(usize, Stages)> = vec![];
    for (n, turn) in turns.iter().enumerate() {
        let is_key = turn.sort == Sort::Key;
        let cuts = turn.pauses.iter().filter(|p| p.cut_off).count();
        if !is_key && turn.sort != Sort::Speech && turn.sort != Sort::Interruption {
            continue;
        }
        if turn.agent_ms.is_none() {
            continue;
        }
        // Keys come one by one.
        let count = if is_key { turn.said.trim_start_matches("keys ").chars().count() } else { cuts + 1 };
        for m in 0..count {
            match records.next_if(|r| (r.judgement == "key") == is_key) {
                Some(record) if m + 1 == count => found.push((n, record)),
                Some(_) => {}
                None => return false,
            }
        }
    }
    if records.next().is_some() {
        return false;
    }
    for (n, mut stages) in found {
        let first = stages.first_frame_ms.map(|f| f as i32);
        stages.outside_ms = turns[n].voice_to_voice_ms.zip(first).map(|(wire, first)| wire as i32 - first);
        turns[n].stages = Some(stages);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearse::measure::{Outcome, PauseHeard};

    fn turn(sort: Sort, said: &str, cut: bool) -> Turn {
        Turn {
            step: 1,
            said: said.into(),
            sort,
            outcome: Outcome::Answered,
            first_ms: 0,
            last_ms: Some(1_000),
            agent_ms: Some(1_400),
            voice_to_voice_ms: Some(400),
            pauses: vec![PauseHeard { ms: 600, cut_off: cut }],
            over: None,
            stages: None,
        }
    }

    fn record(judgement: &str, first: u32) -> Stages {
        Stages {
            judgement: judgement.into(),
            draft_ms: Some(80),
            heard_ms: Some(120),
            scored_ms: Some(110),
            committed_ms: Some(200),
            first_frame_ms: Some(first),
            ..Stages::default()
        }
    }

    #[test]
    fn turns_are_joined_in_order_or_not_at_all() {
        let turns =
            || [turn(Sort::Key, "keys 2", false), turn(Sort::Speech, "a", true), turn(Sort::Speech, "b", false)];
        let mut joined = turns();
        let records = vec![record("key", 1), record("finished", 2), record("unsure", 230), record("finished", 250)];
        assert!(join(&mut joined, records.clone()));
        let b = joined[2].stages.as_ref().unwrap();
        assert_eq!((b.first_frame_ms, b.outside_ms), (Some(250), Some(150)));
        assert_eq!(b.parts().map(|p| p.iter().sum::<i32>()), Some(400), "the parts are the whole");
        assert_eq!(b.parts(), Some([150, 80, 40, 80, 50]));
        assert_eq!(joined[1].stages.as_ref().map(|s| s.judgement.as_str()), Some("unsure"));
        let mut short = turns();
        assert!(!join(&mut short, records[..3].to_vec()));
        assert!(short.iter().all(|t| t.stages.is_none()));
    }
}
