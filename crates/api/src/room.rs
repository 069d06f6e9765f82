//! The memory for bodies under way: a fixed amount for all, of which one address has a share.

use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Memory for the bodies of requests and for long answers, until they have been read or sent.
#[derive(Debug)]
pub(crate) struct Room {
    taken: AtomicUsize,
    bytes_max: usize,
}

/// What one address has of it. Whoever has none yet may take whatever is there, and a quarter of all otherwise.
#[derive(Debug, Default)]
pub(crate) struct Share {
    taken: AtomicUsize,
}

/// A part of the room, given back when dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Arc<Room>,
    share: Option<Arc<Share>>,
    bytes: usize,
}

impl Room {
    /// The part of the room that one address may have.
    const SHARE: usize = 4;

    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), bytes_max })
    }

    /// Nothing of it yet, for an address or for a proxy, which has no share.
    pub(crate) fn enter(self: &Arc<Self>, share: Option<&Arc<Share>>) -> Taken {
        Taken { room: self.clone(), share: share.cloned(), bytes: 0 }
    }
}

impl Taken {
    /// Takes so many bytes more; none when they are not there.
    pub(crate) fn grow(mut self, bytes: usize) -> Option<Self> {
        let max = self.room.bytes_max;
        let of_all = |taken: usize| Some(taken + bytes).filter(|taken| *taken <= max);
        self.room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, of_all).ok()?;
        let own = self.bytes;
        let of_share = |taken: usize| {
            let has_others = taken > own;
            Some(taken + bytes).filter(|taken| !has_others || *taken <= max / Room::SHARE)
        };
        if let Some(share) = &self.share
            && share.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, of_share).is_err()
        {
            self.room.taken.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        self.bytes += bytes;
        Some(self)
    }

    /// Gives back what is more than so many bytes.
    pub(crate) fn shrink(mut self, bytes: usize) -> Self {
        let back = self.bytes.saturating_sub(bytes);
        self.give_back(back);
        self
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.room.taken.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(share) = &self.share {
            share.taken.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// `bytes`, for which this part was taken, until nobody has them any more.
    pub(crate) fn hold(self, bytes: Bytes) -> Bytes {
        struct Held(Bytes, #[expect(dead_code, reason = "it is there to be dropped")] Taken);
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Bytes::from_owner(Held(bytes, self))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_back_when_nobody_has_the_bytes() {
        let room = Room::new(100);
        let take = |bytes| room.enter(None).grow(bytes);
        let first = take(60).unwrap().hold(Bytes::from_static(b"answer"));
        assert!(take(41).is_none());
        let second = first.clone();
        drop(first);
        assert!(take(41).is_none());
        drop(second.slice(1..3));
        drop(second);
        assert!(take(50).unwrap().grow(51).is_none());
        assert!(take(50).unwrap().grow(50).is_some());
    }

    #[test]
    fn what_was_taken_too_much_is_given_back() {
        let room = Room::new(100);
        let share = Arc::new(Share::default());
        let take = |bytes| room.enter(Some(&share)).grow(bytes);
        let kept = take(90).unwrap().shrink(20);
        assert!(room.enter(None).grow(80).is_some());
        assert_eq!([take(6), take(5)].map(|taken| taken.is_some()), [false, true]);
        assert!(kept.shrink(30).grow(80).is_some(), "it does not grow by shrinking");
    }

    #[test]
    fn one_address_has_a_quarter_of_the_room_or_one_thing() {
        let room = Room::new(100);
        let share = Arc::new(Share::default());
        let take = |bytes| room.enter(Some(&share)).grow(bytes);
        let whole = take(50).unwrap().grow(40).unwrap();
        assert!(take(1).is_none(), "it has more than a quarter already");
        assert!(room.enter(Some(&Arc::default())).grow(10).is_some(), "another is not meant");
        drop(whole);
        let parts = [take(15), take(10), take(1)];
        assert_eq!(parts.each_ref().map(Option::is_some), [true, true, false]);
        drop(parts);
        assert!(take(100).is_some());
    }
}
