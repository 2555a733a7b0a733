//! Consent that ends by the privacy desk while its call goes on: the call takes it itself and has the last word on record;
//! one that does not answer is done without.

use std::time::Duration;

use dauys::call::CallId;
use dauys::call::live::{Request, Requests};
use dauys::store::{TranscriptStore as _, rows};
use dauys::vault::fan::NoWay;
use dauys::vault::{Vault, VaultError};
use privacy::Scope;
use privacy::consent::{ConsentGate, Grant, Past, Refusal, Which, Withdrawal};
use privacy::egress::Transfer;
use privacy::erasure::AskedBy;
use privacy::policy::TextHash;

use crate::stage::{BOTH, Stage};

/// A call as its driver answers the desk, until it was asked once.
async fn answers(vault: Vault, mut gate: ConsentGate, mut requests: Requests) -> ConsentGate {
    loop {
        if let Some(request) = requests.poll() {
            let purge = match &request {
                Request::Withdraw(which) => gate.withdraw(vault.now(), which, Withdrawal::Request),
                Request::Erase => gate.erased(vault.now()),
            };
            while let Some(event) = gate.poll() {
                vault.event(event).expect("fits");
            }
            vault.purge(gate.call(), &purge);
            requests.settle();
            return gate;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The call ends. What is on record of its consent then, and whether it is one history.
async fn history(stage: &Stage, mut gate: ConsentGate) -> (Vec<String>, bool) {
    let _ = gate.refuse(stage.vault.now(), &Which::All, Refusal::HungUp);
    stage.events(&mut gate);
    stage.vault.flush().await;
    let events = rows::events(stage.vault.db(), stage.vault.tenant(), gate.call()).await.expect("reads");
    let shown = events.iter().map(|event| format!("{} by {}", event.state, event.channel)).collect();
    (shown, Past::of(&events).is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_goes_on_takes_its_consent_back_itself() {
    for on in BOTH {
        let stage = Stage::new("going", on).await;
        let gate = stage.call(1, &[Scope::Transcript]);
        stage.say(&gate, 10, "before");
        let requests = stage.vault.live().join(CallId(1), stage.subject());
        let call = tokio::spawn(answers(stage.vault.clone(), gate, requests));
        let scopes = stage.vault.withdraw(CallId(1), &Which::All).await.expect("withdraws");
        assert!(scopes.contains(&Scope::Transcript), "{on:?}");
        assert_eq!(stage.count("lines").await, 0, "{on:?}");
        let (shown, whole) = history(&stage, call.await.expect("ends")).await;
        assert_eq!(shown, ["asked by phone", "granted by key by phone", "withdrawn by api"], "{on:?}");
        assert!(whole, "{on:?}: what came after it is no other step in its place");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_answer_is_withdrawn_without_it() {
    for on in BOTH {
        let stage = Stage::new("stuck", on).await;
        let now = stage.vault.now();
        let [mut gate, mut other] = [1, 2].map(|id| {
            let mut gate = stage.call(id, &[]);
            gate.ask(now, &Scope::Transcript, TextHash::of("may we?"));
            stage.events(&mut gate);
            gate
        });
        let _requests = stage.vault.live().join(CallId(1), stage.subject());
        stage.vault.withdraw(CallId(1), &Which::All).await.expect("withdraws");
        // The caller says yes a moment later, and the gate knows no better.
        for gate in [&mut gate, &mut other] {
            assert!(gate.grant(now, &Scope::Transcript, Grant::Voice));
            stage.events(gate);
            stage.say(gate, 20, "after");
        }
        stage.vault.flush().await;
        assert!(stage.texts(1).await.is_empty(), "{on:?}");
        assert_eq!(stage.texts(2).await, ["\"after\""], "{on:?}");
        let begins =
            |call| Transfer { call: Some(CallId(call)), ended: None, ended_at: None, ..stage.transfer(call, "crm") };
        assert!(matches!(stage.vault.put_transfer(&begins(1)).await, Err(VaultError::TakenBack)), "{on:?}");
        stage.vault.put_transfer(&begins(2)).await.expect("the other call's stands");
        let (shown, whole) = history(&stage, gate).await;
        assert_eq!(shown, ["asked by phone", "withdrawn by api"], "{on:?}");
        assert!(whole, "{on:?}");
        stage.clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_the_last_word_of_a_call_that_goes_on() {
    for on in BOTH {
        let stage = Stage::new("erased-going", on).await;
        let [gate, deaf] = [1, 2].map(|id| stage.call(id, &[Scope::Transcript]));
        stage.say(&gate, 10, "before");
        let requests = stage.vault.live().join(CallId(1), stage.subject());
        let call = tokio::spawn(answers(stage.vault.clone(), gate, requests));
        let id = stage.vault.ask_erasure(stage.subject(), AskedBy::Subject, "asked by phone").await.expect("asks");
        stage.vault.erase_all(&NoWay).await;
        assert!(stage.vault.erasure(id).await.expect("is there").is_done(), "{on:?}");
        // Also of the one that nobody could reach.
        for gate in [call.await.expect("ends"), deaf] {
            let (shown, whole) = history(&stage, gate).await;
            assert_eq!(shown, ["asked by phone", "granted by key by phone", "erased by api"], "{on:?}");
            assert!(whole, "{on:?}");
        }
        assert_eq!((stage.count("lines").await, stage.count("calls").await), (0, 0), "{on:?}");
        stage.clean();
    }
}
