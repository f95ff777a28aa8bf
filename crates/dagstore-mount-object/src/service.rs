//! What lies between `object_store` and the network: one request, one answer, and whether that can be believed.
//!
//! `object_store` signs requests and knows the stores' dialects. It is told to try nothing again; that is [`dagstore_mount_net::Tries`]'.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_mount::Error;
use dagstore_mount_net::{Again, Clients, Failure};
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::{Body, Request, Url};

use crate::answer;
use crate::asking::Asked;

/// The most that is read of an answer that explains an error or brings a credential.
const MOST_TEXT: usize = 256 * 1024;

/// Makes all that a template's stores speak HTTP with: it is the same for all of them.
#[derive(Clone)]
pub(crate) struct Service(Arc<Clients>);

impl Service {
    pub(crate) fn new(clients: Clients) -> Self {
        Self(Arc::new(clients))
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let (mut parts, body) = request.into_parts();
        let asked = parts.extensions.remove::<Asked>();
        let place = asked.as_ref().map_or("", |asked| &*asked.place);
        let url = Url::parse(&parts.uri.to_string());
        let url = url.map_err(|_| {
            Failure::from(Error::Refused { place: place.to_owned(), why: "it makes no URL".to_owned() })
        })?;
        let unusable = |why| Failure::unavailable(place, io::Error::other(why), Again::Never);
        let client = self.0.of(url.scheme()).map_err(unusable)?;
        let sent = made(parts, url, body.as_bytes().cloned());
        let answer = client.execute(sent).await.map_err(|error| Failure::of_transport(place, error))?;
        let (mut parts, body) = http::Response::<Body>::from(answer).into_parts();
        match &asked {
            Some(asked) if answer::is_refusal(parts.status) => {
                Err(answer::refusal(asked, &parts, &some_text(body).await))
            }
            Some(asked) => {
                answer::check(asked, &mut parts)?;
                Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(broken))))
            }
            None if parts.status.is_success() => {
                let body = Limited::new(body, MOST_TEXT)
                    .map_err(|_| broken("what brings a credential is too long, or broke off"));
                Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
            }
            None => Err(answer::no_credential(parts.status)),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // Of an unknown kind, which `object_store` doesn't try again whatever it is told.
        self.exchange(request).await.map_err(|failure| HttpError::new(HttpErrorKind::Unknown, failure))
    }
}

impl HttpConnector for Service {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

/// The same request as the client wants it. Whoever prints it leaves its headers out: signatures and tokens have many names, so it
/// is all of them.
fn made(mut parts: Parts, url: Url, body: Option<Bytes>) -> Request {
    parts.headers.values_mut().for_each(|value| value.set_sensitive(true));
    let mut request = Request::new(parts.method, url);
    *request.headers_mut() = parts.headers;
    *request.body_mut() = body.map(Body::from);
    request
}

/// As much of a text as anybody has to read; nothing where it doesn't come.
async fn some_text(body: Body) -> String {
    let collected = Limited::new(body, MOST_TEXT).collect().await;
    collected.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default()
}

/// A body that ends before it should. Why is of no use to anybody: it is asked for again.
fn broken(_why: impl Sized) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, io::Error::from(io::ErrorKind::UnexpectedEof))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_printed_tells_no_header() {
        let names = ["authorization", "x-amz-security-token", "x-another-one-of-tomorrow"];
        let request = names.into_iter().fold(http::Request::builder(), |request, name| request.header(name, "canary"));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let request = made(parts, Url::parse("https://s3.example/").unwrap(), None);
        assert!(request.headers().iter().all(|(_, value)| value == "canary"));
        assert!(!format!("{request:?}").contains("canary"), "{request:?}");
    }
}
