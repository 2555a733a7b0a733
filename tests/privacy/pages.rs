//! Web pages whose callers refuse: one speaks by Opus and reads captions on a data channel, one writes. What they said is
//! in the memory of the process while they are there, and nowhere afterwards.

use std::net::SocketAddr;

use serde_json::json;

use crate::chat::Chat;
use crate::killed::CANARY;
use crate::place::{PHRASE, Place, WAVE, turn, wait};

const WEB: &str = "[web]\nbind = \"127.0.0.1:0\"";

#[test]
fn after_a_pages_refusal_nothing_is_anywhere() {
    let _turn = turn();
    let mut place = Place::with("canary-page", WEB, "");
    speaks(&place);
    writes(&place);
    place.gateway.stop();
    let finds = place.scanner.folder(&place.gateway.scratch.0);
    assert!(finds.is_empty(), "{finds:?}");
}

fn speaks(place: &Place) {
    let whip = format!("http://127.0.0.1:{}/whip/front-desk", place.gateway.http);
    let caller = place.calls(&whip, "2", &[PHRASE, WAVE]);
    place.both_are_in_memory();
    let call = place.ended(1, caller);
    assert_eq!((&call["codec"], &call["security"]), (&"opus".into(), &"dtls".into()), "{call:#}");
    assert_eq!(call["consent"], "refused by key", "{call:#}");
    assert_eq!(place.transcript(&call).0, 403);
    let finds = place.everywhere();
    assert!(finds.is_empty(), "{finds:?}");
}

/// The memory was shown to be free of the phrase before.
fn writes(place: &Place) {
    let at: SocketAddr = ([127, 0, 0, 1], place.gateway.http).into();
    wait(async {
        let mut chat = Chat::open(at).await;
        chat.until("the question", |m| m["type"] == "consent").await;
        chat.say(json!({"type": "consent", "grant": false})).await;
        chat.until("the answer", |m| m["type"] == "consented" && m["granted"] == false).await;
        chat.say(json!({"type": "text", "text": format!("Is there parking {CANARY}?")})).await;
        let mine = |m: &serde_json::Value| m["type"] == "caption" && m["who"] == "caller" && m["final"] == true;
        chat.until("what was written", mine).await;
        chat.until("an answer", |m| m["type"] == "caption" && m["who"] == "agent" && m["final"] == true).await;
        tokio::task::block_in_place(|| place.the_phrase_is_in_memory());
        chat.say(json!({"type": "bye"})).await;
    });
    let call = place.over(2);
    assert_eq!((&call["codec"], &call["consent"]), (&"text".into(), &"refused by click".into()), "{call:#}");
    assert_eq!(place.transcript(&call).0, 403);
    let finds = place.everywhere();
    assert!(finds.is_empty(), "{finds:?}");
}
