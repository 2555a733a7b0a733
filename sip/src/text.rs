//! Small pieces of the SIP grammar (RFC 3261 25.1) shared by the parsers. They never allocate without need and never index blindly.

use std::borrow::Cow;

/// `token`.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(b))
}

/// Splits at `separator` where it stands outside quotes and angle brackets.
/// `None`: a quote or a bracket is left open.
pub(crate) fn split_outside(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '<' => bracketed = true,
            '>' => bracketed = false,
            c if c == separator && !bracketed => {
                parts.push(text.get(start..i)?);
                start = i + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!quoted && !bracketed).then_some(parts)
}

/// The position of the first `wanted` outside quotes. `None` also where a quote is left open.
pub(crate) fn find_outside(text: &str, wanted: char) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == wanted && !quoted => return Some(i),
            _ => {}
        }
    }
    None
}

/// A quoted-string without its quotes and escapes; anything else as it is.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let (mut out, mut escaped) = (String::with_capacity(inner.len()), false);
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            out.push(c);
            escaped = false;
        }
    }
    Cow::Owned(out)
}

/// As a quoted-string.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if c == '"' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// `%41` becomes `A`; an escape that is none stays.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let ahead = bytes.peek_hex();
        match ahead.filter(|_| b == b'%') {
            Some(value) => {
                out.push(value);
                bytes.nth(1);
            }
            None => out.push(b),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Escapes what may not stand in the user part of a URI.
pub(crate) fn escape_user(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

/// Escapes a header's value for a URI (RFC 3261 19.1.1): nothing but letters, digits and marks stays.
pub(crate) fn escape_header(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

trait PeekHex {
    fn peek_hex(&self) -> Option<u8>;
}

impl PeekHex for std::str::Bytes<'_> {
    fn peek_hex(&self) -> Option<u8> {
        let mut ahead = self.clone();
        let digit = |b: u8| char::from(b).to_digit(16);
        let value = digit(ahead.next()?)? * 16 + digit(ahead.next()?)?;
        u8::try_from(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (input, output) in [("a%41b", "aAb"), ("%", "%"), ("%4", "%4"), ("%zz%20", "%zz "), ("%%41", "%A")] {
            assert_eq!(unescape(input), output);
        }
        assert_eq!(escape_user("+7 (701) <1>"), "+7%20(701)%20%3C1%3E");
        assert_eq!(escape_header("a@b;to-tag=1 2"), "a%40b%3Bto-tag%3D1%202");
        assert_eq!(quote("a\"b\\\r\n"), r#""a\"b\\""#);
        assert_eq!(unquote(r#""a\"b\\""#), "a\"b\\");
    }

    #[test]
    fn splits() {
        assert_eq!(split_outside(r#"a,"b,c",<d,e>"#, ','), Some(vec!["a", r#""b,c""#, "<d,e>"]));
        assert_eq!(split_outside(r#"a,"b"#, ','), None);
        assert_eq!(split_outside(r#""\"",x"#, ','), Some(vec![r#""\"""#, "x"]));
    }
}
