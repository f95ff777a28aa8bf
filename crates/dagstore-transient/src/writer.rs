//! The part of a fetch that blocks: shows bytes, writes them, makes them durable.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dagstore_fs::WriteFile;

use crate::error::failed;
use crate::names::{Id, Paths};
use crate::observer::Observer;
use crate::room::Room;
use crate::sidecar::{Form, Sidecar, remove_file, sync_directory};
use crate::state::{Marks, Progress, Shared};
use crate::{Error, Result};

/// A partial copy that is being written. All of it blocks.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    paths: Paths,
    /// What is durable. Its checksum and durable bytes are those of the last checkpoint.
    sidecar: Sidecar,
    marks: Arc<Marks>,
    room: Arc<Room>,
    progress: Arc<Progress>,
    observer: Option<Box<dyn Observer>>,
    file: Box<dyn WriteFile>,
    /// How many bytes are written.
    at: u64,
    /// Their checksum.
    checksum: u32,
}

impl Writer {
    /// Begins a copy of which nothing is there. The sidecar is durable before there is a file that it stands for.
    pub(crate) fn create(
        shared: Arc<Shared>,
        sidecar: Sidecar,
        marks: Arc<Marks>,
        room: Arc<Room>,
        progress: Arc<Progress>,
        observer: Option<Box<dyn Observer>>,
    ) -> Result<Self> {
        let paths = shared.paths(Id::of(sidecar.name));
        shared.remove_copy(Id::of(sidecar.name))?;
        let sidecar = marks.on(&sidecar);
        sidecar.replace(&*shared.file_system, &paths)?;
        let file = shared.file_system.create(&paths.partial).map_err(failed("create", &paths.partial))?;
        Ok(Self { shared, paths, sidecar, marks, room, progress, observer, file, at: 0, checksum: 0 })
    }

    /// Goes on with what is on disk up to the last checkpoint, and shows it first.
    pub(crate) fn resume(
        shared: Arc<Shared>,
        sidecar: Sidecar,
        marks: Arc<Marks>,
        room: Arc<Room>,
        progress: Arc<Progress>,
        observer: Option<Box<dyn Observer>>,
    ) -> Result<Self> {
        let paths = shared.paths(Id::of(sidecar.name));
        let at = sidecar.durable;
        let file = shared.file_system.append(&paths.partial, at).map_err(|error| match error.kind() {
            // These don't pass, and a fetch that tried again and again to go on here would never end.
            ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::Unsupported | ErrorKind::InvalidInput => {
                Error::Damaged { path: paths.partial.clone(), what: "it can't be gone on with" }
            }
            _ => failed("open", &paths.partial)(error),
        })?;
        let mut writer = Self { shared, paths, sidecar, marks, room, progress, observer, file, at, checksum: 0 };
        // All of it is held against its checksum before any of it is shown: what was seen can't be unseen.
        writer.walk_what_is_there(|_, _, _| Ok(()))?;
        writer.walk_what_is_there(Self::show)?;
        Ok(writer)
    }

    fn walk_what_is_there(&mut self, mut take: impl FnMut(&mut Self, u64, &[u8]) -> Result<()>) -> Result<()> {
        let path = self.paths.partial.clone();
        let damaged = |what| Error::Damaged { path: path.clone(), what };
        let reader = self.shared.file_system.open(&path).map_err(failed("open", &path))?;
        let mut buffer = vec![0; self.shared.options.chunk_bytes.max(1)];
        let mut at = 0;
        self.checksum = 0;
        while at < self.at {
            let wanted = usize::try_from(self.at - at).unwrap_or(usize::MAX).min(buffer.len());
            let read = reader.read_at(at, &mut buffer[..wanted]);
            let read = read.map_err(|_| damaged("it can't be read"))?;
            if read < wanted {
                return Err(damaged("it is shorter than it was"));
            }
            self.checksum = crc32c::crc32c_append(self.checksum, &buffer[..read]);
            take(self, at, &buffer[..read])?;
            at += read as u64;
            self.progress.done.store(at, Ordering::Relaxed);
        }
        if self.checksum == self.sidecar.checksum { Ok(()) } else { Err(damaged("its checksum is wrong")) }
    }

    fn show(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let Some(observer) = &mut self.observer else { return Ok(()) };
        match observer.chunk(offset, bytes) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped { name: self.sidecar.name, at: offset + bytes.len() as u64 }),
        }
    }

    /// Writes the next bytes, shows them, and makes all durable where a checkpoint is due.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.at.saturating_add(bytes.len() as u64);
        if end > self.sidecar.size {
            return Err(self.wrong_size("at least", end));
        }
        self.file.write_all(bytes).map_err(failed("write", &self.paths.partial))?;
        self.room.written(bytes.len() as u64);
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        let offset = std::mem::replace(&mut self.at, end);
        self.progress.done.store(end, Ordering::Relaxed);
        self.show(offset, bytes)?;
        if end - self.sidecar.durable >= self.shared.options.checkpoint_bytes.max(1) && self.can_be_resumed() {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Where the source has nothing that tells one content from another, no later fetch can go on with this one.
    pub(crate) fn can_be_resumed(&self) -> bool {
        self.sidecar.validator.is_some()
    }

    /// Makes what was written durable, and only then says so in the sidecar.
    pub(crate) fn checkpoint(&mut self) -> Result<()> {
        if self.at > self.sidecar.durable {
            self.file.sync().map_err(failed("sync", &self.paths.partial))?;
            let next = Sidecar { durable: self.at, checksum: self.checksum, ..self.marks.on(&self.sidecar) };
            next.replace(&*self.shared.file_system, &self.paths)?;
            self.sidecar = next;
        }
        Ok(())
    }

    /// Ends the copy: bytes durable, then the sidecar that says complete, then the name.
    pub(crate) fn finish(mut self) -> Result<Sidecar> {
        if self.at < self.sidecar.size {
            return Err(self.wrong_size("only", self.at));
        }
        self.file.sync().map_err(failed("sync", &self.paths.partial))?;
        let (form, durable, checksum) = (Form::Complete, self.at, self.checksum);
        let complete = Sidecar { form, durable, checksum, ..self.marks.on(&self.sidecar) };
        let file_system = &*self.shared.file_system;
        complete.replace(file_system, &self.paths)?;
        file_system.rename(&self.paths.partial, &self.paths.copy).map_err(failed("rename", &self.paths.partial))?;
        sync_directory(file_system, &self.paths.copy)?;
        Ok(complete)
    }

    fn wrong_size(&self, relation: &'static str, given: u64) -> Error {
        Error::WrongSize { name: self.sidecar.name, announced: self.sidecar.size, relation, given }
    }
}

impl Shared {
    /// Removes a copy, partial or complete, whether or not a sidecar claims it: its bytes first and durably, so that there is
    /// never a file without a sidecar that says whose it is. A user's own file is none of it.
    pub(crate) fn remove_copy(&self, id: Id) -> Result<()> {
        let (file_system, paths) = (&*self.file_system, self.paths(id));
        let had_partial = remove_file(file_system, &paths.partial)?;
        if remove_file(file_system, &paths.copy)? || had_partial {
            sync_directory(file_system, &paths.copy)?;
        }
        remove_file(file_system, &paths.temporary)?;
        remove_file(file_system, &paths.sidecar)?;
        self.forget_strays(&paths.of_copy());
        Ok(())
    }
}
