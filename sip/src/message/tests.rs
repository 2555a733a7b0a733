//! Framing of datagrams, whole and broken. Never judges a value.

use super::*;

/// What framing makes of a message: `header=value` ..., body, defect.
fn shown(bytes: &[u8]) -> String {
    match parse(bytes) {
        Err(error) => format!("{error:?}"),
        Ok(message) => {
            let headers: Vec<String> = message.headers.iter().map(|h| format!("{:?}={}", h.kind, h.text())).collect();
            let defect = message.defect.map(|d| format!(" {d:?}")).unwrap_or_default();
            format!("{}|{}{defect}", headers.join(" "), String::from_utf8_lossy(message.body))
        }
    }
}

#[test]
fn framing() {
    let check =
        |rest: &str, expected: &str| assert_eq!(shown(format!("OPTIONS sip:a SIP/2.0\r\n{rest}").as_bytes()), expected);
    check("Via: x\r\n\r\nbody", "Via=x|body");
    check("v:x\r\nL: 2\r\n\r\nbody", "Via=x ContentLength=2|bo");
    check("tO \t:  x  \r\n\r\n", "To=x|");
    check("To:\r\n a\r\n\t b\r\n\r\n", "To=a b|");
    check("To: x\nVia: y\n\nbody", "To=x Via=y|body");
    check("X-Own: \u{1f600}\r\n\r\n", "Other=\u{1f600}|");
    check("l: 2\r\nl: 2\r\n\r\nbody", "ContentLength=2 ContentLength=2|bo");
    check("l: 2\r\nl: 3\r\n\r\nbody", "ContentLength=2 ContentLength=3|body ContentLength");
    check("l: +2\r\n\r\nbody", "ContentLength=+2|body ContentLength");
    check("l: 99999999999999999999\r\n\r\nbody", "ContentLength=99999999999999999999|body ContentLength");
    check("l: 5\r\n\r\nbody", "ContentLength=5|body ShortBody");
    check("To: x\r\n", "To=x| NoEnd");
    check("no colon\r\n\r\n", "| HeaderLine");
    check(" fold first\r\n\r\n", "| HeaderLine");
    // A bare CR would let one header pose as two for those who split there.
    check("To: x\rVia: y\r\n\r\n", "| HeaderLine");
    check("To: x\r\n y\rz\r\n\r\n", "To=x| HeaderLine");
    // What continues a line that was refused continues nothing.
    check("To: x\r\nno colon\r\n y\r\n\r\n", "To=x| HeaderLine");
    check(&("a: b\r\n".repeat(300) + "\r\n"), &format!("{}| TooManyHeaders", vec!["Other=b"; 256].join(" ")));
}

#[test]
fn start_lines() {
    for (line, expected) in [
        ("\r\n\r\nOPTIONS sip:a SIP/2.0", "request"),
        ("sip/2.0 200", "200"),
        ("SIP/2.0 200 any bytes \u{7f}", "200"),
        ("OPTIONS sip:a SIP/9", "request"),
        ("OPTIONS sip:a HTTP/1.1", "NotSip"),
        ("OPT(IONS sip:a SIP/2.0", "NotSip"),
        ("", "NotSip"),
    ] {
        let bytes = format!("{line}\r\n\r\n").into_bytes();
        let got = parse(&bytes).map_or_else(|e| format!("{e:?}"), |m| format!("{:?}", m.start));
        assert_eq!(got, expected, "{line}");
    }
    for status in ["99", "0200", "700", "2x0", "-10"] {
        let bytes = format!("SIP/2.0 {status} x\r\n\r\n").into_bytes();
        assert_eq!(parse(&bytes).unwrap().defect, Some(Defect::StatusCode), "{status}");
    }
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let bytes = b"OPTIONS sip:a SIP/2.0\r\nSubject: caf\xe9\r\n\r\n";
    let message = parse(bytes).unwrap();
    assert_eq!(&*message.headers[0].value, b"caf\xe9");
    assert_eq!(print(&message), bytes);
}
