//! What the shards hold.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use dagstore_car::{CarReader, IndexCodec, ReadOptions, V2Options};
use dagstore_testkit::cars::{self, TestCar};

/// What a shard is a shard of. Each has blocks of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// On this machine.
    Here,
    /// On this machine; what operations are done to.
    Near,
    /// Far away.
    Far,
    /// Far away; what operations are done to.
    Remote,
    /// Far away, a CARv2 with an index inside; what operations are done to.
    Inline,
}

impl Source {
    pub(crate) const ALL: [Self; 5] = [Self::Here, Self::Near, Self::Far, Self::Remote, Self::Inline];

    pub(crate) fn url(self) -> &'static str {
        match self {
            Self::Here => "here:a",
            Self::Near => "near:x",
            Self::Far => "wire:b",
            Self::Remote => "wire:x",
            Self::Inline => "wire:v",
        }
    }

    /// The part of the URL behind the scheme.
    pub(crate) fn location(self) -> &'static str {
        self.url().split_once(':').map_or("", |(_, location)| location)
    }

    pub(crate) fn of_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.url() == url)
    }

    pub(crate) fn car(self) -> &'static TestCar {
        static CARS: OnceLock<Vec<TestCar>> = OnceLock::new();
        let cars = CARS.get_or_init(|| Self::ALL.map(Self::make).into());
        &cars[self as usize]
    }

    fn make(self) -> TestCar {
        match self {
            Self::Here => cars::numbered(4, 200),
            Self::Near => cars::numbered(4, 250),
            Self::Far => cars::numbered(4, 900),
            Self::Remote => cars::numbered(5, 800),
            Self::Inline => with_index(cars::numbered(4, 850)),
        }
    }
}

#[expect(clippy::expect_used, reason = "a CAR of this crate's own, in memory")]
fn with_index(mut car: TestCar) -> TestCar {
    let reader = CarReader::open(Arc::new(Bytes::from(car.bytes.clone())), ReadOptions::default());
    let mut whole = Vec::new();
    let options = V2Options::default().with_index(IndexCodec::MultihashSorted);
    reader.expect("it is a CAR").wrap(options, &mut whole).expect("a Vec takes everything");
    car.bytes = whole;
    car
}
