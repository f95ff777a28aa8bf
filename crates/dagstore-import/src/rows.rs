//! The rows of a table as they come to the target: records in another codec where that is asked for.

use std::sync::Arc;

use dagstore::codec::{Codec, Codecs, Row, encode_row};
use dagstore::datastore::{Datastore, RowPage, RowStream, stream_of_pages};

use crate::Result;
use crate::tables::Table;

/// What is done with records.
#[derive(Debug, Clone)]
pub(crate) struct Recoding {
    codecs: Codecs,
    /// None leaves them as they are.
    writer: Option<Arc<dyn Codec>>,
}

impl Recoding {
    pub(crate) fn new(writer: Option<Arc<dyn Codec>>) -> Self {
        Self { codecs: Codecs::default(), writer }
    }

    pub(crate) fn name(&self) -> Option<&'static str> {
        self.writer.as_deref().map(Codec::name)
    }

    /// The page as it is in the target. Records that can't be read stay byte for byte what they are, and are counted.
    pub(crate) fn page(&self, table: Table, page: RowPage) -> Result<(RowPage, u64)> {
        let (Table::Shards, Some(writer)) = (table, self.writer.as_deref()) else { return Ok((page, 0)) };
        let (mut recoded, mut unread) = (RowPage::new(), 0);
        for (key, value) in page.iter() {
            if let Ok(record) = Row::split(value).and_then(|row| row.decode(&self.codecs)) {
                recoded.push(key, &encode_row(writer, &record)?);
            } else {
                unread += 1;
                recoded.push(key, value);
            }
        }
        Ok((recoded, unread))
    }
}

/// The rows of a table behind `after`, page by page.
pub(crate) fn rows_behind(datastore: &Arc<dyn Datastore>, table: Table, after: Option<Vec<u8>>) -> RowStream {
    let (datastore, namespace) = (datastore.clone(), table.namespace());
    stream_of_pages(move |last: Option<Vec<u8>>| {
        let (datastore, after) = (datastore.clone(), last.or_else(|| after.clone()));
        async move { datastore.rows(namespace, &[], after.as_deref(), usize::MAX).await }
    })
}
