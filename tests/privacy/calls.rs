//! Real calls with real recognizers: a phrase is spoken and a wave is sounded. While the call goes on they are in the
//! memory of the process, which shows that the search finds them; afterwards they are nowhere where no consent keeps
//! them, and where one does, nobody finds them without the keys.

use dauys::vault::For;
use privacy::retention::Purpose;
use serde_json::Value;

use crate::killed::CANARY;
use crate::place::{CANCELS, Place, id_of, turn, wait};
use crate::stage::reader;

#[test]
fn after_a_refusal_nothing_is_anywhere() {
    let _turn = turn();
    let mut place = Place::new("canary-no");
    let finds = place.everywhere();
    assert!(finds.is_empty(), "nobody has called yet: {finds:?}");
    let caller = place.caller("2", &CANCELS);
    place.both_are_in_memory();
    let call = place.ended(1, caller);
    assert!(call["turns"].as_array().is_some_and(|turns| !turns.is_empty()), "it was heard: {call:#}");
    assert_eq!(place.transcript(&call).0, 403);
    assert!(!place.told(), "the webhook hears that a form was completed, and nothing of what is in it");
    let finds = place.everywhere();
    assert!(finds.is_empty(), "{finds:?}");
    place.gateway.stop();
    let finds = place.scanner.folder(&place.gateway.scratch.0);
    assert!(finds.is_empty(), "{finds:?}");
}

#[test]
fn after_a_withdrawal_nothing_is_anywhere() {
    let _turn = turn();
    let mut place = Place::new("canary-back");
    let caller = place.caller("1", &[&["withdraw.bf_emma.wav"][..], &CANCELS].concat());
    place.both_are_in_memory();
    let call = place.ended(1, caller);
    assert!(call["consent"].as_str().is_some_and(|c| c.starts_with("withdrawn")), "{call:#}");
    assert_eq!(place.transcript(&call).0, 403);
    assert!(!place.told(), "nor does the webhook, of a form after it");
    let finds = place.everywhere();
    assert!(finds.is_empty(), "{finds:?}");
    place.gateway.stop();
    wait(async {
        let vault = place.vault(&place.gateway.data(), For::Serving, 0).await;
        let left = vault.db().number("SELECT count(*) FROM lines", &[]).await.expect("counts");
        assert_eq!(left, 0, "what was kept until then is gone too");
        vault.close().await;
    });
}

#[test]
fn what_is_kept_is_sealed_and_goes_by_age_and_by_erasure() {
    let _turn = turn();
    let mut place = Place::new("canary-yes");
    let caller = place.caller("1", &CANCELS);
    place.both_are_in_memory();
    let call = place.ended(1, caller);
    let finds = place.everywhere();
    assert!(finds.is_empty(), "kept, and sealed, and no longer in memory: {finds:?}");
    let (status, body) = place.transcript(&call);
    assert!(status == 200 && body.to_lowercase().contains(CANARY), "positive control: it is kept: {status} {body}");
    assert!(place.told(), "positive control: who agrees is heard by the webhook");
    // Nobody talks, so nothing is written: the copy is whole, which the first look at it shows.
    let copy = place.gateway.data().with_extension("copy");
    crate::killed::copy(&place.gateway.data(), &copy);

    // By erasure, while it serves.
    let said = place.dauys(&["erase", "--call", call["id"].as_str().expect("an id")]);
    assert!(said.0 && said.1.contains("done"), "{said:?}");
    let orders: Vec<Value> = place.hook.messages().iter().map(|told| told["order"].clone()).collect();
    assert_eq!(orders, [Value::Null, "erase".into()], "who was told is told to erase");
    let (status, body) = place.transcript(&call);
    assert!(!body.to_lowercase().contains(CANARY), "{status} {body}");
    let finds = place.everywhere();
    assert!(finds.is_empty(), "{finds:?}");
    place.gateway.stop();
    place.audit_is_whole_until_a_byte_is_another();

    // By age: a day before the term it is there, a day after it is not.
    for (days, there) in [(29, true), (31, false)] {
        wait(async {
            let vault = place.vault(&copy, For::Serving, days).await;
            vault.retain().await.expect("runs");
            let lines = vault.transcript(id_of(&call), &reader(Purpose::Service)).await.expect("reads");
            let text = serde_json::to_string(&lines).expect("JSON").to_lowercase();
            assert_eq!(text.contains(CANARY), there, "after {days} days");
            vault.close().await;
        });
    }
    let finds = place.scanner.folder(&copy);
    assert!(finds.is_empty(), "{finds:?}");
}
