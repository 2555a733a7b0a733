//! WHIP (RFC 9725) with as little HTTP as it takes, and WAV as mu-law. It knows nothing of WebRTC.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failed;

/// A session of the gateway's.
pub struct Whip {
    gateway: String,
    path: String,
    etag: String,
}

struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Response {
    fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }
}

impl Whip {
    /// The session, and the answer.
    pub async fn post(gateway: &str, agent: &str, offer: &str) -> Result<(Self, String), Failed> {
        let headers = [("Content-Type", "application/sdp")];
        let response = ask(gateway, "POST", &format!("/whip/{agent}"), &headers, offer).await?;
        if response.status != 201 {
            return Err(format!("{}: {}", response.status, response.body).into());
        }
        let path = response.header("location").ok_or("no Location")?;
        let etag = response.header("etag").ok_or("no ETag")?;
        Ok((Self { gateway: gateway.to_owned(), path, etag }, response.body))
    }

    /// ICE begins anew with these; the other side's fragment.
    pub async fn patch(&mut self, ufrag: &str, pwd: &str) -> Result<String, Failed> {
        let headers = [("Content-Type", "application/trickle-ice-sdpfrag"), ("If-Match", self.etag.as_str())];
        let fragment =
            format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n");
        let response = ask(&self.gateway, "PATCH", &self.path, &headers, &fragment).await?;
        if response.status != 200 {
            return Err(format!("{}: {}", response.status, response.body).into());
        }
        self.etag = response.header("etag").ok_or("no ETag")?;
        Ok(response.body)
    }

    /// The status.
    pub async fn delete(&self) -> Result<u16, Failed> {
        Ok(ask(&self.gateway, "DELETE", &self.path, &[], "").await?.status)
    }
}

async fn ask(
    gateway: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Response, Failed> {
    let mut stream = TcpStream::connect(gateway).await?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {gateway}\r\nConnection: close\r\n");
    headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
    request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = vec![];
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8(bytes)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no status")?;
    Ok(Response { status, head: head.to_owned(), body: body.to_owned() })
}

/// The value of the first `a=NAME:`.
pub fn attribute(sdp: &str, name: &str) -> Option<String> {
    sdp.lines().find_map(|l| l.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')).map(|v| v.trim().to_owned())
}

/// The same description with this value wherever the attribute is.
pub fn with_attribute(sdp: &str, name: &str, value: &str) -> String {
    let is_it =
        |line: &str| line.strip_prefix("a=").and_then(|l| l.strip_prefix(name)).is_some_and(|l| l.starts_with(':'));
    sdp.lines().map(|line| if is_it(line) { format!("a={name}:{value}\r\n") } else { format!("{line}\r\n") }).collect()
}

/// 8 kHz, mono, 16 bit, as mu-law.
pub fn read_wav(path: &str) -> Result<Vec<u8>, Failed> {
    let bytes = std::fs::read(path)?;
    if bytes.get(24..28) != Some(&8_000u32.to_le_bytes()) {
        return Err("takes 8000 Hz".into());
    }
    let data = bytes.windows(4).position(|w| w == b"data").ok_or("no data")? + 8;
    Ok(bytes[data..].chunks_exact(2).map(|s| encode(i16::from_le_bytes([s[0], s[1]]))).collect())
}

pub fn write_wav(path: &str, ulaw: &[u8]) -> io::Result<()> {
    let len = ulaw.len() as u32 * 2;
    let mut bytes = [&b"RIFF"[..], &(36 + len).to_le_bytes(), b"WAVEfmt ", &16u32.to_le_bytes()].concat();
    for field in [1u16, 1] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(8_000u32.to_le_bytes());
    bytes.extend(16_000u32.to_le_bytes());
    bytes.extend([2, 0, 16, 0]);
    bytes.extend(b"data");
    bytes.extend(len.to_le_bytes());
    bytes.extend(ulaw.iter().flat_map(|code| decode(*code).to_le_bytes()));
    std::fs::write(path, bytes)
}

/// G.711 by its definition: sign, segment, four bits of step.
fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let biased = i32::from(sample).unsigned_abs().min(32_635) + 132;
    let segment = (biased.ilog2() - 7) as u8;
    let step = (biased >> (segment + 3)) as u8 & 0x0f;
    !(sign | segment << 4 | step)
}

fn decode(code: u8) -> i16 {
    let code = !code;
    let step = i32::from(code & 0x0f) * 2 + 33;
    let level = (step << ((code >> 4 & 7) + 2)) - 132;
    (if code & 0x80 == 0 { level } else { -level }) as i16
}
