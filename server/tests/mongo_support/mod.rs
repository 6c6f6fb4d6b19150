//! MongoDB-compatible servers for tests: which there are, a database of a test's own, and a proxy that gets in the way.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part, and a test fails by panicking")]

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mongodb::{
    Client, Database,
    bson::{Document as Fields, doc},
};
use payrig_server::{
    metrics::Metrics,
    store::mongodb::{MongoSettings, MongoStore},
};
use tokio::runtime::{Builder, Handle};

pub(crate) mod proxy;

/// A server that a test may use.
#[derive(Clone)]
pub(crate) struct Server {
    /// What it is and where, for a test's name.
    pub(crate) name: &'static str,
    /// Why it is not to be had, if so.
    pub(crate) missing: Option<String>,
    url: String,
}

/// The first that is named by these variables, or else here.
fn server(variables: &[&str], otherwise: &str) -> Server {
    let given = variables.iter().find_map(|name| std::env::var(name).ok()).filter(|url| !url.is_empty());
    let url = given.unwrap_or_else(|| otherwise.to_owned());
    let host = host_of(&url);
    let answers = host.to_socket_addrs().ok().and_then(|mut found| found.next());
    let answers = answers.and_then(|address| TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok());
    let missing = answers.is_none().then(|| format!("no MongoDB-compatible server at {host}"));
    let name = if missing.is_some() { host } else { format!("{}@{host}", apart(what_is(url.clone()))) };
    Server { name: Box::leak(name.into_boxed_str()), missing, url }
}

/// The server of most tests.
pub(crate) fn main_server() -> Server {
    server(&["MONGODB_URL", "PAYRIG_TEST_MONGODB_URL"], "mongodb://127.0.0.1:27027")
}

/// Another one that shares no code with it.
pub(crate) fn second_server() -> Server {
    server(&["PAYRIG_TEST_FERRETDB_URL"], "mongodb://127.0.0.1:27028")
}

/// The first host of a URL, with its port.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
    let host = rest.split([',', '/', '?']).next().unwrap_or_default();
    if host.contains(':') { host.to_owned() } else { format!("{host}:27017") }
}

async fn what_is(url: String) -> String {
    let Ok(client) = Client::with_uri_str(&url).await else { return "unknown".to_owned() };
    let told = client.database("admin").run_command(doc! { "buildInfo": 1 }).await.unwrap_or_default();
    let version = |field| told.get_str(field).map(str::to_owned);
    match (
        version("ferretdbVersion")
            .or_else(|_| told.get_document("ferretdb").and_then(|f| f.get_str("version")).map(str::to_owned)),
        version("version"),
    ) {
        (Ok(ferret), _) => format!("ferretdb-{}", ferret.trim_start_matches('v')),
        (_, Ok(version)) => format!("mongodb-{version}"),
        _ => "unknown".to_owned(),
    }
}

/// Runs this on a runtime of its own, wherever it is called.
pub(crate) fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let run = move || Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    std::thread::spawn(run).join().unwrap()
}

/// A database that nobody else uses; it goes with this.
pub(crate) struct Place {
    url: String,
    name: String,
}

impl Place {
    pub(crate) fn fresh(server: &Server) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("payrig_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { url: server.url.clone(), name }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        self.url_by(&host_of(&self.url))
    }

    /// The same database by another way: through a proxy at this address.
    pub(crate) fn url_by(&self, address: &str) -> String {
        let (start, options) = self.url.split_once('?').map_or((self.url.as_str(), None), |(a, b)| (a, Some(b)));
        let (scheme, rest) = start.split_once("://").unwrap();
        let user = rest.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
        let options = options.map_or(String::new(), |options| format!("?{options}"));
        format!("{scheme}://{user}{address}/{}{options}", self.name)
    }

    /// Where its server is.
    pub(crate) fn host(&self) -> String {
        host_of(&self.url)
    }

    /// The database itself, by the driver.
    pub(crate) async fn database(&self) -> Database {
        Client::with_uri_str(self.url()).await.unwrap().database(&self.name)
    }

    /// A document as the server has it.
    pub(crate) async fn raw(&self, collection: &str, id: &str) -> Option<Fields> {
        self.database().await.collection(collection).find_one(doc! { "_id": id }).await.unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        apart(async move {
            if let Ok(client) = Client::with_uri_str(&url).await {
                let _ = client.database(&name).drop().await;
            }
        });
    }
}

/// A store at this URL.
pub(crate) async fn store_at(url: &str) -> (MongoStore, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let settings = MongoSettings::parse(url).unwrap();
    let store = MongoStore::connect(&settings, Arc::clone(&metrics)).await;
    (store.unwrap_or_else(|error| panic!("{error}")), metrics)
}

/// The same where nobody can wait: on a runtime of several threads.
pub(crate) fn store_now(url: &str) -> MongoStore {
    tokio::task::block_in_place(|| Handle::current().block_on(store_at(url))).0
}
