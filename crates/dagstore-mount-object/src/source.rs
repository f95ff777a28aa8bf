//! What is asked of a store, by the names that all mounts of remote sources have for it.

use dagstore_mount::Stat;
use dagstore_mount_net::{Broken, Failure, Limits, Part, Pieces, Source, Tries};
use futures_util::{StreamExt, TryStreamExt};
use object_store::GetResult;

use crate::asking::{Ask, Target, strong};

impl Source for Target {
    const NO_VALIDATOR: &str = "its store gives no strong validator, or no ranges";

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
        let (stat, _) = self.ask(Ask::Head, tries).await?;
        Ok(stat)
    }

    async fn whole(&self, of: Option<&Stat>, tries: &mut Tries) -> Result<(Stat, Pieces), Failure> {
        let (stat, result) = self.ask(Ask::Whole(of.cloned()), tries).await?;
        Ok((stat, pieces(result)))
    }

    async fn part(&self, part: Part<'_>, tries: &mut Tries) -> Result<Pieces, Failure> {
        let Part { first, last, of, validator: _ } = part;
        let (_, result) = self.ask(Ask::Part { first, last, of: of.clone() }, tries).await?;
        Ok(pieces(result))
    }
}

/// What the store says of where it broke off isn't fit to be printed.
fn pieces(result: GetResult) -> Pieces {
    result.into_stream().map_err(|_| Broken).boxed()
}
