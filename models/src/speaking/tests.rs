//! Tests of a synthesis line over a made-up voice; no model, no sound.

use super::*;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// Speaks one part of 400 samples per word, each filled with the word's length; "fail" and "panic" do as they say.
struct Clicker;

impl Speak for Clicker {
    fn speak(&mut self, text: &str, ticket: &Ticket, emit: &mut dyn FnMut(Vec<i16>)) -> Result<(), Failed> {
        for word in text.split_whitespace() {
            match word {
                _ if ticket.cancelled() => return Ok(()),
                "fail" => return Err(Failed),
                "panic" => panic!("told to"),
                word => emit(vec![word.len() as i16; 400]),
            }
        }
        Ok(())
    }
}

struct Bench {
    _crew: SynthesizerCrew,
    line: EngineSynthesizer,
    rung: Receiver<()>,
    clips: Arc<Clips>,
}

impl Bench {
    fn new() -> Self {
        let work = |ticket: &Ticket, request: Request| serve(&mut Clicker, ticket, request);
        let crew = SynthesizerCrew::start("test", vec![work], CLAUSES_MAX, 1).unwrap();
        let (ring, rung) = sync_channel(64);
        let clips = Arc::new(Clips::new(std::env::temp_dir().join("dauys-none"), 1 << 20));
        let wake: Wake = Arc::new(move || {
            let _ = ring.try_send(());
        });
        let line = EngineSynthesizer::new(crew.line(), Arc::from("v"), Arc::clone(&clips), wake);
        Self { _crew: crew, line, rung, clips }
    }

    fn say(&mut self, utterance: u64, index: u16, text: &str) {
        self.line.say(ClauseId { utterance, index }, text, Due::Idle).unwrap();
    }

    /// What comes until nothing is left: frames by their first and last sample, ends and failures by clause.
    fn listen(&mut self) -> Vec<String> {
        let mut pool = FramePool::new(2);
        let mut log = Vec::new();
        while !self.line.clauses.is_empty() {
            assert_eq!(self.line.ready(), self.line.clauses.front().is_some_and(|c| locked(&c.speech.state).ready()));
            match self.line.poll(MediaTime::ZERO, &mut pool) {
                Some(Spoken::Frame { frame, .. }) => {
                    log.push(format!("{} {}", frame.samples()[0], frame.samples()[319]))
                }
                Some(Spoken::End { clause }) => log.push(format!("end {}.{}", clause.utterance, clause.index)),
                Some(Spoken::Failed { clause, .. }) => {
                    log.push(format!("failed {}.{}", clause.utterance, clause.index))
                }
                None => self.rung.recv_timeout(Duration::from_secs(10)).expect("more audio"),
            }
        }
        log
    }
}

#[test]
fn parts_run_together_and_the_last_frame_is_padded() {
    let mut bench = Bench::new();
    bench.say(1, 0, "a bb");
    bench.say(1, 1, "ccc");
    assert_eq!(bench.listen(), ["1 1", "1 2", "2 0", "end 1.0", "3 3", "3 0", "end 1.1"]);
}

#[test]
fn a_failing_clause_says_so_and_the_next_one_speaks() {
    let mut bench = Bench::new();
    bench.say(1, 0, "a fail");
    bench.say(1, 1, "panic");
    bench.say(1, 2, "");
    bench.say(1, 3, "bb");
    let want = ["1 1", "1 0", "failed 1.0", "failed 1.1", "end 1.2", "2 2", "2 0", "end 1.3"];
    assert_eq!(bench.listen(), want);
}

#[test]
fn a_clip_speaks_without_the_engine() {
    let mut bench = Bench::new();
    bench.clips.keep(ClipKey::new("v", "hello"), Arc::from([9i16; 320]));
    bench.say(1, 0, "hello");
    assert!(bench.line.ready());
    bench.say(1, 1, "a");
    assert_eq!(bench.listen(), ["9 9", "end 1.0", "1 1", "1 0", "end 1.1"]);
}

#[test]
fn a_line_without_an_engine_speaks_clips_only() {
    let mut bench = Bench::new();
    bench.clips.keep(ClipKey::new("v", "hello"), Arc::from([9i16; 320]));
    let (clips, wake) = (Arc::clone(&bench.clips), Arc::clone(&bench.line.wake));
    bench.line = EngineSynthesizer::new(None, Arc::from("v"), clips, wake);
    let id = ClauseId { utterance: 1, index: 0 };
    assert_eq!(bench.line.say(id, "a", Due::Idle), Err(SynthesizerError::Engine));
    bench.say(1, 0, "hello");
    assert_eq!(bench.listen(), ["9 9", "end 1.0"]);
}

#[test]
fn limits_are_kept_and_cancel_makes_room() {
    let mut bench = Bench::new();
    let id = ClauseId { utterance: 2, index: 0 };
    assert_eq!(bench.line.say(id, &"x".repeat(CLAUSE_CHARS_MAX + 1), Due::Idle), Err(SynthesizerError::TooLong));
    (0..8).for_each(|index| bench.say(1, index, "a"));
    assert_eq!(bench.line.say(id, "b", Due::Idle), Err(SynthesizerError::Full));
    bench.line.cancel(1);
    bench.say(2, 0, "bb");
    assert_eq!(bench.listen(), ["2 2", "2 0", "end 2.0"]);
}
