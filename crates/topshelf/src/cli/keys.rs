//! Flags of the commands about keys of the API.

use super::advertiser_id;
use clap::{Args, Subcommand};
use domain::AdvertiserId;
use store::KeyName;

/// What to do about keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key for some advertisers or for all, and print it, this once
    #[command(
        after_help = "Examples:\n  topshelf keys create --name 'acme shop' --advertiser acme\n  topshelf keys create --name agency --advertiser acme bolt --advertiser zeta\n  topshelf keys create --name dashboard --all\n\nThe key is printed on stdout, all else on stderr. Only its SHA-256 is kept: a key that is lost is revoked, and another made.\nServers take it within serve.poll_seconds. Clients send it as `Authorization: Bearer KEY`."
    )]
    Create(CreateKey),
    /// All keys, those too that are revoked, in the order in which they were made
    #[command(
        after_help = "Examples:\n  topshelf keys list\n  topshelf keys list --json    # with all advertisers of each"
    )]
    List,
    /// Take a key out of force, for good; servers refuse it within serve.poll_seconds
    #[command(
        after_help = "Examples:\n  topshelf keys revoke 'acme shop'     # the key in force of this name\n  topshelf keys revoke 4h8k2m0x7qv1"
    )]
    Revoke(RevokeKey),
}

/// Flags of `keys create`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["advertiser", "all"]))]
pub struct CreateKey {
    /// What people call it; of keys in force, one has the name
    #[arg(long, value_name = "NAME")]
    pub name: KeyName,
    /// An advertiser whose rankings it is for; several may be given, and the flag repeated
    #[arg(long, value_name = "ADVERTISER", num_args = 1.., value_parser = advertiser_id)]
    pub advertiser: Vec<AdvertiserId>,
    /// For all advertisers, also those that come later, and for what is told of all of them together
    #[arg(long)]
    pub all: bool,
}

/// Flags of `keys revoke`.
#[derive(Debug, Args)]
pub struct RevokeKey {
    /// The key's id, or its name
    #[arg(value_name = "ID|NAME")]
    pub key: String,
}
