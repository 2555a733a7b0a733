//! Sound and words that a caller lets be kept, with PostgreSQL: everything that the gateway and the database server write
//! is searched before and after their erasure. With the keys they are there; who refuses sound has none kept.

use std::fs;
use std::path::PathBuf;

use dauys::call::CallId;
use dauys::store::rows::{self, Recording};
use dauys::vault::{For, Vault, VaultError};
use media::codec::Decoder;
use privacy::Scope;
use privacy::consent::{ConsentEvent, Which};
use privacy::retention::Purpose;
use privacy::seal::Sealed;
use serde_json::Value;

use crate::killed::CANARY;
use crate::place::{PHRASE, Place, WAVE, id_of, turn, wait};
use crate::scan::{Files, Finds, Scanner};
use crate::sound::{self, Kind};
use crate::stage::{found, new_database, reader, server};
use crate::words::{ALPHABET, Phrase};

/// After the question for the transcript.
const ASKS: &str = r#"
[[ask]]
scope = "audio"
[ask.texts.en]
question = "And a recording? Please say yes or no."
granted = "Thank you."
refused = "All right, no sound is kept."
[ask.texts.ru]
question = "А запись? Пожалуйста, скажите да или нет."
granted = "Спасибо."
refused = "Хорошо, звук сохраняться не будет."
"#;
const YES: &str = "yes_please.bf_emma.wav";
const NO: &str = "no.bf_emma.wav";
/// Of so many packets of the recording a piece is looked for.
const PIECES: usize = 40;
const PIECE: usize = 20;

#[test]
fn recorded_sound_and_what_a_database_server_writes_are_sealed_and_go() {
    let _turn = turn();
    let url = wait(new_database());
    let before = Files::of(server());
    let mut place = Place::with("canary-sound", &format!("url = {url:?}"), ASKS);
    let caller = place.calls(&place.gateway.target(), "1", &[YES, PHRASE, WAVE]);
    place.both_are_in_memory();
    // Somebody who lets words be kept and no sound; for the gateway it is the same person.
    let second = place.calls(&place.gateway.target(), "1", &[NO]);
    let call = place.ended(1, caller);
    let other = place.ended(2, second);

    let kept = wait(Kept::read(&place, &call, &other));
    kept.is_there(&mut place);
    let finds = everywhere(&place, &before);
    assert!(finds.is_empty(), "kept, and sealed, and no longer in memory: {finds:?}");

    let said = place.dauys(&["erase", "--call", call["id"].as_str().expect("an id")]);
    assert!(said.0 && said.1.contains("done"), "{said:?}");
    let finds = everywhere(&place, &before);
    assert!(finds.is_empty(), "{finds:?}");
    place.gateway.stop();
    wait(kept.is_gone(&place));
}

/// What the gateway has, and what the database server has.
fn everywhere(place: &Place, before: &Files) -> Finds {
    place.everywhere().and(place.scanner.folder_since(server(), before))
}

/// What the calls left, as it lies there and opened.
struct Kept {
    lines: Vec<Sealed>,
    recordings: Vec<Recording>,
    /// Of the caller's leg: its name, and as it lies there.
    file: (PathBuf, Vec<u8>),
    /// As JSON, for the person themselves.
    export: String,
}

impl Kept {
    async fn read(place: &Place, call: &Value, other: &Value) -> Self {
        let vault = place.vault(&place.gateway.data(), For::Beside, 0).await;
        let (db, tenant) = (vault.db(), vault.tenant());
        // What the server has in memory is in its files from here on.
        db.script("CHECKPOINT").await.expect("a superuser may");
        refused_sound_alone(&vault, id_of(other)).await;
        let lines = rows::lines(db, tenant, id_of(call)).await.expect("reads");
        let sealed = lines.into_iter().filter_map(|line| match line.what {
            rows::Stored::Sealed(sealed) => Some(sealed),
            rows::Stored::Gap { .. } => None,
        });
        let lines = sealed.collect();
        let recordings = rows::recordings(db, tenant, id_of(call)).await.expect("reads");
        let legs: Vec<&str> = recordings.iter().map(|r| r.leg.as_str()).collect();
        assert_eq!(legs, ["agent", "caller"]);
        let path = place.gateway.data().join("audio").join(&recordings[1].file);
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("a folder").count(), 2, "no other's sound");
        let file = (path.clone(), fs::read(path).expect("a file"));
        let export = exported(&vault, &recordings).await.expect("opens");
        vault.close().await;
        Self { lines, recordings, file, export }
    }

    /// Positive controls: with the keys there are the words and the wave, and the search comes to where they lie sealed.
    fn is_there(&self, place: &mut Place) {
        assert!(self.export.to_lowercase().contains(CANARY), "the words are kept");
        let [agent, caller] = ["agent", "caller"].map(|leg| packets(&sound_of(&self.export, leg)));
        let searched = |packets: &[Vec<u8>]| {
            let mut finds = Finds::default();
            Scanner::new(&[CANARY]).bytes("the leg", 0, &decoded(packets), &mut finds);
            finds.has("the leg", "PCM16 LE")
        };
        assert!(searched(&caller) && !searched(&agent), "the wave is in the caller's leg");
        // Coded it is not the wave any more: what is kept of it is sought as it is.
        let loud: Vec<&[u8]> = caller.iter().filter_map(|packet| packet.get(4..4 + PIECE)).collect();
        let pieces: Vec<&[u8]> = loud.iter().step_by(loud.len().div_ceil(PIECES)).copied().collect();
        place.scanner.also(Phrase::of_bytes(&pieces));
        let opened = place.scanner.text("the export", &self.export);
        assert!(opened.has("the export", "bytes in base64"), "{opened:?}");
        for part in ["data/base", "data/pg_wal"] {
            let lies_there = |line: &Sealed| found(&server().join(part), &line.body);
            assert!(self.lines.iter().any(lies_there), "a sealed line is in {part}");
        }
        let hex = |line: &Sealed| line.body.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let is_logged = |line: &Sealed| found(&server().join("log"), hex(line).as_bytes());
        assert!(self.lines.iter().all(is_logged), "the server's log has every value");
    }

    /// Rows, files and keys. A copy of the sound that comes back, with its row, is opened by nobody.
    async fn is_gone(&self, place: &Place) {
        let vault = place.vault(&place.gateway.data(), For::Serving, 0).await;
        vault.db().script("CHECKPOINT").await.expect("a superuser may");
        let lies_there = |line: &Sealed| found(&server().join("data/base"), &line.body);
        assert!(!self.lines.iter().any(lies_there), "not even sealed in a table");
        for table in ["lines", "recordings"] {
            let left = vault.db().number(&format!("SELECT count(*) FROM {table}"), &[]).await.expect("counts");
            assert_eq!(left, 0, "{table}");
        }
        let (path, bytes) = &self.file;
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("a folder").count(), 0, "no file of sound");
        fs::write(path, bytes).expect("written");
        rows::put_recording(vault.db(), vault.tenant(), &self.recordings[1]).await.expect("writes");
        let opened = exported(&vault, &self.recordings).await;
        assert!(matches!(opened, Err(VaultError::Keys(_))), "{opened:?}");
        vault.close().await;
    }
}

/// Their words are kept, and no sound.
async fn refused_sound_alone(vault: &Vault, call: CallId) {
    let (db, tenant) = (vault.db(), vault.tenant());
    let events = rows::events(db, tenant, call).await.expect("reads");
    let refused = |e: &ConsentEvent| e.scopes == Which::one(&Scope::Audio) && e.state.words().0 == "refused";
    assert!(events.iter().any(refused), "they were asked for sound: {events:?}");
    assert!(!rows::lines(db, tenant, call).await.expect("reads").is_empty(), "words");
    assert!(rows::recordings(db, tenant, call).await.expect("reads").is_empty(), "sound");
}

async fn exported(vault: &Vault, recordings: &[Recording]) -> Result<String, VaultError> {
    vault.export_json(recordings[0].subject, &reader(Purpose::Subject)).await
}

/// The Ogg stream of one leg.
fn sound_of(export: &str, leg: &str) -> Vec<u8> {
    let export: Value = serde_json::from_str(export).expect("JSON");
    let calls = export["content"].as_array().expect("calls");
    let mut sounds = calls.iter().flat_map(|call| call["sound"].as_array().expect("a list"));
    let sound = sounds.find(|sound| sound["leg"] == leg).expect("the leg");
    let text = sound["base64url"].as_str().expect("a text").replace('-', "+").replace('_', "/");
    let value = |digit: u8| ALPHABET.iter().position(|d| *d == digit).expect("a digit") as u32;
    let group = |digits: &[u8]| {
        let n = digits.iter().fold(0, |n, d| n << 6 | value(*d)) << (6 * (4 - digits.len()));
        n.to_be_bytes()[1..digits.len()].to_vec()
    };
    text.as_bytes().chunks(4).flat_map(group).collect()
}

/// The packets of an Ogg stream (RFC 3533, 6) without its two headers (RFC 7845, 3).
fn packets(mut ogg: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = vec![vec![]];
    while !ogg.is_empty() {
        assert!(ogg.starts_with(b"OggS"), "a page");
        let (lengths, mut body) = ogg[27..].split_at(usize::from(ogg[26]));
        for length in lengths {
            let (piece, rest) = body.split_at(usize::from(*length));
            packets.last_mut().expect("one").extend_from_slice(piece);
            if *length < 255 {
                packets.push(vec![]);
            }
            body = rest;
        }
        ogg = body;
    }
    assert!(packets[0].starts_with(b"OpusHead"));
    packets.drain(2..).filter(|packet| !packet.is_empty()).collect()
}

/// As PCM16 at 16 kHz.
fn decoded(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut decoder = Decoder::new(media::Codec::Opus).expect("the codec");
    let mut frame = [0; 1920];
    let mut samples = vec![];
    for packet in packets {
        let len = decoder.decode(packet, &mut frame);
        samples.extend_from_slice(&frame[..len]);
    }
    sound::written(&samples, Kind::Pcm16Le)
}
