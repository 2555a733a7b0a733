//! A webhook that a gateway tells what callers completed: it keeps every byte that comes, and says yes to an order to
//! erase. It forgets nothing, so that it can be searched.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

/// No longer line and no longer body comes from a gateway.
const BYTES_MAX: u64 = 1 << 20;

/// What came: head and body as bytes, and the body as it was meant.
type Came = Mutex<Vec<(Vec<u8>, Value)>>;

pub struct Hook {
    pub url: String,
    came: Arc<Came>,
}

impl Hook {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let came: Arc<Came> = Arc::default();
        let kept = Arc::clone(&came);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { url, came }
    }

    /// All that came, head and body.
    pub fn bytes(&self) -> Vec<u8> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).iter().flat_map(|(raw, _)| raw.clone()).collect()
    }

    /// The bodies in order.
    pub fn messages(&self) -> Vec<Value> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(_, body)| body.clone()).collect()
    }
}

/// One connection, with one message after the other.
fn serve(stream: TcpStream, kept: &Came) {
    let Ok(mut answers) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some((raw, body)) = message(&mut reader) {
        let said = match body.get("job") {
            Some(job) => json!({"job": job, "erased": true}),
            None => json!({}),
        };
        kept.lock().unwrap_or_else(PoisonError::into_inner).push((raw, body));
        let (said, length) = (said.to_string(), said.to_string().len());
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{said}");
        if answers.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn message(reader: &mut BufReader<TcpStream>) -> Option<(Vec<u8>, Value)> {
    let (mut raw, mut length) = (vec![], 0);
    loop {
        let start = raw.len();
        reader.by_ref().take(BYTES_MAX).read_until(b'\n', &mut raw).ok().filter(|read| *read > 0)?;
        let line = String::from_utf8_lossy(&raw[start..]).trim().to_ascii_lowercase();
        match line.strip_prefix("content-length:") {
            Some(number) => length = number.trim().parse().ok().filter(|n| *n <= BYTES_MAX)?,
            None if line.is_empty() => break,
            None => {}
        }
    }
    let head = raw.len();
    let read = reader.by_ref().take(length).read_to_end(&mut raw).ok()?;
    let body = serde_json::from_slice(&raw[head..]).unwrap_or_default();
    (read as u64 == length).then_some((raw, body))
}
