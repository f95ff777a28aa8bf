//! A moment at which the power can go.

use bytes::Bytes;

use super::files::Files;
use super::{FileImage, Image, LossyRows};

/// What there was at a moment, durable or not.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Which one, counted from 0.
    pub number: usize,
    /// What had been done just before.
    pub point: String,
    /// The [mark](super::Power::mark) then.
    pub mark: usize,
    files: Files,
    rows: LossyRows<Bytes>,
}

impl Moment {
    pub(super) fn new(number: usize, point: String, mark: usize, files: Files, rows: LossyRows<Bytes>) -> Self {
        Self { number, point, mark, files, rows }
    }

    /// All that a cut can leave, the least first: batches that weren't synced are lost from some one on, and so are bytes and
    /// names.
    pub fn images(&self) -> Vec<Image> {
        let files = self.files.images();
        let rows = (0..=self.rows.buffered()).map(|kept| self.rows.with(kept));
        rows.flat_map(|rows| {
            let image = move |files: &FileImage| Image {
                files: files.clone(),
                directories: self.files.directories().clone(),
                rows: rows.clone(),
            };
            files.iter().map(image).collect::<Vec<_>>()
        })
        .collect()
    }

    pub(super) fn file_images(&self) -> Vec<FileImage> {
        self.files.images()
    }
}
