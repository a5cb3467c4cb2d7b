//! TLS by rustls: this process's certificate, and the roots that it trusts, read from files and read again when they
//! change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};

use crate::env::{Env, EnvError};
use crate::file::{Stamp, stamp};

const CERT_FILE: &str = "TLS_CERT_FILE";
const KEY_FILE: &str = "TLS_KEY_FILE";
const CA_FILE: &str = "TLS_CA_FILE";

/// The shortest time between two looks for changed files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The TLS mode of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerTls {
    /// No TLS.
    Off,
    /// TLS.
    Tls,
    /// TLS, and a certificate of a root in `TLS_CA_FILE`.
    MutualTls,
}

/// The TLS configurations of a process, as current as its files.
pub(crate) struct Tls {
    files: Files,
    current: Mutex<Option<Current>>,
}

/// The configurations made of the files' last good content.
struct Current {
    configs: Configs,
    stamps: Vec<Option<Stamp>>,
    checked: Instant,
}

#[derive(Clone)]
struct Configs {
    client: Arc<ClientConfig>,
    /// With and without a certificate asked of clients, where this process has one itself.
    tls: Option<Arc<ServerConfig>>,
    mutual: Option<Arc<ServerConfig>>,
}

struct Files {
    identity: Option<(PathBuf, PathBuf)>,
    roots: Option<PathBuf>,
}

impl Tls {
    /// Reads `TLS_CERT_FILE`, `TLS_KEY_FILE` and `TLS_CA_FILE`. An unusable file is an error that names it.
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        let path = |name| env.get(name).map(PathBuf::from);
        let identity = match (path(CERT_FILE), path(KEY_FILE)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(EnvError::new(KEY_FILE, "is not set, but TLS_CERT_FILE is"));
            }
            (None, Some(_)) => {
                return Err(EnvError::new(CERT_FILE, "is not set, but TLS_KEY_FILE is"));
            }
        };
        let files = Files { identity, roots: path(CA_FILE) };
        // Without files there is nothing to find wrong, and most processes use no TLS.
        let is_used = files.identity.is_some() || files.roots.is_some();
        let current = if is_used { Some(Current::read(&files)?) } else { None };
        Ok(Self { files, current: Mutex::new(current) })
    }

    /// Returns what the server asks of those who connect: what `TLS_SERVER` says, by default `by_default` where there
    /// is a certificate, and mutual TLS only where there are roots.
    pub(crate) fn server_mode(
        &self,
        env: &Env,
        by_default: ServerTls,
    ) -> Result<ServerTls, EnvError> {
        let has = (self.files.identity.is_some(), self.files.roots.is_some());
        match (env.get("TLS_SERVER"), has) {
            (Some("off"), _) | (None, (false, _)) => Ok(ServerTls::Off),
            (Some("tls"), (true, _)) => Ok(ServerTls::Tls),
            (Some("mtls"), (true, true)) => Ok(ServerTls::MutualTls),
            (None, (true, true)) => Ok(by_default),
            (None, (true, false)) => Ok(ServerTls::Tls),
            (Some("tls" | "mtls"), (false, _)) => {
                Err(EnvError::new(CERT_FILE, "is not set, but TLS_SERVER is"))
            }
            (Some("mtls"), (true, false)) => {
                Err(EnvError::new(CA_FILE, "is not set, but TLS_SERVER is mtls"))
            }
            (Some(_), _) => Err(EnvError::new("TLS_SERVER", "must be off, tls or mtls")),
        }
    }

    /// The configuration for a new connection to another service.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, EnvError> {
        Ok(self.configs()?.client)
    }

    /// The configuration for a new connection from somebody else; none without TLS.
    pub(crate) fn server(&self, mode: ServerTls) -> Result<Option<Arc<ServerConfig>>, EnvError> {
        match mode {
            ServerTls::Off => Ok(None),
            ServerTls::Tls => Ok(self.configs()?.tls),
            ServerTls::MutualTls => Ok(self.configs()?.mutual),
        }
    }

    /// The configurations, made anew where a file has changed. Where the new content is unusable, they stay.
    fn configs(&self) -> Result<Configs, EnvError> {
        let mut current = self.current.lock();
        let current = match &mut *current {
            Some(current) => current,
            none => none.insert(Current::read(&self.files)?),
        };
        if current.checked.elapsed() >= CHECK_INTERVAL {
            current.refresh(&self.files);
        }
        Ok(current.configs.clone())
    }
}

impl Current {
    fn read(files: &Files) -> Result<Self, EnvError> {
        let stamps = files.stamps();
        Ok(Self { configs: files.read()?, stamps, checked: Instant::now() })
    }

    fn refresh(&mut self, files: &Files) {
        self.checked = Instant::now();
        let stamps = files.stamps();
        if stamps == self.stamps {
            return;
        }
        self.stamps = stamps;
        match files.read() {
            Ok(configs) => {
                self.configs = configs;
                tracing::info!("read the TLS certificates again");
            }
            Err(error) => tracing::error!(error = %error, "kept the TLS certificates from before"),
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Files {
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        identity.chain(&self.roots).map(|path| stamp(path)).collect()
    }

    fn read(&self) -> Result<Configs, EnvError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = match &self.roots {
            Some(path) => Some(Arc::new(read_roots(path)?)),
            None => None,
        };
        let identity = match &self.identity {
            Some((cert, key)) => Some(Arc::new(read_identity(cert, key, &provider)?)),
            None => None,
        };
        let mutual = match (&identity, &roots) {
            (Some(identity), Some(roots)) => Some(server(&provider, identity, Some(roots))?),
            (Some(_), None) | (None, _) => None,
        };
        Ok(Configs {
            client: client(&provider, identity.as_ref(), roots)?,
            tls: identity.as_ref().map(|own| server(&provider, own, None)).transpose()?,
            mutual,
        })
    }
}

fn client(
    provider: &Arc<CryptoProvider>,
    identity: Option<&Arc<CertifiedKey>>,
    roots: Option<Arc<RootCertStore>>,
) -> Result<Arc<ClientConfig>, EnvError> {
    let public = || {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        Arc::new(RootCertStore { roots: roots.collect() })
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| EnvError::new(CA_FILE, error))?
        .with_root_certificates(roots.unwrap_or_else(public));
    let mut config = match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.clone())))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn server(
    provider: &Arc<CryptoProvider>,
    identity: &Arc<CertifiedKey>,
    clients: Option<&Arc<RootCertStore>>,
) -> Result<Arc<ServerConfig>, EnvError> {
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| EnvError::new(CERT_FILE, error))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
            let verifier = verifier.build().map_err(|error| EnvError::new(CA_FILE, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let identity = SingleCertAndKey::from(identity.clone());
    let mut config = builder.with_cert_resolver(Arc::new(identity));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read_file(setting: &str, path: &Path) -> Result<Vec<u8>, EnvError> {
    fs::read(path).map_err(|error| {
        EnvError::new(
            setting,
            format_args!("must name a readable file: {}: {error}", path.display()),
        )
    })
}

fn read_certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, EnvError> {
    let pem = read_file(setting, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(unusable(setting, path, "it holds no PEM certificates")),
    }
}

fn unusable(setting: &str, path: &Path, reason: impl std::fmt::Display) -> EnvError {
    EnvError::new(setting, format_args!("must name usable PEM: {}: {reason}", path.display()))
}

fn read_roots(path: &Path) -> Result<RootCertStore, EnvError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(CA_FILE, path)? {
        roots.add(certificate).map_err(|error| unusable(CA_FILE, path, error))?;
    }
    Ok(roots)
}

fn read_identity(
    cert_path: &Path,
    key_path: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, EnvError> {
    let chain = read_certificates(CERT_FILE, cert_path)?;
    check_validity(&chain, provider).map_err(|reason| unusable(CERT_FILE, cert_path, reason))?;
    let key = PrivateKeyDer::from_pem_slice(&read_file(KEY_FILE, key_path)?)
        .map_err(|_| unusable(KEY_FILE, key_path, "it holds no PEM private key"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            let reason = "it is not the key of the certificate in TLS_CERT_FILE";
            return unusable(KEY_FILE, key_path, reason);
        }
        unusable(KEY_FILE, key_path, error)
    })
}

/// Accepts a certificate that is valid now. Who issued it is for those to judge who are shown it.
fn check_validity(
    chain: &[CertificateDer<'static>],
    provider: &CryptoProvider,
) -> Result<(), String> {
    let certificate = ParsedCertificate::try_from(&chain[0]).map_err(|error| error.to_string())?;
    // The dates are checked before the issuer, which no root can be found for here.
    let checked = verify_server_cert_signed_by_trust_anchor(
        &certificate,
        &RootCertStore::empty(),
        &chain[1..],
        UnixTime::now(),
        provider.signature_verification_algorithms.all,
    );
    match checked {
        Err(rustls::Error::InvalidCertificate(
            error @ (CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::BadEncoding),
        )) => Err(error.to_string()),
        Ok(()) | Err(_) => Ok(()),
    }
}
