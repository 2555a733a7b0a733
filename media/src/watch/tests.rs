//! Calls as scripts on virtual time; it tests no leg.
use super::*;

/// A call as `SECONDS:what,what ...`: `rtp` (packets with sound), `zero` (with digital silence), `rtcp` (a report
/// every five seconds), `lossN` (N percent missing), `held`, `pauses`, `unheardN` (reports in a row). What was
/// said, with the second it was.
fn check(script: &str, expected: &str) {
    #[allow(clippy::disallowed_methods)]
    let start = Instant::now();
    let mut watch = Watch::new(start, Duration::from_secs(60));
    let (mut seen, mut tick, mut said) = (Seen::default(), 0u64, vec![]);
    for step in script.split_whitespace() {
        let (seconds, words) = step.split_once(':').unwrap();
        for _ in 0..seconds.parse::<u64>().unwrap() * 50 {
            tick += 1;
            seen = Seen { held: false, pauses: false, unheard_reports: 0, heard: Heard::Nothing, ..seen };
            words.split(',').for_each(|word| act(&mut seen, word, tick));
            if let Some(trouble) = watch.tick(start + Duration::from_millis(tick * 20), &seen) {
                let sign = if trouble.begins { '+' } else { '-' };
                said.push(format!("{}{sign}{}", tick.div_ceil(50), trouble.kind.word()));
                assert_eq!(watch.is_in(trouble.kind), trouble.begins);
            }
        }
    }
    assert_eq!(said.join(" "), expected, "{script}");
}

fn act(seen: &mut Seen, word: &str, tick: u64) {
    let name = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = word[name.len()..].parse().unwrap_or(0);
    match name {
        "rtp" | "zero" => {
            seen.packets_received += 1;
            seen.expected += 1;
            seen.heard = if name == "rtp" { Heard::Sound } else { Heard::Silence };
        }
        "loss" => seen.missing += u64::from(tick * number / 100 > (tick - 1) * number / 100),
        "rtcp" => seen.reports_received += u64::from(tick.is_multiple_of(250)),
        "held" => seen.held = true,
        "pauses" => seen.pauses = true,
        "unheard" => seen.unheard_reports = number as u32,
        "none" => {}
        other => panic!("{other}"),
    }
}

#[test]
fn silence_of_the_network_is_said_once_and_its_end_too() {
    check("100:rtp", "");
    check("10:none", "3+no_audio_in");
    check("2:none 10:rtp 2:none 10:rtp", "");
    check("10:rtp 20:none 10:rtp 5:none", "13+no_audio_in 31-no_audio_in 43+no_audio_in");
    // Reports keep the call alive, not its audio.
    check("10:rtp 200:rtcp", "13+no_audio_in");
    check("10:rtp 65:none 5:rtp", "13+no_audio_in 70+dead 76-no_audio_in 76-dead");
}

#[test]
fn hold_and_pauses_are_no_trouble() {
    check("10:rtp 300:held 10:rtp", "");
    check("10:rtp 300:held 10:none", "313+no_audio_in");
    check("10:rtp 300:pauses", "");
    check("10:rtp 50:zero,held 20:zero 20:zero,pauses", "");
    check("10:rtp 20:held,unheard9", "");
    // Whoever pauses and used to report is missed when the reports stop; the last one was at 50.
    check("10:rtp,rtcp 40:pauses,rtcp 100:pauses", "110+dead");
}

#[test]
fn digital_silence_is_said_after_half_a_minute() {
    check("10:rtp 29:zero 1:rtp 29:zero 1:rtp", "");
    check("10:rtp 40:zero 5:rtp", "41+silent_in 51-silent_in");
    check("40:zero", "31+silent_in");
    // No packets at all are another trouble.
    check("40:zero 5:none", "31+silent_in 43+no_audio_in 44-silent_in");
    assert!(is_digital_silence(&[8, -8, 9, 0]) && is_digital_silence(&[]) && !is_digital_silence(&[0, -40]));
    assert!(!is_digital_silence(&[i16::MIN]));
}

#[test]
fn not_being_heard_is_said_at_the_second_report() {
    check("10:rtp,unheard1 10:rtp,unheard2 5:rtp,unheard3 5:rtp", "11+no_audio_out 26-no_audio_out");
}

#[test]
fn loss_is_heavy_above_five_percent_and_over_below_three() {
    check("60:rtp,loss4", "");
    check("20:rtp 20:rtp,loss10 20:rtp", "25+heavy_loss 47-heavy_loss");
    check("20:rtp,loss8 60:rtp,loss4", "5+heavy_loss");
    // A few seconds are no measure.
    check("4:rtp,loss60", "");
}

#[test]
fn a_late_tick_is_no_trouble_of_its_own() {
    #[allow(clippy::disallowed_methods)]
    let start = Instant::now();
    let mut watch = Watch::new(start, Duration::from_secs(60));
    let seen = Seen { packets_received: 1, expected: 1, heard: Heard::Sound, ..Seen::default() };
    assert_eq!(watch.tick(start + Duration::from_secs(3_600), &seen), None);
    // And time that goes backwards does not panic.
    assert_eq!(watch.tick(start, &seen), None);
}
