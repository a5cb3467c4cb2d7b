//! The whole shop in one process. It is a cluster in a function: each service is opened with the
//! same settings it has in a cluster, and the address that the next one finds it by is set under
//! the same name. Only the scheme differs, `inproc:` instead of a host and port.

use boutique_service::{App, Env, Running, ServiceSpec, inproc, spawn};

/// The open shop: the frontend, and the nine services behind it.
#[derive(Debug)]
pub struct Shop {
    /// Leaves first, the front door last.
    running: Vec<Running>,
}

impl Shop {
    /// Where the front door is.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.running.last()?.address()
    }

    /// The services in the order they were opened in; they are closed from the end.
    pub fn into_services(self) -> Vec<Running> {
        self.running
    }

    /// Closes the front door first, then what is behind it, each with its drain.
    pub async fn close(mut self) {
        while let Some(last) = self.running.pop() {
            last.stop().await;
        }
    }

    async fn start(
        &mut self,
        env: &mut Env,
        service: ServiceSpec,
        routes: impl AsyncFnOnce(&Env) -> anyhow::Result<App>,
    ) -> anyhow::Result<()> {
        let app = routes(env).await?;
        self.running.push(inproc(service, env, app).await?);
        Ok(())
    }
}

/// Opens the shop with these settings: leaves first, each service after those it calls. It listens
/// on `PORT` (8080), on loopback unless `LISTEN_ADDR` says otherwise.
pub async fn open(env: &mut Env) -> anyhow::Result<Shop> {
    if env.get("LISTEN_ADDR").is_none() {
        env.set("LISTEN_ADDR", "127.0.0.1");
    }
    // One name for all ten would make their spans indistinguishable.
    env.set("OTEL_SERVICE_NAME", "");
    let mut shop = Shop { running: Vec::with_capacity(10) };
    shop.start(env, adservice::SERVICE, adservice::routes).await?;
    shop.start(env, cartservice::SERVICE, cartservice::routes).await?;
    shop.start(env, currencyservice::SERVICE, currencyservice::routes).await?;
    shop.start(env, emailservice::SERVICE, emailservice::routes).await?;
    shop.start(env, paymentservice::SERVICE, paymentservice::routes).await?;
    shop.start(env, productcatalogservice::SERVICE, productcatalogservice::routes).await?;
    shop.start(env, shippingservice::SERVICE, shippingservice::routes).await?;
    shop.start(env, recommendationservice::SERVICE, recommendationservice::routes).await?;
    shop.start(env, checkoutservice::SERVICE, checkoutservice::routes).await?;
    let front_door = frontend::routes(env).await?;
    shop.running.push(spawn(frontend::SERVICE, env, front_door).await?);
    Ok(shop)
}
