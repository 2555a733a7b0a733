//! Scripts of what callers are told and asked, of consents taken back, and of what may be kept and leave.

use super::*;

fn config(llm: LlmUse) -> CallConfig {
    Stage::new(llm).call.config
}

fn asking(scope: Scope) -> Stage {
    Stage::under(config(LlmUse::Off), Some(asking_also(scope)), None)
}

const AUDIO: Scope = Scope::Audio;

#[test]
fn each_scope_is_asked_for_and_answered_by_itself() {
    check_on(
        asking(AUDIO),
        "> start
         event 0 audio: asked
         ! transcript
         > listen
         agent: May a machine do this?
         > speak No.
         event 1 audio: refused by voice
         event 2 transcript: asked
         agent: As you wish
         > listen
         agent: May I keep a written transcript
         ! agent: How can I help you?
         > speak Yes.
         event 3 transcript: granted by voice
         agent: Thank you.
         > listen
         kept agent: How can I help you?
         > speak When are you open?
         kept caller: When are you open?",
    );
    check_on(
        asking(AUDIO),
        "> start\n> listen\n> key 1\n> listen\n> key 2\nevent 3 transcript: refused by key\n> listen\n! kept agent",
    );
}

#[test]
fn one_yes_answers_one_question() {
    // Said over the end of the answer to the first, it began before the second question.
    check_on(
        asking(AUDIO),
        "> start
         > listen
         > key 1
         event 1 audio: granted by key
         event 2 transcript: asked
         > wait 200
         > speak 400 Yes.
         ! transcript: granted
         > listen
         > wait 9000
         event 3 transcript: refused by silence",
    );
}

#[test]
fn who_goes_to_business_has_refused_all_that_was_not_asked_too() {
    check_on(
        asking(AUDIO),
        "> start
         > listen
         > speak What time do you open on Saturday?
         event 1 transcript,audio: refused, unclear answer
         nine
         > listen
         ! kept
         > wait 400
         ! May I keep",
    );
}

#[test]
fn without_leave_to_listen_the_call_goes_to_a_person() {
    check_on(
        asking(Scope::AiProcess),
        "> start
         > listen
         > speak No, thank you.
         event 1 ai_process,transcript: refused by voice
         agent: As you wish
         > listen
         transfers to sip:
         ! May I keep
         > not-transferred
         > listen
         hangs up",
    );
    // It is no business of a machine's what is said instead of an answer.
    check_on(
        asking(Scope::AiProcess),
        "> start\n> listen\n> speak When are you open?\n! We are open\nagent: May a machine\n> listen\n> speak When are you open?\n> listen\ntransfers to sip:",
    );
    check_on(
        asking(Scope::AiProcess),
        "> start
         > listen
         > key 1
         > listen
         > key 1
         > listen
         > speak Please delete my data.
         withdrawn
         purged
         > listen
         transfers to sip:",
    );
}

#[test]
fn a_phrase_takes_back_every_consent_before_the_dialogue_hears_it() {
    check_on(
        asking(AUDIO),
        "> start
         > listen
         > key 1
         > listen
         > key 1
         > listen
         > speak I'd like to book an appointment.
         > listen
         > speak Forget everything I said.
         event 4 all: withdrawn
         purged
         agent: All right.
         ! kept caller
         > listen
         ! kept
         > speak When are you open?
         ! kept",
    );
    // Where it is the answer to a question, it is one.
    check("> start\n> listen\n> speak No, please do not record me.\nevent 1 transcript: refused by voice");
}

#[test]
fn keys_take_consent_back_at_any_time() {
    check(
        "> start\n> listen\n> key 1\n> listen\n> key *\n! turn\n> key 9\nevent 2 all: withdrawn\npurged\n> listen\nI'm deleting\n! kept agent",
    );
    // Over what has to be heard to its end, too; and that is heard.
    check(
        "> start
         > wait 400
         > key *
         > key 9
         event 1 all: withdrawn
         ! agent stops
         > listen
         agent: I'm the clinic's AI assistant.
         agent: For a person
         I'm deleting
         ! May I keep
         ! kept agent",
    );
    // Alone, or before another one, the first key means itself.
    let talking = "> start\n> listen\n> key 2\n> listen\n";
    check(&format!("{talking}> key *\n! turn\n> wait 2100\n! withdrawn\n> key 9\n! withdrawn\n> wait 40\nturn 2 key"));
    check(&format!("{talking}> key *\n> key 0\n> listen\nturn 2 key\ntransfers to sip:"));
}

#[test]
fn one_consent_is_taken_back_by_a_click_and_the_others_stay() {
    let mut stage = asking(AUDIO);
    stage.call.show_captions();
    check_on(
        stage,
        "> start
         > listen
         > click yes audio
         event 1 audio: granted by click
         > click yes audio
         ! event
         > withdraw audio
         audio: withdrawn
         purged
         ! transcript: withdrawn
         > listen
         agent: May I keep
         > click yes transcript
         transcript: granted by click
         > listen
         > withdraw audio
         ! event
         > speak When are you open?
         kept caller: When are you open?
         > click no transcript
         transcript: withdrawn
         purged",
    );
}

#[test]
fn without_a_policy_nothing_is_asked_and_nothing_kept() {
    let stage = Stage::under(config(LlmUse::Local), None, None);
    check_on(
        stage,
        "> start
         > listen
         agent: Hello, this is Bright Smile Dental.
         agent: How can I help you?
         ! May I keep
         > speak When are you open?
         agent: We are open
         > listen
         > key *
         > key 9
         > speak Please delete my recording.
         > listen
         > speak Who won the match last night?
         asks the model
         > bye
         ! event
         ! kept
         ! purged",
    );
}

#[test]
fn a_card_is_neither_kept_nor_told_to_a_model() {
    let model = Hearer { name: "model".into(), needs: [Scope::Transcript].into(), scope: Scope::AiProcess };
    let mut stage = Stage::under(config(LlmUse::Declared), Some(script()), Some(model));
    for step in ["start", "listen", "key 1", "listen", "speak My name is Anna and my number is +7 701 123 45 67."] {
        stage.step(step);
    }
    // The model has nothing to say, if it is asked.
    let card = "speak My card is 4111 1111 1111 1111";
    for step in ["wait 3000", "thought-end", "listen", card, "wait 3000", "thought-end", "listen"] {
        stage.step(step);
    }
    stage.step("speak Who won the match last night?");
    let prompt = stage.prompt.clone();
    assert!(!prompt.is_empty() && prompt.contains("match"), "{prompt}");
    stage.step("bye");
    let kept = stage.log.iter().filter(|l| l.starts_with("kept")).cloned().collect::<Vec<_>>().join("\n");
    for text in [&prompt, &kept] {
        assert!(!text.contains("4111") && !text.contains("123 45 67"), "{text}");
        assert!(text.contains("[phone]"), "{text} {:#?}", stage.log);
    }
    assert!(kept.ends_with("kept caller: Who won the match last night?"), "after the card all is kept again: {kept}");
}

#[test]
fn lines_wait_until_it_is_clear_that_no_card_is_in_them() {
    let opening = "> start\n> listen\n> key 1\n> listen\n";
    check(&format!("{opening}> speak I have 4111 here.\n! kept caller\n> bye\nkept caller: I have"));
    // Taken back meanwhile, they are not kept at all.
    check(&format!("{opening}> speak I have 4111 here.\n> withdraw\npurged\n> bye\n! kept"));
}

#[test]
fn the_last_word_on_every_scope_is_on_record() {
    check("> start\n> bye\nevent 1 all: refused, hung up");
    check("> start\n> listen\n> key 1\n> bye\nevent 2 all: refused, hung up\n! purged");
    let stage = Stage::new(LlmUse::Off);
    assert!(stage.call.consents().all(|(_, state)| state == State::None));
}

#[test]
fn refusal_silence_and_hanging_up_keep_nothing() {
    check(
        "> start
         > listen
         > speak No, thank you.
         > listen
         ! kept caller
         > speak What time do you open on Saturday?
         ! kept caller
         nine",
    );
    check(
        "> start\n> listen\n> wait 8000\nturn 1 silence\n> listen\n! kept agent\n> speak When are you open?\n! kept caller",
    );
    check("> start\n> bye\n> speak Yes.\n! kept");
}

#[test]
fn an_unclear_answer_is_asked_again_once_and_then_refused() {
    check(
        "> start
         > listen
         > speak Blue elephants sing.
         agent:
         > listen
         > speak Blue elephants sing.
         > listen
         > speak When are you open?
         ! kept caller",
    );
}

#[test]
fn a_caller_who_goes_straight_to_business_has_not_agreed() {
    check("> start\n> listen\n> speak What time do you open on Saturday?\n! kept caller\nnine");
}

#[test]
fn withdrawal_purges_and_keeps_no_more() {
    check(
        "> start
         > listen
         > key 1
         > listen
         > speak Please delete my recording.
         purged
         ! kept caller
         > listen
         > speak When are you open?
         ! kept caller",
    );
}

#[test]
fn the_next_question_waits_for_what_has_to_be_heard() {
    let mut stage = asking(AUDIO);
    stage.call.show_captions();
    check_on(
        stage,
        "> start
         > wait 1000
         > click yes
         audio: granted by click
         ! transcript: asked
         > click yes
         ! granted
         > type yes
         ! granted
         > listen
         agent: For a person
         transcript: asked
         agent: May I keep
         > type yes
         transcript: granted in writing",
    );
    let mut stage = asking(AUDIO);
    stage.call.show_captions();
    check_on(
        stage,
        "> start
         > wait 1000
         > click yes
         > withdraw
         withdrawn
         purged
         > listen
         I'm deleting
         ! May I keep",
    );
}

#[test]
fn a_request_takes_consent_back_while_the_call_goes_on() {
    let opening = "> start\n> listen\n> key 1\n> listen\n";
    check(&format!(
        "{opening}> speak When are you open?\nkept caller\n> request\nevent 2 all: withdrawn\npurged\n> listen\nI'm deleting\nrequest committed\n! kept agent\n> speak When are you open?\n! kept\n> bye\n! event"
    ));
    // While a question is put nothing is heard over it, and it is not answered any more.
    check(
        "> start\n> wait 400\n> request\nevent 1 all: withdrawn\n> listen\nFor a person\nI'm deleting\n! May I keep\n> key 1\n! granted",
    );
    // Of two questions neither is put then.
    check_on(
        asking(AUDIO),
        "> start\n> listen\n> key 1\n> listen\n> request\nall: withdrawn\npurged\n> listen\nI'm deleting\nHow can I help\n> key 1\n! granted",
    );
    // Who agreed to nothing hears nothing of it.
    check("> start\n> listen\n> key 2\n> listen\n> request\nevent 2 all: withdrawn\n> listen\n! agent:\n! purged");
    check(&format!(
        "{opening}> erase\nevent 2 all: erased\npurged\n! withdrawn\n> listen\nI'm deleting\n> bye\n! event"
    ));
    // No machine may listen any more.
    check_on(
        asking(Scope::AiProcess),
        "> start\n> listen\n> key 1\n> listen\n> key 1\n> listen\n> request\nall: withdrawn\n> listen\ntransfers to sip:",
    );
}

#[test]
fn the_model_is_not_asked_any_more_once_the_desk_took_the_consent_back() {
    check_on(
        Stage::new(LlmUse::Declared),
        "> start
         > listen
         > key 1
         > listen
         > speak Who won the match last night?
         asks the model
         > request
         thinks no more
         purged
         > listen
         > speak Who won the match last night?
         ! asks the model",
    );
}
