//! The parts of docs/sip.md that tests write: compared as a rule, written where `UPDATE_DOCS=1` asks for it. Knows no SIP.
#![allow(dead_code)]

use std::sync::Mutex;

/// What stands between `<!-- name -->` and `<!-- /name -->` must be `text`.
pub fn up_to_date(name: &str, text: &str) {
    static PAGE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = PAGE.lock();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sip.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let begin = page.find(&open).expect("the page has the mark") + open.len();
    let end = begin + page[begin..].find(&close).expect("the page has the mark of the end");
    if page[begin..end] == *text {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{}{text}{}", &page[..begin], &page[end..])).unwrap();
        return;
    }
    panic!("docs/sip.md is out of date; run: UPDATE_DOCS=1 cargo test -p dauys-sip\n--- {name} should be\n{text}");
}

/// As it may stand in a cell of a table.
pub fn cell(text: &str) -> String {
    text.replace('<', "&lt;").replace('|', "\\|")
}
