//! Many sorted sequences become one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::vec;

use crate::Result;
use crate::entry::Entry;
use crate::run::RunReader;

/// A sorted sequence of entries.
#[derive(Debug)]
pub(crate) enum Source {
    /// Out of memory.
    Memory(vec::IntoIter<Entry>),
    /// Out of a spilled run.
    Run(RunReader),
}

impl Iterator for Source {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        match self {
            Self::Memory(entries) => entries.next().map(Ok),
            Self::Run(entries) => entries.next(),
        }
    }
}

/// The entries of all sources in order. The first error ends it: what comes after is unspecified.
#[derive(Debug)]
pub(crate) enum Merge {
    /// There is nothing to merge.
    One(Source),
    Many(Heap),
}

/// Two sources or more.
#[derive(Debug)]
pub(crate) struct Heap {
    sources: Vec<Source>,
    /// The next entry of each source that has one, and which source that is.
    heads: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl Merge {
    pub(crate) fn new(mut sources: Vec<Source>) -> Result<Self> {
        if sources.len() == 1
            && let Some(one) = sources.pop()
        {
            return Ok(Self::One(one));
        }
        let mut heads = BinaryHeap::with_capacity(sources.len());
        for (number, source) in sources.iter_mut().enumerate() {
            if let Some(entry) = source.next() {
                heads.push(Reverse((entry?, number)));
            }
        }
        Ok(Self::Many(Heap { sources, heads }))
    }
}

impl Iterator for Merge {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        match self {
            Self::One(source) => source.next(),
            Self::Many(heap) => heap.next(),
        }
    }
}

impl Heap {
    fn next(&mut self) -> Option<Result<Entry>> {
        let mut head = self.heads.peek_mut()?;
        let Reverse((entry, number)) = *head;
        match self.sources[number].next() {
            Some(Ok(next)) => *head = Reverse((next, number)),
            Some(Err(error)) => return Some(Err(error)),
            None => {
                PeekMut::pop(head);
            }
        }
        Some(Ok(entry))
    }
}
