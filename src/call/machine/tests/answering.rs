//! Calls of ours: whoever answers is listened to first.

use super::*;

fn outbound(action: MachineAction, script: &str) {
    let config = Stage::new(LlmUse::Off).call.config;
    check_on(Stage::with(CallConfig { answering: Some(action), ..config }), script);
}

#[test]
fn a_person_is_answered_as_soon_as_they_said_hello() {
    for action in [MachineAction::HangUp, MachineAction::Talk, MachineAction::Message] {
        outbound(
            action,
            "> start
             > wait 600
             ! agent
             > sound 500 Hello?
             ! agent
             > wait 180
             ! agent
             > wait 120
             answered by person
             agent: Hello, this is Bright Smile Dental.
             > listen
             agent: May I keep
             > key 1
             > wait 40
             agent: Thank you",
        );
    }
    // Nobody says a word, or presses a key.
    outbound(MachineAction::HangUp, "> start\n> wait 2900\n! agent\n> wait 200\nanswered by unknown\nagent: Hello");
    outbound(MachineAction::HangUp, "> start\n> wait 500\n> key 5\nanswered by person\n> wait 40\nagent: Hello");
    outbound(MachineAction::HangUp, "> start\n> bye\n! answered");
}

#[test]
fn a_machine_is_hung_up_on() {
    outbound(
        MachineAction::HangUp,
        "> start\n> wait 400\n> sound 2000 You have reached the voicemail of\n> wait 300\nanswered by machine\nhangs up: machine\n! agent:",
    );
    outbound(MachineAction::HangUp, "> start\n> sound 6000 We\nhangs up: machine\n! agent:");
    outbound(MachineAction::HangUp, "> start\n> beep 200\nhangs up: machine");
    outbound(MachineAction::HangUp, "> start\n> sound 1500 Абонент временно недоступен\n> wait 200\nhangs up: machine");
}

#[test]
fn a_machine_may_be_talked_to() {
    outbound(MachineAction::Talk, "> start\n> sound 6000 We\nanswered by machine\n> listen\nagent: May I keep");
}

#[test]
fn a_message_is_left_after_the_tone() {
    let reached =
        "> start\n> sound 3000 Please leave a message after the tone\n> wait 800\nanswered by machine\n! agent:\n";
    outbound(
        MachineAction::Message,
        &format!(
            "{reached}> beep 400\n! agent:\n> wait 300\nagent: Hello, this is the AI assistant\n> listen\nhangs up: machine\n! kept caller"
        ),
    );
    // Without a tone, after a while of silence.
    outbound(
        MachineAction::Message,
        &format!("{reached}> wait 600\n! agent:\n> wait 300\nagent: Hello, this is the AI"),
    );
    // What the machine says over the message does not stop it.
    outbound(
        MachineAction::Message,
        &format!("{reached}> wait 900\n> sound 1500 goodbye\n! agent stops\n> listen\nhangs up: machine"),
    );
}

#[test]
fn a_machine_that_says_hello_first_is_found_out() {
    let hello = "> start\n> sound 500 Hello.\n> wait 600\nanswered by person\nagent: Hello, this is Bright\n";
    let more = "> sound 1500 You have reached the mailbox of\n> wait 300\n";
    outbound(MachineAction::HangUp, &format!("{hello}{more}agent stops\nanswered by machine\nhangs up: machine"));
    outbound(
        MachineAction::Message,
        &format!("{hello}{more}answered by machine\n> wait 1600\nagent: Hello, this is the AI assistant"),
    );
    outbound(MachineAction::Talk, &format!("{hello}{more}! answered by machine"));
}

#[test]
fn consent_that_the_desk_took_back_before_anybody_spoke_is_not_asked_for() {
    let script = "> start\n> wait 400\n> request\nall: withdrawn\n! agent\n> sound 500 Hello?\n> wait 400\nanswered by person\n> listen\nagent: How can I help you?\n! May I keep\n> bye\n! event";
    outbound(MachineAction::Talk, script);
    let config = CallConfig { answering: Some(MachineAction::Talk), ..Stage::new(LlmUse::Off).call.config };
    let processing = Stage::under(config, Some(crate::call::consent::tests::asking_also(Scope::AiProcess)), None);
    check_on(
        processing,
        "> start\n> wait 400\n> request\n> sound 500 Hello?\n> wait 400\n> listen\ntransfers to sip:\n! How can I help",
    );
}
