//! Looking shards up by a multihash.

use std::sync::Arc;

use dagstore_car::RawCid;
use dagstore_fs::OwnName;
use dagstore_index::Error as IndexError;
use dagstore_types::{Registration, ShardKey};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};

use super::{Inverted, open};
use crate::catalogue::is_available;
use crate::core::Core;
use crate::info::ShardInfo;
use crate::{Error, Result};

/// How many rows of a multihash are looked up at first, because most multihashes have a few, and at once behind that.
const FOUND_AT_FIRST: usize = 16;
const FOUND_AT_ONCE: usize = 256;

/// The shards that have the multihash, as a stream.
pub(crate) fn locate(core: Arc<Core>, cid: RawCid) -> BoxStream<'static, Result<ShardKey>> {
    let is_first = Some((None, FOUND_AT_FIRST)).filter(|_| !cid.multihash().is_identity());
    let pages = stream::unfold(is_first, move |after| {
        let (core, cid) = (core.clone(), cid.clone());
        async move {
            let (after, limit) = after?;
            let found = core.unless_closed(find(&core, &cid, after, limit)).await.flatten();
            let (keys, more) = match found {
                Ok((keys, more)) => (keys.into_iter().map(Ok).collect(), more),
                Err(error) => (vec![Err(error)], None),
            };
            Some((stream::iter(keys), more.map(|more| (Some(more), FOUND_AT_ONCE))))
        }
    });
    pages.flatten().boxed()
}

/// Shards that aren't Available and had the multihash when they were indexed last: the first ones, `most` of them.
pub(crate) async fn unavailable(core: &Core, cid: &RawCid, most: usize) -> Result<Vec<ShardInfo>> {
    let inverted = complete(core)?;
    let (mut shards, mut after) = (Vec::new(), None);
    loop {
        let found = core.unless_closed(inverted.index.find(cid.multihash(), after, FOUND_AT_ONCE)).await??;
        for registration in &found {
            let key = core.catalogue.unavailable(*registration);
            let info = key.and_then(|key| core.catalogue.look(key.as_str())).and_then(ShardInfo::of_found);
            // What has become Available meanwhile is for a later look-up.
            shards.extend(info.filter(|info| info.registration == *registration && !is_available(info.state)));
            if shards.len() >= most {
                return Ok(shards);
            }
        }
        if found.len() < FOUND_AT_ONCE {
            return Ok(shards);
        }
        after = found.last().copied();
    }
}

/// The inverted index, where it tells of every shard.
fn complete(core: &Core) -> Result<&Inverted> {
    let inverted = core.inverted.as_ref().ok_or(Error::NoInvertedIndex)?;
    inverted.check_complete().map(|()| inverted)
}

/// The shards that have the multihash, behind a registration number, and the number to go on behind; `None` when there are
/// no more.
async fn find(
    core: &Arc<Core>,
    cid: &RawCid,
    after: Option<Registration>,
    limit: usize,
) -> Result<(Vec<ShardKey>, Option<Registration>)> {
    let inverted = complete(core)?;
    let found = inverted.index.find(cid.multihash(), after, limit).await?;
    let more = found.last().copied().filter(|_| found.len() >= limit);
    let mut keys = Vec::with_capacity(found.len());
    for registration in found {
        let Some((key, attempt)) = core.catalogue.available(registration) else { continue };
        if inverted.may_have_leftovers(registration) {
            // Its index decides, for the row may be one that is left over; unless the index is lost.
            let has_block = match open(core, OwnName::new(&key, registration, attempt)).await {
                Ok(Some(index)) => index.find_first(cid.multihash()).map(|found| found.is_some()),
                Ok(None) => Ok(true),
                Err(error) => Err(error),
            };
            match has_block {
                Ok(false) => continue,
                Ok(true) | Err(IndexError::Damaged { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        keys.push(key);
    }
    Ok((keys, more))
}
