//! A certificate authority for tests, which writes PEM files.

use std::path::{Path, PathBuf};

use boutique_service::Env;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority, and the folder of the files that it writes.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The files of one certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority with a root of its own.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.pem"), issuer.pem())?;
        Ok(Self { folder, issuer })
    }

    /// Returns the file of the root.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Issues a certificate for a host name, valid for decades.
    pub fn issue(&self, host: &str) -> anyhow::Result<Certificate> {
        self.issue_until(host, 2099)
    }

    /// Issues a certificate for a host name, valid until the first day of a year. Files of the same name are replaced as
    /// cert-manager replaces them: each at once, one after the other.
    pub fn issue_until(&self, host: &str, year: i32) -> anyhow::Result<Certificate> {
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        let file = |ending: &str| self.folder.path().join(format!("{host}-{year}.{ending}"));
        let files = Certificate { cert: file("pem"), key: file("key") };
        replace(&files.cert, &cert.pem())?;
        replace(&files.key, &key.serialize_pem())?;
        Ok(files)
    }

    /// Returns settings with a certificate of this authority and its root.
    pub fn settings(&self, own: Option<&Certificate>) -> Env {
        let mut env = Env::default();
        env.set("TLS_CA_FILE", self.root().to_string_lossy());
        if let Some(own) = own {
            env.set("TLS_CERT_FILE", own.cert.to_string_lossy());
            env.set("TLS_KEY_FILE", own.key.to_string_lossy());
        }
        env
    }
}

fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, path)?;
    Ok(())
}
