//! The whole shop in one process. Each service is started with the settings that it has in a cluster, and its address is
//! set under the name by which others find it there. Only the scheme differs: `inproc:` instead of a host and port.

use boutique_service::{
    Env, Registry, Router, ServerHandle, ServiceSpec, spawn, spawn_inproc, stop_all,
};

/// The running shop: the frontend, and the services behind it.
#[derive(Debug)]
pub struct Shop {
    /// Each service after those that it calls.
    running: Vec<ServerHandle>,
}

impl Shop {
    /// Returns where the frontend listens.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.running.last()?.address()
    }

    /// Returns the services in the order of their start; they are stopped from the end.
    pub fn into_services(self) -> Vec<ServerHandle> {
        self.running
    }

    /// Stops the frontend first, then the services behind it, each gracefully.
    pub async fn close(self) {
        stop_all(self.running).await;
    }

    async fn start(
        &mut self,
        env: &mut Env,
        registry: &mut Registry,
        spec: ServiceSpec,
        routes: impl AsyncFnOnce(&Env, &Registry) -> anyhow::Result<Router>,
    ) -> anyhow::Result<()> {
        let router = routes(env, registry).await?;
        // The others are called from within this process.
        let is_for_browsers = spec.methods.is_empty();
        self.running.push(if is_for_browsers {
            spawn(spec, env, registry, router).await?
        } else {
            spawn_inproc(spec, env, registry, router).await?
        });
        Ok(())
    }
}

/// Starts the shop with these settings, each service after those that it calls. It listens on `PORT` (8080), on loopback
/// unless `LISTEN_ADDR` says otherwise. The services are added to `registry`.
pub async fn open(env: &mut Env, registry: &mut Registry) -> anyhow::Result<Shop> {
    if env.get("LISTEN_ADDR").is_none() {
        env.set("LISTEN_ADDR", "127.0.0.1");
    }
    // The shop is for looking at, and its ten services are here.
    if env.get("ENABLE_TOPOLOGY").is_none() {
        env.set("ENABLE_TOPOLOGY", "1");
    }
    // One name for all ten would make their spans indistinguishable.
    env.set("OTEL_SERVICE_NAME", "");
    let mut shop = Shop { running: Vec::new() };
    // One call of `start` for each service.
    macro_rules! start {
        ($($service:ident: $row:ident,)*) => {
            $(shop.start(env, registry, $service::SERVICE, $service::routes).await?;)*
        };
    }
    boutique_proto::each_service!(start);
    Ok(shop)
}
