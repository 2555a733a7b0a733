//! What a person is known by, in one form: a number, an e-mail address or a system's own name. It is
//! wiped after use and becomes a pseudonym; it is never kept, printed or put into an error.

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Key;
use crate::SubjectId;

/// Longest identifier, in bytes.
const LEN_MAX: usize = 256;
/// What callers without a number are called (RFC 3323, 4.1, and what gateways write).
const NOBODY: [&str; 6] = ["anonymous", "unknown", "unavailable", "restricted", "private", "withheld"];

/// An identifier in the one form that all its spellings have in common.
///
/// ```compile_fail
/// let phone = privacy::keys::Identifier::read("+77010000000", None).unwrap();
/// println!("{phone:?}");
/// ```
pub struct Identifier {
    kind: Kind,
    text: Zeroizing<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Phone,
    Email,
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnIdentifier {
    #[error("nothing is given: give a number, an e-mail address or the system's name of the person")]
    Empty,
    #[error("an identifier has {LEN_MAX} bytes at most")]
    TooLong,
    #[error("the caller is anonymous: give the call a random subject of its own")]
    Anonymous,
}

/// How numbers are dialled where they come without `+`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `7` for Kazakhstan and Russia.
    pub country_code: String,
    /// Stands before a national number: `8` there.
    pub trunk: String,
    /// Stand before a country code: `810` there. `00` is known without.
    pub international: Vec<String>,
    /// Digits of a national number without the trunk prefix: 10 there.
    pub national_digits: usize,
}

impl Plan {
    /// +7, dialled 8 at home and 8 10 abroad.
    pub fn kazakhstan_russia() -> Self {
        Self { country_code: "7".into(), trunk: "8".into(), international: vec!["810".into()], national_digits: 10 }
    }
}

impl Identifier {
    /// Reads a number however it is written, a `tel:`, `sip:`, `sips:` or `mailto:` URI, also between
    /// angle brackets, an e-mail address, or anything else as a name that is taken as it is.
    ///
    /// # Errors
    /// Where there is nobody to name.
    pub fn read(text: &str, plan: Option<&Plan>) -> Result<Self, NotAnIdentifier> {
        let text = match text.rsplit_once('<') {
            Some((_, address)) => address.split('>').next().unwrap_or_default(),
            None => text,
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(NotAnIdentifier::Empty);
        }
        if text.len() > LEN_MAX {
            return Err(NotAnIdentifier::TooLong);
        }
        let lower = Zeroizing::new(text.to_lowercase());
        if NOBODY.contains(&lower.as_str()) {
            return Err(NotAnIdentifier::Anonymous);
        }
        match scheme(text) {
            Some(("sip" | "sips", address)) => sip(address, plan),
            Some(("tel", number)) => {
                let number = number.split(';').next().unwrap_or_default();
                Ok(phone(number, plan).unwrap_or_else(|| opaque(&["tel:", number])))
            }
            Some(("mailto", address)) => {
                let address = address.split('?').next().unwrap_or_default();
                Ok(email(address).unwrap_or_else(|| opaque(&["mailto:", address])))
            }
            _ => Ok(phone(text, plan).or_else(|| email(text)).unwrap_or_else(|| opaque(&[text]))),
        }
    }

    /// The pseudonym under a tenant's index key. Without the key it cannot be told whose it is, not even by
    /// trying all numbers there are.
    pub(crate) fn pseudonym(&self, index: &Key) -> SubjectId {
        let kind = match self.kind {
            Kind::Phone => b"phone:".as_slice(),
            Kind::Email => b"email:",
            Kind::Opaque => b"opaque:",
        };
        // A key shorter than the hash's block is filled up with zeros (RFC 2104, 2).
        let mut block = Zeroizing::new([0; 64]);
        block.iter_mut().zip(index.bytes()).for_each(|(to, from)| *to = *from);
        let mac = Hmac::<Sha256>::new((&*block).into()).chain_update(kind).chain_update(self.text.as_bytes());
        let mut subject = SubjectId([0; 16]);
        subject.0.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(to, from)| *to = from);
        subject
    }
}

/// The scheme in lower case, and what is behind it.
fn scheme(text: &str) -> Option<(&'static str, &str)> {
    let (name, rest) = text.split_once(':')?;
    ["sip", "sips", "tel", "mailto"].into_iter().find(|s| name.eq_ignore_ascii_case(s)).map(|s| (s, rest))
}

/// RFC 3261, 19.1.1: `user;parameters:password@host:port;parameters?headers`. A user that is a number is that
/// number, whatever gateway it came through.
fn sip(address: &str, plan: Option<&Plan>) -> Result<Identifier, NotAnIdentifier> {
    let (user, host) = address.split_once('@').unwrap_or((address, ""));
    let user = unescape(user.split([';', ':', '?']).next().unwrap_or_default());
    let host = Zeroizing::new(host.split([';', ':', '?']).next().unwrap_or_default().to_lowercase());
    if user.is_empty() {
        return Err(NotAnIdentifier::Empty);
    }
    if NOBODY.iter().any(|nobody| user.eq_ignore_ascii_case(nobody)) || host.as_str() == "anonymous.invalid" {
        return Err(NotAnIdentifier::Anonymous);
    }
    Ok(phone(&user, plan).unwrap_or_else(|| opaque(&["sip:", &user, "@", &host])))
}

/// `%2B7` is `+7`. What is no escape stays.
fn unescape(user: &str) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(user.len()));
    let mut rest = user.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escape = digits.filter(|two| *first == b'%' && two.bytes().all(|b| b.is_ascii_hexdigit()));
        match escape.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())
}

fn opaque(parts: &[&str]) -> Identifier {
    Identifier { kind: Kind::Opaque, text: Zeroizing::new(parts.concat()) }
}

/// Local parts are told apart by case nowhere where people write them, so case does not count.
fn email(text: &str) -> Option<Identifier> {
    let (local, domain) = text.split_once('@')?;
    let fits = !local.is_empty()
        && domain.split('.').count() >= 2
        && domain.split('.').all(|label| !label.is_empty())
        && !domain.contains('@')
        && !text.contains(char::is_whitespace);
    fits.then(|| Identifier { kind: Kind::Email, text: Zeroizing::new(text.to_lowercase()) })
}

/// E.164: at most 15 digits, the country's code first, which never begins with 0.
fn phone(text: &str, plan: Option<&Plan>) -> Option<Identifier> {
    // "+44 (0)20": the zero is not dialled behind a country code.
    let abroad = text.contains('+');
    let text = Zeroizing::new(if abroad { text.replacen("(0)", "", 1) } else { text.into() });
    let mut digits = Zeroizing::new(String::with_capacity(LEN_MAX));
    let mut plus = false;
    for c in text.chars() {
        match c {
            '0'..='9' => digits.push(c),
            '+' if digits.is_empty() && !plus => plus = true,
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{2010}'..='\u{2013}' => {}
            _ => return None,
        }
    }
    let whole = if plus { digits } else { dialled(&digits, plan) };
    let fits = (7..=15).contains(&whole.len()) && !whole.starts_with('0') && (plus || whole.len() >= 8);
    fits.then_some(Identifier { kind: Kind::Phone, text: whole })
}

/// The number with its country's code; as it is where no rule fits.
fn dialled(digits: &str, plan: Option<&Plan>) -> Zeroizing<String> {
    let whole = |parts: &[&str]| Zeroizing::new(parts.concat());
    if let Some(plan) = plan {
        let national = |rest: &str| rest.len() == plan.national_digits;
        if let Some(rest) = digits.strip_prefix(&plan.trunk).filter(|rest| national(rest)) {
            return whole(&[&plan.country_code, rest]);
        }
        if digits.strip_prefix(&plan.country_code).is_some_and(national) {
            return whole(&[digits]);
        }
        if national(digits) && !digits.starts_with('0') {
            return whole(&[&plan.country_code, digits]);
        }
        if let Some(rest) = plan.international.iter().find_map(|prefix| digits.strip_prefix(prefix)) {
            return whole(&[rest]);
        }
    }
    whole(&[digits.strip_prefix("00").unwrap_or(digits)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let plan = Plan::kazakhstan_russia();
        match Identifier::read(text, Some(&plan)) {
            Ok(Identifier { kind: Kind::Phone, text }) => format!("phone {}", *text),
            Ok(Identifier { kind: Kind::Email, text }) => format!("email {}", *text),
            Ok(Identifier { kind: Kind::Opaque, text }) => format!("opaque {}", *text),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn one_number_has_one_form() {
        for text in [
            "+77010000000",
            "+7 701 000-00-00",
            "8 (701) 000 00 00",
            "77010000000",
            "7010000000",
            "007 701 000 00 00",
            "tel:+7-701-000-00-00",
            "TEL:+77010000000;ext=5",
            "sip:+77010000000@sbc.example.com;user=phone",
            "sips:%2B77010000000@192.0.2.1:5061",
            "\"Anna\" <sip:87010000000;cpc=ordinary@pbx.example.com>;tag=1",
            "sip:77010000000:pw@h",
            " +7\u{a0}701\u{2011}000\u{2011}00\u{2011}00 ",
        ] {
            assert_eq!(read(text), "phone 77010000000", "{text}");
        }
        for (text, want) in [
            ("+49 30 901820", "phone 4930901820"),
            ("8 10 49 30 901820", "phone 4930901820"),
            ("00 49 30 901820", "phone 4930901820"),
            ("+44 (0)20 7946 0958", "phone 442079460958"),
            ("+1 212 555 0100", "phone 12125550100"),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_not_taken_for_one() {
        for (text, want) in [
            ("101", "opaque 101"),
            ("1234567", "opaque 1234567"),
            ("+1234567890123456", "opaque +1234567890123456"),
            ("7+7010000000", "opaque 7+7010000000"),
            ("sip:101@PBX.example.com:5060", "opaque sip:101@pbx.example.com"),
            ("sip:Anna@Example.com", "opaque sip:Anna@example.com"),
            ("Anna@Example.com", "email anna@example.com"),
            ("mailto:ANNA@example.com?subject=x", "email anna@example.com"),
            ("Анна@Пример.қаз", "email анна@пример.қаз"),
            ("anna@localhost", "opaque anna@localhost"),
            ("a@b@c.d", "opaque a@b@c.d"),
            ("crm-7f3a", "opaque crm-7f3a"),
            ("0123456789", "opaque 0123456789"),
            ("", "Empty"),
            ("  ", "Empty"),
            ("<>", "Empty"),
            ("sip:@host", "Empty"),
            ("Anonymous", "Anonymous"),
            ("\"Anonymous\" <sip:anonymous@anonymous.invalid>", "Anonymous"),
            ("sip:x@anonymous.invalid", "Anonymous"),
            (&"x".repeat(257), "TooLong"),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
    }

    #[test]
    fn a_pseudonym_is_hmac_sha256_of_the_kind_and_the_form() {
        let pseudonym = |text: &str, key: u8| {
            let id = Identifier::read(text, None).expect("is one");
            id.pseudonym(&Key::take(&mut [key; 32])).to_string()
        };
        // printf 'phone:77010000000' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0101...01
        assert_eq!(pseudonym("+7 701 000 00 00", 1), "d5ca685bc9778f31f66698016bdf2224");
        assert_eq!(pseudonym("+7 701 000 00 00", 1), pseudonym("tel:+77010000000", 1));
        assert_ne!(pseudonym("+77010000000", 1), pseudonym("+77010000000", 2));
        assert_ne!(pseudonym("anna@example.com", 1), pseudonym("sip:anna@example.com", 1));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_reading_twice_changes_nothing(text in "\\PC{0,40}|[+0-9 ()@%:;<>.sipte-]{0,30}") {
            for plan in [None, Some(&Plan::kazakhstan_russia())] {
                if let Ok(first) = Identifier::read(&text, plan)
                    && first.kind == Kind::Phone
                {
                    let again = Identifier::read(&format!("+{}", *first.text), plan);
                    let same = again.is_ok_and(|again| again.kind == Kind::Phone && again.text == first.text);
                    proptest::prop_assert!(same);
                }
            }
        }
    }
}
