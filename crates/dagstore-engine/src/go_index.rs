//! go-car's index files: made of a shard's CAR, and held against it.

use dagstore_car::{CarReader, GoIndex, GoIndexBuilder, IndexCodec, IndexReport};
use dagstore_fs::OwnName;
use dagstore_mount::Opened;
use dagstore_types::{ErrorKind, ShardError, ShardState};

use crate::acquire::check_source;
use crate::place::Place;
use crate::{Engine, Error, Result, ShardAccessor, fetched, walk};

impl Engine {
    /// The index of a shard of this store as go-car makes it, out of the lengths and CIDs in its CAR; with or without identity
    /// CIDs. Go's dagstore has them in its index files, `car index` leaves them out. All of it is in memory: see
    /// [`GoIndexBuilder`].
    ///
    /// # Errors
    /// [`Error::Car`], [`Error::Mount`], [`Error::Closed`]; [`Error::Failed`] where the source isn't what was indexed any more.
    pub async fn go_index(
        &self,
        shard: &ShardAccessor,
        codec: IndexCodec,
        with_identity: bool,
    ) -> Result<GoIndexBuilder> {
        let open = shard.shard().clone();
        let made = walk::off_the_runtime(open.blocking, move || open.reader.go_index(codec, with_identity));
        let made = self.core.unless_closed(made).await???;
        self.check_unchanged(shard).await?;
        Ok(made)
    }

    /// Whether the source of an acquired shard still is what was indexed, though it was changed in its place.
    pub(crate) async fn check_unchanged(&self, shard: &ShardAccessor) -> Result<()> {
        if shard.shard().lease.is_some() {
            // Nobody changes the store's own copy.
            return Ok(());
        }
        let place = self.place(shard.key().as_str())?;
        let stat = self.core.unless_closed(place.mount.stat()).await??;
        let failed = |source| Error::Failed { key: shard.key().clone(), source };
        check_source(shard.index(), &stat).map_err(failed)
    }

    /// Compares an index of go-car's with the shard's CAR, whatever state the shard is in, and lists `most_findings` at most of
    /// what is wrong. Records of identity CIDs may be missing. Where nothing is wrong, it sees to it that the shard is Available
    /// with an index of its own, which is made of the CAR and never of the other index; when the call returns, that is
    /// durable. Else nothing is changed.
    ///
    /// # Errors
    /// [`Error::Car`] when the CAR or the index can't be read, [`Error::Mount`]; those of [`acquire`](Self::acquire).
    #[tracing::instrument(level = "debug", skip(self, index))]
    pub async fn import_index(&self, key: &str, index: GoIndex, most_findings: usize) -> Result<IndexReport> {
        self.core.check_active()?;
        let source = self.source(key).await?;
        let (reader, options) = (source.reader.clone(), self.core.options.car.clone());
        let compare = move || CarReader::open(reader, options)?.compare_index(&index, false, most_findings);
        let compared = walk::off_the_runtime(self.core.options.blocking, compare);
        let report = self.core.unless_closed(compared).await???;
        if report.findings.is_empty() && report.left_out == 0 {
            self.see_to_index(key, &source).await?;
        }
        Ok(report)
    }

    /// The source of a shard, which need not have been indexed.
    async fn source(&self, key: &str) -> Result<Opened> {
        let place = self.place(key)?;
        if !place.is_copied() {
            return Ok(self.core.unless_closed(place.mount.open()).await??);
        }
        let info = self.info(key)?;
        let name = OwnName::new(&info.key, info.registration, info.attempt);
        let copy = |source| Error::Copy { key: info.key.clone(), source };
        let copies = self.core.copies.as_ref().ok_or_else(|| Error::NeedsCopy { url: info.url.clone() })?;
        let stat = self.core.unless_closed(place.mount.stat()).await??;
        let fetch = fetched::fetch(&self.core, copies, name, &place.mount, &stat, fetched::Room::InLine, None);
        let lease = self.core.unless_closed(fetch).await?.map_err(copy)?;
        Ok(Opened::new(lease.stat(), lease.reader().clone()))
    }

    fn place(&self, key: &str) -> Result<Place> {
        Ok(Place::of(&self.core.registry, &self.info(key)?.url)?)
    }

    async fn see_to_index(&self, key: &str, compared: &Opened) -> Result<()> {
        if self.info(key)?.state == ShardState::Errored {
            match self.recover(key).await {
                // Somebody else has recovered it meanwhile.
                Ok(()) | Err(Error::NotErrored(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let shard = self.acquire(key).await?;
        let meta = shard.index().meta();
        if (meta.car_size, &meta.validator) == (compared.stat.size, &compared.stat.validator) {
            return Ok(());
        }
        let text = "the source changed after the index was compared with it; compare it once more";
        let source = ShardError::new(ErrorKind::SourceChanged, text);
        Err(Error::Failed { key: shard.key().clone(), source })
    }
}
