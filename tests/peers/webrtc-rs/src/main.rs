//! A web page's call made with the `webrtc` crate, which shares nothing with the gateway: WHIP, ICE, DTLS-SRTP, PCMU, a data
//! channel. It says its lines and keeps what it hears; what is right is for the test to judge.
//!
//! Usage: webrtc-rs-peer HOST:PORT AGENT RECORD.wav QUESTION.wav (8 kHz, mono, 16 bit)
//! Agrees by a key (RFC 4733), asks, restarts ICE and asks again, presses a key over the data channel, hangs up. Prints each
//! step, and each message of the call as it came.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod whip;

use std::any::Any;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};
use webrtc::api::APIBuilder;
use webrtc::api::interceptor_registry::register_default_interceptors;
use webrtc::api::media_engine::{MIME_TYPE_PCMU, MediaEngine};
use webrtc::api::setting_engine::SettingEngine;
use webrtc::data_channel::RTCDataChannel;
use webrtc::interceptor::registry::Registry;
use webrtc::peer_connection::RTCPeerConnection;
use webrtc::peer_connection::configuration::RTCConfiguration;
use webrtc::peer_connection::offer_answer_options::RTCOfferOptions;
use webrtc::peer_connection::peer_connection_state::RTCPeerConnectionState;
use webrtc::peer_connection::sdp::session_description::RTCSessionDescription;
use webrtc::rtp::header::Header;
use webrtc::rtp::packet::Packet;
use webrtc::rtp_transceiver::rtp_codec::{RTCRtpCodecCapability, RTCRtpCodecParameters, RTPCodecType};
use webrtc::track::track_local::{TrackLocal, TrackLocalContext, TrackLocalWriter};

use whip::{Whip, attribute, with_attribute};

type Failed = Box<dyn Error + Send + Sync>;

const EVENT: u8 = 101;
const PATIENCE: Duration = Duration::from_secs(45);
/// Samples of a packet, at 8 kHz.
const FRAME: usize = 160;
/// Silence of mu-law.
const SILENCE: u8 = 0xFF;

/// What goes out in the next 20 ms: speech before silence, keys before both.
struct Mouth {
    writer: Mutex<Option<(Arc<dyn TrackLocalWriter + Send + Sync>, u32)>>,
    speech: Mutex<Vec<u8>>,
    keys: Mutex<Vec<u8>>,
}

impl Mouth {
    fn new() -> Self {
        Self { writer: Mutex::default(), speech: Mutex::default(), keys: Mutex::default() }
    }

    /// Sends for as long as the call lasts.
    async fn speak(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let (mut sequence, mut timestamp) = (1u16, 0u32);
        // The key under way: its event, when it began, how long it is down.
        let mut down: Option<(u8, u32, u16)> = None;
        loop {
            ticks.tick().await;
            timestamp = timestamp.wrapping_add(FRAME as u32);
            let Some((writer, ssrc)) = self.writer.lock().await.clone() else { continue };
            let mut send = |payload_type, timestamp, marker, payload: Vec<u8>| {
                let header = Header {
                    version: 2,
                    marker,
                    payload_type,
                    sequence_number: sequence,
                    timestamp,
                    ssrc,
                    ..Header::default()
                };
                sequence = sequence.wrapping_add(1);
                Packet { header, payload: payload.into() }
            };
            if down.is_none() {
                down = self.keys.lock().await.pop().map(|event| (event, timestamp, 0));
            }
            if let Some((event, begun, held)) = &mut down {
                let first = *held == 0;
                *held += FRAME as u16;
                // 120 ms, and the end is said three times.
                let is_over = *held > 960;
                let [high, low] = (*held).min(960).to_be_bytes();
                let payload = vec![*event, if is_over { 0x80 | 10 } else { 10 }, high, low];
                let packet = send(EVENT, *begun, first, payload);
                let _ = writer.write_rtp(&packet).await;
                if *held >= 960 + 3 * FRAME as u16 {
                    down = None;
                }
                continue;
            }
            let mut speech = self.speech.lock().await;
            let len = FRAME.min(speech.len());
            let mut payload: Vec<u8> = speech.drain(..len).collect();
            drop(speech);
            payload.resize(FRAME, SILENCE);
            let packet = send(0, timestamp, false, payload);
            let _ = writer.write_rtp(&packet).await;
        }
    }
}

#[async_trait]
impl TrackLocal for Mouth {
    async fn bind(&self, context: &TrackLocalContext) -> webrtc::error::Result<RTCRtpCodecParameters> {
        *self.writer.lock().await = Some((context.write_stream(), context.ssrc()));
        let all = context.codec_parameters();
        let ours = all.iter().find(|c| c.capability.mime_type.eq_ignore_ascii_case(MIME_TYPE_PCMU));
        ours.cloned().ok_or(webrtc::Error::ErrUnsupportedCodec)
    }

    async fn unbind(&self, _: &TrackLocalContext) -> webrtc::error::Result<()> {
        *self.writer.lock().await = None;
        Ok(())
    }

    fn id(&self) -> &str {
        "mouth"
    }

    fn rid(&self) -> Option<&str> {
        None
    }

    fn stream_id(&self) -> &str {
        "page"
    }

    fn kind(&self) -> RTPCodecType {
        RTPCodecType::Audio
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The call: what it says, and what came of it.
struct Call {
    connection: Arc<RTCPeerConnection>,
    channel: Arc<RTCDataChannel>,
    mouth: Arc<Mouth>,
    messages: mpsc::Receiver<String>,
    states: mpsc::Receiver<RTCPeerConnectionState>,
    packets: Arc<AtomicU64>,
    heard: Arc<Mutex<Vec<u8>>>,
}

fn codec(mime: &str, payload_type: u8) -> RTCRtpCodecParameters {
    let capability =
        RTCRtpCodecCapability { mime_type: mime.into(), clock_rate: 8000, channels: 1, ..Default::default() };
    RTCRtpCodecParameters { capability, payload_type, ..Default::default() }
}

impl Call {
    async fn open() -> Result<Self, Failed> {
        let mut engine = MediaEngine::default();
        engine.register_codec(codec(MIME_TYPE_PCMU, 0), RTPCodecType::Audio)?;
        engine.register_codec(codec("audio/telephone-event", EVENT), RTPCodecType::Audio)?;
        let registry = register_default_interceptors(Registry::new(), &mut engine)?;
        let mut settings = SettingEngine::default();
        settings.set_include_loopback_candidate(true);
        settings.set_interface_filter(Box::new(|name: &str| name == "lo"));
        let api = APIBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .build();
        let connection = Arc::new(api.new_peer_connection(RTCConfiguration::default()).await?);
        let mouth = Arc::new(Mouth::new());
        let track: Arc<dyn TrackLocal + Send + Sync> = Arc::clone(&mouth) as Arc<_>;
        connection.add_track(track).await?;
        let channel = connection.create_data_channel("dauys", None).await?;
        let (tell, messages) = mpsc::channel(1_000);
        channel.on_message(Box::new(move |message| {
            let text = String::from_utf8_lossy(&message.data).into_owned();
            println!("{text}");
            let _ = tell.try_send(text);
            Box::pin(async {})
        }));
        let (tell, states) = mpsc::channel(100);
        connection.on_peer_connection_state_change(Box::new(move |state| {
            println!("state {state}");
            let _ = tell.try_send(state);
            Box::pin(async {})
        }));
        let (packets, heard) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(vec![])));
        let (count, keep) = (Arc::clone(&packets), Arc::clone(&heard));
        connection.on_track(Box::new(move |track, _, _| {
            let (count, keep) = (Arc::clone(&count), Arc::clone(&keep));
            tokio::spawn(async move {
                println!("track {}", track.ssrc());
                while let Ok((packet, _)) = track.read_rtp().await {
                    count.fetch_add(1, Ordering::Relaxed);
                    keep.lock().await.extend_from_slice(&packet.payload);
                }
                println!("track over");
            });
            Box::pin(async {})
        }));
        tokio::spawn(Arc::clone(&mouth).speak());
        Ok(Self { connection, channel, mouth, messages, states, packets, heard })
    }

    /// Our description with every candidate, once it is set.
    async fn describe(&self, restart: bool) -> Result<String, Failed> {
        let options = RTCOfferOptions { ice_restart: restart, ..Default::default() };
        let offer = self.connection.create_offer(Some(options)).await?;
        let mut gathered = self.connection.gathering_complete_promise().await;
        self.connection.set_local_description(offer).await?;
        let _ = gathered.recv().await;
        Ok(self.connection.local_description().await.ok_or("no description")?.sdp)
    }

    async fn answer(&self, sdp: String) -> Result<(), Failed> {
        Ok(self.connection.set_remote_description(RTCSessionDescription::answer(sdp)?).await?)
    }

    async fn until_state(&mut self, wanted: RTCPeerConnectionState) -> Result<(), Failed> {
        let look = async {
            while let Some(state) = self.states.recv().await {
                if state == wanted {
                    return Ok(());
                }
            }
            Err("closed")
        };
        Ok(tokio::time::timeout(PATIENCE, look).await.map_err(|_| format!("waited for {wanted}"))??)
    }

    async fn until(&mut self, text: &str) -> Result<(), Failed> {
        let look = async {
            while let Some(message) = self.messages.recv().await {
                if message.contains(text) {
                    return Ok(());
                }
            }
            Err("closed")
        };
        Ok(tokio::time::timeout(PATIENCE, look).await.map_err(|_| format!("waited for {text}"))??)
    }

    /// What is said from now on goes out; the answer's last caption ends it.
    async fn ask(&mut self, question: &[u8]) -> Result<(), Failed> {
        self.until("\"state\":\"listening\"").await?;
        self.mouth.speech.lock().await.extend_from_slice(question);
        self.until("from nine to two.\",\"final\":true").await
    }
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [gateway, agent, record, question] = arguments.as_slice() else {
        return Err("usage: webrtc-rs-peer HOST:PORT AGENT RECORD.wav QUESTION.wav".into());
    };
    let question = whip::read_wav(question)?;
    let mut call = Call::open().await?;
    let offer = call.describe(false).await?;
    let (mut whip, answer) = Whip::post(gateway, agent, &offer).await?;
    answer.lines().for_each(|line| println!("answer {line}"));
    call.answer(answer.clone()).await?;
    call.until_state(RTCPeerConnectionState::Connected).await?;
    println!("step connected");
    call.until("\"type\":\"consent\"").await?;
    // A key counts once the question was heard.
    call.until("\"state\":\"listening\"").await?;
    call.mouth.keys.lock().await.push(1);
    call.until("\"granted\":true").await?;
    println!("step agreed");
    call.ask(&question).await?;
    println!("step answered");

    let offer = call.describe(true).await?;
    let (ufrag, pwd) = (attribute(&offer, "ice-ufrag"), attribute(&offer, "ice-pwd"));
    let (ufrag, pwd) = ufrag.zip(pwd).ok_or("no credentials of ours")?;
    let fragment = whip.patch(&ufrag, &pwd).await?;
    let theirs = attribute(&fragment, "ice-ufrag").zip(attribute(&fragment, "ice-pwd")).ok_or("no credentials")?;
    assert_ne!(Some(&theirs.0), attribute(&answer, "ice-ufrag").as_ref(), "the other side restarts too");
    while call.states.try_recv().is_ok() {}
    call.answer(with_attribute(&with_attribute(&answer, "ice-ufrag", &theirs.0), "ice-pwd", &theirs.1)).await?;
    call.until_state(RTCPeerConnectionState::Connected).await?;
    let before = call.packets.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let since = call.packets.load(Ordering::Relaxed) - before;
    println!("step restarted, {since} packets since");
    call.ask(&question).await?;
    println!("step answered again");

    call.channel.send_text("{\"type\":\"digit\",\"digit\":\"0\"}").await?;
    call.until("nobody is answering").await?;
    println!("step digit");
    tokio::time::sleep(Duration::from_millis(500)).await;
    println!("deleted {}", whip.delete().await?);
    call.until("\"type\":\"ended\"").await.ok();
    call.connection.close().await?;
    whip::write_wav(record, &call.heard.lock().await)?;
    println!("ended");
    Ok(())
}
