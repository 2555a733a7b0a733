//! The commands about what is kept, as an operator runs them: the built program on a data folder that was filled
//! before, once with nobody serving and once with somebody who does.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use dauys::call::{CallId, Line, Speaker};
use dauys::config::Config;
use dauys::store::{CallRecord, LineInfo, TranscriptStore as _};
use dauys::vault::fan::NoWay;
use dauys::vault::{For, Settings, Vault, house};
use privacy::consent::{Channel, ConsentGate, Grant};
use privacy::policy::{Policy, TextHash};
use privacy::{Scope, Time};

const CONFIG: &str = "configs/demo.toml";
const CALLER: &str = "+7 701 555 01 23";

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("dauys-commands-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    dir
}

/// The demo's configuration, with its data elsewhere.
async fn vault(dir: &Path) -> Vault {
    let mut config = Config::load(Path::new(CONFIG)).expect("loads");
    config.store.dir = dir.into();
    let policy = config.policy.as_ref().map(|p| std::fs::read_to_string(&p.file).expect("reads")).expect("a policy");
    let policy = Policy::parse(&policy).expect("a policy");
    let settings = Settings::new(&config.store, &config.keys, Some(&policy)).expect("fits");
    Vault::open(settings, For::Serving).await.expect("opens")
}

/// A call that agreed and was kept.
async fn fill(vault: &Vault) {
    let now = vault.now();
    let policy = std::fs::read_to_string("configs/policy/default.toml").expect("reads");
    let told = Policy::parse(&policy).expect("a policy").told("en", Channel::Phone).expect("told");
    let subject = vault.subject_of(CALLER);
    let mut gate = ConsentGate::new(CallId(0xab), subject, told);
    gate.ask(now, &Scope::Transcript, TextHash::of("may we?"));
    assert!(gate.grant(now, &Scope::Transcript, Grant::Voice));
    while let Some(event) = gate.poll() {
        vault.event(event).expect("fits");
    }
    let permit = gate.permit(&Scope::Transcript).expect("granted");
    vault.append(&permit, Line { at_ms: 10, speaker: Speaker::Caller, text: "zanzibar".into() }).expect("fits");
    let line = LineInfo { subject: Some(subject), ..LineInfo::default() };
    let record = CallRecord::new(CallId(0xab), "front-desk", &line);
    let ended = CallRecord { state: "hung_up".into(), ended_unix_ms: Some(now.0), ..record };
    vault.record(ended).expect("fits");
    vault.flush().await;
}

fn dauys(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dauys"));
    let whole = words.iter().copied().chain(["--config", CONFIG, "--data", dir.to_str().expect("UTF-8")]);
    command.args(whole).output().expect("runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_serving_the_commands_do_it_themselves() {
    let dir = scratch("alone");
    let filled = vault(&dir).await;
    fill(&filled).await;
    filled.close().await;
    drop(filled);
    // Its tasks let go a little later.
    while dauys::vault::is_served(&dir) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let dry = dauys(&dir, &["retention", "--dry-run"]);
    assert!(dry.status.success() && said(&dry).contains("nothing is due"), "{}", said(&dry));
    let rotated = dauys(&dir, &["keys", "rotate", "--tenant"]);
    assert!(rotated.status.success() && said(&rotated).starts_with("3 keys"), "{}", said(&rotated));
    let whole = dauys(&dir, &["audit", "verify"]);
    assert!(whole.status.success() && said(&whole).starts_with("whole: "), "{}", said(&whole));
    let erased = dauys(&dir, &["erase", "--call", "00000000000000ab"]);
    assert!(erased.status.success() && said(&erased).contains(": done"), "{}", said(&erased));
    let proofs = std::fs::read_dir(dir.join("proofs")).expect("a folder").flatten();
    let proof = std::fs::read(proofs.map(|p| p.path()).next().expect("a proof")).expect("reads");
    let pem = said(&dauys(&dir, &["audit", "key"]));
    let public = privacy::keys::PublicKey::from_pem(&pem).expect("a key");
    let proof = privacy::proof::verify_proof(&proof, &[public]).expect("genuine");
    assert!(proof.finished > Time(0));
    // One byte of the log, and the first broken entry is named.
    let log = dir.join("audit.log");
    let altered = std::fs::read_to_string(&log).expect("reads").replacen("key.tenant_rotated", "key.tenant_rotateD", 1);
    std::fs::write(&log, altered).expect("writes");
    let broken = dauys(&dir, &["audit", "verify"]);
    assert!(!broken.status.success() && said(&broken).contains("first broken entry: "), "{}", said(&broken));
    std::fs::remove_dir_all(&dir).expect("cleans up");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_somebody_serves_they_leave_it_to_it() {
    let dir = scratch("served");
    let serving = vault(&dir).await;
    fill(&serving).await;
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let stopping = async move { drop(stopped.wait_for(|stop| *stop).await) };
    let house = tokio::spawn(house::keep(serving.clone(), Arc::new(NoWay), stopping));
    let refused = dauys(&dir, &["retention"]);
    assert!(!refused.status.success() && said(&refused).contains("does this every hour"), "{}", said(&refused));
    let erase = dir.clone();
    let erased =
        tokio::task::spawn_blocking(move || dauys(&erase, &["erase", "--subject", CALLER])).await.expect("runs");
    assert!(erased.status.success() && said(&erased).contains(": done"), "{}", said(&erased));
    let none = dauys(&dir, &["erase", "--subject", "anonymous"]);
    assert!(!none.status.success(), "{}", said(&none));
    assert!(!said(&erased).contains("701"), "no number is printed");
    stop.send(true).expect("listens");
    house.await.expect("ends");
    serving.close().await;
    std::fs::remove_dir_all(&dir).expect("cleans up");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_data_they_say_so_and_make_none() {
    let dir = scratch("none");
    let commands: [&[&str]; 8] = [
        &["retention", "--dry-run"],
        &["retention"],
        &["erase", "--subject", CALLER],
        &["erase", "--job", "00000000000000ab"],
        &["export", "--approval", "00000000000000ab", "--by", "dana", "--role", "operator", "--out", "/dev/null"],
        &["audit", "verify"],
        &["audit", "key"],
        &["keys", "rotate"],
    ];
    for missing in [dir.join("nowhere"), dir.clone()] {
        for words in commands {
            let output = dauys(&missing, words);
            let said = said(&output);
            let names = said.contains(&format!("there is no data in {}", missing.display()));
            let helps = said.contains("--config") && said.contains("--data");
            assert!(!output.status.success() && names && helps, "{words:?}: {said}");
            assert!(!said.contains("701"), "no number is printed");
        }
        assert_eq!(std::fs::read_dir(&dir).expect("lists").count(), 0, "nothing is made");
    }
    // Nor is a keystore made anew beside records that another one opens.
    let filled = vault(&dir).await;
    filled.close().await;
    drop(filled);
    while dauys::vault::is_served(&dir) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    std::fs::rename(dir.join("keys"), dir.join("away")).expect("moves");
    let lost = dauys(&dir, &["retention"]);
    assert!(!lost.status.success() && said(&lost).contains("there is no keystore in"), "{}", said(&lost));
    assert!(!dir.join("keys").exists());
    std::fs::remove_dir_all(&dir).expect("cleans up");
}
