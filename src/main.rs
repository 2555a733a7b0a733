//! The command line. It parses, calls the library and prints; decisions are the library's.
#![allow(clippy::print_stdout)]

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Whatever is let go is overwritten first: words, sound and keys do not wait in free memory for whoever has it next.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// A voice agent gateway: phone lines in, spoken answers out, on your own machine.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer calls.
    Serve(Serve),
    /// Read a configuration (or an agent file) and say what is wrong with it.
    Check(Check),
    /// The speech models: what is needed, what is here.
    Models {
        #[command(subcommand)]
        what: Models,
    },
    /// Call somebody with recordings, record the answer, measure.
    Call(Call),
    /// Let simulated callers talk to an agent, many at once, and report how it did.
    Rehearse(Rehearse),
    /// Talk to the agent through this machine's microphone and speaker.
    Console {
        /// A configuration; its agent answers, on ports of its own.
        #[arg(long, default_value = "configs/demo.toml")]
        config: PathBuf,
    },
    #[command(flatten)]
    Privacy(commands::privacy::PrivacyCommand),
}

#[derive(Args)]
struct Serve {
    /// The configuration.
    #[arg(long, default_value = "configs/demo.toml")]
    config: PathBuf,
    /// Answer SIP calls on every address instead of loopback only; takes the address callers reach.
    /// The page and the API, which show transcripts, stay where [http] bind puts them.
    #[arg(long, value_name = "IP")]
    public: Option<std::net::IpAddr>,
    /// Keep data in this folder instead of the configured one.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the models are.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

#[derive(Args)]
struct Check {
    /// A configuration, or an agent file.
    file: PathBuf,
    /// Say which agent would get a call to this address, and why.
    #[arg(long, value_name = "sip:NAME@HOST")]
    route: Option<String>,
    /// The [[trunk]] or [[register]] that the call comes through; without: a stranger's call.
    #[arg(long, value_name = "NAME", requires = "route")]
    trunk: Option<String>,
    /// The address of the caller.
    #[arg(long, value_name = "sip:NAME@HOST", requires = "route")]
    from: Option<String>,
    /// A header of the call; may be given many times.
    #[arg(long, value_name = "NAME: VALUE", requires = "route")]
    header: Vec<String>,
}

#[derive(Subcommand)]
enum Models {
    /// What the manifest names, and what is here.
    List,
    /// Fetch what is missing, and check it.
    Pull {
        /// Only these groups; all by default.
        groups: Vec<String>,
    },
    /// Read every file again and compare its sha256.
    Verify,
}

#[derive(Args)]
struct Call {
    /// Whom to call: sip:NAME@HOST[:PORT], or http://HOST[:PORT]/whip/AGENT to call as a web page does
    target: String,
    /// A WAV (mono, 16 bit, 8 or 16 kHz) to play when the agent has finished; may be given many times.
    #[arg(long, value_name = "WAV")]
    play: Vec<PathBuf>,
    /// Keys to press before the recordings.
    #[arg(long, value_name = "DIGITS")]
    keys: Option<String>,
    /// Keep what was heard, 16 kHz mono.
    #[arg(long, value_name = "WAV")]
    record: Option<PathBuf>,
    /// Agent silence, in milliseconds, after which the next recording is played.
    #[arg(long, default_value_t = 900, value_name = "MS")]
    pause_ms: u32,
    /// Hang up after this many seconds at the latest.
    #[arg(long, default_value_t = 120, value_name = "S")]
    seconds_max: u64,
    /// What to speak; may be given many times, best first. Without it PCMU and PCMA, as a web page Opus.
    #[arg(long, value_name = "opus|g722|pcma|pcmu", value_parser = codec)]
    codec: Vec<sip::sdp::Codec>,
    /// Encrypt the audio (SRTP), or hang up. The keys go by UDP: this tries the other side, it hides nothing.
    #[arg(long)]
    srtp: bool,
    /// What a gateway asks of web pages that asks for tokens.
    #[arg(long, env = "DAUYS_WEB_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Rehearse {
    /// What callers say, and when; configs/rehearsals has examples.
    scenario: PathBuf,
    /// Whom to call instead of the scenario's target: sip:NAME@HOST[:PORT], or http://HOST[:PORT]/whip/AGENT
    #[arg(long, value_name = "sip:NAME@HOST")]
    target: Option<String>,
    /// The gateway's HTTP address: its own times of each turn go into the report.
    #[arg(long, value_name = "http://HOST:PORT")]
    api: Option<String>,
    /// Callers at once instead of the scenario's.
    #[arg(long, value_name = "N")]
    at_once: Option<usize>,
    /// Calls altogether instead of the scenario's.
    #[arg(long, value_name = "N")]
    calls: Option<usize>,
    /// Folder for result.json and report.html; default rehearsals/NAME-TIME.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn codec(name: &str) -> Result<sip::sdp::Codec, String> {
    let mut all = sip::sdp::Codec::ALL.into_iter();
    all.find(|c| c.name().eq_ignore_ascii_case(name)).ok_or_else(|| "expected opus, g722, pcma or pcmu".to_owned())
}

fn main() -> ExitCode {
    dauys::telemetry::init_logs();
    match commands::run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dauys: {}", commands::whole(&error));
            ExitCode::FAILURE
        }
    }
}
