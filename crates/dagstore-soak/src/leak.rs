//! Leaks that are planted, to see that they are noticed.

use std::fmt;
use std::fs::File;
use std::str::FromStr;
use std::thread;

use crate::Result;

/// How much memory is lost at once, in bytes.
const LOST_BYTES: usize = 2 << 20;

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leak {
    /// An open file.
    Descriptor,
    /// A thread that never ends.
    Thread,
    /// Memory that was written to.
    Memory,
}

impl Leak {
    const ALL: [Self; 3] = [Self::Descriptor, Self::Thread, Self::Memory];

    fn name(self) -> &'static str {
        match self {
            Self::Descriptor => "descriptor",
            Self::Thread => "thread",
            Self::Memory => "memory",
        }
    }

    /// Loses something.
    pub(crate) fn lose(self) -> Result<()> {
        match self {
            Self::Descriptor => std::mem::forget(File::open("/dev/null")?),
            Self::Thread => {
                thread::Builder::new().spawn(|| {
                    loop {
                        thread::park();
                    }
                })?;
            }
            Self::Memory => std::mem::forget(std::hint::black_box(vec![1_u8; LOST_BYTES])),
        }
        Ok(())
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Leak {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let leak = Self::ALL.into_iter().find(|leak| leak.name() == text);
        leak.ok_or_else(|| format!("{text:?} is no leak; there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}
