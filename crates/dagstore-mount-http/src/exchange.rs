//! One request and its answer, with all that lies between: checks, credentials, redirects.

use std::sync::Arc;

use dagstore_mount::{Error, redacted};
use dagstore_mount_net::{Again, Failure, Tries, bad_answer};
use reqwest::header::{HeaderName, IF_MATCH, IF_RANGE, LOCATION, RANGE};
use reqwest::{Method, Response, Url};

use crate::answer::refusal;
use crate::builder::Shared;
use crate::failure::of_transport;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask<'a> {
    /// What there is, without the bytes.
    Head,
    /// All of it; of this content, where it has a strong validator.
    Whole(Option<&'a str>),
    /// From `first` to `last`, of this content.
    Part { first: u64, last: u64, validator: &'a str },
}

/// A source on a server.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) shared: Arc<Shared>,
    pub(crate) url: Url,
    /// The URL, fit to be printed.
    pub(crate) place: Arc<str>,
}

impl Target {
    /// Asks once, wherever redirects lead. What comes back is an answer with the status 200, 206 or
    /// 416, or one that doesn't know `HEAD`.
    pub(crate) async fn ask(&self, ask: Ask<'_>, tries: &mut Tries) -> Result<Response, Failure> {
        let mut url = self.url.clone();
        let most = self.shared.policy.redirects;
        for _ in 0..=most {
            self.shared.policy.check(&url)?;
            let response = self.hop(&url, ask, tries).await?;
            if !response.status().is_redirection() {
                refusal(&self.place, &response, matches!(ask, Ask::Head))?;
                return Ok(response);
            }
            url = self.next(&url, &response)?;
        }
        Err(bad_answer(&self.place, format!("it was sent elsewhere more than {most} times")).into())
    }

    async fn hop(&self, url: &Url, ask: Ask<'_>, tries: &mut Tries) -> Result<Response, Failure> {
        let unusable = |why| Failure::unavailable(&self.place, std::io::Error::other(why), Again::Never);
        let client = self.shared.clients.of(url.scheme()).map_err(unusable)?;
        let method = if matches!(ask, Ask::Head) { Method::HEAD } else { Method::GET };
        let mut request = client.request(method, url.clone());
        for (name, value) in headers(ask) {
            request = request.header(name, value);
        }
        // Asked for at each hop: where a request is sent to another origin, its credential stays behind.
        if let Some((name, value)) = self.shared.policy.credential_for(url)? {
            request = request.header(name, value);
        }
        let longest = tries.limits().connect + tries.limits().first_byte;
        let sent = tries.wait(&self.place, "the beginning of an answer", longest, request.send()).await?;
        sent.map_err(|error| of_transport(&self.place, error))
    }

    /// Where a redirect leads to. What it is allowed to be is checked before it is asked.
    fn next(&self, url: &Url, response: &Response) -> Result<Url, Failure> {
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let leads_on = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = location.filter(|_| leads_on) else {
            return Err(bad_answer(&self.place, format!("the status {status} leads nowhere")).into());
        };
        let mut next = url.join(location).map_err(|_| bad_answer(&self.place, "it is sent to what is no URL"))?;
        next.set_fragment(None);
        let refused = |why: &str| {
            let why = format!("it is sent to {}, {why}", redacted(next.as_str()));
            Err(Error::Refused { place: self.place.to_string(), why }.into())
        };
        if url.scheme() == "https" && next.scheme() != "https" {
            return refused("which is no longer https");
        }
        if !next.username().is_empty() || next.password().is_some() {
            return refused("which has user information in it");
        }
        Ok(next)
    }
}

fn headers(ask: Ask<'_>) -> Vec<(HeaderName, String)> {
    match ask {
        Ask::Head | Ask::Whole(None) => Vec::new(),
        Ask::Whole(Some(validator)) => vec![(IF_MATCH, validator.to_owned())],
        Ask::Part { first, last, validator } => vec![
            (RANGE, format!("bytes={first}-{last}")),
            // A server that doesn't know the first may know the second, and what comes is checked in any case.
            (IF_MATCH, validator.to_owned()),
            (IF_RANGE, validator.to_owned()),
        ],
    }
}
