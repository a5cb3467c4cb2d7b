//! The connection to Redis: to the server of several that is the primary, to the one that sentinels name, or to a cluster.
//! A connection that fails, or that leads to a server which takes no writes any more, is made anew by the next command.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use boutique_service::{EnvError, Secret};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisError,
    RedisFuture, RedisResult, ServerErrorKind, TlsCertificates, TlsMode, Value,
};
use tokio::sync::Mutex;

use super::address::Address;

/// The time during which a failed attempt to connect also fails the commands that follow it.
const FAILED_FOR: Duration = Duration::from_millis(50);

/// The least number of attempts to connect before a command fails.
const MIN_TRIES: usize = 2;

/// The errors of a cluster's server to a client that is not aware of the cluster.
const CLUSTER: [ErrorKind; 3] = [
    ErrorKind::Server(ServerErrorKind::Moved),
    ErrorKind::Server(ServerErrorKind::Ask),
    ErrorKind::Server(ServerErrorKind::CrossSlot),
];
/// The errors of a server that takes no writes: a primary that was demoted, a replica that lost its primary, a server that
/// has just started, a cluster without a majority.
const NO_PRIMARY: [ErrorKind; 4] = [
    ErrorKind::Server(ServerErrorKind::ReadOnly),
    ErrorKind::Server(ServerErrorKind::MasterDown),
    ErrorKind::Server(ServerErrorKind::BusyLoading),
    ErrorKind::Server(ServerErrorKind::ClusterDown),
];

/// A connection to one server, or to a cluster.
#[derive(Clone)]
pub enum Link {
    /// To a server.
    Server(MultiplexedConnection),
    /// To a cluster.
    Cluster(ClusterConnection),
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

/// The condition under which a command is sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Whatever became of it.
    Always,
    /// If it certainly had no effect.
    NotProcessed,
}

/// The connection that commands share.
pub(super) struct Connections {
    root: Option<Vec<u8>>,
    state: Mutex<State>,
    /// The endpoint to begin with.
    first: AtomicUsize,
    /// True once the servers answered that they are a cluster.
    is_cluster: AtomicBool,
}

struct State {
    secret: Secret,
    address: Address,
    generation: u64,
    link: Option<Link>,
    failed: Option<(Instant, RedisError)>,
}

impl Connections {
    pub(super) fn new(
        addr_key: &'static str,
        secret: Secret,
        root: Option<Vec<u8>>,
    ) -> Result<Self, EnvError> {
        let address =
            Address::parse(secret.value()).map_err(|problem| EnvError::new(addr_key, problem))?;
        // Certificates are read here, so that a file without any aborts startup.
        let client = info(&address, &address.endpoints[0], true, 0)
            .and_then(|info| client(info, root.as_deref()));
        client.map_err(|_| match root {
            Some(_) => EnvError::new(
                "REDIS_CA_FILE",
                format_args!("must hold certificates, with {addr_key} asking for TLS"),
            ),
            None => EnvError::new(addr_key, "must be an address that can be used"),
        })?;
        let state = State { secret, address, generation: 0, link: None, failed: None };
        Ok(Self {
            root,
            state: Mutex::new(state),
            first: AtomicUsize::new(0),
            is_cluster: AtomicBool::new(false),
        })
    }

    /// Runs a command, and once more over a new connection if the first one was of no use.
    pub(super) async fn run<T, F>(
        &self,
        repeat: Repeat,
        command: impl Fn(Link) -> F,
    ) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let (generation, link) = self.link().await?;
        let error = match command(link).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(was_processed) = self.give_up(&error) else { return Err(error) };
        self.discard(generation).await;
        if was_processed && repeat == Repeat::NotProcessed {
            return Err(error);
        }
        let (generation, link) = self.link().await?;
        let answer = command(link).await;
        if answer.as_ref().is_err_and(|error| self.give_up(error).is_some()) {
            self.discard(generation).await;
        }
        answer
    }

    /// Decides whether a connection is of no more use after this error, and if so whether the command may have had an
    /// effect.
    fn give_up(&self, error: &RedisError) -> Option<bool> {
        let kind = error.kind();
        if CLUSTER.contains(&kind) {
            // A cluster's own connection follows these by itself.
            return (!self.is_cluster.swap(true, Ordering::Relaxed)).then_some(false);
        }
        let is_useless = NO_PRIMARY.contains(&kind);
        let is_lost = error.is_io_error()
            || error.is_timeout()
            || error.is_connection_dropped()
            || error.is_unrecoverable_error();
        if !is_useless && !is_lost {
            return None;
        }
        self.first.fetch_add(1, Ordering::Relaxed);
        Some(is_lost && !error.is_connection_refusal())
    }

    async fn discard(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation == generation {
            state.link = None;
        }
    }

    /// Returns the connection, which is made if there is none. Those who come together wait for one attempt.
    async fn link(&self) -> RedisResult<(u64, Link)> {
        let mut state = self.state.lock().await;
        if let Some(link) = &state.link {
            return Ok((state.generation, link.clone()));
        }
        if let Some((at, error)) = &state.failed
            && at.elapsed() < FAILED_FOR
        {
            return Err(error.clone());
        }
        if let Some(address) = state.secret.reread(Address::parse) {
            state.address = address;
        }
        match self.connect(&state.address).await {
            Ok(link) => {
                state.generation += 1;
                state.failed = None;
                state.link = Some(link.clone());
                Ok((state.generation, link))
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn connect(&self, address: &Address) -> RedisResult<Link> {
        if self.is_cluster.load(Ordering::Relaxed) {
            return self.connect_to_cluster(address).await.map(Link::Cluster);
        }
        let endpoints = &address.endpoints;
        let first = self.first.load(Ordering::Relaxed);
        let mut last = None;
        for index in 0..endpoints.len().max(MIN_TRIES) {
            let endpoint = &endpoints[(first + index) % endpoints.len()];
            let connected = match &address.service_name {
                Some(name) => self.connect_by_sentinel(address, endpoint, name).await,
                None => self.connect_to_primary(address, endpoint, endpoints.len() > 1).await,
            };
            match connected {
                Ok(server) => return Ok(Link::Server(server)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| (ErrorKind::Client, "there is no endpoint").into()))
    }

    async fn connect_to_cluster(&self, address: &Address) -> RedisResult<ClusterConnection> {
        let nodes = address.endpoints.iter().map(|endpoint| info(address, endpoint, true, 0));
        let mut builder: ClusterClientBuilder =
            ClusterClient::builder(nodes.collect::<Result<Vec<_>, _>>()?)
                .connection_timeout(address.connect_timeout)
                .response_timeout(address.command_timeout)
                .retries(2)
                .max_retry_wait(50)
                .min_retry_wait(5);
        if address.is_tls {
            builder = builder.tls(TlsMode::Secure);
        }
        if let Some(root) = &self.root {
            builder = builder.certs(certificates(root));
        }
        builder.build()?.get_async_connection().await
    }

    /// Connects to the server that a sentinel names.
    async fn connect_by_sentinel(
        &self,
        address: &Address,
        sentinel: &(String, u16),
        name: &str,
    ) -> RedisResult<MultiplexedConnection> {
        let mut asked = match self.open(address, sentinel, true, 0).await {
            // Sentinels often have no password where the servers have one.
            Err(error) if error.kind() == ErrorKind::AuthenticationFailed => {
                self.open(address, sentinel, false, 0).await?
            }
            asked => asked?,
        };
        let primary: Option<(String, u16)> = redis::cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(name)
            .query_async(&mut asked)
            .await?;
        let unknown =
            (ErrorKind::MasterNameNotFoundBySentinel, "the sentinel knows no such service");
        let primary = primary.ok_or_else(|| RedisError::from(unknown))?;
        self.connect_to_primary(address, &primary, true).await
    }

    /// Connects to a server, which must be a primary where there may be others.
    async fn connect_to_primary(
        &self,
        address: &Address,
        endpoint: &(String, u16),
        has_others: bool,
    ) -> RedisResult<MultiplexedConnection> {
        let mut server = self.open(address, endpoint, true, address.database).await?;
        if has_others {
            let role: RedisResult<Vec<Value>> = redis::cmd("ROLE").query_async(&mut server).await;
            // A user who may not ask finds out by writing.
            if let Ok(role) = role
                && let Some(Value::BulkString(role)) = role.first()
                && role != b"master"
            {
                let kind = ErrorKind::Server(ServerErrorKind::ReadOnly);
                return Err((kind, "the server is a replica").into());
            }
        }
        Ok(server)
    }

    async fn open(
        &self,
        address: &Address,
        endpoint: &(String, u16),
        has_login: bool,
        database: i64,
    ) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(address.connect_timeout))
            .set_response_timeout(Some(address.command_timeout));
        let client = client(info(address, endpoint, has_login, database)?, self.root.as_deref())?;
        let mut server = client.get_multiplexed_async_connection_with_config(&config).await?;
        if let Some(name) = &address.client_name {
            // A user who may not give itself a name goes without.
            let named = redis::cmd("CLIENT").arg("SETNAME").arg(name).exec_async(&mut server).await;
            named.or_else(|error| if error.is_io_error() { Err(error) } else { Ok(()) })?;
        }
        Ok(server)
    }
}

fn client(info: ConnectionInfo, root: Option<&[u8]>) -> RedisResult<Client> {
    match root {
        Some(root) => Client::build_with_tls(info, certificates(root)),
        None => Client::open(info),
    }
}

fn info(
    address: &Address,
    (host, port): &(String, u16),
    has_login: bool,
    database: i64,
) -> RedisResult<ConnectionInfo> {
    let Address { is_tls, user, password, is_resp3, sends_library_name, keep_alive, .. } = address;
    let (host, port) = (host.clone(), *port);
    let address = if *is_tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut redis = RedisConnectionInfo::default().set_db(database);
    if *is_resp3 {
        redis = redis.set_protocol(ProtocolVersion::RESP3);
    }
    if !sends_library_name {
        redis = redis.set_skip_set_lib_name();
    }
    if let Some(user) = user.as_ref().filter(|_| has_login) {
        redis = redis.set_username(user);
    }
    if let Some(password) = password.as_ref().filter(|_| has_login) {
        redis = redis.set_password(password);
    }
    let mut tcp = TcpSettings::default().set_nodelay(true);
    if let Some(keep_alive) = keep_alive {
        tcp = tcp.set_keepalive(TcpKeepalive::new().with_time(*keep_alive));
    }
    Ok(address.into_connection_info()?.set_redis_settings(redis).set_tcp_settings(tcp))
}

fn certificates(root: &[u8]) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: Some(root.to_vec()) }
}
