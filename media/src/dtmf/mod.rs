//! Keys of a telephone, whichever way they travel: as events (RFC 4733, `receiver` and `sender`), as tones
//! in the audio (`tone`), by signalling; `merge` makes one press of what came twice. It takes no part in
//! signalling and never changes audio.
mod event;
mod merge;
mod receiver;
mod sender;
mod tone;

pub use event::{EVENT_LEN, Event};
pub use merge::{Keys, Way};
pub use receiver::Receiver;
pub use sender::{SEND_MAX, Sender, Sending};
pub use tone::{Tone, ToneDetector};

/// A key of a telephone.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Digit(u8);

impl Digit {
    /// From its character: `0`-`9`, `*`, `#`, `A`-`D` (either case).
    pub const fn from_char(c: char) -> Option<Digit> {
        match c {
            '0'..='9' => Some(Digit(c as u8 - b'0')),
            '*' => Some(Digit(10)),
            '#' => Some(Digit(11)),
            'A'..='D' => Some(Digit(c as u8 - b'A' + 12)),
            'a'..='d' => Some(Digit(c as u8 - b'a' + 12)),
            _ => None,
        }
    }

    /// Its character: `0`-`9`, `*`, `#`, `A`-`D`.
    pub const fn as_char(self) -> char {
        match self.0 {
            d @ 0..=9 => (b'0' + d) as char,
            10 => '*',
            11 => '#',
            d => (b'A' + d - 12) as char,
        }
    }

    /// From the event code of RFC 4733, table 3; `None` for anything but the sixteen keys.
    pub const fn from_event(event: u8) -> Option<Digit> {
        if event < 16 { Some(Digit(event)) } else { None }
    }

    /// The event code of RFC 4733, table 3.
    pub const fn event(self) -> u8 {
        self.0
    }
}

/// Keys that ended up in one tick: a small array, oldest first.
#[derive(Copy, Clone, Default)]
pub struct Digits {
    len: u8,
    digits: [Option<Digit>; Digits::MAX],
}

impl Digits {
    /// Keys one tick can report.
    pub const MAX: usize = 8;

    /// Appends; false when full.
    pub fn push(&mut self, digit: Digit) -> bool {
        let Some(place) = self.digits.get_mut(usize::from(self.len)) else {
            return false;
        };
        *place = Some(digit);
        self.len += 1;
        true
    }

    /// The keys, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Digit> + '_ {
        self.digits.iter().copied().flatten()
    }

    /// How many.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl IntoIterator for Digits {
    type Item = Digit;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Digit>, { Digits::MAX }>>;

    fn into_iter(self) -> Self::IntoIter {
        self.digits.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names() {
        for c in "0123456789*#ABCD".chars() {
            let digit = Digit::from_char(c).unwrap();
            assert_eq!((digit.as_char(), Digit::from_event(digit.event())), (c, Some(digit)));
        }
        assert_eq!(Digit::from_char('d'), Digit::from_char('D'));
        assert!(Digit::from_char('x').is_none() && Digit::from_event(16).is_none());
    }
}
