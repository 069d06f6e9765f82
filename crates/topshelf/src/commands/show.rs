//! `show`: what the API would answer, without the API.

use super::output::{Output, grouped, table};
use crate::{
    cli::Show,
    failure::{Exit, Failure},
    pipeline::Night,
};
use api::{Code, History, Problem, Recommendation, Recommendations};
use store::Store;

/// Prints an advertiser's rankings, from what is published.
pub(super) async fn show(night: &Night, flags: &Show, output: Output) -> Result<(), Failure> {
    let store = Store::open_existing(night.database()?).await?;
    let snapshot = api::load(&store, &super::serve::options(night)).await.map_err(Failure::of)?;
    let promised_day = night.schedule.promise(night.clock.now()).newest_day;
    let advertiser = flags.advertiser.as_str();
    match &flags.model {
        Some(model) => {
            let answer = snapshot.recommendations(advertiser, model, flags.day, promised_day);
            let answer = answer.or_else(|problem| refuse(&problem, &store, output))?;
            output.either(&answer, || recommendations_text(&answer))
        }
        None => {
            let answer = snapshot.history(advertiser, None, flags.days as usize);
            let answer = answer.or_else(|problem| refuse(&problem, &store, output))?;
            output.either(&answer, || history_text(&answer))
        }
    }
}

/// The API's problem, as JSON for programs, and as the command's failure.
fn refuse<T>(problem: &Problem, store: &Store, output: Output) -> Result<T, Failure> {
    output.json_only(&problem.body())?;
    let exit = if problem.code() == Code::UnknownModel { Exit::Usage } else { Exit::Failed };
    Err(Failure::new(exit, format!("{problem} ({})", problem.code().name())).help(format!(
        "looked in {}, another is named by --store; `topshelf runs` lists what was published in it",
        store.description()
    )))
}

fn recommendations_text(answer: &Recommendations<'_>) -> String {
    let stale = if answer.stale { ", stale" } else { "" };
    let held = answer.held.map(|held| {
        format!(
            "{} is held back by the check {} (run {}): {}\n",
            held.day, held.check, held.run_id, held.message
        )
    });
    format!(
        "{} · {} · {}{stale} (run {}, published {})\n{}{}",
        answer.advertiser_id,
        answer.model,
        answer.day,
        answer.run_id,
        answer.published_at,
        held.unwrap_or_default(),
        ranking_table(&answer.recommendations)
    )
}

fn history_text(answer: &History<'_>) -> String {
    let mut text = format!("{} · {} to {}", answer.advertiser_id, answer.from, answer.to);
    for day in &answer.days {
        for (model, recommendations) in &day.models {
            text += &format!("\n\n{} · {model}\n{}", day.day, ranking_table(recommendations));
        }
    }
    text
}

fn ranking_table(recommendations: &[Recommendation<'_>]) -> String {
    let numbers = ["rank", "score", "impressions", "clicks", "views"];
    let mut table = table(&["rank", "product", "score", "impressions", "clicks", "views"], &numbers);
    for product in recommendations {
        let score = if product.score.fract() == 0.0 {
            format!("{}", product.score)
        } else {
            format!("{:.6}", product.score)
        };
        table.add_row([
            product.rank.to_string(),
            product.product_id.to_string(),
            score,
            grouped(product.impressions),
            grouped(product.clicks),
            grouped(product.views),
        ]);
    }
    table.to_string()
}
