//! Admission with engines of wood: who gets in, who is refused, who is told. No call is made.

use super::*;
use models::fake;

/// A gateway for two calls, and the folder of its data.
async fn start(name: &str, calls: &str) -> (Running, PathBuf) {
    let data = std::env::temp_dir().join(format!("dauys-gateway-{name}-{}", std::process::id()));
    let text = format!(
        "[sip]\nbind = \"127.0.0.1:0\"\n[http]\nbind = \"127.0.0.1:0\"\n[store]\ndir = {data:?}\n\
         [calls]\nmax = 2\n{calls}\n[policy]\nfile = \"policy/default.toml\"\n[[agent]]\nfile = \"agents/front-desk.toml\"\n"
    );
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/test.toml");
    let config = Config::parse(&path, &text, std::iter::empty()).unwrap();
    let engines = |_: &EnginesConfig| Ok(Engines::scripted(fake::Script::new(), 2));
    (Gateway::start_with(config, &|_| {}, engines).await.unwrap(), data)
}

fn late_turns(gateway: &Gateway) {
    (0..5).for_each(|_| gateway.strain.get().turn_done(clock::now(), Duration::from_secs(2)));
}

fn word(admitted: Result<Admission, Refused>) -> &'static str {
    match admitted {
        Ok(admission) if admission.turned_away => "told",
        Ok(_) => "in",
        Err(refused) => refused.word(),
    }
}

#[tokio::test]
async fn late_turns_refuse_the_next_call_but_never_the_first() {
    let (running, data) = start("strained", "").await;
    let gateway = &running.gateway;
    let agent = || gateway.agent(None).unwrap();
    late_turns(gateway);
    let first = gateway.admit_caller(agent()).unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!(word(gateway.admit_caller(agent())), "strained");
    assert_eq!(Refused::Strained.status(), 503);
    assert_eq!(Refused::Strained.retry_after(), Some(RETRY_AFTER));
    drop(first);
    assert_eq!(word(gateway.admit_caller(agent())), "in");
    running.stop().await;
    let _ = std::fs::remove_dir_all(data);
}

#[tokio::test]
async fn zero_takes_calls_however_late() {
    let (running, data) = start("patient", "turn_late_ms_max = 0").await;
    let gateway = &running.gateway;
    let agent = || gateway.agent(None).unwrap();
    late_turns(gateway);
    let first = gateway.admit_caller(agent());
    let second = gateway.admit_caller(agent());
    assert_eq!((word(first), word(second)), ("in", "in"));
    running.stop().await;
    let _ = std::fs::remove_dir_all(data);
}

#[tokio::test]
async fn those_who_are_told_take_no_place_and_are_counted() {
    let (running, data) = start("told", "busy = \"clip\"").await;
    let gateway = &running.gateway;
    let agent = || gateway.agent(None).unwrap();
    let calls = [gateway.admit_caller(agent()), gateway.admit_caller(agent())];
    assert_eq!(gateway.engines.slots_free(), 0);
    let told: Vec<_> = (0..TURNED_AWAY_MAX).map(|_| gateway.admit_caller(agent())).collect();
    assert!(told.iter().all(|t| t.as_ref().is_ok_and(|t| t.turned_away)));
    assert_eq!(word(gateway.admit_caller(agent())), "full");
    assert_eq!(word(gateway.admit(agent())), "full", "who is called by us is never told so");
    drop(calls);
    assert_eq!(word(gateway.admit_caller(agent())), "in");
    drop(told);
    late_turns(gateway);
    let _only = gateway.admit_caller(agent());
    assert_eq!(word(gateway.admit_caller(agent())), "told");
    running.stop().await;
    let _ = std::fs::remove_dir_all(data);
}
