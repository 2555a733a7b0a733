//! The messages of RFC 4475 and RFC 5118, read value by value and answered. Every expectation is in `data/torture.toml`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/docs.rs"]
mod docs;
#[path = "support/table.rs"]
mod table;

use sip::header::{Head, NameAddr, Request, Response, Via};
use sip::message::{self, Message, Name, StartLine};
use sip::{Endpoint, EndpointConfig, Output, Peer};
use std::path::Path;
use std::time::Instant;
use table::{Case, Reading};

fn cases() -> Vec<Case> {
    table::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

/// Parameters of a Contact that the messages carry.
const CONTACT_PARAMS: [&str; 5] = ["newparam", "secondparam", "q", "unknownparam", "expires"];

/// What is read, in the words of the table; or why not.
fn reading(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let framed = message::parse(bytes).map_err(|e| e.to_string())?;
    let kept = framed.clone();
    let (start, head) = match framed.start {
        StartLine::Request { .. } => {
            let request = Request::read(framed).map_err(|(_, refusal)| refusal.to_string())?;
            (format!("{} {}", request.method, request.uri.as_str()), request.head)
        }
        StartLine::Response { reason, .. } => {
            let response = Response::read(framed).map_err(|refusal| refusal.to_string())?;
            (format!("{} {}", response.status, std::str::from_utf8(reason).unwrap()), response.head)
        }
    };
    Ok(values(&kept, start, &head))
}

fn values(message: &Message<'_>, start: String, head: &Head) -> Vec<(String, String)> {
    let mut values = vec![("start".to_owned(), start)];
    let mut put = |name: &str, value: String| values.push((name.to_owned(), value));
    head.vias.iter().for_each(|via| put("vias", shown_via(via)));
    put("from", format!("{} {}", shown(&head.from), head.from.tag().unwrap_or("-")));
    put("to", format!("{} {}", shown(&head.to), head.to.tag().unwrap_or("-")));
    put("call_id", head.call_id.clone());
    put("cseq", format!("{} {}", head.cseq.number, head.cseq.method));
    if let Some(header) = message.header(Name::MaxForwards) {
        put("max_forwards", header.text().parse::<u8>().unwrap().to_string());
    }
    for contact in &head.contacts {
        let mut text = shown(contact);
        for name in CONTACT_PARAMS {
            if let Some(value) = contact.params.get(name) {
                text += &format!(" {name}={value}");
            }
        }
        put("contacts", text);
    }
    for header in &message.headers {
        put("headers", format!("{}: {}", header.name, header.text()));
    }
    put("body", message.body.len().to_string());
    values
}

/// `Display <uri>`.
fn shown(address: &NameAddr) -> String {
    let display = address.display.as_ref().map(|d| format!("{d} ")).unwrap_or_default();
    format!("{display}<{}>", address.uri.as_str())
}

/// `UDP host[:port] branch [received=..]`.
fn shown_via(via: &Via) -> String {
    let host = match via.port {
        Some(port) if via.host.contains(':') => format!("[{}]:{port}", via.host),
        Some(port) => format!("{}:{port}", via.host),
        None => via.host.clone(),
    };
    let branch = via.params.get("branch").unwrap_or("-");
    let received = via.params.get("received").filter(|_| via.host.contains(':'));
    let received = received.map(|r| format!(" received={r}")).unwrap_or_default();
    format!("{} {host} {branch}{received}", via.transport)
}

/// What differs between the table and the reading, one line each.
fn differences(case: &Case) -> Vec<String> {
    let got = reading(&case.bytes);
    match (&case.reading, got) {
        (Reading::Refused { why, completed }, Err(got)) => {
            let again = completed.as_ref().map(|c| (c, reading(&[&case.bytes[..], b"\r\n"].concat())));
            let as_wanted = *why == got && again.as_ref().is_none_or(|(want, got)| got.as_ref() == Err(*want));
            if as_wanted { vec![] } else { vec![format!("refused for {got:?}, then {again:?}")] }
        }
        (Reading::Refused { .. }, Ok(_)) => vec!["malformed, but was read".to_owned()],
        (Reading::Read(_), Err(got)) => vec![format!("refused: {got}")],
        (Reading::Read(want), Ok(got)) => {
            let missing = want.iter().filter(|w| !got.contains(w)).map(|w| format!("missing {w:?}"));
            // The table names some headers of a message, and all of everything else.
            let extra = got.iter().filter(|g| g.0 != "headers" && !want.contains(g)).map(|g| format!("got {g:?}"));
            let order = |list: &[(String, String)]| list.iter().filter(|v| v.0 == "vias").cloned().collect::<Vec<_>>();
            let swapped = (order(want) != order(&got)).then(|| "vias differ".to_owned());
            missing.chain(extra).chain(swapped).collect()
        }
    }
}

#[test]
fn well_formed_are_read_and_malformed_are_not() {
    let cases = cases();
    let wrong: Vec<String> =
        cases.iter().flat_map(|c| differences(c).into_iter().map(move |d| format!("{}: {d}", c.file))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let count = |rfc: &str, is_read: bool| cases.iter().filter(|c| c.rfc() == rfc && c.is_read() == is_read).count();
    assert_eq!((count("4475", true), count("4475", false)), (27, 22));
    assert_eq!((count("5118", true), count("5118", false)), (11, 1));
}

/// The final status an endpoint gives, `call`, or nothing.
#[allow(clippy::disallowed_methods)]
fn answer(bytes: &[u8]) -> Option<String> {
    let mut endpoint = Endpoint::new(EndpointConfig::new("192.0.2.200:5060".parse().unwrap(), 1));
    let from = Peer::udp("192.0.2.7:5070".parse().unwrap());
    endpoint.handle(Instant::now(), from, bytes);
    let mut got = None;
    while let Some(output) = endpoint.poll() {
        match output {
            Output::Event(_) => got = Some("call".to_owned()),
            Output::Banned(_) => panic!("nobody is banned here"),
            Output::Send { to, bytes } => {
                assert_eq!(to.address, from.address);
                let framed = message::parse(&bytes).unwrap();
                let StartLine::Response { status, .. } = framed.start else { panic!("a request") };
                if status >= 200 {
                    assert!(table::demanded(status).is_none_or(|name| framed.header(name).is_some()), "{status}");
                    got = Some(status.to_string());
                }
            }
        }
    }
    got
}

#[test]
fn an_endpoint_answers_as_the_table_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let got = answer(&case.bytes);
        let fits = got.as_ref().map_or(case.answers.is_empty(), |got| case.answers.contains(got));
        if !fits {
            wrong.push(format!("{}: {got:?}, want {:?}", case.file, case.answers));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn printing_is_stable() {
    for case in cases().iter().filter(|c| c.is_read()) {
        let once = message::print(&message::parse(&case.bytes).unwrap());
        assert_eq!(reading(&once), reading(&case.bytes), "{}", case.file);
        let again = message::print(&message::parse(&once).unwrap());
        assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&again), "{}", case.file);
    }
}

#[test]
fn the_page_shows_what_is_done_with_each() {
    let mut page = "| message | RFC | what it is | read | answered | why |\n|---|---|---|---|---|---|\n".to_owned();
    for case in cases() {
        let read = match &case.reading {
            Reading::Read(_) => "yes".to_owned(),
            Reading::Refused { why, .. } => format!("no: {why}"),
        };
        let answered = answer(&case.bytes).unwrap_or_else(|| "nothing".to_owned());
        let cells =
            [case.name(), &format!("{} {}", case.rfc(), case.section), &case.about, &read, &answered, &case.why];
        page += &format!("| {} |\n", cells.map(docs::cell).join(" | "));
    }
    docs::up_to_date("torture", &page);
}

#[test]
fn the_page_shows_what_each_method_gets() {
    let request = |method: &str, tag: &str| {
        format!(
            "{method} sip:agent@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5070;branch=z9hG4bK{method}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@192.0.2.7>;tag=1\r\nTo: <sip:agent@192.0.2.200>{tag}\r\n\
             Call-ID: 1\r\nCSeq: 1 {method}\r\nContact: <sip:a@192.0.2.7:5070>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let mut page = "| method | outside a call | in a call we do not have |\n|---|---|---|\n".to_owned();
    let methods = [
        "INVITE",
        "ACK",
        "CANCEL",
        "BYE",
        "OPTIONS",
        "INFO",
        "NOTIFY",
        "REFER",
        "UPDATE",
        "PRACK",
        "MESSAGE",
        "REGISTER",
        "SUBSCRIBE",
        "PUBLISH",
        "NEWMETHOD",
    ];
    for method in methods {
        let gets = |tag| answer(request(method, tag).as_bytes()).unwrap_or_else(|| "nothing".to_owned());
        page += &format!("| {method} | {} | {} |\n", gets(""), gets(";tag=2"));
    }
    docs::up_to_date("methods", &page);
}
