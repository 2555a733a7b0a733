//! The policies that come with the project: every part of them is read by the module it belongs to.

use std::fs;
use std::path::PathBuf;

use privacy::egress::{Broker, Destination, check_start};
use privacy::erasure::Rules;
use privacy::policy::Policy;
use privacy::retention::{Kind, Term, Terms};

#[test]
fn terms_erasure_and_destinations_of_every_policy_are_read() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../configs/policy");
    let mut read = 0;
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.path().display().to_string();
        let text = fs::read_to_string(entry.path()).expect("UTF-8");
        let policy = Policy::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let terms = Terms::read(&policy.retention).unwrap_or_else(|e| panic!("{name}: {e}"));
        let rules = Rules::read(&policy.erasure).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(terms.of(Kind::Consent), Some(Term::years(3)), "{name}");
        assert_eq!(rules.term, Term::days(15), "{name}");
        let destinations = policy.destinations.iter().map(Destination::read).collect::<Result<Vec<_>, _>>();
        let destinations = destinations.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(check_start(policy.residency, &[], &destinations, &[]), [], "{name}");
        assert!(Broker::new(policy.tenant.clone(), policy.residency, destinations).is_ok(), "{name}");
        read += 1;
    }
    assert!(read >= 2, "found {read} policies");
}
