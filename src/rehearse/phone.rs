//! One simulated call over real SIP and RTP. It moves datagrams and asks the actor; it decides nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use media::{Digit, FRAME_SAMPLES, FramePool, MediaTime};
use sip::{Event, Output, Peer};

use crate::caller::{Agreed, CallOptions, CallerError, DATAGRAM, DIGIT_MS, Dialled, PACKET_SAMPLES, TICK, call_id};
use crate::clock;
use crate::rehearse::actor::{Actor, Out};
use crate::rehearse::log::{CallLog, Lateness, Line};
use crate::rehearse::weather::Weather;

/// Of a signalling datagram.
const MESSAGE: usize = 8192;
/// How long a peer has to answer our BYE.
const GOODBYE: Duration = Duration::from_secs(2);

pub struct Outcome {
    pub line: Line,
    pub log: CallLog,
    pub late: Lateness,
}

struct Phone {
    dialled: Dialled,
    media: Option<Agreed>,
    actor: Actor,
    weather: Weather,
    line: Line,
    late: Lateness,
    /// We have hung up: nothing more is sent, and the BYE waits for its answer until then.
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
    let dialled = Dialled::place(options).await?;
    let end = dialled.invited + options.duration_max;
    let (line, late) = (Line { ended_by: "nobody".into(), ..Line::default() }, Lateness::default());
    let phone = Phone { dialled, media: None, actor, weather, line, late, leaving: None, over: false };
    Ok(phone.run(end, &stop).await)
}

impl Phone {
    async fn run(mut self, end: Instant, stop: &AtomicBool) -> Outcome {
        let (mut signalling, mut media) = (vec![0; MESSAGE], [0; DATAGRAM]);
        let mut pool = FramePool::new(4);
        let mut tick = clock::now() + TICK;
        loop {
            self.outputs().await;
            if self.over {
                return self.finish();
            }
            let end = self.leaving.unwrap_or(end);
            let timer = self.dialled.endpoint.deadline().unwrap_or(end).min(end);
            let next = self.weather.deadline().map_or(tick, |d| d.min(tick));
            tokio::select! {
                received = self.dialled.sip.recv_from(&mut signalling) => if let Ok((len, from)) = received {
                    self.signalled(from, &signalling[..len]);
                },
                received = self.dialled.rtp.recv_from(&mut media) => if let Ok((len, from)) = received {
                    self.datagram(clock::now(), from, &mut media[..len]);
                },
                () = tokio::time::sleep_until(next.into()) => {
                    let now = clock::now();
                    self.send_delayed(now).await;
                    if now >= tick {
                        tick = self.tick(now, tick, &mut pool).await;
                    }
                }
                () = tokio::time::sleep_until(timer.into()) => self.dialled.endpoint.handle_timeout(clock::now()),
            }
            let now = clock::now();
            match self.leaving {
                Some(until) => self.over |= now >= until,
                None if now >= end || stop.load(Ordering::Relaxed) => self.hang_up(),
                None => {}
            }
        }
    }

    fn finish(mut self) -> Outcome {
        self.line.duration_ms = self.since(clock::now());
        if let Some(media) = &self.media {
            let stats = media.leg.stats();
            (self.line.packets_sent, self.line.packets_received) = (stats.packets_sent, stats.packets_received);
        }
        Outcome { line: self.line, log: self.actor.into_log(), late: self.late }
    }

    fn since(&self, at: Instant) -> u32 {
        crate::call::ms_between(self.dialled.invited, at)
    }

    fn signalled(&mut self, from: SocketAddr, bytes: &[u8]) {
        if self.line.id.is_none() {
            self.line.id = call_id(bytes);
        }
        self.dialled.endpoint.handle(clock::now(), Peer::udp(from), bytes);
        // Whatever is answered now is our BYE or CANCEL.
        self.over |= self.leaving.is_some() && bytes.starts_with(b"SIP/2.0 ");
    }

    async fn outputs(&mut self) {
        while let Some(output) = self.dialled.endpoint.poll() {
            match output {
                Output::Send { to, bytes } => drop(self.dialled.sip.send_to(&bytes, to.address).await),
                Output::Event(event) => self.event(event),
                Output::Banned(_) => {}
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Answered { sdp, .. } => {
                let now = clock::now();
                match Agreed::new(now, &self.dialled.local, sdp) {
                    Ok(media) => {
                        self.line.answered_ms = Some(self.since(now));
                        self.media = Some(media);
                    }
                    Err(_) => {
                        self.line.ended_by = "an answer without usable media".into();
                        self.hang_up();
                    }
                }
            }
            Event::Failed { status, .. } => {
                self.line.ended_by = "refusal".into();
                self.line.refused = Some(status);
                self.over = true;
            }
            Event::Ended { cause, .. } => {
                let who = match cause {
                    sip::EndCause::LocalHangup => "caller",
                    sip::EndCause::RemoteHangup(_) => "agent",
                    _ => "lost",
                };
                if self.line.ended_by == "nobody" {
                    self.line.ended_by = who.into();
                }
                // Our BYE goes out after this and is repeated until it is answered.
                self.over = who != "caller";
            }
            Event::Cancelled { .. } => self.over = true,
            Event::Reinvite { call, .. } => {
                let _ = self.dialled.endpoint.reject_reinvite(clock::now(), call, 488);
            }
            _ => {}
        }
    }

    fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &mut [u8]) {
        if self.leaving.is_some() {
            return;
        }
        let at = self.since(now);
        let Some(media) = &mut self.media else { return };
        let mut samples = [0i16; PACKET_SAMPLES];
        let Some(later) = self.weather.hears() else { return };
        let len = media.packet(now, from, bytes, &mut samples);
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
        let Some(Agreed { leg, .. }) = &mut self.media else { return now + TICK };
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
                    leg.send_digit(digit, DIGIT_MS);
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
        let rtp = &self.dialled.rtp;
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
            let _ = self.dialled.rtp.send_to(&packet.bytes, packet.to).await;
        }
    }

    fn hang_up(&mut self) {
        let now = clock::now();
        self.leaving.get_or_insert(now + GOODBYE);
        if self.dialled.endpoint.hangup(now, self.dialled.call, None).is_err() {
            self.over = true;
        }
    }
}
