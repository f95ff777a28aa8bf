//! What can be done to a store.

use dagstore_engine::Remote;

use crate::content::Source;

/// Something that is done to a store, with what is needed before it.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// The methods of the engine that it stands for.
    pub methods: &'static [&'static str],
    /// What there is of the shard that it is done to.
    pub(crate) given: Given,
    pub(crate) remote: Remote,
    pub(crate) act: Act,
}

/// What there is before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    Nothing,
    /// A shard that was registered, and indexed.
    Available(Source),
    /// One that waits for its first acquire.
    Lazy(Source),
    /// One whose source failed, and is mended now.
    Errored(Source),
    /// One whose local copy is gone.
    Evicted(Source),
    /// One whose local copy is pinned.
    Pinned(Source),
    /// One whose copy is gone, and some of which was read since.
    Chunks(Source),
    /// One that goes by the index inside its CAR.
    Provisional(Source),
    /// Files and rows of a shard whose record is gone.
    Orphaned(Source),
    /// One that a process was initialising when it died, beside one that it was destroying.
    Interrupted(Source),
    /// The same, and a byte of what was fetched is another one now.
    Damaged(Source),
    /// One whose record can't be read.
    Quarantined(Source),
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Register(Source),
    RegisterMount(Source),
    RegisterLazy(Source),
    RegisterDetached(Source),
    Acquire,
    AcquireLocal,
    Get,
    Recover,
    Rebuild,
    Destroy,
    Gc,
    GcIdle,
    GcDry,
    Pin,
    Unpin,
    Evict,
    Adopt,
    ImportIndex,
    ExportIndex,
    Verify,
    Locate,
    Look,
    RetryQuarantined,
    DropQuarantined,
    Open,
    OpenTraced,
    Close,
}

const fn op(name: &'static str, methods: &'static [&'static str], given: Given, act: Act) -> Operation {
    Operation { name, methods, given, remote: Remote::Piecewise, act }
}

const fn copied(name: &'static str, methods: &'static [&'static str], given: Given, act: Act) -> Operation {
    Operation { name, methods, given, remote: Remote::Copied, act }
}

/// All of them. A test holds the methods against those of the engine.
pub const OPERATIONS: &[Operation] = {
    use Given as G;
    use Source::{Inline, Near, Remote as Away};
    &[
        op("register-local", &["register"], G::Nothing, Act::Register(Near)),
        op("register-mount", &["register_mount"], G::Nothing, Act::RegisterMount(Near)),
        op("register-remote", &["register"], G::Nothing, Act::Register(Away)),
        copied("register-copied", &["register"], G::Nothing, Act::Register(Away)),
        op("register-lazy", &["register"], G::Nothing, Act::RegisterLazy(Away)),
        op("register-detached", &["register"], G::Nothing, Act::RegisterDetached(Away)),
        op("register-inline", &["register"], G::Nothing, Act::Register(Inline)),
        op("acquire-local", &["acquire"], G::Available(Near), Act::Acquire),
        op("acquire-copy", &["acquire"], G::Available(Away), Act::Acquire),
        op("acquire-lazy-local", &["acquire"], G::Lazy(Near), Act::Acquire),
        op("acquire-lazy", &["acquire"], G::Lazy(Away), Act::Acquire),
        op("acquire-lazy-inline", &["acquire"], G::Lazy(Inline), Act::Acquire),
        op("acquire-evicted", &["acquire"], G::Evicted(Away), Act::Acquire),
        copied("acquire-evicted-copied", &["acquire"], G::Evicted(Away), Act::Acquire),
        copied("acquire-chunks-copied", &["acquire"], G::Chunks(Away), Act::Acquire),
        op("acquire-on-this-machine", &["acquire_local"], G::Available(Away), Act::AcquireLocal),
        op("get", &["get"], G::Evicted(Away), Act::Get),
        op("get-lazy", &["get"], G::Lazy(Away), Act::Get),
        op("recover-local", &["recover"], G::Errored(Near), Act::Recover),
        op("recover-remote", &["recover"], G::Errored(Away), Act::Recover),
        op("rebuild-local", &["rebuild_index"], G::Available(Near), Act::Rebuild),
        op("rebuild-evicted", &["rebuild_index"], G::Evicted(Away), Act::Rebuild),
        op("rebuild-provisional", &["rebuild_index"], G::Provisional(Inline), Act::Rebuild),
        op("destroy-local", &["destroy"], G::Available(Near), Act::Destroy),
        op("destroy-remote", &["destroy"], G::Available(Away), Act::Destroy),
        op("destroy-pinned", &["destroy"], G::Pinned(Away), Act::Destroy),
        op("destroy-chunks", &["destroy"], G::Chunks(Away), Act::Destroy),
        op("gc-orphans", &["gc"], G::Orphaned(Away), Act::Gc),
        op("gc-idle-copies", &["gc_with"], G::Available(Away), Act::GcIdle),
        op("gc-dry-run", &["gc_with"], G::Orphaned(Away), Act::GcDry),
        op("pin", &["pin"], G::Available(Away), Act::Pin),
        op("pin-evicted", &["pin"], G::Chunks(Away), Act::Pin),
        op("pin-provisional", &["pin"], G::Provisional(Inline), Act::Pin),
        op("unpin", &["unpin"], G::Pinned(Away), Act::Unpin),
        op("evict", &["evict"], G::Available(Away), Act::Evict),
        op("evict-chunks", &["evict"], G::Chunks(Away), Act::Evict),
        op("adopt", &["adopt"], G::Evicted(Away), Act::Adopt),
        op("import-index", &["import_index"], G::Errored(Away), Act::ImportIndex),
        op("export-index", &["go_index"], G::Available(Away), Act::ExportIndex),
        op("verify", &["verify"], G::Available(Away), Act::Verify),
        op("locate", &["locate", "locate_unavailable"], G::Available(Near), Act::Locate),
        op(
            "look",
            &[
                "info",
                "is_open",
                "shards",
                "counts",
                "copies",
                "copies_used_bytes",
                "degraded",
                "quarantined",
                "registry",
                "trace",
                "failures",
            ],
            G::Available(Away),
            Act::Look,
        ),
        op("retry-quarantined", &["retry_quarantined"], G::Quarantined(Away), Act::RetryQuarantined),
        op("drop-quarantined", &["drop_quarantined"], G::Quarantined(Away), Act::DropQuarantined),
        op("open", &["open", "resumed"], G::Available(Away), Act::Open),
        op("resume", &["open_traced", "resumed"], G::Interrupted(Away), Act::OpenTraced),
        op("resume-damaged", &["open", "resumed"], G::Damaged(Away), Act::Open),
        op("close", &["close"], G::Chunks(Away), Act::Close),
    ]
};

impl Operation {
    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|operation| operation.name == name)
    }

    /// Whether the store isn't open before.
    pub(crate) fn opens(&self) -> bool {
        matches!(self.act, Act::Open | Act::OpenTraced)
    }
}
