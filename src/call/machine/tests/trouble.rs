//! Callers who are silent, cannot be heard or cannot be understood, and calls that last too long.

use super::*;

/// The question is answered, and the agent listens.
const OPEN: &str = "> start\n> listen\n> key 2\n> listen\n";

fn after_consent(script: &str) {
    check(&format!("{OPEN}{script}"));
}

#[test]
fn a_cough_does_not_put_off_the_question_whether_anybody_is_there() {
    // Seven seconds after the agent's last word, whoever coughs in between.
    after_consent(
        "> wait 3000\n> noise 300\n> wait 2600\n! turn\n> wait 400\nagent: Are you still there?\nturn 2 silence",
    );
    // Right behind a cough the caller may well speak.
    after_consent("> wait 6000\n> noise 600\n> wait 100\n! turn\n> wait 500\nturn 2 silence");
    let mut stage = Stage::new(LlmUse::Off);
    let coughs = ["wait 3700", "noise 300"].into_iter().cycle().take(30);
    ["start", "listen", "key 2", "listen"].into_iter().chain(coughs).for_each(|step| stage.step(step));
    assert_eq!(stage.log.last().map(String::as_str), Some("hangs up: silence"));
}

#[test]
fn a_nod_puts_the_question_off_but_not_for_ever() {
    after_consent("> wait 5000\n> speak 300 Um.\n> wait 5000\n! turn\n> wait 2500\nturn 2 silence");
    let nods = "> wait 4000\n> speak 300 Um.\n! turn\n".repeat(3);
    after_consent(&format!("{nods}> wait 4000\n> speak 300 Um.\n> wait 2000\nturn 2 silence"));
}

#[test]
fn who_mumbles_twice_is_asked_again() {
    after_consent("> noise 1000\n! turn\n> noise 1000\nagent: Sorry, I didn't catch that.\nturn 2 unsure");
    after_consent("> noise 300\n> noise 300\n> noise 300\n! turn");
    after_consent("> noise 1000\n> speak When are you open?\n> listen\n> noise 1000\n! turn");
}

#[test]
fn noise_is_asked_about_then_a_person_is_offered_and_then_the_call_ends() {
    after_consent(
        "> babble 9800
         ! turn
         > babble 400
         agent: There is a lot of noise on the line.
         turn 2 noise
         ! agent stops
         > babble 12000
         zero for a person.
         ! turn
         > babble 26000
         agent: I still can't hear you
         turn 3 noise
         > babble 30000
         ! turn
         > babble 60000
         turn 4 noise
         hangs up: noise",
    );
}

#[test]
fn noise_with_pauses_is_noise() {
    let flicker = "> babble 600\n> wait 120\n";
    let mut script = format!("{OPEN}{}", flicker.repeat(13));
    script.push_str("! turn\n> babble 4000\nagent: There is a lot of noise");
    check(&script);
}

#[test]
fn a_caller_in_noise_is_served_by_keys_and_by_words() {
    after_consent(
        "> babble 11000\nagent: There is a lot\n> key 0\n> wait 40\nagent: Of course\n> listen\ntransfers to sip:",
    );
    // In the middle of what is said over the noise.
    after_consent("> babble 10500\n> key 9\n> wait 40\nturn 3 key");
    after_consent(
        "> babble 11000\n> listen\n> wait 300\n> speak When are you open?\nturn 3\n> listen\n> babble 9000\n! turn",
    );
    check(
        "> start\n> listen\n> babble 11000\nnoise\n> listen\nagent: May I keep\n> key 1\n> wait 40\nagent: Thank you",
    );
}

#[test]
fn who_talks_without_a_breath_is_no_noise() {
    let words = "and then ".repeat(20);
    after_consent(&format!("> sound 28000 {words}\n! turn"));
    // But nobody talks for a minute on end, and no more is kept than thirty seconds.
    after_consent(&format!("> sound 45000 {words}\nturn 2 noise"));
    // Two words that a recognizer made up of twelve seconds of music are none.
    after_consent("> sound 12000 you know\nturn 2 noise");
    after_consent("> sound 9000 you\n> wait 1000\n! turn");
}

#[test]
fn whoever_plays_music_is_told_once_and_waited_for() {
    after_consent(
        "> music 9000
         ! turn
         > music 5000
         agent: There is a lot of noise
         turn 2 noise
         > music 170000
         ! turn
         > music 30000
         turn 3 noise
         hangs up: noise",
    );
    // When they come back, they are listened to; when the music stops, silence is asked about again.
    after_consent("> music 60000\n> wait 300\n> speak When are you open?\nturn 3");
    after_consent("> music 60000\n> wait 16000\nagent: Are you still there?\nturn 3 silence");
}

#[test]
fn who_is_not_understood_and_wants_no_person_is_said_goodbye_to() {
    let miss = "> speak Purple elephants sing in Latin.\n> listen\n";
    after_consent(&format!(
        "{miss}{miss}{miss}agent: Shall I put you through\n> speak No.\n> listen\n{miss}{miss}\
         > speak Purple elephants sing in Latin.\ncan't understand you\n> listen\nhangs up: not_understood"
    ));
}

#[test]
fn the_end_of_a_long_call_is_told_and_said() {
    let short = || {
        let config = Stage::new(LlmUse::Off).call.config;
        Stage::with(CallConfig { duration_s_max: 130, ..config })
    };
    let told = "agent: I'm sorry, I have to end this call in a minute.";
    check_on(short(), &format!("{OPEN}> talk 82\n{told}\n! agent stops\n> talk 120\n! in a minute"));
    // Whoever speaks then is heard and answered first.
    let long = "and so I went there to ask when you are open on Saturday";
    check_on(
        short(),
        &format!(
            "{OPEN}> talk 55\n! in a minute\n> sound 16000 {long}\n> wait 400\n! in a minute\nnine to two\n> talk 90\n{told}"
        ),
    );
    check_on(short(), &format!("{OPEN}> talk 140\n{told}\nI have to end the call now.\nhangs up: duration_max"));
}

#[test]
fn the_goodbye_of_a_long_call_is_heard_to_its_end() {
    let config = Stage::new(LlmUse::Off).call.config;
    let mut stage = Stage::with(CallConfig { duration_s_max: 30, ..config });
    for step in ["start", "listen", "key 2", "listen", "wait 8000"] {
        stage.step(step);
    }
    stage.log.clear();
    stage.step("babble 14000");
    let log = stage.log.join("\n");
    let said = log.find("I have to end the call now").expect("it says so");
    let heard = log.find("agent: Goodbye!").expect("it is heard");
    let gone = log.find("hangs up: duration_max").expect("and then it hangs up");
    assert!(said < heard && heard < gone && !log.contains("agent stops\nhangs"), "{log}");
    assert!(stage.now - stage.began < Duration::from_secs(45));
}
