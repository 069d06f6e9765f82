//! Who sends a request, with which key, and what may come back to it.

use crate::{answers::Answer, random::Random, requests::Request, scene::Scene};
use std::iter;

/// The advertiser that only a key for all is for.
pub(crate) const RIVAL: &str = "rival";

/// Its product, which nobody else has and no request names.
pub(crate) const RIVALS_PRODUCT: &str = "sku-of-the-rival";

/// Which advertisers exist for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sees {
    All,
    /// `acme` alone.
    Acme,
    /// None: without a valid key.
    Nothing,
}

#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) sees: Sees,
    /// The line of the head with the key, without its end; empty without a key.
    pub(crate) field: Vec<u8>,
}

/// All who call a server; the first sees all.
pub(crate) struct Callers(Vec<Caller>);

impl Callers {
    /// Of a server that asks for no keys.
    pub(crate) fn anyone() -> Self {
        Self(vec![Caller { sees: Sees::All, field: Vec::new() }])
    }

    /// Of a server that asks for keys, which are made here: holders of good keys of both kinds, and those who have none
    /// that is good.
    pub(crate) fn with_keys(scene: &Scene) -> Self {
        let key = |name: &str, scope: &[&str]| {
            let made = scene.end_well(&[&["keys", "create", "--name", name], scope].concat());
            made.stdout.trim_end().to_owned()
        };
        let all = key("all", &["--all"]);
        let acme = key("acme", &["--advertiser", "acme"]);
        let revoked = key("revoked", &["--all"]);
        scene.end_well(&["keys", "revoke", "revoked"]);
        let (id, secret) = (&all[..17], &acme[17..]);
        let wrong = [
            revoked.clone(),
            format!("{id}{secret}"),
            format!("{all}x"),
            all[..all.len() - 1].to_owned(),
            all.to_ascii_uppercase(),
            format!("{all}, {acme}"),
            format!("{}{}", &all[..17], "A".repeat(43)),
            "x".repeat(5_000),
            id.to_owned(),
        ];
        let good = [(Sees::All, &all), (Sees::Acme, &acme)].into_iter().flat_map(|(sees, key)| {
            let ways = [format!("Authorization: Bearer {key}"), format!("x-api-KEY:{key}")];
            // As many as have none that is good.
            ways.map(|field| (sees, field)).into_iter().cycle().take(12)
        });
        let wrong = wrong.iter().flat_map(|key| {
            [format!("X-Api-Key: {key}"), format!("Authorization: Bearer {key}")]
                .map(|field| (Sees::Nothing, field))
        });
        let without = [
            format!("Authorization: Basic {all}"),
            format!("X-Api-Key: {revoked}\r\nX-Api-Key: {all}"),
            format!("Cookie: key={all}"),
        ];
        let without = without.map(|field| (Sees::Nothing, field));
        let none = iter::repeat_n((Sees::Nothing, String::new()), 4);
        let callers = good.chain(wrong).chain(without).chain(none);
        Self(callers.map(|(sees, field)| Caller { sees, field: field.into() }).collect())
    }

    /// One who sees all.
    pub(crate) fn first(&self) -> &Caller {
        &self.0[0]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Caller> {
        self.0.iter()
    }

    /// Any of them.
    pub(crate) fn one(&self, random: &mut Random) -> &Caller {
        &self.0[random.below(self.0.len())]
    }
}

impl Caller {
    /// Nothing of the rival comes to whom it does not exist for, but its name to who asked for it.
    pub(crate) fn expect_nothing_else_in(&self, answer: &Answer, request: &Request) {
        if self.sees == Sees::All {
            return;
        }
        let is_told = answer.has(RIVALS_PRODUCT) || (answer.has(RIVAL) && !request.has(RIVAL));
        assert!(!is_told, "{self:?} was told {answer:?} by {request:?}");
    }
}
