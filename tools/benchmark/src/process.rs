//! Processes to measure: those that we start, and those that are there. CPU, memory, and nothing that
//! a process would have to help with.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal};

/// The longest time that a process may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// The source of CPU figures: a process with all its threads, or a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meter {
    Process(u32),
    Cgroup(PathBuf),
}

impl Meter {
    /// Reads `1234` or a folder of cgroup v2.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        match text.parse() {
            Ok(pid) => Ok(Self::Process(pid)),
            Err(_) if Path::new(text).join("cpu.stat").exists() => Ok(Self::Cgroup(text.into())),
            Err(_) => anyhow::bail!("{text} is neither a process id nor a folder of cgroup v2"),
        }
    }

    /// CPU so far, in seconds.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        match self {
            Self::Process(pid) => {
                let tasks =
                    fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")?;
                let nanos = tasks.flatten().filter_map(|task| {
                    let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
                    text.split(' ').next()?.parse::<u64>().ok()
                });
                Ok(nanos.sum::<u64>() as f64 / 1e9)
            }
            Self::Cgroup(folder) => Ok(number(&folder.join("cpu.stat"), "usage_usec")? / 1e6),
        }
    }

    /// Memory that counts once what is shared (PSS), in MB; of a cgroup what it is charged.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        match self {
            Self::Process(pid) => {
                let path = format!("/proc/{pid}/smaps_rollup");
                Ok(number(Path::new(&path), "Pss:")? * 1024.0 / 1e6)
            }
            Self::Cgroup(folder) => {
                let text = fs::read_to_string(folder.join("memory.current"))?;
                Ok(text.trim().parse::<f64>()? / 1e6)
            }
        }
    }
}

fn number(path: &Path, label: &str) -> anyhow::Result<f64> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = text.lines().find(|line| line.starts_with(label));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    word.context("the kernel does not tell")?.parse().context("the kernel tells no number")
}

/// Binaries, and the processors that both sides have to themselves where there are two.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) bin: PathBuf,
    /// For what is measured, and for who measures.
    pub(crate) processors: Option<(usize, usize)>,
    /// The folder of the measured processes, and of their log, which is a file as in production.
    pub(crate) scratch: PathBuf,
}

impl Machine {
    /// The load generator, on the processor of who measures.
    pub(crate) fn load(&self) -> anyhow::Result<Command> {
        let path = self.bin.join("loadgenerator");
        ensure!(path.exists(), "{} is not there: build it first", path.display());
        Ok(self.pinned(&path, false))
    }

    /// Any program on one of the processors.
    pub(crate) fn pinned(&self, path: &Path, is_measured: bool) -> Command {
        let Some((system, generator)) = self.processors else { return Command::new(path) };
        let processor = if is_measured { system } else { generator };
        let mut command = Command::new("taskset");
        command.args(["-c", &processor.to_string()]).arg(path);
        command
    }

    /// A program that is measured, as a copy of its own: two processes of one file share its pages, in
    /// memory and in the processor's caches, and ten services on ten machines do not.
    fn measured(
        &self,
        program: &Path,
        label: &str,
        settings: &BTreeMap<String, String>,
    ) -> anyhow::Result<Command> {
        let copy = self.scratch.join(label);
        fs::copy(program, &copy)
            .with_context(|| format!("{} cannot be copied: build it first", program.display()))?;
        let mut command = self.pinned(&copy, true);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(settings);
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// One of our binaries to be measured as a part of the system of this label, with its log in a file.
    pub(crate) fn part(
        &self,
        name: &str,
        label: &str,
        settings: &BTreeMap<String, String>,
    ) -> anyhow::Result<Command> {
        let label = format!("{label}-{name}");
        let mut command = self.measured(&self.bin.join(name), &label, settings)?;
        command.stdout(fs::File::create(self.scratch.join(format!("{label}.log")))?);
        Ok(command)
    }

    /// Starts a stand-in of this program, and answers where it listens.
    pub(crate) fn baseline(
        &self,
        kind: &str,
        label: &str,
        settings: &BTreeMap<String, String>,
    ) -> anyhow::Result<(Running, String)> {
        let program = std::env::current_exe()?;
        let mut command = self.measured(&program, &format!("{label}-{kind}"), settings)?;
        command.args(["baseline", kind]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        let said = child.stdout.as_mut().context("no stdout")?;
        BufReader::new(said).read_line(&mut address)?;
        ensure!(!address.is_empty(), "the baseline {kind} did not start");
        Ok((Running(child), address.trim().to_owned()))
    }
}

/// A process that ends with this value.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn new(mut command: Command) -> anyhow::Result<Self> {
        Ok(Self(command.spawn()?))
    }

    pub(crate) fn meter(&self) -> Meter {
        Meter::Process(self.0.id())
    }
}

impl Drop for Running {
    /// Ends it the way a pod is ended, so that it can still write what it has counted.
    fn drop(&mut self) {
        // It may be gone already.
        let _ = rustix::process::kill_process(Pid::from_child(&self.0), Signal::TERM);
        let asked = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && asked.elapsed() < GRACE {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ports that were free a moment ago. Each is held until all are known, because one that has been given
/// back may be given again: one shop of ten processes in 270 would have a port twice.
pub(crate) fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Asks for the first page as fast as it can, until it is there.
pub(crate) fn first_page(address: &str, began: Instant) -> anyhow::Result<Duration> {
    use std::io::{Read as _, Write as _};
    loop {
        let page = std::net::TcpStream::connect(address).and_then(|mut stream| {
            write!(stream, "GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n")?;
            let mut head = [0; 12];
            stream.read_exact(&mut head)?;
            Ok(head.ends_with(b"200"))
        });
        if matches!(page, Ok(true)) {
            return Ok(began.elapsed());
        }
        ensure!(began.elapsed() < Duration::from_secs(30), "{address} does not open");
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_there_twice() {
        let ports: [u16; 500] = free_ports().unwrap();
        assert_eq!(BTreeSet::from(ports).len(), ports.len());
    }
}
