//! The papers: the record of processing is what the software declares, and docs/privacy.md names no test that is not there.

use std::collections::BTreeMap;
use std::fs;

use privacy::egress::Destination;
use privacy::policy::Policy;
use privacy::retention::Terms;
use privacy::schema::{columns, destinations, record_of_processing};

use crate::common::root;

const RECORD: &str = "docs/record-of-processing.md";
/// In the environment: write the record anew.
const UPDATE: &str = "DAUYS_UPDATE_RECORD";

fn record() -> String {
    let text = fs::read_to_string(root().join("configs/policy/default.toml")).expect("a policy");
    let policy = Policy::parse(&text).expect("a policy");
    let terms = Terms::read(&policy.retention).expect("terms");
    let whereto: Vec<Destination> =
        policy.destinations.iter().map(Destination::read).collect::<Result<_, _>>().expect("destinations");
    let recipients = if whereto.is_empty() {
        "None: the policy names no `[[destination]]`.\n".to_owned()
    } else {
        destinations(&whereto, policy.residency)
    };
    format!(
        "# Record of processing\n\nIn the style of article 30 GDPR, from the schema that the databases are made of and \
         `configs/policy/default.toml`. It is\ngenerated, and a test compares it: `{UPDATE}=1 cargo test --test privacy \
         papers` writes it anew. Who is the controller, on which\nground each purpose rests, and who else has access to the \
         machine, the operator adds.\n\n## What is kept\n{}\n## Who receives it\n{recipients}\n## Every column\n{}",
        record_of_processing(&terms),
        columns()
    )
}

#[test]
fn the_record_of_processing_is_what_is_declared() {
    let path = root().join(RECORD);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, record()).expect("written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == record(), "{RECORD} is not as it is generated: run {UPDATE}=1 cargo test --test privacy papers");
}

/// A test stands on the page as `FILE.rs NAME`, or as `FILE.rs compile_fail` where it is one that does not compile.
#[test]
fn every_test_that_the_page_names_is_there() {
    let page = fs::read_to_string(root().join("docs/privacy.md")).expect("a page");
    let codes = page.split('`').skip(1).step_by(2);
    let named: Vec<(&str, &str)> = codes.filter_map(|code| code.split_once(".rs ")).collect();
    assert!(named.len() >= 40, "the page names {} tests", named.len());
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (file, name) in named {
        let text = files
            .entry(format!("{file}.rs"))
            .or_insert_with_key(|file| fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}")));
        let there = match name {
            "compile_fail" => text.contains("```compile_fail"),
            name => is_test(text, name),
        };
        assert!(there, "{file}.rs has no test {name}");
    }
}

/// A function that the test runner runs.
fn is_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let mut attributes = before.rsplit('\n').skip(1).map(str::trim).take_while(|line| line.starts_with("#["));
    attributes.any(|attribute| attribute.contains("test"))
}
