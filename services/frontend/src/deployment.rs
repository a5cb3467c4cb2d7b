//! The platform of this frontend: found out once, beside the start, because it asks the cloud's metadata
//! host, which elsewhere does not answer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::{HeaderName, HeaderValue, Uri};

use crate::fetch;

const METADATA_HOST: &str = "metadata.google.internal";
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// The platforms that pages name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    Local,
    Gcp,
    Aws,
    Azure,
    OnPremises,
    Alibaba,
}

impl Platform {
    /// Knows upstream's words for `ENV_PLATFORM`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "local" => Some(Self::Local),
            "gcp" => Some(Self::Gcp),
            "aws" => Some(Self::Aws),
            "azure" => Some(Self::Azure),
            "onprem" => Some(Self::OnPremises),
            "alibaba" => Some(Self::Alibaba),
            _ => None,
        }
    }

    /// The page's words for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Gcp => "Google Cloud",
            Self::Aws => "AWS",
            Self::Azure => "Azure",
            Self::OnPremises => "On-Premises",
            Self::Alibaba => "Alibaba Cloud",
        }
    }

    /// Upstream's CSS class for it.
    pub(crate) fn css(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Gcp => "gcp-platform",
            Self::Aws => "aws-platform",
            Self::Azure => "azure-platform",
            Self::OnPremises => "onprem-platform",
            Self::Alibaba => "alibaba-platform",
        }
    }
}

/// The details of the deployment; a field is empty where it is not known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Details {
    pub(crate) on_gcp: bool,
    pub(crate) cluster: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) pod: Option<String>,
}

/// The details known so far.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    configured: Option<Platform>,
    details: Arc<OnceLock<Details>>,
}

impl Deployment {
    /// Returns the platform of `ENV_PLATFORM`, or else the one that was found.
    pub(crate) fn platform(&self) -> Platform {
        let found = self.details.get().is_some_and(|details| details.on_gcp);
        self.configured.unwrap_or(if found { Platform::Gcp } else { Platform::Local })
    }

    /// The details, once they are there.
    pub(crate) fn details(&self) -> Option<&Details> {
        self.details.get()
    }
}

/// Begins to find out.
pub(crate) fn detect(configured: Option<Platform>, pod: Option<String>) -> Deployment {
    let deployment = Deployment { configured, details: Arc::default() };
    let details = deployment.details.clone();
    tokio::spawn(async move {
        let mut found = ask_metadata().await;
        found.pod = pod;
        let _ = details.set(found);
    });
    deployment
}

async fn ask_metadata() -> Details {
    let lookup = tokio::net::lookup_host((METADATA_HOST, 80));
    let Ok(Ok(_addresses)) = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await else {
        return Details::default();
    };
    let (cluster, zone) =
        tokio::join!(attribute("instance/attributes/cluster-name"), attribute("instance/zone"));
    // projects/1234/zones/europe-west1-b
    let zone = zone.and_then(|path| path.rsplit('/').next().map(str::to_owned));
    Details { on_gcp: true, cluster, zone, pod: None }
}

async fn attribute(name: &str) -> Option<String> {
    let uri: Uri = format!("http://{METADATA_HOST}/computeMetadata/v1/{name}").parse().ok()?;
    let flavor = HeaderName::from_static("metadata-flavor");
    let answer = fetch::get(uri, Some((flavor, HeaderValue::from_static("Google")))).await.ok()?;
    String::from_utf8(answer.to_vec()).ok().filter(|text| !text.is_empty())
}
