//! Our reader against the rsip crate over generated messages: every disagreement has a name and a judge, or the test fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/docs.rs"]
mod docs;
#[path = "support/generate.rs"]
mod generate;
#[path = "support/plain.rs"]
mod plain;
#[path = "support/table.rs"]
mod table;

use generate::Dice;
use plain::{PLAIN, Plain};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rsip::headers::UntypedHeader;
use rsip::message::HeadersExt;
use rsip::prelude::{HasHeaders, ToTypedHeader};
use sip::header::{Request, Response};
use sip::message::{self, StartLine};
use std::collections::BTreeMap;

/// What both must read alike.
#[derive(PartialEq, Eq, Debug)]
struct View {
    /// Method or status.
    start: String,
    vias: usize,
    /// Of the topmost Via: transport, host, port, branch.
    via: (String, String, Option<u16>, Option<String>),
    /// Host and tag.
    from: (String, Option<String>),
    to: (String, Option<String>),
    call_id: String,
    cseq: (u32, String),
    body: Vec<u8>,
}

fn ours(bytes: &[u8]) -> Result<View, String> {
    let framed = message::parse(bytes).map_err(|e| e.to_string())?;
    let body = framed.body.to_vec();
    let (start, head) = match framed.start {
        StartLine::Request { .. } => {
            let request = Request::read(framed).map_err(|(_, refusal)| refusal.to_string())?;
            (request.method.to_string(), request.head)
        }
        StartLine::Response { .. } => {
            let response = Response::read(framed).map_err(|refusal| refusal.to_string())?;
            (response.status.to_string(), response.head)
        }
    };
    let via = head.vias.first().unwrap();
    let address = |a: &sip::header::NameAddr| {
        (a.uri.sip().map_or(a.uri.as_str(), |s| &s.host).to_owned(), a.tag().map(str::to_owned))
    };
    Ok(View {
        start,
        vias: head.vias.len(),
        via: (
            via.transport.clone(),
            via.host.clone(),
            via.port,
            via.params.get("branch").filter(|b| !b.is_empty()).map(str::to_owned),
        ),
        from: address(&head.from),
        to: address(&head.to),
        call_id: head.call_id,
        cseq: (head.cseq.number, head.cseq.method),
        body,
    })
}

/// `Err`: it would not, with what it said.
fn theirs(bytes: &[u8]) -> Result<View, String> {
    let reading = std::panic::catch_unwind(|| theirs_or_error(bytes).map_err(|e| e.to_string()));
    reading.unwrap_or_else(|_| Err("panic".to_owned()))
}

fn theirs_or_error(bytes: &[u8]) -> Result<View, rsip::Error> {
    let message = rsip::SipMessage::try_from(bytes)?;
    let start = match &message {
        rsip::SipMessage::Request(request) => request.method.to_string(),
        rsip::SipMessage::Response(response) => u16::from(response.status_code.clone()).to_string(),
    };
    let via = message.via_header()?.typed()?;
    let host = |uri: &rsip::Uri| uri.host().to_string().to_ascii_lowercase();
    let tag = |tag: Option<&rsip::param::Tag>| tag.map(|t| t.value().to_owned()).filter(|t| !t.is_empty());
    let (from, to) = (message.from_header()?.typed()?, message.to_header()?.typed()?);
    let cseq = message.cseq_header()?.typed()?;
    Ok(View {
        start,
        vias: message.headers().iter().filter(|h| matches!(h, rsip::Header::Via(_))).count(),
        via: (
            via.transport.to_string(),
            host(&via.uri),
            via.uri.port().map(|p| *p.value()),
            via.branch().map(|b| b.value().to_owned()),
        ),
        from: (host(&from.uri), tag(from.tag())),
        to: (host(&to.uri), tag(to.tag())),
        call_id: message.call_id_header()?.value().to_owned(),
        cseq: (cseq.seq, cseq.method.to_string()),
        body: message.body().clone(),
    })
}

fn rewritten(bytes: &[u8], steps: &[&Plain]) -> Vec<u8> {
    plain::bytes(&steps.iter().fold(plain::text(bytes), |text, step| (step.rewrite)(&text)))
}

/// Both read it, and alike.
fn agree(bytes: &[u8]) -> bool {
    ours(bytes).is_ok_and(|view| theirs(bytes) == Ok(view))
}

/// The freedoms without which the two agree, as few as can be; `None`: they never do.
fn explained(bytes: &[u8]) -> Option<Vec<&'static Plain>> {
    let all: Vec<&Plain> = PLAIN.iter().collect();
    let enough = (1..=all.len()).find(|n| agree(&rewritten(bytes, &all[..*n])))?;
    let mut needed = all[..enough].to_vec();
    for step in &all[..enough] {
        let fewer: Vec<&Plain> = needed.iter().copied().filter(|s| s.name != step.name).collect();
        if agree(&rewritten(bytes, &fewer)) {
            needed = fewer;
        }
    }
    Some(needed)
}

/// The rules by which we refuse a message that rsip reads, and where they stand.
const REFUSALS: &[(&str, &str)] = &[
    ("no SIP start line", "RFC 3261 7.1, 7.2"),
    ("request line", "RFC 3261 7.1"),
    ("status code", "RFC 3261 7.2: three digits"),
    ("SIP version", "RFC 3261 21.5.6"),
    ("header line", "RFC 3261 7.3.1"),
    ("no end of headers", "RFC 3261 7"),
    ("Content-Length", "RFC 3261 20.14; two that differ: RFC 4475 3.3.9"),
    ("body shorter than Content-Length", "RFC 3261 18.3"),
    ("Request-URI", "RFC 3261 19.1.1"),
    ("Request-URI with headers", "RFC 3261 19.1.1"),
    ("no Via", "RFC 3261 8.1.1.7"),
    ("Via", "RFC 3261 20.42"),
    ("From", "RFC 3261 20.20; missing or twice: 8.1.1.3"),
    ("To", "RFC 3261 20.39; missing or twice: 8.1.1.2"),
    ("Call-ID", "RFC 3261 20.8; twice: 7.3.1"),
    ("CSeq", "RFC 3261 20.16; twice: 7.3.1"),
    ("CSeq method differs", "RFC 3261 8.1.1.5"),
    ("unknown method, and CSeq differs", "RFC 4475 3.1.2.18"),
    ("Max-Forwards", "RFC 3261 20.22: 0 to 255, once"),
    ("Contact", "RFC 3261 20.10"),
    ("Content-Type", "RFC 3261 20.15"),
    ("Expires", "RFC 3261 20.19"),
    ("Date", "RFC 3261 20.17"),
    ("Route", "RFC 3261 20.34"),
];

/// Half of them well-formed, half of them edited.
const MESSAGES: usize = 10_000;

/// How often each thing happened.
#[derive(Default)]
struct Tally {
    alike: usize,
    neither: usize,
    freedoms: BTreeMap<&'static str, usize>,
    refusals: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn take(&mut self, bytes: &[u8], is_edited: bool) {
        let (us, them) = (ours(bytes), theirs(bytes));
        match &us {
            Ok(view) => {
                if let Err(why) = unchanged(bytes, view) {
                    self.wrong(&why, bytes);
                }
            }
            Err(why) if !is_edited => self.wrong(&format!("well-formed, but refused: {why}"), bytes),
            Err(_) => {}
        }
        match (us, them) {
            (Err(_), Err(_)) => self.neither += 1,
            (Ok(us), Ok(them)) if us == them => self.alike += 1,
            (Err(why), Ok(_)) => match REFUSALS.iter().find(|(reason, _)| *reason == why) {
                Some((reason, _)) => *self.refusals.entry(reason).or_default() += 1,
                None => self.wrong(&format!("refused by no rule: {why}"), bytes),
            },
            (Ok(us), them) => match explained(bytes) {
                Some(steps) => steps.iter().for_each(|s| *self.freedoms.entry(s.name).or_default() += 1),
                None => self.wrong(&format!("we read {us:?}\nthey {them:?}"), bytes),
            },
        }
    }

    fn wrong(&mut self, why: &str, bytes: &[u8]) {
        self.wrong.push(format!("{why}\n{}", plain::text(bytes)));
    }

    /// For docs/sip.md.
    fn page(&self) -> String {
        let disagreed = MESSAGES - self.alike - self.neither;
        let mut page = format!(
            "Of {MESSAGES} generated messages both read {} alike and both refuse {}; over {disagreed} they disagree:\n\n\
             | rsip misreads or refuses, for the sake of | messages | who is right |\n|---|---:|---|\n",
            self.alike, self.neither
        );
        for step in PLAIN {
            let count = self.freedoms.get(step.name).copied().unwrap_or(0);
            page += &format!("| {} | {count} | {} |\n", step.name, step.verdict);
        }
        page += "\nA message with several of these counts for each.\n\n| rsip reads, we refuse for | messages | rule |\n|---|---:|---|\n";
        for (reason, rule) in REFUSALS {
            if let Some(count) = self.refusals.get(reason) {
                page += &format!("| {reason} | {count} | {rule} |\n");
            }
        }
        page
    }
}

/// A rewrite that changes no meaning changes nothing of what we read.
fn unchanged(bytes: &[u8], view: &View) -> Result<(), String> {
    for step in PLAIN.iter().filter(|s| s.same) {
        let again = ours(&rewritten(bytes, &[step]));
        if again.as_ref() != Ok(view) {
            return Err(format!("read {view:?}, without {}: {again:?}", step.name));
        }
    }
    Ok(())
}

/// The 27 well-formed messages of RFC 4475: which of them rsip reads as the table of our own test has them.
fn torture() -> String {
    let cases = table::load(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let well_formed: Vec<_> = cases.iter().filter(|c| c.rfc() == "4475" && c.is_read()).collect();
    let right: Vec<&str> = well_formed.iter().filter(|c| agree(&c.bytes)).map(|c| c.name()).collect();
    let accepted: Vec<_> =
        cases.iter().filter(|c| !c.is_read() && theirs(&c.bytes).is_ok()).map(|c| c.name()).collect();
    format!(
        "Of the {} well-formed messages of RFC 4475 we read {}; rsip reads {} in what is compared here ({}), and of the \
         malformed messages it reads {} ({}).\n\n",
        well_formed.len(),
        well_formed.iter().filter(|c| ours(&c.bytes).is_ok()).count(),
        right.len(),
        right.join(", "),
        accepted.len(),
        accepted.join(", "),
    )
}

#[test]
fn every_disagreement_with_rsip_is_explained() {
    let usual = std::panic::take_hook();
    // Their panics are caught, and counted as refusals.
    std::panic::set_hook(Box::new(move |info| {
        if info.location().is_none_or(|l| !l.file().contains("rsip")) {
            usual(info);
        }
    }));
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let mut chance = |length| vec(any::<u8>(), length).new_tree(&mut runner).unwrap().current();
    let mut tally = Tally::default();
    for n in 0..MESSAGES {
        let bytes = generate::message(&mut Dice::new(&chance(160)));
        let is_edited = n % 2 == 1;
        let bytes = if is_edited { generate::edited(&mut Dice::new(&chance(24)), bytes) } else { bytes };
        tally.take(&bytes, is_edited);
    }
    let shown: Vec<&String> = tally.wrong.iter().take(5).collect();
    assert!(shown.is_empty(), "{} without a name, such as {shown:#?}", tally.wrong.len());
    docs::up_to_date("rsip", &(torture() + &tally.page()));
}
