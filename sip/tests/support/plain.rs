//! Rewrites that take one freedom of the grammar out of a message: what is left means the same, or less. No SIP parser is used.
#![allow(dead_code)]

/// One freedom, and the message without it.
pub struct Plain {
    pub name: &'static str,
    /// Who is right where two readers differ over it, and by which section.
    pub verdict: &'static str,
    /// Does the rewritten message still say the same?
    pub same: bool,
    pub rewrite: fn(&str) -> String,
}

/// In the order they are tried.
pub const PLAIN: &[Plain] = &[
    Plain {
        name: "empty lines before the start line",
        verdict: "we: to be ignored (RFC 3261 7.5)",
        same: true,
        rewrite: |t| t.trim_start_matches(['\r', '\n']).to_owned(),
    },
    Plain {
        name: "lines that end in LF alone",
        verdict: "both: not in the grammar (RFC 3261 25.1), harmless and often sent",
        same: true,
        rewrite: line_ends,
    },
    Plain { name: "folded headers", verdict: "we (RFC 3261 7.3.1)", same: true, rewrite: unfold },
    Plain { name: "white space before the colon", verdict: "we (RFC 3261 7.3.1)", same: true, rewrite: colons },
    Plain {
        name: "octets after the body, or a body without Content-Length",
        verdict: "we: dropped; to the end of the datagram (RFC 3261 18.3)",
        same: true,
        rewrite: cut_body,
    },
    Plain { name: "compact header names", verdict: "we (RFC 3261 7.3.3)", same: true, rewrite: long_names },
    Plain { name: "several Vias in one header", verdict: "we (RFC 3261 7.3.1)", same: true, rewrite: split_vias },
    Plain {
        name: "white space inside a value",
        verdict: "we (RFC 3261 25.1: SEMI, EQUAL, SLASH, LWS)",
        same: true,
        rewrite: spaces,
    },
    Plain { name: "octets that are not UTF-8", verdict: "we: kept (RFC 3261 7.3.1)", same: false, rewrite: no_utf8 },
    Plain {
        name: "quoted and odd parameter values",
        verdict: "we: host and quoted-string are values too (RFC 3261 25.1: gen-value)",
        same: false,
        rewrite: few_params,
    },
    Plain {
        name: "display names",
        verdict: "we: a quoted `<` opens nothing (RFC 3261 25.1: quoted-string)",
        same: false,
        rewrite: no_displays,
    },
    Plain {
        name: "URIs of other schemes",
        verdict: "we: carried as they are, 416 where one is called (RFC 3261 8.2.2.1)",
        same: false,
        rewrite: schemes,
    },
    Plain { name: "URIs: user, password, parameters", verdict: "we (RFC 3261 19.1.1)", same: false, rewrite: users },
    Plain { name: "IPv6 addresses", verdict: "we (RFC 3261 25.1: IPv6reference)", same: false, rewrite: no_ipv6 },
    Plain {
        name: "unknown transports",
        verdict: "we (RFC 3261 25.1: other-transport; RFC 4475 3.1.1.10)",
        same: false,
        rewrite: transports,
    },
    Plain { name: "unknown methods", verdict: "we (RFC 3261 25.1: extension-method)", same: false, rewrite: methods },
    Plain { name: "unknown statuses", verdict: "we (RFC 3261 8.1.3.2)", same: false, rewrite: statuses },
];

/// One character per octet, so that nothing is lost.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

pub fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// The lines up to and with the empty one, each with its end; and what follows.
fn split(text: &str) -> (Vec<String>, String) {
    let mut head: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find('\n') {
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        head.push(line.to_owned());
        let is_start_there = head.iter().any(|l| !is_empty(l));
        if is_empty(line) && is_start_there {
            return (head, rest.to_owned());
        }
    }
    if !rest.is_empty() {
        head.push(rest.to_owned());
    }
    (head, String::new())
}

fn is_empty(line: &str) -> bool {
    matches!(line, "\n" | "\r\n")
}

fn end_of(line: &str) -> &str {
    &line[line.trim_end_matches(['\r', '\n']).len()..]
}

/// Each header through `f`: its name as it stands and its value with the white space around it.
fn headers(text: &str, mut f: impl FnMut(&str, &str) -> Vec<(String, String)>) -> String {
    let (head, body) = split(text);
    let start = head.iter().position(|l| !is_empty(l)).unwrap_or(0);
    let mut out = String::new();
    for (i, line) in head.iter().enumerate() {
        let end = end_of(line);
        let content = &line[..line.len() - end.len()];
        match content.split_once(':').filter(|_| i > start && !content.starts_with([' ', '\t'])) {
            Some((name, value)) => {
                for (name, value) in f(name, value) {
                    out += &format!("{name}:{value}{end}");
                }
            }
            None => out += line,
        }
    }
    out + &body
}

/// Only headers of these long names.
fn these(text: &str, names: &[&str], mut f: impl FnMut(&str) -> String) -> String {
    headers(text, |name, value| {
        let is_one = names.iter().any(|n| long(name.trim()).eq_ignore_ascii_case(n));
        vec![(name.to_owned(), if is_one { f(value) } else { value.to_owned() })]
    })
}

fn start_line(text: &str, f: impl FnOnce(&str) -> String) -> String {
    let begin = text.len() - text.trim_start_matches(['\r', '\n']).len();
    let end = text[begin..].find(['\r', '\n']).map_or(text.len(), |e| begin + e);
    format!("{}{}{}", &text[..begin], f(&text[begin..end]), &text[end..])
}

fn line_ends(text: &str) -> String {
    let (head, body) = split(text);
    let lines: Vec<String> = head.iter().map(|l| format!("{}\r\n", &l[..l.len() - end_of(l).len()])).collect();
    lines.concat() + &body
}

fn unfold(text: &str) -> String {
    let (head, body) = split(text);
    let mut lines: Vec<String> = Vec::new();
    for line in head {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                let end = end_of(&line).to_owned();
                last.truncate(last.trim_end_matches([' ', '\t', '\r', '\n']).len());
                *last += &format!(" {}{end}", line.trim());
            }
            _ => lines.push(line),
        }
    }
    lines.concat() + &body
}

fn colons(text: &str) -> String {
    headers(text, |name, value| vec![(name.trim_end().to_owned(), format!(" {}", value.trim()))])
}

fn cut_body(text: &str) -> String {
    let mut length = None;
    these(text, &["Content-Length"], |value| {
        length = value.trim().parse::<usize>().ok();
        String::new()
    });
    let (head, body) = split(text);
    match length {
        Some(length) => head.concat() + &body.chars().take(length).collect::<String>(),
        None => head.concat() + &body,
    }
}

fn long(name: &str) -> &str {
    let table = [
        ("v", "Via"),
        ("f", "From"),
        ("t", "To"),
        ("i", "Call-ID"),
        ("m", "Contact"),
        ("l", "Content-Length"),
        ("c", "Content-Type"),
        ("s", "Subject"),
        ("k", "Supported"),
        ("e", "Content-Encoding"),
    ];
    table.iter().find(|(short, _)| name.eq_ignore_ascii_case(short)).map_or(name, |(_, long)| long)
}

fn long_names(text: &str) -> String {
    headers(text, |name, value| vec![(long(name).to_owned(), value.to_owned())])
}

/// Cuts at `separator` outside quotes.
fn cut(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        if c == separator && !quoted {
            parts.push(String::new());
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    parts
}

fn split_vias(text: &str) -> String {
    headers(text, |name, value| match long(name.trim()) {
        long if long.eq_ignore_ascii_case("Via") => {
            cut(value, ',').iter().map(|v| (name.to_owned(), format!(" {}", v.trim()))).collect()
        }
        _ => vec![(name.to_owned(), value.to_owned())],
    })
}

/// Around `;` and `=`, and around `/` before the first `;`; one space everywhere else.
fn spaces(text: &str) -> String {
    let addresses = these(text, &["From", "To", "Via"], |value| {
        let parts = cut(value.trim(), ';');
        let parts: Vec<String> = parts
            .iter()
            .map(|part| cut(part, '=').iter().map(|p| p.trim().to_owned()).collect::<Vec<_>>().join("="))
            .collect();
        format!(" {}", parts.join(";"))
    });
    let vias = these(&addresses, &["Via"], |value| {
        let (sent, params) = value.split_once(';').map_or((value, String::new()), |(s, p)| (s, format!(";{p}")));
        let sent: Vec<&str> = sent.splitn(3, '/').map(str::trim).collect();
        let sent = sent.join("/").split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        format!(" {}{params}", sent.replace(" :", ":").replace(": ", ":"))
    });
    these(&vias, &["CSeq"], |value| format!(" {}", value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
}

fn no_utf8(text: &str) -> String {
    let (head, body) = split(text);
    head.concat().replace(|c: char| !c.is_ascii(), "?") + &body
}

/// Of the parameters behind an address or a sent-by only those that are compared, and flags.
fn few_params(text: &str) -> String {
    let plain = |value: &str, open: usize| {
        let (address, params) = value.split_at(open);
        let is_token = |t: &str| t.chars().all(|c| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c));
        let compared = |p: &&String| {
            let (name, value) = p.split_once('=').unwrap_or((p, ""));
            ["branch", "tag"].iter().any(|n| name.trim().eq_ignore_ascii_case(n)) && is_token(value.trim())
        };
        let kept = cut(params, ';').iter().filter(compared).map(|p| format!(";{p}")).collect::<String>();
        address.to_owned() + &kept
    };
    let vias = these(text, &["Via"], |value| plain(value, value.find(';').unwrap_or(value.len())));
    these(&vias, &["From", "To"], |value| plain(value, params_of(value)))
}

/// Where the parameters of a name-addr or addr-spec start.
fn params_of(value: &str) -> usize {
    let after = value.len() - cut(value, '>').last().map_or(0, String::len);
    let from = if after == 0 || after > value.len() { 0 } else { after };
    value[from..].find(';').map_or(value.len(), |at| from + at)
}

fn no_displays(text: &str) -> String {
    these(text, &["From", "To"], |value| {
        let display = cut(value, '<').first().map_or(0, String::len);
        if display < value.len() { format!(" {}", &value[display..]) } else { value.to_owned() }
    })
}

/// Each URI of the start line, From and To through `f`.
fn uris(text: &str, f: fn(&str) -> String) -> String {
    let text = start_line(text, |line| {
        let mut parts: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if parts.len() == 3 && !line.starts_with("SIP/") {
            parts[1] = f(&parts[1]);
        }
        parts.join(" ")
    });
    these(&text, &["From", "To"], |value| {
        let open = cut(value, '<').first().map_or(0, String::len);
        if open < value.len() {
            let close = value[open..].find('>').map_or(value.len(), |at| open + at);
            format!("{}<{}{}", &value[..open], f(&value[open + 1..close]), &value[close..])
        } else {
            let end = value.find(';').unwrap_or(value.len());
            format!(" {}{}", f(value[..end].trim()), &value[end..])
        }
    })
}

fn schemes(text: &str) -> String {
    uris(text, |uri| {
        let scheme = uri.split(':').next().unwrap().to_ascii_lowercase();
        if matches!(scheme.as_str(), "sip" | "sips") { uri.to_owned() } else { "sip:example.com".to_owned() }
    })
}

/// `scheme:u@host:port`.
fn users(text: &str) -> String {
    uris(text, |uri| {
        let Some((scheme, rest)) = uri.split_once(':') else { return uri.to_owned() };
        let (user, host) = rest.split_once('@').map_or(("", rest), |(_, host)| ("u@", host));
        let host = host.split([';', '?']).next().unwrap();
        format!("{}:{user}{host}", scheme.to_ascii_lowercase())
    })
}

fn no_ipv6(text: &str) -> String {
    let plain = |text: &str| match (text.find('['), text.find(']')) {
        (Some(open), Some(close)) if open < close => format!("{}h.example.com{}", &text[..open], &text[close + 1..]),
        _ => text.to_owned(),
    };
    these(&uris(text, plain), &["Via"], plain)
}

fn transports(text: &str) -> String {
    these(text, &["Via"], |value| {
        let known = ["UDP", "TCP", "TLS", "SCTP", "WS", "WSS", "TLS-SCTP"];
        let Some((protocol, rest)) = value.rsplit_once('/').filter(|_| value.matches('/').count() == 2) else {
            return value.to_owned();
        };
        let (transport, sent_by) = rest.split_once(' ').unwrap_or((rest, ""));
        let transport = if known.contains(&transport) { transport } else { "UDP" };
        format!("{protocol}/{transport} {sent_by}")
    })
}

fn methods(text: &str) -> String {
    const KNOWN: [&str; 14] = [
        "ACK",
        "BYE",
        "CANCEL",
        "INFO",
        "INVITE",
        "MESSAGE",
        "NOTIFY",
        "OPTIONS",
        "PRACK",
        "PUBLISH",
        "REFER",
        "REGISTER",
        "SUBSCRIBE",
        "UPDATE",
    ];
    let plain = |method: &str| if KNOWN.contains(&method) { method.to_owned() } else { "OPTIONS".to_owned() };
    let text = start_line(text, |line| match line.split_once(' ') {
        Some((method, rest)) if !line.starts_with("SIP/") => format!("{} {rest}", plain(method)),
        _ => line.to_owned(),
    });
    these(&text, &["CSeq"], |value| match value.rsplit_once(' ') {
        Some((number, method)) => format!("{number} {}", plain(method)),
        None => value.to_owned(),
    })
}

fn statuses(text: &str) -> String {
    start_line(text, |line| match line.strip_prefix("SIP/2.0 ") {
        Some(_) => "SIP/2.0 200 OK".to_owned(),
        None => line.to_owned(),
    })
}
