//! What becomes of a night's requests, drawn from a seed: the same request fares the same, whenever it is made.

use crate::{
    asked::{Asked, Deed, Side},
    fate::Fate,
};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How often requests meet a fault, from rare to heavy.
const RATES: [f64; 5] = [0.02, 0.04, 0.08, 0.15, 0.3];

/// The share of nights in which a request that meets a fault meets it again however often it is tried.
const STUBBORN: f64 = 0.15;

/// The share of faults that waiting does not mend.
const LASTING: f64 = 0.04;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    seed: u64,
    rate: f64,
    is_stubborn: bool,
}

/// A number from 0 to 1 that the seed and what it is for decide.
pub(crate) fn share(seed: u64, of: impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    (seed, of).hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}

/// One of several, in the same way.
pub(crate) fn one_of<T: Copy>(seed: u64, of: impl Hash, choices: &[T]) -> T {
    choices[((share(seed, of) * choices.len() as f64) as usize).min(choices.len() - 1)]
}

impl Weather {
    pub(crate) fn of(seed: u64) -> Self {
        let is_stubborn = share(seed, "stubborn") < STUBBORN;
        let rate = if is_stubborn { RATES[0] } else { one_of(seed, "rate", &RATES) };
        Self { seed, rate, is_stubborn }
    }

    pub(crate) fn fate(self, asked: &Asked) -> Fate {
        let tries = if self.is_stubborn { 0 } else { asked.tries };
        let (seed, of) = (self.seed, (asked.target(), tries));
        if share(seed, ("meets", &of)) >= self.rate {
            return Fate::Passes;
        }
        let lasting = lasting(asked);
        if !lasting.is_empty() && share(seed, ("lasts", &of)) < LASTING {
            return one_of(seed, ("which", &of), lasting);
        }
        one_of(seed, ("which", &of), &passing(asked))
    }
}

/// Faults that another try may not meet.
fn passing(asked: &Asked) -> Vec<Fate> {
    let mut fates = vec![
        Fate::Refused("500 InternalError"),
        Fate::Refused("503 SlowDown"),
        Fate::Refused("503 ServiceUnavailable"),
        Fate::Refused("429 TooManyRequests"),
        Fate::Refused("408 RequestTimeout"),
        Fate::Lost,
        Fate::Held,
        Fate::Unheard,
    ];
    let breaks = [Fate::Reset(0), Fate::Reset(500), Fate::Ends(0), Fate::Ends(500), Fate::Stalls(500)];
    let more: &[Fate] = match (asked.side, asked.deed) {
        (_, Deed::List) => &[Fate::Shorter, Fate::Unended, Fate::Elsewhere],
        (_, Deed::Look) => &[],
        (Side::Input, Deed::Read) => {
            &[Fate::Shorter, Fate::Overflows, Fate::Longer, Fate::WithoutEtag, Fate::WithoutEtag]
        }
        (Side::Lake, Deed::Read) if asked.key.ends_with(".parquet") => {
            &[Fate::Shorter, Fate::Overflows, Fate::Longer, Fate::Flipped, Fate::WithoutEtag]
        }
        (Side::Lake, Deed::Read) => &[Fate::Shorter, Fate::Longer],
        (_, Deed::Write) => {
            const AGAIN: Fate = Fate::Denied("500 InternalError");
            &[AGAIN, AGAIN, Fate::Late, Fate::Late, Fate::Refused("409 OperationAborted")]
        }
        (_, Deed::Delete) => &[Fate::Denied("500 InternalError"), Fate::Refused("403 AccessDenied")],
    };
    if asked.deed != Deed::Look {
        fates.extend(breaks);
    }
    fates.extend(more);
    fates
}

/// Faults that waiting does not mend.
fn lasting(asked: &Asked) -> &'static [Fate] {
    const DENIED: Fate = Fate::Refused("403 AccessDenied");
    const MISSING: Fate = Fate::Refused("404 NoSuchKey");
    match (asked.side, asked.deed) {
        (_, Deed::Delete) => &[],
        (_, Deed::List | Deed::Write) => &[DENIED],
        (Side::Input, Deed::Read) => &[DENIED, MISSING, Fate::Whole, Fate::OtherRange, Fate::OtherEtag],
        _ => &[DENIED, MISSING],
    }
}
