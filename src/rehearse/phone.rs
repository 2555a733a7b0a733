//! One simulated call over real SIP and RTP, or over WebRTC. It moves datagrams and asks the actor; it decides nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use media::{Digit, FRAME_SAMPLES, FramePool, MediaTime};

use crate::caller::{
    Agreed, CallOptions, CallerError, DATAGRAM, DIGIT_MS, GOODBYE, News, PACKET_SAMPLES, Placed, TICK,
};
use crate::clock;
use crate::rehearse::actor::{Actor, Out};
use crate::rehearse::log::{CallLog, Lateness, Line};
use crate::rehearse::weather::Weather;

pub struct Outcome {
    pub line: Line,
    pub log: CallLog,
    pub late: Lateness,
}

struct Phone {
    placed: Placed,
    media: Option<Box<Agreed>>,
    actor: Actor,
    weather: Weather,
    line: Line,
    late: Lateness,
    /// We have hung up: nothing more is sent, and our goodbye waits for its answer until then.
    leaving: Option<Instant>,
    over: bool,
}

/// Places a call and plays it to its end. `stop`: hang up soon.
pub async fn call(
    options: &CallOptions,
    actor: Actor,
    weather: Weather,
    stop: Arc<AtomicBool>,
) -> Result<Outcome, CallerError> {
    let placed = Placed::place(options).await?;
    let end = placed.invited + options.duration_max;
    let (line, late) = (Line { ended_by: "nobody".into(), ..Line::default() }, Lateness::default());
    let phone = Phone { placed, media: None, actor, weather, line, late, leaving: None, over: false };
    Ok(phone.run(end, &stop).await)
}

impl Phone {
    async fn run(mut self, end: Instant, stop: &AtomicBool) -> Outcome {
        let mut datagram = [0; DATAGRAM];
        let mut pool = FramePool::new(4);
        let mut tick = clock::now() + TICK;
        loop {
            self.news().await;
            if self.over {
                return self.finish();
            }
            let end = self.leaving.unwrap_or(end);
            let timer = self.placed.deadline().unwrap_or(end).min(end);
            let next = self.weather.deadline().map_or(tick, |d| d.min(tick));
            tokio::select! {
                received = self.placed.receive(&mut datagram) => if let Some((len, from)) = received {
                    self.datagram(clock::now(), from, &mut datagram[..len]).await;
                },
                () = tokio::time::sleep_until(next.into()) => {
                    let now = clock::now();
                    self.send_delayed(now).await;
                    if now >= tick {
                        tick = self.tick(now, tick, &mut pool).await;
                    }
                }
                () = tokio::time::sleep_until(timer.into()) => self.placed.handle_timeout(clock::now()),
            }
            let now = clock::now();
            match self.leaving {
                Some(until) => self.over |= now >= until || self.placed.is_settled(),
                None if now >= end || stop.load(Ordering::Relaxed) => self.hang_up(),
                None => {}
            }
        }
    }

    fn finish(mut self) -> Outcome {
        self.line.duration_ms = self.since(clock::now());
        self.line.id = self.placed.id().map(str::to_owned);
        if let Some(media) = &self.media {
            let stats = media.leg.stats();
            (self.line.packets_sent, self.line.packets_received) = (stats.packets_sent, stats.packets_received);
            self.line.id = self.line.id.or_else(|| media.id.clone());
        }
        Outcome { line: self.line, log: self.actor.into_log(), late: self.late }
    }

    fn since(&self, at: Instant) -> u32 {
        crate::call::ms_between(self.placed.invited, at)
    }

    async fn news(&mut self) {
        while let Some(news) = self.placed.news().await {
            match news {
                News::Answered(mut media) => {
                    let now = clock::now();
                    self.line.answered_ms = Some(self.since(now));
                    media.chores(now, &self.placed.rtp).await;
                    self.media = Some(media);
                }
                News::Unusable => {
                    self.line.ended_by = "an answer without usable media".into();
                    self.hang_up();
                }
                News::Refused { status, .. } => {
                    self.line.ended_by = "refusal".into();
                    self.line.refused = Some(status);
                    self.over = true;
                }
                News::Ended(by) => self.ended(by),
            }
        }
    }

    /// Our own goodbye is repeated until it is answered.
    fn ended(&mut self, by: &str) {
        if self.line.ended_by == "nobody" {
            self.line.ended_by = by.into();
        }
        self.over |= by != "caller";
    }

    async fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &mut [u8]) {
        if self.leaving.is_some() {
            return;
        }
        let at = self.since(now);
        let Some(media) = &mut self.media else { return };
        let mut samples = [0i16; PACKET_SAMPLES];
        let Some(later) = self.weather.hears() else { return };
        let len = media.packet(now, from, bytes, &mut samples);
        media.chores(now, &self.placed.rtp).await;
        if media.is_over {
            return self.ended("agent");
        }
        if let Some(heard) = samples.get(..len).filter(|s| !s.is_empty()) {
            self.weather.echoes(heard);
            // A late packet is one that comes later; nobody needs to hold it for that.
            let later = u32::try_from(later.as_millis()).unwrap_or(0);
            self.actor.hear(at + later, heard);
        }
    }

    /// Returns when the next one is due.
    async fn tick(&mut self, now: Instant, due: Instant, pool: &mut FramePool) -> Instant {
        let late = now.saturating_duration_since(due);
        let at = self.since(now);
        if self.leaving.is_some() {
            return due + TICK;
        }
        let Some(media) = &mut self.media else { return now + TICK };
        media.chores(now, &self.placed.rtp).await;
        self.late.tick(late);
        let mut samples = [0; FRAME_SAMPLES];
        let out = self.actor.next(at, &mut samples);
        match out {
            Out::HangUp => {
                self.hang_up();
                return due + TICK;
            }
            Out::Digit(key) => {
                if let Some(digit) = Digit::from_char(key) {
                    media.leg.send_digit(digit, DIGIT_MS);
                }
            }
            Out::Silence | Out::Audio => {}
        }
        let mixed = self.weather.mix(&mut samples);
        let frame = if mixed || out == Out::Audio {
            let write = |buffer: &mut [i16; FRAME_SAMPLES]| {
                buffer.copy_from_slice(&samples);
                Ok::<(), ()>(())
            };
            pool.fill(MediaTime::default(), write).ok()
        } else {
            None
        };
        let (leg, rtp) = (&mut media.leg, &self.placed.rtp);
        let mut datagram = [0; media::leg::DATAGRAM_MAX];
        if let Some(out) = leg.tick_out(now, frame.as_ref(), &mut datagram)
            && self.weather.sends(now, out.to, &datagram[..out.len])
        {
            let _ = rtp.send_to(&datagram[..out.len], out.to).await;
        }
        if let Some(out) = leg.rtcp(now, &mut datagram) {
            let _ = rtp.send_to(&datagram[..out.len], out.to).await;
        }
        // After a long stop the lost time is not made up for.
        if late > TICK * 5 { now + TICK } else { due + TICK }
    }

    async fn send_delayed(&mut self, now: Instant) {
        while let Some(packet) = self.weather.due(now) {
            let _ = self.placed.rtp.send_to(&packet.bytes, packet.to).await;
        }
    }

    fn hang_up(&mut self) {
        let now = clock::now();
        if self.line.ended_by == "nobody" {
            self.line.ended_by = "caller".into();
        }
        self.leaving.get_or_insert(now + GOODBYE);
        if !self.placed.hang_up(now) {
            self.over = true;
        }
    }
}
