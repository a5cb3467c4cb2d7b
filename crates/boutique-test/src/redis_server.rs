//! A real `redis-server` on a free port, for as long as a test holds it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::free_address;

/// A `redis-server`; dropping it ends it.
pub struct RedisServer {
    process: Child,
    port: u16,
    tls: Option<String>,
    arguments: Vec<String>,
    /// The folder of its files.
    folder: tempfile::TempDir,
}

impl RedisServer {
    /// Starts one on a free port, with these options.
    pub fn start(options: &[&str]) -> anyhow::Result<Self> {
        // Between two starts the port may be taken by another; then there is another.
        let mut last = anyhow::anyhow!("never tried");
        for _ in 0..5 {
            match Self::start_on(free_address()?.port(), options) {
                Ok(started) => return Ok(started),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Starts one on this port, with these options.
    pub fn start_on(port: u16, options: &[&str]) -> anyhow::Result<Self> {
        Self::launch(port, None, &[&["--port", &port.to_string()], options].concat())
    }

    /// Starts one that speaks TLS with this certificate and key.
    pub fn start_tls(cert: &str, key: &str) -> anyhow::Result<Self> {
        let port = free_address()?.port();
        let listen = port.to_string();
        let files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert];
        let options = ["--port", "0", "--tls-port", &listen, "--tls-auth-clients", "no"];
        Self::launch(port, Some(cert.to_owned()), &[&options[..], &files[..]].concat())
    }

    fn launch(port: u16, tls: Option<String>, options: &[&str]) -> anyhow::Result<Self> {
        let arguments: Vec<String> = options.iter().map(ToString::to_string).collect();
        let folder = tempfile::tempdir()?;
        let process = spawn(folder.path(), &arguments)?;
        let mut server = Self { process, port, tls, arguments, folder };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Kills it, and starts it again with the files that it has left.
    pub fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        self.process = spawn(self.folder.path(), &self.arguments)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.command(&["PING"]).is_err() {
            anyhow::ensure!(self.process.try_wait()?.is_none(), "redis-server did not stay");
            anyhow::ensure!(began.elapsed() < Duration::from_secs(20), "redis-server is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its address as `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the output of `redis-cli`.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "localhost", "-p", &self.port.to_string()]);
        if let Some(ca) = &self.tls {
            cli.args(["--tls", "--cacert", ca]);
        }
        let output = cli.args(arguments).output()?;
        anyhow::ensure!(output.status.success(), "redis-cli failed");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Connects to it.
    pub fn connect(&self) -> anyhow::Result<redis::Connection> {
        Ok(redis::Client::open(format!("redis://{}", self.address()))?.get_connection()?)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &Path, arguments: &[String]) -> anyhow::Result<Child> {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "no", "--dir"])
        .arg(folder)
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start redis-server; the README's test command installs it")
}
