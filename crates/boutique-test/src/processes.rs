//! The shop as processes: one, or ten that find each other by upstream's settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use boutique_proto::services::SERVICES;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Child;

use crate::visitor::Visitor;

/// One running binary, and all it has printed so far.
pub struct Process {
    /// The name of the binary.
    pub name: &'static str,
    child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<tokio::task::JoinHandle<()>>,
}

impl Process {
    /// Starts a binary of this workspace with these settings and no others of ours.
    pub fn start(name: &'static str, settings: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        Self::start_as(name, Command::new(binary(name)?), settings)
    }

    /// The same by another command, which ends up running that binary.
    pub fn start_as(
        name: &'static str,
        mut command: Command,
        settings: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        command.env_clear().envs(settings).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let output = Arc::<Mutex<String>>::default();
        let readers = vec![
            collect(child.stdout.take().context("no stdout")?, output.clone()),
            collect(child.stderr.take().context("no stderr")?, output.clone()),
        ];
        Ok(Self { name, child, output, readers })
    }

    /// Returns everything printed so far.
    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Returns the address that it listens on, once it says so.
    pub async fn address(&mut self) -> anyhow::Result<String> {
        self.said("server.address").await
    }

    /// Returns the address of its admin port, once it says so.
    pub async fn admin_address(&mut self) -> anyhow::Result<String> {
        self.said("admin.address").await
    }

    /// Returns the first value of this field in its log.
    async fn said(&mut self, field: &str) -> anyhow::Result<String> {
        let field = format!("\"{field}\":\"");
        let said = async {
            loop {
                let output = self.output();
                let rest = output.split_once(&field).map(|(_, rest)| rest);
                if let Some((address, _)) = rest.and_then(|rest| rest.split_once('"')) {
                    return Ok(address.to_owned());
                }
                if let Some(status) = self.child.try_wait()? {
                    anyhow::bail!("{} left with {status}: {}", self.name, self.output());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let limit = tokio::time::timeout(Duration::from_secs(30), said).await;
        limit.context("it does not say where it listens")?
    }

    /// Sends a signal, as in `-TERM`.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits until it has said this.
    pub async fn says(&self, text: &str) -> anyhow::Result<()> {
        let said = async {
            while !self.output().contains(text) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let limit = tokio::time::timeout(Duration::from_secs(30), said).await;
        limit.with_context(|| format!("{} never said {text:?}: {}", self.name, self.output()))
    }

    /// Waits until it is gone, and answers how it went and all it said.
    pub async fn wait(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let limit = Duration::from_secs(40);
        let status = tokio::time::timeout(limit, self.child.wait())
            .await
            .with_context(|| format!("{} does not end: {}", self.name, self.output()))??;
        for reader in self.readers.drain(..) {
            reader.await?;
        }
        Ok((status, self.output()))
    }
}

fn collect(
    stream: impl AsyncRead + Unpin + Send + 'static,
    output: Arc<Mutex<String>>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    })
}

/// Returns the memory in MiB that the process has allocated.
///
/// Resident pages of the binary itself are left out: the kernel takes them back when memory gets short, and those of a
/// debug build say nothing about a delivered one.
pub fn allocated(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}

/// A binary of the same build: beside this program, or beside the folder of a test.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut paths = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let path = paths.find(|path| path.is_file());
    path.with_context(|| format!("{name} is not built: run cargo build --workspace"))
}

/// Runs the load generator with these arguments, and returns its output and its JSON report.
pub async fn load_generator(
    arguments: &str,
    settings: &BTreeMap<String, String>,
) -> anyhow::Result<(Output, Value)> {
    let folder = tempfile::tempdir()?;
    let json = folder.path().join("load.json");
    let output = tokio::process::Command::new(binary("loadgenerator")?)
        .args(arguments.split_whitespace())
        .args(["--seed", "1", "--json"])
        .arg(&json)
        .envs(settings)
        .kill_on_drop(true)
        .output()
        .await?;
    let report = std::fs::read(&json).ok().and_then(|json| serde_json::from_slice(&json).ok());
    Ok((output, report.unwrap_or_default()))
}

/// Makes settings of names and values.
pub fn settings<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Processes that are a shop together.
pub struct Processes {
    /// Each after those that it calls.
    pub all: Vec<Process>,
    /// A visitor of the frontend.
    pub visitor: Visitor,
    /// The address of each service, by its setting.
    pub addresses: BTreeMap<String, String>,
}

impl Processes {
    /// The whole shop in one process.
    pub async fn one(settings: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut settings = settings.clone();
        settings.insert("PORT".to_owned(), "0".to_owned());
        let mut shop = Process::start("boutique", &settings)?;
        let visitor = Visitor::new(format!("http://{}", shop.address().await?));
        Ok(Self { all: vec![shop], visitor, addresses: BTreeMap::new() })
    }

    /// Ten processes, each started after those that it calls.
    pub async fn ten(settings: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        Self::ten_at("", settings).await
    }

    /// Ten processes that call each other over TLS; `settings` name their certificate. The frontend is called without.
    pub async fn ten_over_tls(settings: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        Self::ten_at("https://", settings).await
    }

    async fn ten_at(scheme: &str, settings: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut settings = settings.clone();
        settings.insert("PORT".to_owned(), "0".to_owned());
        settings.insert("LISTEN_ADDR".to_owned(), "127.0.0.1".to_owned());
        let mut all = Vec::new();
        for service in SERVICES {
            if service.name == "frontend" {
                settings.insert("TLS_SERVER".to_owned(), "off".to_owned());
            }
            let mut process = Process::start(service.name, &settings)?;
            let address = process.address().await?;
            // The frontend comes last, and knows where the others can be asked.
            if settings.contains_key("ADMIN_ADDR") {
                let admin = format!("{}={},", service.name, process.admin_address().await?);
                settings.entry("TOPOLOGY_ADMIN_ADDRS".to_owned()).or_default().push_str(&admin);
            }
            settings.insert(service.addr_key.to_owned(), format!("{scheme}{address}"));
            all.push(process);
        }
        let base = settings["FRONTEND_ADDR"].replace("https://", "");
        Ok(Self { all, visitor: Visitor::new(format!("http://{base}")), addresses: settings })
    }

    /// Returns the address of each process's admin port, in the order of their start.
    pub async fn admin_addresses(&mut self) -> anyhow::Result<Vec<String>> {
        let mut addresses = Vec::new();
        for process in &mut self.all {
            addresses.push(process.admin_address().await?);
        }
        Ok(addresses)
    }

    /// Stops the frontend first, insists that every process ends well, and returns all they printed.
    pub async fn stop(mut self) -> anyhow::Result<String> {
        let mut said = String::new();
        while let Some(process) = self.all.pop() {
            process.signal("-TERM");
            let name = process.name;
            let (status, output) = process.wait().await?;
            anyhow::ensure!(status.code() == Some(0), "{name} left with {status}: {output}");
            said.push_str(&output);
        }
        Ok(said)
    }
}
