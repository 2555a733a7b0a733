//! Messages by the dice: well-formed in every spelling the grammar has, and edited ones. The same bytes of chance give the same message.
#![allow(dead_code)]

/// Chance as a string of bytes, so that less of it means a plainer message.
pub struct Dice<'a> {
    bytes: &'a [u8],
}

impl<'a> Dice<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// 0 once there is no more chance.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// The first is the plainest, and comes more often than not: a message with every freedom at once says
    /// little about any of them.
    pub fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        match self.byte() {
            byte if byte < 200 => texts[0],
            byte => texts[usize::from(byte) % texts.len()],
        }
    }

    /// True once in `of`, and never without chance.
    pub fn rarely(&mut self, of: u8) -> bool {
        self.byte() % of == of - 1
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }
}

const METHODS: [&str; 8] = ["OPTIONS", "INVITE", "BYE", "REGISTER", "MESSAGE", "INFO", "NEWMETHOD", "!odd%41'~"];
const URIS: [&str; 12] = [
    "sip:bob@example.com",
    "sip:example.com",
    "sips:bob@example.com:5061",
    "sip:bob:secret@192.0.2.4:5070",
    "sip:+12125550100@example.com;user=phone",
    "sip:bob@example.com;transport=tcp;lr",
    "sip:b%6Fb@example.com",
    "sip:bob;day=tuesday@example.com",
    "sip:bob@[2001:db8::10]",
    "sip:bob@[2001:db8::10]:5070;maddr=192.0.2.9",
    "tel:+12125550100",
    "urn:service:sos",
];
const DISPLAYS: [&str; 7] = [
    "",
    "Bob",
    "A. B. Bell",
    "\"Bob\"",
    "\"Bell, Alexander\"",
    "\"a \\\" < > ; , b\"",
    "\"\u{442}\u{435}\u{441}\u{442}\"",
];
const HOSTS: [&str; 5] = ["192.0.2.1", "pc33.example.com", "192.0.2.1:5070", "[2001:db8::9:1]", "[2001:db8::9:1]:6050"];
const OTHERS: [&str; 10] = [
    "Max-Forwards: 70",
    "Subject: a talk",
    "Supported: timer, 100rel",
    "User-Agent: x/1.0 (y)",
    "X-Own: ;;,,;;,;",
    "Contact: <sip:alice@192.0.2.1>",
    "Expires: 60",
    "Date: Sat, 13 Nov 2010 23:29:00 GMT",
    "Record-Route: <sip:p1.example.com;lr>",
    "Warning: 399 a \"b: c\"",
];
const BODIES: [&str; 3] = ["", "v=0\r\n", "\r\n\r\nodd \u{442}\r\n"];
/// Header names in all their forms, the plain one first.
const NAMES: [&[&str]; 9] = [
    &["Via", "v", "VIA"],
    &["From", "f", "from"],
    &["To", "t", "TO"],
    &["Call-ID", "i", "call-id"],
    &["CSeq", "cseq"],
    &["Contact", "m"],
    &["Content-Length", "l", "CONTENT-LENGTH"],
    &["Content-Type", "c"],
    &["Subject", "s"],
];

/// A well-formed message.
pub fn message(dice: &mut Dice<'_>) -> Vec<u8> {
    let method = dice.pick(&METHODS);
    let start = match dice.below(3) {
        2 => format!(
            "SIP/2.0 {}",
            dice.pick(&["200 OK", "180 Ringing", "486 Busy Here", "299 Odd", "100 ", "603 \u{442}"])
        ),
        _ => format!("{method} {} SIP/2.0", dice.pick(&URIS)),
    };
    let number = dice.pick(&["1", "314159", "0009", "2147483647"]);
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: String| headers.push((name.to_owned(), value));
    let mut vias: Vec<String> = (0..1 + dice.pick(&["", "v", "vv"]).len()).map(|n| via(dice, n)).collect();
    if dice.rarely(3) && vias.len() > 1 {
        let two = format!("{}, {}", vias[0], vias[1]);
        vias.splice(..2, [two]);
    }
    vias.into_iter().for_each(|v| put("Via", v));
    put("From", address(dice, "1928301774"));
    let to_tag = dice.pick(&["", "a6c85cf", "x.-!%*_+`'~"]);
    put("To", address(dice, to_tag));
    put("Call-ID", dice.pick(&["a84b4c76e66710", "a84b4c@pc33.example.com", "w<>:\\\"/[]?{}@x"]).to_owned());
    let gap = dice.pick(&[" ", "  "]);
    put("CSeq", format!("{number}{gap}{method}"));
    for _ in 0..dice.below(4) {
        let (name, value) = dice.pick(&OTHERS).split_once(": ").unwrap();
        // No header that may stand once stands twice.
        if !["Max-Forwards", "Expires", "Date"].contains(&name) || !headers.iter().any(|(n, _)| n == name) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    let (body, mut length) = (dice.pick(&BODIES), None);
    match dice.below(8) {
        7 => {}
        // More than the length says: on UDP it is dropped (RFC 3261 18.3).
        6 => length = Some(body.len().min(3)),
        _ => length = Some(body.len()),
    }
    if let Some(length) = length {
        headers.push(("Content-Length".to_owned(), length.to_string()));
    }
    // Order means nothing between different names.
    let first = dice.below(headers.len());
    headers.rotate_left(first);
    spell(dice, &start, &headers, body)
}

fn via(dice: &mut Dice<'_>, n: usize) -> String {
    let transport = dice.pick(&["UDP", "TCP", "TLS", "SCTP", "WS", "UNKNOWN"]);
    let protocol = dice.pick(&["SIP/2.0", "SIP/2.0", "SIP / 2.0 "]);
    let slash = if protocol.ends_with(' ') { "/ " } else { "/" };
    let branch = dice.pick(&[";branch=z9hG4bK776asdhds", ";branch=z9hG4bK-.!%*_+`'~", "", ";branch=old"]);
    let branch = if branch.is_empty() { String::new() } else { format!("{branch}{n}") };
    let more = dice.pick(&[
        "",
        ";rport",
        ";received=192.0.2.7;rport=5099",
        ";ttl=16",
        ";received=2001:db8::7",
        ";x=\"a,b;c\"",
    ]);
    let gap = dice.pick(&["", "", " "]);
    let params = format!("{branch}{more}").replace(';', &format!("{gap};{gap}"));
    format!("{protocol}{slash}{transport} {}{params}", dice.pick(&HOSTS))
}

fn address(dice: &mut Dice<'_>, tag: &str) -> String {
    let uri = dice.pick(&URIS);
    let tag = if tag.is_empty() { String::new() } else { dice.pick(&[";tag=", " ; tag = "]).to_owned() + tag };
    let more = dice.pick(&["", ";x", ";x=y", ";x=\"q \\\" ;\""]);
    // Without brackets a semicolon starts the header's own parameters (RFC 3261 20.10).
    if dice.rarely(3) && !uri.contains([';', '?', ',']) {
        return format!("{uri}{tag}{more}");
    }
    let display = dice.pick(&DISPLAYS);
    let gap = if display.is_empty() || display.ends_with('"') && dice.rarely(3) { "" } else { " " };
    format!("{display}{gap}<{uri}>{tag}{more}")
}

fn spell(dice: &mut Dice<'_>, start: &str, headers: &[(String, String)], body: &str) -> Vec<u8> {
    let end = if dice.rarely(16) { "\n" } else { "\r\n" };
    let mut text = if dice.rarely(24) { format!("\r\n{start}{end}") } else { format!("{start}{end}") };
    for (name, value) in headers {
        let forms = NAMES.iter().find(|forms| forms[0] == name);
        let name = forms.map_or(name.as_str(), |forms| dice.pick(forms));
        let colon = dice.pick(&[": ", ": ", ": ", ":", " : ", ":\t", ":  "]);
        // A fold may stand wherever linear white space may (RFC 3261 7.3.1).
        let fold = dice.rarely(24).then(|| format!("{end} "));
        let value = match fold.filter(|_| !value.contains('"')) {
            Some(fold) => value.replacen("; ", &format!(";{fold}"), 1).replacen(", ", &format!(",{fold}"), 1),
            None => value.clone(),
        };
        let late = if dice.rarely(48) { format!("{end}\t") } else { String::new() };
        text += &format!("{name}{colon}{late}{value}{end}");
    }
    text += end;
    text += body;
    text.into_bytes()
}

/// One edit or two.
pub fn edited(dice: &mut Dice<'_>, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..=dice.below(2) {
        if bytes.is_empty() {
            break;
        }
        let at = (usize::from(dice.byte()) << 8 | usize::from(dice.byte())) % bytes.len();
        let end = (at + 1 + dice.below(24)).min(bytes.len());
        match dice.below(5) {
            0 => bytes[at] = b"\r\n ;,:<>\"@%=\0/[]\xff0a"[dice.below(19)],
            1 => bytes.insert(at, b"\r\n ;,:<>\"@%=\0/[]\xff0a"[dice.below(19)]),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            // A whole line twice, or gone.
            _ => {
                let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
                let line = at % lines.len();
                if dice.rarely(2) {
                    lines.remove(line);
                } else {
                    lines.insert(line, lines[line].clone());
                }
                bytes = lines.concat();
            }
        }
    }
    bytes
}
