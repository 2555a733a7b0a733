//! Dauys media, sans-IO: everything between a datagram and a 20 ms frame. It knows no socket, no clock,
//! no thread and no file; time comes in as an `Instant`, bytes as slices, and no input makes it panic,
//! block or grow.
//!
//! The road of one call is a [`Leg`] for the network and a [`playout::Playout`] for the agent's voice; a
//! [`wheel::Wheel`] says whose turn it is. A driver does no more than this:
//!
//! ```
//! use std::time::Instant;
//! use media::{Digit, FramePool, Leg, playout::{PLAYOUT_FRAMES, PLAYOUT_KEPT, Playout}, wheel::Wheel};
//!
//! /// Every datagram, as it comes.
//! fn received(leg: &mut Leg, now: Instant, from: std::net::SocketAddr, datagram: &mut [u8]) {
//!     leg.handle(now, from, datagram);
//! }
//!
//! /// Every 20 ms.
//! fn tick(leg: &mut Leg, playout: &mut Playout<u32>, pool: &mut FramePool, now: Instant) {
//!     let heard = leg.tick_in(now, pool); // speech, concealed or silence; and the keys, each once
//!     let _for_the_recognizer = heard.frame;
//!     let _keys: String = heard.digits.iter().map(Digit::as_char).collect();
//!     let say = playout.tick(pool); // None: silence is sent
//!     let mut datagram = [0; media::leg::DATAGRAM_MAX];
//!     if let Some(out) = leg.tick_out(now, say.as_ref(), &mut datagram) {
//!         let (_bytes, _to) = (&datagram[..out.len], out.to);
//!     }
//!     if let Some(report) = leg.rtcp(now, &mut datagram) {
//!         let (_bytes, _to) = (&datagram[..report.len], report.to);
//!     }
//! }
//!
//! /// Whose 20 ms are over, and when to look again.
//! # #[allow(dead_code)]
//! fn turn(wheel: &mut Wheel<usize>, now: Instant, mut tick: impl FnMut(usize)) -> Option<Instant> {
//!     while let Some(due) = wheel.poll(now) {
//!         due.iter().for_each(|leg| tick(*leg));
//!     }
//!     wheel.deadline()
//! }
//!
//! // Frames may be in the playout queue, one each in the hands of tick, recognizer and ducking, and two with
//! // the leg, which remembers what it heard.
//! let pool = FramePool::new(PLAYOUT_FRAMES + PLAYOUT_KEPT + 4 + media::leg::FRAMES_KEPT);
//! # let _ = (received, tick, pool);
//! ```
//!
//! Beneath lie the parts, each a machine of its own: [`rtp`], [`rtcp`], [`jitter`], [`plc`], [`codec`],
//! [`stretch`], [`resample`], [`dtmf`], [`level`], [`secure`], [`data`]; [`echo`] knows the agent's own voice when it comes
//! back; [`quality`] and [`watch`] say how a call sounds and when it is in trouble.

pub mod codec;
pub mod data;
pub mod dtmf;
pub mod echo;
pub mod frame;
pub mod jitter;
pub mod leg;
pub mod level;
mod pitch;
pub mod playout;
pub mod plc;
pub mod quality;
pub mod resample;
pub mod rtcp;
pub mod rtp;
pub mod secure;
pub mod stretch;
pub mod time;
pub mod watch;
pub mod wheel;
pub mod wide;
mod wipe;

pub use codec::Codec;
pub use data::DataEvent;
pub use dtmf::Digit;
pub use frame::{FillError, Frame, FramePool};
pub use leg::{Kind, Leg, LegChange, LegConfig, LegEvent, LegStats, Outgoing, TickIn};
pub use time::MediaTime;
pub use wipe::wipe_stack;

/// Samples a second in every frame.
pub const SAMPLE_RATE: u32 = 16_000;
/// Length of a frame, in milliseconds.
pub const FRAME_MS: u32 = 20;
/// Samples in a frame.
pub const FRAME_SAMPLES: usize = 320;
