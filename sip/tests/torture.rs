//! The messages of RFC 4475, read and answered. Skips, and says so, where the messages are not at hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use sip::header::{Request, Response};
use sip::message::{self, StartLine};
use sip::{Endpoint, EndpointConfig, Output, Peer};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

/// `file method-or-status from-tag to-tag cseq call-id vias body-bytes`, `-` where there is none.
const WELL_FORMED: &str = r"
wsinv INVITE 98asjd8 1918181833n 9 wsinv.ndaksdj@192.0.2.1 3 150
intmeth !interesting-Method0123456789_*+`.%indeed'~ _token~1'+`*%!-. - 139122385 intmeth.word%ZK-!.*_+'@word`~)(><:\/'][?}{ 1 0
esc01 INVITE 938 - 234234 esc01.239409asdfakjkn23onasd0-3234 1 150
escnull REGISTER 839923423 - 14398234 escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd 1 0
esc02 RE%47IST%45R f232jadfj23 - 29344 esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf 1 0
lwsdisp OPTIONS 323 - 60 lwsdisp.1234abcd@funky.example.com 1 0
longreq INVITE 12982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982424 - 3882340 longreq.onelongcallid 34 150
dblreq REGISTER 43251j3j324 - 8 dblreq.0ha0isndaksdj99sdfafnl3lk233412 1 0
semiuri OPTIONS 33242 - 8 semiuri.0ha0isndaksdj 1 0
transports OPTIONS 323 - 60 transports.kijh4akdnaqjkwendsasfdj 5 0
mpart01 MESSAGE 2fb0dcc9 - 1 3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA.. 1 553
unreason 200 11141343 2229 35 unreason.1234ksdfak3j2erwedfsASdf 1 154
noreason 100 39ansfi3 902jndnke3 35 noreason.asndj203insdf99223ndf 1 0
badbranch OPTIONS 33242 - 8 badbranch.sadonfo23i420jv0as0derf3j3n 1 0
unkscm OPTIONS 384 - 3923423 unkscm.nasdfasser0q239nwsdfasdkl34 1 0
novelsc OPTIONS 384 - 3923423 novelsc.asdfasser0q239nwsdfasdkl34 1 0
unksm2 REGISTER 3234233 - 234902 unksm2.daksdj@hyphenated-host.example.com 1 0
bext01 OPTIONS 242etr - 8 bext01.0ha0isndaksdj 1 0
invut INVITE 8392034 - 235448 invut.0ha0isndaksdjadsfij34n23d 1 40
regaut01 REGISTER 87321hj23128 - 9338 regaut01.0ha0isndaksdj 1 0
bcast 200 11141343 2229 35 bcast.0384840201234ksdfak3j2erwedfsASdf 2 154
zeromf OPTIONS 3ghsd41 - 39234321 zeromf.jfasdlfnm2o2l43r5u0asdfas 1 0
cparam01 REGISTER DkfVgjkrtMwaerKKpe - 2 cparam01.70710@saturn.example.com 1 0
cparam02 REGISTER 838293 - 3 cparam02.70710@saturn.example.com 1 0
regescrt REGISTER 8 - 14398234 regescrt.k345asrl3fdbv@192.0.2.1 1 0
sdp01 INVITE 234 - 8 sdp01.ndaksdj9342dasdd 1 150
inv2543 INVITE - - 56 inv2543.1717@ift.client.example.com 1 *
";

/// `file answer`: the final status a live endpoint gives, `-` for silence, or `incoming`.
const ANSWERS: &str = "
wsinv 481\nintmeth 501\nesc01 incoming\nescnull 405\nesc02 501\nlwsdisp 200\nlongreq incoming\ndblreq 405
semiuri 200\ntransports 200\nmpart01 405\nunreason -\nnoreason -\nbadbranch 200\nunkscm 416\nnovelsc 416
unksm2 405\nbext01 420\ninvut 415\nregaut01 405\nbcast -\nzeromf 200\ncparam01 405\ncparam02 405
regescrt 405\nsdp01 406\ninv2543 incoming
badinv01 400\nclerr 400\nncl 400\nscalar02 400\nscalarlg -\nquotbal 400\nltgtruri 400\nlwsruri 400
lwsstart 400\ntrws 400\nescruri 400\nbaddate 400\nregbadct 400\nbadaspec 400\nbaddn 400\nbadvers 505
mismatch01 400\nmismatch02 400\nbigcode -\ninsuf 400\nmulti01 400\nmcl01 400
";

fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    let root = std::env::var("DAUYS_SHARED").unwrap_or_else(|_| beside.to_owned());
    let folder = PathBuf::from(root).join("sip-torture");
    if !folder.is_dir() {
        eprintln!("skipped: no RFC 4475 messages at hand (set DAUYS_SHARED)");
        return None;
    }
    Some(folder)
}

fn describe(bytes: &[u8]) -> Result<String, String> {
    let framed = message::parse(bytes).map_err(|e| e.to_string())?;
    let body = framed.body.len();
    let (start, head) = if framed.is_request() {
        let request = Request::read(framed).map_err(|(_, refusal)| refusal.to_string())?;
        (request.method.to_string(), request.head)
    } else {
        let response = Response::read(framed).map_err(|refusal| refusal.to_string())?;
        (response.status.to_string(), response.head)
    };
    let tag = |t: Option<&str>| t.unwrap_or("-").to_owned();
    let call_id = head.call_id.replace("really", "");
    Ok(format!(
        "{start} {} {} {} {} {} {body}",
        tag(head.from.tag()),
        tag(head.to.tag()),
        head.cseq.number,
        call_id.replace('"', "'"),
        head.vias.len(),
    ))
}

#[test]
fn well_formed_are_read_and_malformed_are_not() {
    let Some(folder) = folder() else { return };
    let expected: Vec<(&str, &str)> = WELL_FORMED.trim().lines().map(|l| l.split_once(' ').unwrap()).collect();
    let (mut wrong, mut read, mut refused) = (Vec::new(), 0, 0);
    for (file, _) in ANSWERS.split_whitespace().collect::<Vec<_>>().chunks(2).map(|c| (c[0], c[1])) {
        let bytes = std::fs::read(folder.join(format!("{file}.dat"))).unwrap();
        let got = describe(&bytes);
        match expected.iter().find(|(name, _)| *name == file) {
            Some((_, want)) => {
                let want = want.strip_suffix('*').unwrap_or(want);
                read += 1;
                if !got.as_ref().is_ok_and(|g| g.starts_with(want)) {
                    wrong.push(format!("{file}: {got:?}\n   want {want:?}"));
                }
            }
            None => {
                refused += 1;
                if let Ok(got) = got {
                    wrong.push(format!("{file} is malformed but was read: {got}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((read, refused), (27, 22));
}

#[test]
#[allow(clippy::disallowed_methods)]
fn a_live_endpoint_answers_as_the_rfc_says() {
    let Some(folder) = folder() else { return };
    let mut wrong = Vec::new();
    for pair in ANSWERS.split_whitespace().collect::<Vec<_>>().chunks(2) {
        let (file, want) = (pair[0], pair[1]);
        let bytes = std::fs::read(folder.join(format!("{file}.dat"))).unwrap();
        let here: SocketAddr = "192.0.2.200:5060".parse().unwrap();
        let mut endpoint = Endpoint::new(EndpointConfig::new(here, 1));
        endpoint.handle(Instant::now(), Peer::udp("192.0.2.7:5070".parse().unwrap()), &bytes);
        let mut got = "-".to_owned();
        while let Some(output) = endpoint.poll() {
            match output {
                Output::Event(_) => got = "incoming".to_owned(),
                Output::Send { to, bytes } => {
                    assert_eq!(to.address.to_string(), "192.0.2.7:5070", "{file}");
                    let framed = message::parse(&bytes).unwrap();
                    let StartLine::Response { status, .. } = framed.start else { panic!("{file}: a request") };
                    if status >= 200 {
                        got = status.to_string();
                    }
                }
            }
        }
        if got != want {
            wrong.push(format!("{file}: {got}, want {want}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn printing_is_stable() {
    let Some(folder) = folder() else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let Ok(framed) = message::parse(&bytes) else { continue };
        if framed.defect.is_some() {
            continue;
        }
        let once = message::print(&framed);
        let again = message::print(&message::parse(&once).unwrap());
        assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&again));
    }
}
