//! `input`: whether a day's input is there.

use super::{
    output::{Output, grouped, table},
    stages::day_or_ended,
};
use crate::{
    failure::Failure,
    pipeline::{self, Arrived, Night},
};
use domain::Day;

/// Tells what is there of the day's input, and fails with what lacks.
pub(super) async fn input(night: &Night, day: Option<Day>, output: Output) -> Result<(), Failure> {
    let arrived = pipeline::arrived(night, day_or_ended(night, day)).await?;
    output.either(&arrived, || text(&arrived))
}

fn text(arrived: &Arrived) -> String {
    let numbers = ["objects", "bytes"];
    let mut table = table(&[&["log"][..], &numbers].concat(), &numbers);
    for (log, there) in &arrived.logs {
        table.add_row([log.to_string(), grouped(there.objects as u64), grouped(there.size_bytes)]);
    }
    let models: Vec<_> = arrived.models.iter().map(ToString::to_string).collect();
    let models = if models.is_empty() { "nothing".to_owned() } else { models.join(", ") };
    let mut text = format!("{table}\nthe input of {} is there; it can be ranked by {models}", arrived.day);
    for (model, reason) in &arrived.not_computed {
        text += &format!("\n{model} cannot be computed: {reason}");
    }
    text
}
