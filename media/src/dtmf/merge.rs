//! One press from the two or three ways in which it may come: gateways send a key as an event and leave the
//! start of its tone in the audio, phones send INFO and events. It decides by times and ways only.
use std::time::{Duration, Instant};

use super::Digit;

/// Presses remembered.
const KNOWN_MAX: usize = 8;
/// A tone is heard later than its event by the jitter buffer (200 ms at most) and the detector (60 ms).
const TONE_WINDOW: Duration = Duration::from_millis(300);
/// INFO goes another road, through proxies, and some phones send it when the key is released.
const INFO_WINDOW: Duration = Duration::from_millis(1_000);

/// How a key came.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// A telephone event in RTP (RFC 4733).
    Event,
    /// A tone in the audio.
    Tone,
    /// SIP INFO.
    Info,
}

/// Says each press once. Each way tells its presses in order and each once; so a press by one way is the
/// same as the oldest press of that key nearby that this way has not told yet, and a second press of a key by
/// the same way is always a second press. A tone is the exception: one near an event of its key is what that
/// event left in the audio, however often it breaks.
#[derive(Clone, Default)]
pub struct Keys {
    /// The oldest first; `None`s behind.
    known: [Option<Press>; KNOWN_MAX],
}

#[derive(Copy, Clone)]
struct Press {
    digit: Digit,
    /// The last time some way said that it is down.
    last: Instant,
    told: [bool; 3],
}

impl Keys {
    /// Takes a press as one way tells it, at the time it is told; the key, if no other way told it before.
    pub fn press(&mut self, now: Instant, way: Way, digit: Digit) -> Option<Digit> {
        // What lies before the last press this way told was told by others alone.
        let after = self.known.iter().rposition(|p| p.is_some_and(|p| p.told[way as usize])).map_or(0, |at| at + 1);
        let open = self.known.iter_mut().skip(after).flatten();
        if let Some(same) = open.into_iter().find(|p| p.digit == digit && p.is_near(now, way)) {
            same.told[way as usize] = true;
            same.last = same.last.max(now);
            return None;
        }
        // A lost packet may break a tone in two; beside its event it is still the one press.
        let event = self.known.iter().flatten().rfind(|p| p.told[Way::Event as usize]);
        if way == Way::Tone && event.is_some_and(|p| p.digit == digit && p.is_near(now, way)) {
            return None;
        }
        let mut press = Press { digit, last: now, told: [false; 3] };
        press.told[way as usize] = true;
        let place = match self.known.iter_mut().position(|p| p.is_none()) {
            Some(free) => free,
            None => {
                self.known.rotate_left(1);
                KNOWN_MAX - 1
            }
        };
        self.known[place] = Some(press);
        Some(digit)
    }

    /// Says that the key this way told last is still down. A long press is near to what follows its end.
    pub fn held(&mut self, now: Instant, way: Way) {
        let told = self.known.iter_mut().flatten().rfind(|p| p.told[way as usize]);
        if let Some(press) = told {
            press.last = press.last.max(now);
        }
    }
}

impl Press {
    /// Whether `way`, telling this key now, can mean this press.
    fn is_near(&self, now: Instant, way: Way) -> bool {
        let by_info_alone = self.told == [false, false, true];
        let window = if way == Way::Info || by_info_alone { INFO_WINDOW } else { TONE_WINDOW };
        now.saturating_duration_since(self.last) <= window
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // an origin for virtual time
    use super::*;

    /// What came, `way:key@milliseconds` with `e`vent, `t`one, `i`nfo; `-milliseconds` where it was held until.
    fn check(script: &str, expected: &str) {
        let mut keys = Keys::default();
        let start = Instant::now();
        let at = |ms: &str| start + Duration::from_millis(ms.parse().unwrap());
        let mut heard = String::new();
        for item in script.split_whitespace() {
            let way = match &item[..1] {
                "e" => Way::Event,
                "t" => Way::Tone,
                _ => Way::Info,
            };
            let (from, until) = item[3..].split_once('-').unwrap_or((&item[3..], &item[3..]));
            let digit = Digit::from_char(item.chars().nth(1).unwrap()).unwrap();
            heard.extend(keys.press(at(from), way, digit).map(Digit::as_char));
            keys.held(at(until), way);
        }
        assert_eq!(heard, expected, "{script}");
    }

    #[test]
    fn one_way_counts_every_press() {
        for way in ["e", "t", "i"] {
            check(&"e5@0 e5@100 e5@180 e6@300 e5@400".replace('e', way), "55565");
        }
    }

    #[test]
    fn two_ways_make_one_press() {
        check("e5@0-100 t5@80", "5"); // the start of the tone was left in
        check("e5@0-100 t5@280", "5"); // behind a deep jitter buffer
        check("t5@0 e5@40-200", "5"); // the gateway took its time
        check("e5@0-100 i5@400", "5"); // a slow INFO
        check("e5@0-3000 i5@3200", "5"); // sent at the release
        check("i5@0 e5@300-500", "5"); // the first packets of the event lost
        check("i5@0 t5@250", "5");
        check("e5@0 t5@80 i5@90", "5");
        check("i5@0 e5@100 t5@180", "5");
        check("e5@0-2000 t5@100 t5@900 t5@1500", "5"); // lost packets break the tone
    }

    #[test]
    fn quick_presses_stay_apart() {
        check("e5@0-60 t5@100 e5@120-180 t5@220 e5@240-300 t5@340", "555");
        check("e5@0-60 e5@120-180 t5@190 t5@310", "55"); // the tones lag by more than a press
        check("e5@0 e5@200 i5@350 i5@550 e5@600 i5@950", "555");
        check("e1@0 e2@150 e1@300 i1@320 i2@480 i1@620", "121");
        check("i5@0 i5@200 e5@220 e5@420", "55"); // INFO first, twice
    }

    #[test]
    fn other_keys_and_other_times_are_other_presses() {
        check("e5@0 t6@50", "56");
        check("e5@0-60 t5@600", "55"); // no event tells this one
        check("e5@0-60 i5@1500", "55");
        check("t5@0 e5@400", "55");
    }

    #[test]
    fn it_forgets_what_is_old() {
        let many: String = (0..40).map(|n| format!("e5@{} ", n * 20)).collect();
        check(&many, &"5".repeat(40));
    }
}
