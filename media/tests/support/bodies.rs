//! What must hold for any bytes whatever: the bodies of the fuzz targets of media. They open nothing and wait for nothing.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use media::data::{DataChannel, DataEvent};
use media::secure::{Checker, Fingerprint, IceConfig, Identity, Keys, Role, Security, Suite};
use media::{FramePool, Leg, LegConfig};

/// Bytes as choices; when they are used up everything is 0.
pub struct Dice<'a>(pub &'a [u8]);

impl<'a> Dice<'a> {
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub fn word(&mut self) -> u32 {
        u32::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// As many as the next one says.
    pub fn some(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.take(len)
    }
}

/// CRC32c (RFC 9260, appendix A).
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
    })
}

/// A page that knows the protocol and keeps to none of it.
pub struct Page {
    pub now: Instant,
    pub ours: DataChannel,
    /// Our tag and cookie, from the INIT ACK.
    tag: u32,
    cookie: Vec<u8>,
    /// Its next number.
    pub number: u32,
    /// The last number of ours that it saw.
    seen: u32,
    chunks: Vec<u8>,
    /// Events told since it last looked.
    pub events: Vec<DataEvent>,
}

impl Page {
    pub fn new() -> Page {
        Page {
            now: Instant::now(),
            ours: DataChannel::default(),
            tag: 0,
            cookie: vec![],
            number: 1_000,
            seen: 0,
            chunks: vec![],
            events: vec![],
        }
    }

    /// With an association that stands.
    pub fn connected() -> Page {
        let mut page = Page::new();
        page.init();
        page.flush();
        page.exchange();
        page.cookie();
        page.flush();
        page.exchange();
        page
    }

    pub fn init(&mut self) {
        let body = [[0, 0, 0, 77], [0, 1, 0, 0], [255, 255, 255, 255], self.number.to_be_bytes()].concat();
        self.tag = 0;
        self.chunk(1, 0, &body);
    }

    pub fn cookie(&mut self) {
        self.chunk(10, 0, &self.cookie.clone());
    }

    /// A whole message in one chunk, with the next number.
    pub fn message(&mut self, stream: u16, sequence: u16, ppi: u8, bytes: &[u8]) {
        let number = self.number;
        self.number = self.number.wrapping_add(1);
        self.data(number, stream, sequence, ppi, 3, bytes);
    }

    pub fn data(&mut self, number: u32, stream: u16, sequence: u16, ppi: u8, flags: u8, bytes: &[u8]) {
        let mut body = number.to_be_bytes().to_vec();
        body.extend(stream.to_be_bytes());
        body.extend(sequence.to_be_bytes());
        body.extend([0, 0, 0, ppi]);
        body.extend(bytes);
        self.chunk(0, flags, &body);
    }

    pub fn open(&mut self, stream: u16, label: &str) {
        let header = [3, 0, 0, 0, 0, 0, 0, 0, 0, label.len() as u8, 0, 0];
        self.message(stream, 0, 50, &[&header, label.as_bytes()].concat());
    }

    /// Asks for these streams to be reset.
    pub fn reset(&mut self, request: u32, streams: &[u16]) {
        let mut body = vec![0, 13];
        body.extend((16 + 2 * streams.len() as u16).to_be_bytes());
        body.extend(request.to_be_bytes());
        body.extend([0; 4]);
        body.extend(self.number.wrapping_sub(1).to_be_bytes());
        streams.iter().for_each(|stream| body.extend(stream.to_be_bytes()));
        self.chunk(130, 0, &body);
    }

    pub fn chunk(&mut self, kind: u8, flags: u8, body: &[u8]) {
        self.chunks.extend([kind, flags]);
        self.chunks.extend((body.len() as u16 + 4).to_be_bytes());
        self.chunks.extend(body);
        self.chunks.resize(self.chunks.len().next_multiple_of(4), 0);
    }

    /// Sends what was put together.
    pub fn flush(&mut self) {
        let mut packet = vec![0x13, 0x88, 0x13, 0x88];
        packet.extend(self.tag.to_be_bytes());
        packet.extend([0; 4]);
        packet.append(&mut self.chunks);
        let sum = checksum(&packet);
        packet[8..12].copy_from_slice(&sum.to_le_bytes());
        self.ours.handle(self.now, &packet);
    }

    /// Time for a tick, and what it brings.
    pub fn exchange(&mut self) {
        self.ours.tick(self.now);
        let mut packets = 0;
        while let Some(packet) = self.ours.poll() {
            packets += 1;
            assert!(packet.len() <= 1_160, "{} bytes", packet.len());
            assert!(packets <= 64, "more than may wait");
            self.learn(&packet);
        }
    }

    pub fn look(&mut self) {
        self.events.clear();
        let texts = |events: &[DataEvent]| events.iter().filter(|e| matches!(e, DataEvent::Text(_))).count();
        while let Some(event) = self.ours.event() {
            if let DataEvent::Text(text) = &event {
                assert!(text.len() <= 4_096);
            }
            self.events.push(event);
        }
        assert!(texts(&self.events) <= 16, "more than may wait");
    }

    /// From the first chunk of a packet, what a page must know.
    fn learn(&mut self, packet: &[u8]) {
        let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
        match packet[12] {
            // The cookie is the parameter of type 7.
            2 => {
                self.tag = word(16);
                self.seen = word(28).wrapping_sub(1);
                let mut rest = &packet[32..];
                while rest.len() >= 4 {
                    let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
                    if rest[..2] == [0, 7] {
                        self.cookie = rest[4..len].to_vec();
                    }
                    rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
                }
            }
            0 => self.seen = word(16),
            _ => {}
        }
    }

    /// One step by chance.
    fn step(&mut self, dice: &mut Dice<'_>) {
        match dice.byte() % 16 {
            0 => self.init(),
            1 => self.cookie(),
            2 => self.open(u16::from(dice.byte()), if dice.byte().is_multiple_of(4) { "other" } else { "dauys" }),
            3 | 4 => {
                let (stream, sequence) = (u16::from(dice.byte() % 4), u16::from(dice.byte()));
                let ppi = [51, 56, 53, 57, 50, 0][usize::from(dice.byte() % 6)];
                let bytes = dice.some();
                self.message(stream, sequence, ppi, bytes);
            }
            5 => {
                let number = self.number.wrapping_add(dice.byte().into()).wrapping_sub(100);
                let (stream, flags) = (u16::from(dice.byte()), dice.byte());
                let bytes = dice.some();
                self.data(number, stream, u16::from(dice.byte()), dice.byte(), flags, bytes);
            }
            6 => {
                // What we sent is there, with holes perhaps.
                let mut body = self.seen.wrapping_add(dice.byte().into()).wrapping_sub(1).to_be_bytes().to_vec();
                body.extend([0, 1, 0, dice.byte(), 0, 1, 0, 0, 0, dice.byte(), 0, dice.byte()]);
                self.chunk(3, 0, &body);
            }
            7 => {
                let count = usize::from(dice.byte() % 8);
                let streams: Vec<u16> = dice.take(count).iter().map(|b| (*b % 8).into()).collect();
                let request = 1_000_u32.wrapping_add(dice.byte().into());
                self.reset(request, &streams);
            }
            8 => {
                let body = [&[0, 16, 0, 12][..], &dice.word().to_be_bytes(), &[0, 0, 0, dice.byte() % 8]].concat();
                self.chunk(130, 0, &body);
            }
            9 => {
                let body = dice.some();
                self.chunk(4, 0, &[&[0, 1][..], &(body.len() as u16 + 4).to_be_bytes(), body].concat());
            }
            10 => {
                let (kind, flags) = (dice.byte(), dice.byte());
                let body = dice.some();
                self.chunk(kind, flags, body);
            }
            11 => {
                let bytes = dice.some();
                self.ours.handle(self.now, bytes);
            }
            12 => self.now += Duration::from_millis(u64::from(dice.byte()) * 20),
            13 => drop(self.ours.send(&"x".repeat(usize::from(dice.byte()) * 16))),
            14 => self.look(),
            _ => self.flush(),
        }
    }
}

/// A page that does what it likes. What waits has its bound, and it ends with at most one word that it ended.
pub fn data(bytes: &[u8]) {
    let mut dice = Dice(bytes);
    let mut page = if dice.byte() % 4 == 0 { Page::new() } else { Page::connected() };
    while !dice.0.is_empty() {
        page.step(&mut dice);
        page.exchange();
    }
    page.flush();
    page.exchange();
    page.look();
    page.ours.end();
    page.look();
    assert!(page.events.len() <= 1, "{:?}", page.events);
    assert!(!page.ours.send("x") && page.ours.poll().is_none() && page.ours.event().is_none());
}

static IDENTITY: LazyLock<Arc<Identity>> = LazyLock::new(|| Arc::new(Identity::generate().expect("randomness")));

/// Legs of every kind, and datagrams from two hosts, some of them with a head that says what they would be.
pub fn leg(bytes: &[u8]) {
    let start = Instant::now();
    let host = |n: u8| ([192, 0, 2, n % 2], 4_000).into();
    let fingerprint: Fingerprint = IDENTITY.fingerprint().to_string().parse().expect("ours");
    let keys = |n: u8| Keys::new(Suite::AesCm128HmacSha1_80, &[n; 30]).expect("30 bytes");
    let (ufrag, pwd) = ("evtj", "VOkJxbRl1RmTxUk/WvJxBt");
    let ice = IceConfig { local_ufrag: ufrag.into(), local_pwd: pwd.into() };
    let dtls = |role| Security::Dtls { identity: Arc::clone(&IDENTITY), role, fingerprint: fingerprint.clone() };
    let config = |security, ice, data| LegConfig { security, ice, data, ..LegConfig::new(host(0)) };
    let mut legs = [
        config(Security::Plain, None, false),
        config(Security::Plain, Some(ice.clone()), false),
        config(Security::Sdes { send: keys(1), receive: keys(2) }, None, false),
        config(dtls(Role::Passive), None, true),
        config(dtls(Role::Passive), Some(ice), true),
        config(dtls(Role::Active), None, true),
    ]
    .map(|config| Leg::new(start, config));
    let (mut dice, mut pool, mut now, mut out) = (Dice(bytes), FramePool::new(16), start, [0; 1_500]);
    let mut caller = Checker::new(start, "page", ufrag, pwd, 7);
    while !dice.0.is_empty() {
        let (kind, from, len) = (dice.byte(), dice.byte(), usize::from(dice.byte()) * 2);
        let mut datagram = dice.take(len).to_vec();
        assert!(!caller.handle(&datagram), "nobody answers a check without the password");
        match (kind % 6, datagram.len()) {
            // A check with its magic cookie and its length.
            (1, 20..) => {
                let len = (datagram.len() - 20) as u16;
                datagram[..2].copy_from_slice(&[0, 1]);
                datagram[2..4].copy_from_slice(&len.to_be_bytes());
                datagram[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
            }
            // A record of DTLS 1.2.
            (2, 25..) => {
                let len = (datagram.len() - 13) as u16;
                datagram[0] = 20 + datagram[0] % 4;
                datagram[1..3].copy_from_slice(&[0xFE, 0xFD]);
                datagram[3..11].fill(0);
                datagram[11..13].copy_from_slice(&len.to_be_bytes());
            }
            // A genuine check: from now on its host is heard.
            (5, _) => {
                datagram.resize(1_500, 0);
                let len = caller.poll(now, &mut datagram).unwrap_or(0);
                datagram.truncate(len);
            }
            // RTP and RTCP.
            (3, 12..) => (datagram[0], datagram[1]) = (0x80, datagram[1] % 128),
            (4, 8..) => (datagram[0], datagram[1]) = (0x80 | (datagram[0] % 32), 200 + datagram[1] % 8),
            _ => {}
        }
        for leg in &mut legs {
            leg.handle(now, host(from), &mut datagram.clone());
            if kind >= 128 {
                assert!(leg.tick_in(now, &mut pool).frame.is_some());
                leg.tick_out(now, None, &mut out);
                let sent = std::iter::from_fn(|| leg.poll(now, &mut out)).count();
                assert!(sent < 40, "{sent} datagrams for one");
                leg.rtcp(now, &mut out);
                while leg.event().is_some() {}
                assert!(leg.data().is_none() && !leg.send_data("x"), "nobody opened a channel");
            }
        }
        now += Duration::from_millis(u64::from(kind >> 5) * 10);
    }
}
