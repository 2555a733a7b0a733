//! Scripts of callers on a web page: they write and click, read captions, and come and go.

use super::*;
use crate::call::action::Activity;

/// The question is answered, and the agent listens.
const AGREED: &str = "> start\n> listen\n> click yes\n> listen\n";
/// The same by text.
const AGREED_BY_TEXT: &str = "> by-text\n> start\n> wait 40\n> click yes\n> wait 40\n";

fn page() -> Stage {
    let mut stage = Stage::new(LlmUse::Off);
    stage.call.show_captions();
    stage
}

fn on_page(script: &str) {
    check_on(page(), script);
}

/// Runs the steps and gives what was logged by the last.
fn last_of(steps: &[&str]) -> Stage {
    let mut stage = page();
    for step in steps {
        stage.log.clear();
        stage.step(step);
    }
    stage
}

fn state(stage: &Stage) -> String {
    stage.call.gate().expect("a policy").state(&Scope::Transcript).to_string()
}

#[test]
fn both_sides_are_shown_as_they_are_heard() {
    on_page(
        "> start
         > wait 40
         agent: Hello
         caption 1~ agent Hello, this is Bright Smile Dental.
         ! caption 1 agent
         ! caption 2
         > listen
         caption 1 agent Hello, this is Bright Smile Dental.
         caption 2~ agent I'm
         caption 2 agent I'm
         > speak Yes.
         caption 6~ caller Yes.
         caption 6 caller Yes.
         agent: Thank you.
         caption 7~ agent Thank you.",
    );
}

#[test]
fn a_call_by_telephone_has_no_captions() {
    check("> start\n> listen\n! caption\n> speak Yes.\n> listen\n! caption");
}

#[test]
fn a_cut_clause_shows_what_was_heard_of_it() {
    let asked = ["start", "listen", "key 1", "listen", "speak Is there parking near the clinic?"];
    let stage = last_of(&[&asked[..], &["speak 900 Actually, what about Sunday?"]].concat());
    let cut = stage.log.iter().position(|l| l.starts_with("caption 9 agent")).expect("it is shown");
    assert!(stage.log[cut].ends_with("agent Yes, there"), "{:#?}", stage.log);
    assert!(stage.log.iter().any(|l| l == "caption 10 caller Actually, what about Sunday?"), "{:#?}", stage.log);
}

#[test]
fn a_draft_is_shown_and_taken_back_if_it_was_nothing() {
    let over = ["start", "listen", "key 1", "listen", "speak Is there parking near the clinic?", "speak 480 Blub."];
    let log = last_of(&over).log;
    assert!(log.iter().any(|l| l == "caption 10~ caller Blub."), "{log:#?}");
    assert!(log.iter().any(|l| l == "caption 10 caller "), "{log:#?}");
    // Whoever speaks on goes on in the same caption.
    let pause = ["sound 600 Are you open", "wait 120", "sound 600 Are you open on Saturday?", "wait 400"];
    let log = last_of(&[&["start", "listen", "key 2", "listen"][..], &pause].concat()).log;
    assert!(log.iter().any(|l| l == "caption 8 caller Are you open on Saturday?"), "{log:#?}");
}

#[test]
fn a_click_answers_the_question_while_it_is_asked() {
    on_page(
        "> start
         > wait 8000
         agent: May I keep
         > click yes
         agent stops
         > listen
         agent: Thank you.
         kept agent: Thank you.
         turn 1 click committed +0
         ! agent: Please say
         > speak When are you open?
         kept caller: When are you open?",
    );
    on_page("> start\n> listen\n> click no\n> listen\n! kept agent\n> speak When are you open?\n! kept caller");
}

#[test]
fn whatever_is_clicked_the_caller_hears_that_an_ai_answers() {
    on_page(
        "> start
         > wait 1000
         > click yes
         ! agent stops
         > listen
         agent: I'm the clinic's AI assistant.
         kept agent: I'm the clinic's AI assistant.
         agent: For a person
         agent: Thank you.
         turn 1 click committed +0
         ! May I keep",
    );
    // What is written meanwhile is answered behind it as well, instead of what was clicked.
    on_page(
        "> start
         > wait 1000
         > click no
         > type When are you open?
         ! agent stops
         > listen
         agent: For a person
         agent: We are open
         ! agent: All right",
    );
    // But a person can be asked for at any time.
    on_page("> start\n> wait 1000\n> click yes\n> key 0\nagent stops\n> listen\ntransfers to sip:\n! agent: Thank you");
}

#[test]
fn what_is_written_is_a_turn_at_once() {
    on_page(&format!(
        "{AGREED}> type What time do you open on Saturday?
         caption 8 caller What time do you open on Saturday?
         kept caller: What time do you open on Saturday?
         > listen
         agent: On Saturday
         turn 2 typed committed +0
         kept agent: On Saturday"
    ));
    // It stops the agent, and what the caller was saying.
    on_page(&format!(
        "{AGREED}> type Is there parking near the clinic?\n> wait 600\n> type What about Sunday?\nagent stops\n> listen\nOn Sunday"
    ));
    on_page(&format!("{AGREED}> begin 400 Is there\n> type What about Sunday?\n> wait 600\n! Is there\nOn Sunday"));
    // A nod says nothing, and is shown.
    on_page(&format!("{AGREED}> type ok\ncaption 8 caller ok\n! turn\n! agent:"));
}

#[test]
fn the_question_may_be_answered_in_writing() {
    on_page("> start\n> listen\n> type yes, please\n> listen\nkept agent");
    on_page("> start\n> listen\n> type no\n> listen\n! kept agent");
    on_page(
        "> start\n> wait 1000\n> type When are you open?\n! agent stops\n! kept caller\n> listen\nagent: For a person\nagent: We are open\n! May I keep",
    );
    let written = last_of(&["start", "listen", "type yes"]);
    assert_eq!(state(&written), "granted in writing");
    let clicked = last_of(&["start", "listen", "click no"]);
    assert_eq!(state(&clicked), "refused by click");
}

#[test]
fn a_caller_takes_their_consent_back_by_a_click() {
    for step in ["withdraw", "click no"] {
        on_page(&format!(
            "{AGREED}> speak When are you open?
             kept caller
             > {step}
             purged
             > listen
             ! kept agent
             > speak What about Sunday?
             ! kept caller"
        ));
    }
    on_page("> start\n> listen\n> click no\n> listen\n> withdraw\n! turn\n> click yes\n! turn\n> wait 40\n! agent:");
    let refused = last_of(&["start", "wait 1000", "withdraw"]);
    assert_eq!(state(&refused), "refused by click");
    let mut stage = last_of(&["start", "listen", "click yes", "listen", "speak When are you open?"]);
    let shown = |stage: &Stage| stage.call.recent_captions().any(|c| c.text.contains("open"));
    assert!(shown(&stage));
    stage.step("withdraw");
    assert!(!shown(&stage));
}

#[test]
fn what_must_be_heard_is_heard_before_a_text_is_answered() {
    on_page(&format!(
        "{AGREED}> babble 10500
         agent: There is a lot of noise
         > type When are you open?
         ! agent stops
         > listen
         zero for a person.
         agent: We are open"
    ));
    // A no counts at once, and is not talked about.
    on_page(&format!("{AGREED}> babble 10500\n> withdraw\npurged\n! agent stops"));
    let promised = "> type I want to speak to a real person.\n";
    on_page(&format!(
        "{AGREED}{promised}> wait 200\n> type thank you\n> listen\ntransfers to sip:\n> type hello\n! turn"
    ));
}

#[test]
fn without_a_voice_everything_is_read() {
    on_page(&format!(
        "{AGREED_BY_TEXT}agent writes: Thank you.
         kept agent: Thank you.
         > type What time do you open on Saturday?
         > wait 40
         caption 9~ agent On Saturday
         caption 9 agent On Saturday
         kept agent: On Saturday
         > wait 100000
         ! turn
         > wait 30000
         agent writes: Are you still there?"
    ));
    on_page(
        "> by-text\n> start\n> wait 40\nagent writes: Hello\nagent writes: May I keep\n> wait 130000\n! kept agent",
    );
    on_page(&format!("{AGREED_BY_TEXT}> type goodbye\n> wait 40\nhangs up: completed"));
    on_page(&format!("{AGREED_BY_TEXT}> wait 700000\nhangs up: silence"));
    on_page("> by-text\n> start\n> wait 40\n> key 1\n> wait 40\nkept agent: Thank you.");
}

#[test]
fn a_conversation_goes_on_by_the_other_road() {
    // What sounded is written from the beginning of its clause.
    on_page(&format!(
        "{AGREED}> type Is there parking near the clinic?
         > wait 600
         agent: Yes, there is
         > by-text
         agent stops
         > wait 40
         agent writes: Yes, there is
         caption 9 agent Yes, there is
         kept agent: Yes, there is
         > type What about Sunday?
         > wait 40
         agent writes: On Sunday
         > by-voice
         ! agent:
         > speak Where are you?
         kept caller: Where are you?"
    ));
    // A question that was only read is asked.
    on_page(
        "> by-text\n> start\n> wait 40\n> by-voice\n> wait 40\nagent: May I keep\n> speak Yes.\n> listen\nkept agent",
    );
    on_page(&format!("{AGREED_BY_TEXT}> by-voice\n> wait 40\n! agent:\n> wait 8000\nsilence"));
}

#[test]
fn what_a_lost_page_may_have_missed_is_said_again() {
    let heard = "> type Is there parking near the clinic?\n> wait 600\nagent: Yes, there is\n";
    let back =
        "> hold\n> resume\n> by-voice\nagent stops\n> wait 40\nagent: Yes, there is\n> listen\nkept agent: Yes, there";
    on_page(&format!("{AGREED}{heard}{back}"));
    // In the middle of an interruption.
    on_page(&format!(
        "{AGREED}{heard}> begin 200 Wait,\nagent held\n> hold\n> resume\n> by-voice\n> wait 40\nagent: Yes, there is"
    ));
}

#[test]
fn a_page_is_told_what_the_call_does() {
    let mut stage = page();
    let mut at = |step: &str, activity: Activity| {
        stage.step(step);
        assert_eq!(stage.call.activity(), activity, "{step}: {:#?}", stage.log);
    };
    at("start", Activity::Thinking);
    at("wait 40", Activity::Speaking);
    at("listen", Activity::Listening);
    at("click yes", Activity::Thinking);
    at("wait 40", Activity::Speaking);
    at("begin 400 Wait", Activity::Listening);
    at("hold", Activity::Held);
    at("resume", Activity::Speaking);
    at("listen", Activity::Listening);
    at("type I want to speak to a real person.", Activity::Thinking);
    at("listen", Activity::Held);
}

#[test]
fn a_page_that_comes_back_is_shown_the_last_words() {
    let questions = ["type Is there parking near the clinic?", "wait 40"].iter().cycle().take(40).copied();
    let steps: Vec<&str> =
        ["by-text", "start", "wait 40", "click yes", "wait 40"].into_iter().chain(questions).collect();
    let stage = last_of(&steps);
    let shown: Vec<_> = stage.call.recent_captions().collect();
    assert_eq!(shown.len(), 12);
    assert!(shown.iter().all(|c| c.last) && shown.iter().any(|c| c.who == Speaker::Caller));
    assert!(shown.windows(2).all(|pair| pair[0].id < pair[1].id));
}
