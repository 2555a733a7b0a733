//! The commands about what is kept: retention, erasure, export, audit and keys. They call the vault and print;
//! where a gateway serves, they leave the work to it.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use dauys::call::CallId;
use dauys::config::{Config, people};
use dauys::gateway::way_out;
use dauys::vault::export::Format;
use dauys::vault::fan::NoWay;
use dauys::vault::read::Reader;
use dauys::vault::{self, For, Settings, Vault, audit, harden, kek};
use privacy::SubjectId;
use privacy::chain::{Action, Entry, Object};
use privacy::erasure::{AskedBy, Job, JobId};
use privacy::keys::PublicKey;
use privacy::policy::Policy;
use privacy::retention::Purpose;
use privacy::roles::{ApprovalId, Handing, Person, ROLES};

/// So long a gateway may take for what it does at once.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Subcommand)]
pub enum PrivacyCommand {
    /// Take out what is due by the policy's terms. A gateway does this every hour.
    Retention(Retention),
    /// Erase everything kept of somebody, and prove it.
    Erase(Erase),
    /// Write everything held on somebody into a file, with two people's approval.
    Export(Export),
    /// The log of who did what to which records, and why.
    Audit {
        #[command(subcommand)]
        what: Audit,
    },
    /// The keys that everything kept is sealed under.
    Keys {
        #[command(subcommand)]
        what: Keys,
    },
}

#[derive(Args)]
pub struct Where {
    /// The configuration.
    #[arg(long, default_value = "configs/demo.toml")]
    config: PathBuf,
    /// The data is in this folder instead of the configured one.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args)]
pub struct Retention {
    #[command(flatten)]
    at: Where,
    /// Only say what would go, and why.
    #[arg(long)]
    dry_run: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Erase {
    #[command(flatten)]
    at: Where,
    /// A number, an e-mail address, a page's name of its person, or a pseudonym of 32 hex digits; - reads it from
    /// the standard input, so that it is in no shell's history.
    #[arg(long, value_name = "WHO", required_unless_present_any = ["call", "job"], conflicts_with_all = ["call", "job"])]
    subject: Option<String>,
    /// Whoever was in this call; everything of theirs, not this call alone.
    #[arg(long, value_name = "ID", conflicts_with = "job")]
    call: Option<String>,
    /// An erasure that was asked for: say how far it is.
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// For the audit log: a claim, a letter. No number or address.
    #[arg(long, default_value = "asked for at the command line")]
    why: String,
}

#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    at: Where,
    /// The approval that two people gave.
    #[arg(long, value_name = "ID")]
    approval: String,
    /// Who asked for it, by the name in [[staff]].
    #[arg(long, value_name = "NAME")]
    by: String,
    /// As what.
    #[arg(long, value_name = "operator|privacy_officer")]
    role: String,
    #[arg(long, default_value = "json", value_name = "json|vcon")]
    format: String,
    /// A file that is not there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Subcommand)]
pub enum Audit {
    /// Find the first entry that is not what was written.
    Verify {
        #[command(flatten)]
        at: Where,
        /// The public key from somewhere else than the data folder, which whoever alters the log could alter too.
        #[arg(long, value_name = "PEM")]
        key: Option<PathBuf>,
    },
    /// Print the public key that verifies the log and proofs of erasure.
    Key {
        #[command(flatten)]
        at: Where,
    },
}

#[derive(Subcommand)]
pub enum Keys {
    /// Make a key-encryption key in a new file.
    Make { file: PathBuf },
    /// Put everything under the configured key-encryption key; the one before has to be in [keys] retired. Cut off
    /// anywhere, it goes on when it is run again.
    Rotate {
        #[command(flatten)]
        at: Where,
        /// Make a new key of the tenant too.
        #[arg(long)]
        tenant: bool,
    },
}

pub async fn run(command: PrivacyCommand) -> Result<ExitCode> {
    harden::harden();
    match command {
        PrivacyCommand::Retention(options) => retention(&options).await,
        PrivacyCommand::Erase(options) => erase(&options).await,
        PrivacyCommand::Export(options) => export(&options).await,
        PrivacyCommand::Audit { what: Audit::Verify { at, key } } => verify(&at, key.as_deref()),
        PrivacyCommand::Audit { what: Audit::Key { at } } => {
            print!("{}", public_key(&at)?.to_pem());
            Ok(ExitCode::SUCCESS)
        }
        PrivacyCommand::Keys { what: Keys::Make { file } } => {
            kek::make(&file)?;
            println!(
                "made {}; keep a copy of it apart from the data, or everything kept is lost with it",
                file.display()
            );
            Ok(ExitCode::SUCCESS)
        }
        PrivacyCommand::Keys { what: Keys::Rotate { at, tenant } } => rotate(&at, tenant).await,
    }
}

impl Where {
    fn config(&self) -> Result<Config> {
        let mut config = Config::load(&self.config)?;
        if let Some(dir) = &self.data {
            config.store.dir.clone_from(dir);
        }
        Ok(config)
    }

    fn settings(&self, config: &Config) -> Result<Settings> {
        let policy = match &config.policy {
            None => None,
            Some(policy) => {
                let text = std::fs::read_to_string(&policy.file)
                    .with_context(|| format!("cannot read the policy {}", policy.file.display()))?;
                Some(Policy::parse(&text).with_context(|| policy.file.display().to_string())?)
            }
        };
        let settings = Settings::new(&config.store, &config.keys, policy.as_ref())?;
        // A command looks at what a gateway has made, and makes nothing itself.
        settings.check_there()?;
        Ok(settings)
    }

    /// With the folder to itself where nobody serves from it.
    async fn open(&self) -> Result<(Vault, bool)> {
        let settings = self.settings(&self.config()?)?;
        let served = vault::is_served(&settings.dir);
        let what_for = if served { For::Beside } else { For::Serving };
        Ok((Vault::open(settings, what_for).await?, served))
    }
}

async fn retention(options: &Retention) -> Result<ExitCode> {
    let report = if options.dry_run {
        let vault = Vault::open(options.at.settings(&options.at.config()?)?, For::Beside).await?;
        vault.due().await?
    } else {
        let (vault, served) = options.at.open().await?;
        if served {
            bail!("a gateway serves from this folder and does this every hour; --dry-run says what is due");
        }
        let report = vault.retain().await?;
        vault.close().await;
        report
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn erase(options: &Erase) -> Result<ExitCode> {
    let (vault, served) = options.at.open().await?;
    let id = match &options.job {
        Some(job) => JobId::parse(job).context("--job takes the 16 hex digits of an erasure")?,
        None => {
            let subject = subject(&vault, options).await?;
            vault.ask_erasure(subject, AskedBy::System, &options.why).await?
        }
    };
    if served {
        wait(&vault, id).await?;
    } else {
        match way_out(&options.at.config()?, &vault) {
            Ok(egress) => vault.erase_all(&egress).await,
            Err(error) => {
                eprintln!("dauys: connected systems are not told now, and the erasure stays open for them: {error}");
                vault.erase_all(&NoWay).await;
            }
        }
    }
    let job = vault.erasure(id).await?;
    say_job(&vault, &job);
    vault.close().await;
    Ok(if job.is_done() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

async fn subject(vault: &Vault, options: &Erase) -> Result<SubjectId> {
    if let Some(call) = &options.call {
        let call = CallId::parse(call).context("--call takes the 16 hex digits of a call")?;
        return vault.subject_of_call(call).await?.context("nothing is known of this call, or it was nobody's");
    }
    let who = match options.subject.as_deref() {
        Some("-") => {
            let mut text = zeroize::Zeroizing::new(String::new());
            std::io::stdin().take(1024).read_to_string(&mut text)?;
            text
        }
        other => zeroize::Zeroizing::new(other.unwrap_or_default().to_owned()),
    };
    let who = who.trim();
    if let Ok(subject) = SubjectId::parse(who) {
        return Ok(subject);
    }
    privacy::keys::Identifier::read(who, vault.settings().plan.as_ref())?;
    Ok(vault.subject_of(who))
}

/// Until the gateway has done what it does at once.
async fn wait(vault: &Vault, id: JobId) -> Result<()> {
    let end = dauys::clock::now() + PATIENCE;
    while dauys::clock::now() < end {
        let job = vault.erasure(id).await?;
        if job.is_done() || !job.open().is_empty() || job.held().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

fn say_job(vault: &Vault, job: &Job) {
    println!("erasure {} of subject {}: {}", job.id(), job.subject(), job.stage().word());
    for (stage, at) in job.history() {
        println!("  {}  {}", dauys::clock::rfc3339(at.0), stage.word());
    }
    for destination in job.open() {
        println!("  waits for {destination}: a gateway tells it, and tells it again");
    }
    if let Some(hold) = job.held() {
        println!("  stopped by the legal hold {hold}");
    }
    for alarm in job.alarms(vault.now()) {
        println!("  look: {}", serde_json::to_string(&alarm).unwrap_or_default());
    }
    if job.is_done() {
        println!("  proof: {}", vault.settings().dir.join(format!("proofs/{}.json", job.id())).display());
    }
}

async fn export(options: &Export) -> Result<ExitCode> {
    let format = Format::parse(&options.format).context("--format takes json or vcon")?;
    let id = ApprovalId::parse(&options.approval).context("--approval takes 16 hex digits")?;
    let config = options.at.config()?;
    let settings = options.at.settings(&config)?;
    let role = ROLES.into_iter().find(|role| role.word() == options.role).context("there is no such role")?;
    let actor = people(&config.staff)?.act(&Person::new(&options.by)?, role)?;
    let vault = Vault::open(settings, For::Beside).await?;
    let approvals = vault.approvals().await?;
    let mut approval = approvals.into_iter().find(|a| a.id == id).context("there is no such approval")?;
    let cleared = approval.clear(&actor, vault.now())?;
    let (action, purpose) = match cleared.what() {
        Handing::Export => (Action::ContentExported, Purpose::Subject),
        Handing::Disclosure => (Action::ContentDisclosed, Purpose::Proof),
    };
    let why = approval.why.as_str().to_owned();
    let reader = Reader { actor: options.by.clone(), role: role.word().into(), why: why.clone(), purpose };
    let objects = vec![Object::subject(cleared.subject())];
    let entry = Entry { at: vault.now(), actor: options.by.clone(), role: role.word().into(), action, objects, why };
    // Used up before anything is opened, and the file is made before it is used up.
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&options.out);
    let mut file = file.with_context(|| format!("cannot make {}", options.out.display()))?;
    vault.put_approval(&approval, entry).await?;
    let document = zeroize::Zeroizing::new(vault.export(cleared.subject(), &reader, format).await?);
    file.write_all(document.as_bytes())?;
    file.sync_all()?;
    println!("written to {}", options.out.display());
    Ok(ExitCode::SUCCESS)
}

fn public_key(at: &Where) -> Result<PublicKey> {
    read_key(&log_folder(at)?.join(audit::PUBLIC))
}

fn log_folder(at: &Where) -> Result<PathBuf> {
    let dir = at.config()?.store.dir;
    vault::check_logged(&dir)?;
    Ok(dir)
}

fn read_key(path: &Path) -> Result<PublicKey> {
    let pem = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    PublicKey::from_pem(&pem).with_context(|| format!("{} is no Ed25519 public key", path.display()))
}

fn verify(at: &Where, key: Option<&Path>) -> Result<ExitCode> {
    let public = match key {
        Some(path) => read_key(path)?,
        None => public_key(at)?,
    };
    match audit::verify(&log_folder(at)?, &[public]) {
        Ok(summary) => {
            let signed = summary.entries - summary.unsigned;
            println!("whole: {} entries, signed up to {signed}, head {}", summary.entries, summary.head);
            if key.is_none() {
                println!("verified with the key in the data folder; --key takes one from elsewhere");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(audit::AuditError::Broken(broken)) if broken.repair().is_some() => {
            println!("whole up to a last line that is half written; the next start cuts it off");
            Ok(ExitCode::SUCCESS)
        }
        Err(audit::AuditError::Broken(broken)) => {
            println!("first broken entry: {}", broken.seq);
            super::say(&broken.to_string());
            Ok(ExitCode::FAILURE)
        }
        Err(other) => Err(other.into()),
    }
}

async fn rotate(at: &Where, tenant: bool) -> Result<ExitCode> {
    let (vault, served) = at.open().await?;
    if served {
        bail!("a gateway serves from this folder; stop it, rotate, and start it with the new keys");
    }
    // What a rotation before left is finished first.
    let mut rotated = vault.keys().rewrap().await?;
    let mut action = Action::KekRotated;
    if tenant {
        vault.keys().next_generation(vault.now()).await?;
        let again = vault.keys().rewrap().await?;
        rotated.rewrapped += again.rewrapped;
        action = Action::TenantKeyRotated;
    }
    vault.note(action, vec![], &format!("{} rows", rotated.rewrapped)).await?;
    println!("{} keys are under a new one, {} were already", rotated.rewrapped, rotated.there);
    vault.close().await;
    Ok(ExitCode::SUCCESS)
}
