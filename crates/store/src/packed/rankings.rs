//! The rankings of one day and model in one piece of memory.

use super::{Corrupt, PackedRanking};

/// The rankings of one (day, model), by the advertiser's place.
#[derive(Clone, Default)]
pub struct PackedRankings {
    /// Where the ranking of each place starts in `rows`, and its length; nothing is of length 0.
    spans: Vec<(u32, u32)>,
    rows: Vec<u8>,
}

impl PackedRankings {
    /// No ranking at so many places.
    pub(super) fn new(places: usize) -> Self {
        Self { spans: vec![(0, 0); places], rows: Vec::new() }
    }

    /// The ranking at `place`; an empty one when there is none.
    #[must_use]
    pub fn ranking(&self, place: usize) -> PackedRanking<'_> {
        let (start, length) = self.spans.get(place).copied().unwrap_or_default();
        let (start, length) = (start as usize, length as usize);
        PackedRanking::of_checked(&self.rows[start..start + length])
    }

    /// How many places there are.
    #[must_use]
    pub fn places(&self) -> usize {
        self.spans.len()
    }

    /// How many rankings there are that are not empty.
    #[must_use]
    pub fn ranking_count(&self) -> usize {
        self.spans.iter().filter(|(_, length)| *length > 0).count()
    }

    /// The bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.spans.capacity() * size_of::<(u32, u32)>() + self.rows.capacity()
    }

    /// Puts at `place`, where nothing is yet, what `write` appends: one ranking.
    pub(super) fn put<E: From<Corrupt>>(
        &mut self,
        place: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.spans[place].1 > 0 {
            return Err(Corrupt::from("comes twice").into());
        }
        let start = self.rows.len();
        write(&mut self.rows)?;
        let too_large = || Corrupt::from("is past the 4 GiB that one day and model may come to");
        let span = |position: usize| u32::try_from(position).map_err(|_| too_large());
        span(self.rows.len())?;
        self.spans[place] = (span(start)?, span(self.rows.len() - start)?);
        Ok(())
    }

    /// Makes room for so many bytes more.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.rows.reserve_exact(bytes);
    }

    /// Gives back memory that is not needed.
    pub(super) fn shrink(&mut self) {
        self.rows.shrink_to_fit();
    }
}

impl PartialEq for PackedRankings {
    fn eq(&self, other: &Self) -> bool {
        let places = self.spans.len();
        places == other.spans.len() && (0..places).all(|place| self.ranking(place) == other.ranking(place))
    }
}

impl std::fmt::Debug for PackedRankings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rankings = (0..self.spans.len()).map(|place| (place, self.ranking(place)));
        f.debug_map().entries(rankings.filter(|(_, ranking)| !ranking.is_empty())).finish()
    }
}
