//! Advertisers in one piece of text.

use super::Corrupt;
use domain::ID_BYTES_MAX;

/// Advertisers in byte order, once each; an advertiser's index is its place.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Advertisers {
    /// `ends[place]` is one past the last byte of the advertiser's id.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Advertisers {
    /// Room for so many.
    #[must_use]
    pub fn with_capacity(advertisers: usize) -> Self {
        Self { ends: Vec::with_capacity(advertisers), bytes: Vec::new() }
    }

    /// Adds the next.
    ///
    /// # Errors
    /// When it has not 1–255 bytes or does not come after the last.
    pub fn push(&mut self, id: &str) -> Result<(), Corrupt> {
        if !(1..=ID_BYTES_MAX).contains(&id.len()) {
            return Err(Corrupt::new(format!("the advertiser id {id:?} has {} bytes", id.len())));
        }
        if let Some(last) = self.last()
            && last >= id
        {
            return Err(Corrupt::new(format!("advertiser {id:?} does not come after {last:?}")));
        }
        let end = u32::try_from(self.bytes.len() + id.len());
        self.ends.push(end.map_err(|_| "the ids of advertisers come to more than 4 GiB")?);
        self.bytes.extend_from_slice(id.as_bytes());
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The advertiser at `place`.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn get(&self, place: usize) -> &str {
        std::str::from_utf8(self.bytes_at(place)).expect("an id was pushed as a str")
    }

    /// The place of the advertiser.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<usize> {
        let (mut first, mut end) = (0, self.len());
        while first < end {
            let middle = usize::midpoint(first, end);
            match self.bytes_at(middle).cmp(id.as_bytes()) {
                std::cmp::Ordering::Less => first = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        None
    }

    /// All of them, in byte order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|place| self.get(place))
    }

    /// The last.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.len().checked_sub(1).map(|place| self.get(place))
    }

    /// The bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.ends.capacity() * size_of::<u32>() + self.bytes.capacity()
    }

    pub(super) fn bytes_at(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.bytes[start as usize..self.ends[place] as usize]
    }

    pub(super) fn shrink(&mut self) {
        self.ends.shrink_to_fit();
        self.bytes.shrink_to_fit();
    }
}

impl std::fmt::Debug for Advertisers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertisers_are_found_where_they_were_pushed() {
        let ids = ["a", "a b", "b", "é", "日本"];
        let mut advertisers = Advertisers::default();
        ids.iter().for_each(|id| advertisers.push(id).unwrap());
        assert_eq!(advertisers.iter().collect::<Vec<_>>(), ids);
        for (place, id) in ids.iter().enumerate() {
            assert_eq!((advertisers.find(id), advertisers.get(place)), (Some(place), *id));
        }
        for id in ["", "A", "aa", "c", "日"] {
            assert_eq!(advertisers.find(id), None, "{id}");
        }
        assert_eq!(Advertisers::default().find("a"), None);
    }

    #[test]
    fn what_is_no_next_advertiser_is_refused() {
        let mut advertisers = Advertisers::default();
        advertisers.push("b").unwrap();
        for id in ["", "a", "b", &"x".repeat(256)] {
            assert!(advertisers.push(id).is_err(), "{id:?}");
        }
        assert_eq!(advertisers.len(), 1);
    }
}
