//! A language model in another country, and a caller who does not want to be heard there: in a network of its own, every
//! packet is captured and none goes to the model. The same caller agrees, and there they are.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dauys::config::Config;
use dauys::gateway::{Gateway, Running};
use models::Engines;
use models::fake::Script;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};
use serde_json::{Value, json};

use crate::chat::Chat;

/// In the environment: this is the process in the namespace.
const INSIDE: &str = "DAUYS_TEST_INSIDE";
/// Of a block for documentation (RFC 5737); in the namespace it is this machine's, so that packets have somewhere to go.
const MODEL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// Nothing that the agent's file answers.
const OUTSIDE: &str = "Who painted the ceiling of the Sistine Chapel?";
const ASKED: [&str; 3] = ["ai_process", "third_party:mind", "xborder:US"];

/// Everything that passes any of the namespace's devices.
struct Capture {
    all: Arc<AtomicUsize>,
    to_model: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Capture {
    fn start() -> Self {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).expect("root captures");
        let (all, to_model, over) = (Arc::default(), Arc::default(), Arc::<AtomicBool>::default());
        let counted: (Arc<AtomicUsize>, Arc<AtomicUsize>) = (Arc::clone(&all), Arc::clone(&to_model));
        let stopped = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut frame = [0u8; 65_536];
            loop {
                match recv(socket.as_raw_fd(), &mut frame, MsgFlags::empty()) {
                    Ok(len) => {
                        counted.0.fetch_add(1, Ordering::Relaxed);
                        counted.1.fetch_add(usize::from(is_models(&frame[..len])), Ordering::Relaxed);
                    }
                    Err(_) if stopped.load(Ordering::Relaxed) => return,
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Self { all, to_model, over, thread: Some(thread) }
    }

    /// All packets, and those from or to the model.
    fn end(mut self) -> (usize, usize) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map(std::thread::JoinHandle::join).transpose().expect("it captured");
        (self.all.load(Ordering::Relaxed), self.to_model.load(Ordering::Relaxed))
    }
}

/// Ethernet, then IPv4 (RFC 791): source at 12, destination at 16. A name server would be asked in clear text.
fn is_models(frame: &[u8]) -> bool {
    let Some(packet) = frame.get(14..34) else { return false };
    let is_v4 = frame[12..14] == [8, 0];
    is_v4 && (packet[12..16] == MODEL.octets() || packet[16..20] == MODEL.octets())
}

fn policy(dir: &Path) -> PathBuf {
    let text = std::fs::read_to_string(crate::common::root().join("configs/policy/default.toml")).expect("a policy");
    let text = text.replace("# residency = \"DE\"", "residency = \"KZ\"");
    assert!(text.contains("\nresidency = \"KZ\""));
    let (before, rest) = text.split_once("\n[[ask]]\n").expect("asks");
    let after = &rest[rest.find("[retention]").expect("terms")..];
    let ask = |scope: &str| {
        let texts = |language: &str| {
            format!(
                "[ask.texts.{language}]\nquestion = \"May {scope} be ({language})? Please say yes or no.\"\ngranted = \"Thank you.\"\nrefused = \"All right.\"\n"
            )
        };
        format!("[[ask]]\nscope = \"{scope}\"\n{}{}", texts("en"), texts("ru"))
    };
    let destination = format!(
        "\n[[destination]]\nname = \"mind\"\nkind = \"llm\"\nurl = \"https://{MODEL}/v1\"\ncountry = \"US\"\nabroad = true\n"
    );
    let path = dir.join("policy.toml");
    let whole = format!("{before}{}{after}{destination}", ASKED.map(ask).concat());
    std::fs::write(&path, whole).expect("written");
    path
}

async fn start(name: &str) -> (Running, PathBuf) {
    let dir = crate::stage::scratch(name);
    let policy = policy(&dir);
    let text = format!(
        "[sip]\nbind = \"127.0.0.1:0\"\n[http]\nbind = \"127.0.0.1:0\"\n[rtp]\nports = [47500, 47510]\n[calls]\nmax = 5\n\
         [store]\ndir = {data:?}\ncountry = \"KZ\"\n[web]\nbind = \"127.0.0.1:0\"\n[policy]\nfile = {policy:?}\n\
         [llm]\nurl = \"https://{MODEL}/v1\"\nmodel = \"mind\"\nremote = true\n\
         [[agent]]\nfile = \"agents/front-desk.toml\"\n",
        data = dir.join("data"),
    );
    let path = crate::common::root().join("configs/test.toml");
    let config = Config::parse(&path, &text, std::iter::empty()).expect("a config");
    let engines = |_: &_| Ok(Engines::scripted(Script::new(), 8));
    (Gateway::start_with(config, &|_| {}, engines).await.expect("it starts"), dir)
}

/// One chat that answers each question, then asks what only the model could answer: all packets, and the model's.
async fn asked(name: &str, refused: Option<&str>) -> (usize, usize) {
    let capture = Capture::start();
    let (running, dir) = start(name).await;
    let mut chat = Chat::open(running.http).await;
    for scope in ASKED {
        let question = chat.until(scope, |m| m["type"] == "consent" && m["scope"] == scope).await;
        let (version, grant) = (&question["policy_version"], refused != Some(scope));
        chat.say(json!({"type": "consent", "scope": scope, "grant": grant, "policy_version": version})).await;
        let is_it = |m: &Value| m["type"] == "consented" && m["scope"] == scope;
        assert_eq!(chat.until("the answer", is_it).await["granted"], grant, "{scope}");
    }
    chat.until("the agent listens", |m| m["type"] == "state" && m["state"] == "listening").await;
    chat.say(json!({"type": "text", "text": OUTSIDE})).await;
    let mine = |m: &Value| m["type"] == "caption" && m["who"] == "caller" && m["final"] == true;
    chat.until("the question", mine).await;
    chat.until("an answer", |m| m["type"] == "caption" && m["who"] == "agent" && m["final"] == true).await;
    chat.say(json!({"type": "bye"})).await;
    // What was begun in the background would show now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.stop().await;
    std::fs::remove_dir_all(dir).expect("cleans up");
    capture.end()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_packet_goes_abroad_without_consent_to_it() {
    if std::env::var_os(INSIDE).is_none() {
        let test = std::env::current_exe().expect("this test");
        let inside = format!(
            "ip link set lo up && ip address add {MODEL}/32 dev lo && \
             exec {test:?} --exact --nocapture abroad::no_packet_goes_abroad_without_consent_to_it"
        );
        let done = Command::new("unshare")
            .args(["--net", "--map-root-user", "bash", "-c", &inside])
            .env(INSIDE, "1")
            .output()
            .expect("unshare runs");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&done.stderr));
        return;
    }
    let (all, to_model) = asked("abroad-yes", None).await;
    assert!(to_model > 0, "positive control: who agrees to everything is heard abroad; {all} packets in all");
    for refused in ["xborder:US", "third_party:mind"] {
        let (all, to_model) = asked("abroad-no", Some(refused)).await;
        assert!(all > 50, "the capture works: {all} packets");
        assert_eq!(to_model, 0, "{refused} was refused");
    }
}
