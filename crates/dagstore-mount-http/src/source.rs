//! What is asked of a web server, and what it gives.

use dagstore_mount::Stat;
use dagstore_mount_net::{Broken, Failure, Limits, Part, Pieces, Source, Tries};
use futures_util::{StreamExt, TryStreamExt};
use reqwest::Response;

use crate::answer::{is_strong, is_unknown_method, part_of, whole};
use crate::exchange::{Ask, Target};

impl Source for Target {
    const NO_VALIDATOR: &str = "its server gives no strong validator, or no ranges";

    fn place(&self) -> &str {
        &self.place
    }

    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn validator(of: &Stat) -> Option<&str> {
        strong(of)
    }

    async fn stat(&self, tries: &mut Tries) -> Result<Stat, Failure> {
        let mut response = self.ask(Ask::Head, tries).await?;
        if is_unknown_method(&response) {
            // They tell the same in front of the bytes, which nobody waits for.
            response = self.ask(Ask::Whole(None), tries).await?;
        }
        Ok(whole(&self.place, &response)?)
    }

    async fn whole(&self, of: Option<&Stat>, tries: &mut Tries) -> Result<(Stat, Pieces), Failure> {
        let response = self.ask(Ask::Whole(of.and_then(strong)), tries).await?;
        Ok((whole(&self.place, &response)?, self.pieces(response)))
    }

    async fn part(&self, part: Part<'_>, tries: &mut Tries) -> Result<Pieces, Failure> {
        let Part { first, last, of, validator } = part;
        let response = self.ask(Ask::Part { first, last, validator }, tries).await?;
        part_of(&self.place, &response, (first, last), of)?;
        Ok(self.pieces(response))
    }
}

impl Target {
    fn pieces(&self, response: Response) -> Pieces {
        let place = self.place.clone();
        let broken = move |error: reqwest::Error| {
            tracing::debug!(place = &*place, error = %error.without_url(), "an HTTP answer broke off");
            Broken
        };
        response.bytes_stream().map_err(broken).boxed()
    }
}

fn strong(of: &Stat) -> Option<&str> {
    of.validator.as_deref().filter(|validator| is_strong(validator))
}
