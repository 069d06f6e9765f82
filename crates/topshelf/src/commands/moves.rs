//! `rollback`, `pin`, `unpin`, `pins` and `moves`: what someone decides that readers see, and what has changed it.

use super::{
    ledger::minute,
    output::{Output, grouped, table},
    stages::of_advertisers,
};
use crate::{
    cli::{Moves, Pin, Rollback, Unpin},
    failure::Failure,
    pipeline::Night,
};
use domain::{Day, RunId};
use jiff::civil::Date;
use serde_json::json;
use std::collections::BTreeMap;
use store::{Back, Decision, Move, MovedBack, Store};

/// Points readers back, or undoes that.
pub(super) async fn rollback(night: &Night, flags: &Rollback, output: Output) -> Result<(), Failure> {
    let store = night.existing_store().await?;
    let at = night.clock.now();
    let decision = Decision { advertiser: flags.advertiser.as_ref(), reason: &flags.reason, at };
    let moved = match (&flags.to, flags.day) {
        _ if flags.undo => store.undo_rollback(flags.day, &flags.reason, at).await?,
        (Some(run), _) => store.roll_back(Back::To(run), decision).await?,
        (None, Some(day)) => store.roll_back(Back::Before(day), decision).await?,
        (None, None) => unreachable!("the command line asks for one of them"),
    };
    let newest_day = store.days_before(Day::from_date(Date::MAX), 1).await?.pop();
    let MovedBack { day, advertiser_id, from_run, to_run, advertisers, is_further } = &moved;
    let json = json!({
        "day": day, "advertiser_id": advertiser_id, "from_run": from_run, "to_run": to_run,
        "advertisers": advertisers, "is_further": is_further, "newest_day": newest_day,
    });
    output.either(&json, || moved_text(&moved))?;
    if output.is_for_people() {
        notices(&moved, newest_day, flags.undo).iter().for_each(|notice| eprintln!("{notice}"));
    }
    Ok(())
}

fn moved_text(moved: &MovedBack) -> String {
    let MovedBack { day, advertiser_id, from_run, to_run, advertisers, .. } = moved;
    let what = match advertiser_id {
        Some(advertiser) => format!("{day} of advertiser {advertiser}"),
        None => format!("{day}, {}", of_advertisers(*advertisers)),
    };
    let run = |run: &Option<RunId>| run.as_ref().map_or("nothing".to_owned(), |run| format!("run {run}"));
    format!("{what}: readers see {}, no longer {}", run(to_run), run(from_run))
}

/// What a person should know beside what was done, most of all what those see who ask for no day.
fn notices(moved: &MovedBack, newest_day: Option<Day>, is_undo: bool) -> Vec<String> {
    let mut notices = Vec::new();
    if moved.is_further {
        notices.push(format!(
            "the last thing that had happened to {} was a rollback already: this one led further back",
            moved.day
        ));
    }
    let whom = moved.advertiser_id.as_ref().map_or(String::new(), |id| format!(" --advertiser '{id}'"));
    notices.push(match newest_day {
        None => "nothing is published any more".to_owned(),
        Some(newest) if newest > moved.day && !is_undo => format!(
            "readers who ask for no day see {newest} as before; `topshelf rollback --day {newest}{whom}` takes that back too"
        ),
        Some(newest) => format!("readers who ask for no day see {newest}"),
    });
    if !is_undo {
        notices.push("`topshelf rollback --undo` undoes it".to_owned());
    }
    notices
}

/// Keeps an advertiser at a run.
pub(super) async fn pin(night: &Night, flags: &Pin, output: Output) -> Result<(), Failure> {
    let Pin { advertiser, run, reason } = flags;
    let store = night.existing_store().await?;
    let decision = Decision { advertiser: None, reason, at: night.clock.now() };
    let run = store.pin(run, advertiser, decision).await?;
    let json = json!({ "advertiser_id": advertiser, "run_id": run, "reason": reason });
    output.either(&json, || {
        format!("advertiser {advertiser} stays at run {run} until `topshelf unpin {advertiser}`")
    })
}

/// Lets an advertiser follow publications again.
pub(super) async fn unpin(night: &Night, flags: &Unpin, output: Output) -> Result<(), Failure> {
    let Unpin { advertiser, reason } = flags;
    let store = night.existing_store().await?;
    let decision = Decision { advertiser: None, reason, at: night.clock.now() };
    let run = store.unpin(advertiser, decision).await?;
    let json = json!({ "advertiser_id": advertiser, "run_id": run, "reason": reason });
    output.either(&json, || {
        format!("readers of advertiser {advertiser} see what is published, no longer run {run}")
    })
}

/// Lists who is pinned.
pub(super) async fn pins(night: &Night, output: Output) -> Result<(), Failure> {
    let store = Store::open_existing(night.database()?).await?;
    let pins = store.pins().await?;
    let to_json = |pin: &store::Pin| {
        json!({
            "advertiser_id": pin.advertiser_id, "day": pin.day, "run_id": pin.run_id,
            "reason": pin.reason, "pinned_at": pin.pinned_at,
        })
    };
    let json = json!({ "pins": pins.iter().map(to_json).collect::<Vec<_>>() });
    output.either(&json, || {
        if pins.is_empty() {
            return "no advertiser is pinned".to_owned();
        }
        let mut table = table(&["advertiser", "day", "run", "since", "reason"], &[]);
        for pin in &pins {
            table.add_row([
                pin.advertiser_id.to_string(),
                pin.day.to_string(),
                pin.run_id.to_string(),
                minute(pin.pinned_at),
                pin.reason.clone(),
            ]);
        }
        table.to_string()
    })
}

/// Lists what changed what readers see.
pub(super) async fn moves(night: &Night, flags: &Moves, output: Output) -> Result<(), Failure> {
    let store = Store::open_existing(night.database()?).await?;
    let moves = store.moves(flags.limit as usize, flags.day).await?;
    output.either(&json!({ "moves": moves }), || {
        if moves.is_empty() {
            return format!("nothing was published in {}", store.description());
        }
        moves_table(&moves)
    })
}

fn moves_table(moves: &[Move]) -> String {
    let mut table = table(&["when", "what", "day", "advertiser", "came", "went", "reason"], &[]);
    for of in moves {
        let came = if of.is_of_pin() { of.run_id.to_string() } else { runs(&of.came) };
        table.add_row([
            minute(of.at),
            of.kind.clone(),
            of.day.to_string(),
            of.advertiser_id.as_ref().map_or("all".to_owned(), ToString::to_string),
            came,
            runs(&of.went),
            of.reason.clone().unwrap_or_default(),
        ]);
    }
    table.to_string()
}

/// Of how many advertisers readers see which run.
fn runs(runs: &BTreeMap<RunId, u64>) -> String {
    let of_run = |(run, advertisers): (&RunId, &u64)| format!("{run} ({})", grouped(*advertisers));
    runs.iter().map(of_run).collect::<Vec<_>>().join("\n")
}
