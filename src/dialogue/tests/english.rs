//! The English front desk in conversation.
use super::*;

#[test]
fn parses() {
    let a = agent(ENGLISH);
    for s in a.fixed_sentences() { println!("{s}"); }
    let _ = agent(RUSSIAN);
}
