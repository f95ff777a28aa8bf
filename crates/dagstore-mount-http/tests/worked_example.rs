//! A mount of one's own, from the trait to the registry: pieces whose place a service has to be asked for.
//!
//! The service speaks JSON-RPC; it is given the name of a piece and hands out the URL that the piece is at for now. The endpoint
//! of the service stands in the template, and a shard's URL is `piece:NAME`, whatever becomes of both.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::{Capabilities, Error, Mount, MountUrl, Registry, Result, Stat, Streamed, conformance};
use dagstore_mount_http::{HttpBuilder, HttpMount};
use serde_json::{Value, json};

use support::{Reply, Server, content, good, quick, stream};

/// A piece, or the template of pieces. All that isn't the piece's name belongs to the template, and each instance has a copy.
#[derive(Debug, Clone)]
struct PieceMount {
    endpoint: String,
    client: reqwest::Client,
    /// The template for where pieces are: limits, allow-lists and checks of answers are its own.
    places: HttpMount,
    name: String,
}

impl PieceMount {
    fn template(endpoint: &str, places: HttpMount) -> Self {
        // This workspace builds reqwest without a provider of cryptography, so a client of one's own names one.
        let _other_than_the_first = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { endpoint: endpoint.to_owned(), client, places, name: String::new() }
    }

    /// Asks where the piece is now. The answer is used and forgotten: it may be good for minutes only.
    async fn place(&self) -> Result<HttpMount> {
        let question = json!({"jsonrpc": "2.0", "id": 1, "method": "piece_url", "params": [self.name]});
        let unavailable = |error: reqwest::Error| Error::from_io(&self.name, io::Error::other(error.without_url()));
        let answer = self.client.post(&self.endpoint).body(question.to_string()).send().await.map_err(unavailable)?;
        let answer = answer.text().await.map_err(unavailable)?;
        let bad = |why: &str| Error::BadAnswer { place: self.name.clone(), why: why.to_owned() };
        let answer: Value = serde_json::from_str(&answer).map_err(|_| bad("it isn't JSON"))?;
        match answer["result"].as_str().map(|url| url.strip_prefix("http:")) {
            Some(Some(location)) => self.places.at(location),
            Some(None) => Err(bad("the piece's URL isn't one of http")),
            None => Err(Error::NotFound { place: self.name.clone() }),
        }
    }
}

#[async_trait]
impl Mount for PieceMount {
    /// Streams and reads of something that isn't here. `open` is left out.
    fn capabilities(&self) -> Capabilities {
        Capabilities::REMOTE
    }

    /// What stands behind `piece:`. Nobody is asked, and nothing but the name is in it.
    fn location(&self) -> String {
        self.name.clone()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        if location.is_empty() || !location.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let why = "a piece's name has letters and digits".to_owned();
            return Err(Error::BadUrl { url: location.to_owned(), why });
        }
        Ok(Arc::new(Self { name: location.to_owned(), ..self.clone() }))
    }

    async fn stat(&self) -> Result<Stat> {
        self.place().await?.stat().await
    }

    /// The validator in `of` is held against the place that the piece has now, so a piece that moved goes on being the same one.
    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        self.place().await?.stream(from, of).await
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        self.place().await?.read(at, len, of).await
    }
}

/// A server that holds pieces, and tells where they are: each time at another place.
async fn service(content: &Bytes) -> Server {
    let content = content.clone();
    Server::start(move |request, number| {
        if request.method != "POST" {
            return good(request, &content, Some("\"1\""));
        }
        let question: Value = serde_json::from_slice(&request.body).unwrap();
        let host = request.header("host").unwrap();
        let answer = match question["params"][0].as_str() {
            Some("missing") => json!({"jsonrpc": "2.0", "id": 1, "result": null}),
            Some(name) => json!({"jsonrpc": "2.0", "id": 1, "result": format!("http://{host}/{number}/{name}.car")}),
            None => json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no piece"}}),
        };
        let answer = answer.to_string();
        Reply::new(200).with("content-length", answer.len().to_string()).body(answer)
    })
    .await
}

#[tokio::test]
async fn pieces_of_two_services() {
    let (near, far) = (content(1000), content(2000).slice(500..));
    let (near_server, far_server) = (service(&near).await, service(&far).await);
    let places = quick(HttpBuilder::http()).build();
    let endpoint = |server: &Server| format!("http://{}/rpc", server.address);

    // One type, two schemes: each has the endpoint of its own template.
    let mut registry = Registry::with_defaults();
    registry.register("piece", PieceMount::template(&endpoint(&near_server), places.clone())).unwrap();
    registry.register("far-piece", PieceMount::template(&endpoint(&far_server), places)).unwrap();

    for (scheme, content) in [("piece", &near), ("far-piece", &far)] {
        let mut mount = registry.template::<PieceMount>(scheme).unwrap();
        mount.name = "baga1".to_owned();
        // The suite of all mounts.
        conformance::check(&*registry.template::<PieceMount>(scheme).unwrap(), &mount, content).await;
        // What is kept of it, and what comes back of that.
        let url = registry.represent(&mount).unwrap();
        assert_eq!(url.as_str(), format!("{scheme}:baga1"));
        let revived = registry.instantiate(&MountUrl::parse(url.as_str()).unwrap()).unwrap();
        assert_eq!(stream(&*revived, 0, None).await.unwrap(), *content);
    }
    let missing = registry.instantiate(&MountUrl::parse("piece:missing").unwrap()).unwrap().stat().await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
}
