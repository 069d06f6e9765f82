//! Answers as they are sent: JSON objects whose fields stand in the order written here.
//!
//! They borrow from the snapshot they were read from; the OpenAPI document is made from them.

use crate::problem::ProblemBody;
use domain::{Day, ModelName, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{borrow::Cow, collections::BTreeMap};
use utoipa::ToSchema;

/// A product in its place.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Recommendation<'a> {
    /// The place, from 1.
    #[schema(example = 1)]
    pub rank: u32,
    /// The product.
    #[schema(example = "sku-4711")]
    pub product_id: &'a str,
    /// What the model orders by: clicks ÷ impressions for TopCTR, views for TopProduct.
    #[serde(serialize_with = "number")]
    #[schema(example = 0.125)]
    pub score: f64,
    /// Times the product's ad was shown that day.
    pub impressions: u64,
    /// Times the product's ad was clicked that day.
    pub clicks: u64,
    /// Visits of the product's page that day.
    pub views: u64,
}

/// The ranking of one advertiser by one model for one day.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Recommendations<'a> {
    /// Whose products.
    pub advertiser_id: &'a str,
    /// The model, in its own spelling.
    #[schema(value_type = String, example = "TopCTR")]
    pub model: &'a ModelName,
    /// The day of the data.
    #[schema(value_type = String, format = Date, example = "2024-11-20")]
    pub day: Day,
    /// The run that made the ranking.
    #[schema(value_type = String, example = "20241121T023000Z-3f9a1c2e")]
    pub run_id: &'a RunId,
    /// When the run was published for this advertiser and day.
    #[schema(value_type = String, format = DateTime)]
    pub published_at: Timestamp,
    /// Whether a newer day should be served: the newest published day is older than the schedule promises,
    /// or a newer ranking was held back.
    pub stale: bool,
    /// Why a newer ranking is not served; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Held<'a>>,
    /// At least one product, best first.
    pub recommendations: Vec<Recommendation<'a>>,
}

/// A ranking that readers do not see: a check held it back before it was published, or someone decided so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Held<'a> {
    /// The day of its data.
    #[schema(value_type = String, format = Date, example = "2024-11-20")]
    pub day: Day,
    /// The run that made it.
    #[schema(value_type = String, example = "20241121T023000Z-3f9a1c2e")]
    pub run_id: &'a RunId,
    /// The check; `rollback` when the ranking was taken back by hand, `pin` when the advertiser is kept at another run.
    #[schema(example = "advertiser_volume")]
    pub check: &'a str,
    /// What it found, or why someone decided so.
    pub message: &'a str,
}

/// Questions for several rankings.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Questions<'a> {
    /// 1 to 1000 of them, answered in this order.
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 1000)]
    pub requests: Vec<Question<'a>>,
    /// The most products in each ranking; all without.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// A question for one ranking.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question<'a> {
    /// Whose products.
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub advertiser_id: Cow<'a, str>,
    /// By which model, letters in either case.
    #[serde(borrow)]
    #[schema(value_type = String, example = "TopCTR")]
    pub model: Cow<'a, str>,
}

/// Answers to several questions, all of one snapshot.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answers<'a> {
    /// One for each question, in their order.
    pub results: Vec<Answer<'a>>,
}

/// The answer to one of several questions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Answer<'a> {
    /// The ranking, as if it had been asked for alone.
    Ranking(Recommendations<'a>),
    /// Why there is none.
    Unanswered(Unanswered<'a>),
}

/// A question that has no answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unanswered<'a> {
    /// Whose products were asked for.
    pub advertiser_id: &'a str,
    /// By which model, as it was asked for.
    #[schema(example = "TopCTR")]
    pub model: &'a str,
    /// Why there is no ranking.
    pub problem: ProblemBody,
}

/// What every model said of one advertiser on the last published days.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct History<'a> {
    /// Whose products.
    pub advertiser_id: &'a str,
    /// The oldest day in this answer.
    #[schema(value_type = String, format = Date, example = "2024-11-14")]
    pub from: Day,
    /// The newest day in this answer.
    #[schema(value_type = String, format = Date, example = "2024-11-20")]
    pub to: Day,
    /// The published days on which the advertiser was active, newest first.
    pub days: Vec<HistoryDay<'a>>,
}

/// What every model said of one advertiser on one day.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryDay<'a> {
    /// The day of the data.
    #[schema(value_type = String, format = Date, example = "2024-11-20")]
    pub day: Day,
    /// Each model computed that day with its products, best first; an empty list where the model
    /// could rank none.
    #[schema(value_type = BTreeMap<String, Vec<Recommendation>>)]
    pub models: BTreeMap<&'a ModelName, Vec<Recommendation<'a>>>,
}

/// What is published, in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Stats<'a> {
    /// The newest published day, which the counts below are of.
    #[schema(value_type = String, format = Date, example = "2024-11-20")]
    pub day: Day,
    /// How many advertisers.
    pub advertisers: Advertisers,
    /// Each model computed for the newest published day, by name.
    #[schema(value_type = Vec<ModelStats>)]
    pub models: &'a [ModelStats],
    /// The (advertiser, model) whose products change most from day to day: most change first, then by
    /// advertiser and model.
    pub most_variable_advertisers: Vec<VariableAdvertiser<'a>>,
    /// How far TopCTR and TopProduct name the same products on the newest published day.
    pub model_agreement: ModelAgreement<'a>,
    /// Which part of the lists of advertisers this answer holds.
    pub page: Page,
}

/// Which part of each list of advertisers an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page {
    /// How many entries come before this part.
    pub offset: usize,
    /// The most entries of this part of each list.
    pub limit: usize,
    /// The `offset` of the next part; null when neither list goes on.
    pub next_offset: Option<usize>,
    /// Entries of the whole list.
    pub most_variable_advertisers: usize,
    /// Entries of the whole list.
    pub model_agreement: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// How many advertisers the newest published day has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Advertisers {
    /// Active on that day.
    pub active: usize,
    /// Active, with at least one product ranked by at least one model.
    pub with_recommendations: usize,
    /// Active, with rankings of that day that checks held back; absent when there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub held: usize,
}

/// One model on the newest published day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelStats {
    /// The model.
    #[schema(value_type = String, example = "TopCTR")]
    pub model: ModelName,
    /// How many advertisers it ranked at least one product of.
    pub advertisers: usize,
    /// How many products it ranked.
    pub recommendations: usize,
}

/// How much one advertiser's products by one model change from a published day to the next.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VariableAdvertiser<'a> {
    /// The advertiser.
    pub advertiser_id: &'a str,
    /// The model.
    #[schema(value_type = String, example = "TopCTR")]
    pub model: &'a ModelName,
    /// The mean of 1 − Jaccard index between the product sets of consecutive published days, over the
    /// last 7 published days: 0 never changes, 1 shares no product.
    #[serde(serialize_with = "number")]
    pub mean_change: f64,
    /// The changes in the mean: the days that could be compared with the published day before. Both
    /// days have the advertiser active and the model computed, and at least one has products.
    pub days: usize,
}

/// How far TopCTR and TopProduct name the same products.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelAgreement<'a> {
    /// The mean number of common products of the advertisers that both models ranked products of; null
    /// when there are none or one of the models was not computed.
    #[serde(serialize_with = "number_or_null")]
    pub mean_overlap: Option<f64>,
    /// Those advertisers, least agreement (Jaccard index) first, then by advertiser.
    pub advertisers: Vec<AgreeingAdvertiser<'a>>,
}

/// How far TopCTR and TopProduct name the same products of one advertiser.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AgreeingAdvertiser<'a> {
    /// The advertiser.
    pub advertiser_id: &'a str,
    /// Products that both models name.
    pub common: usize,
    /// Those ÷ products that either names.
    #[serde(serialize_with = "number")]
    pub jaccard: f64,
}

/// Whether the process answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Liveness {
    /// In one word.
    pub status: LivenessStatus,
}

/// Liveness in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LivenessStatus {
    /// It does.
    Live,
}

/// Whether this server can answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Readiness {
    /// In one word.
    pub status: ReadinessStatus,
    /// The newest published day served.
    #[schema(value_type = Option<String>, format = Date)]
    pub newest_day: Option<Day>,
    /// The version of what is published that is served; it grows with every publication.
    pub snapshot_version: Option<i64>,
    /// When it was loaded.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub loaded_at: Option<Timestamp>,
    /// Advertisers active on the newest published day.
    pub advertisers: usize,
    /// Whether the newest published day is older than the schedule promises.
    pub stale: bool,
    /// Where what is served was read: `database`, or `disk` when the database could not be read since the start.
    pub source: Option<SnapshotSource>,
    /// When the database last said that what is served is what is published.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub confirmed_at: Option<Timestamp>,
    /// Why the database could not be read, or what it publishes was refused, the last time; null when it could.
    pub last_load_error: Option<String>,
}

/// What a caller is told of whether this server can answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ReadinessTold {
    /// All of it, where no keys are asked for or to who holds one for all advertisers.
    Whole(Readiness),
    /// To everybody else.
    Word(ReadinessWord),
}

/// Whether this server can answer, and nothing more.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadinessWord {
    /// In one word.
    pub(crate) status: ReadinessStatus,
}

/// Where a snapshot was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotSource {
    /// The database.
    Database,
    /// What this server kept on its own disk.
    Disk,
}

/// How the server is, and how the nights go.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Health {
    /// Whether this server can answer.
    #[serde(flatten)]
    pub readiness: Readiness,
    /// When the next night begins, by the schedule of this server's configuration.
    #[schema(value_type = String, format = DateTime)]
    pub next_run_at: Timestamp,
    /// The ledger of runs; null before it was first read.
    pub runs: Option<RunsSeen>,
}

/// What the ledger of runs tells, whoever runs them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RunsSeen {
    /// When it was read.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Timestamp,
    /// Runs that have not ended.
    pub under_way: Vec<RunSeen>,
    /// Of the newest day of which a run ended, the run that ended last.
    pub last: Option<RunSeen>,
    /// Of the newest day of which a run succeeded, so that nothing of it was held back, the run that ended last.
    pub last_succeeded: Option<RunSeen>,
}

/// A run; `topshelf runs RUN` tells more.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RunSeen {
    /// Its name.
    #[schema(value_type = String, example = "20241121T023000Z-3f9a1c2e")]
    pub run_id: RunId,
    /// The day it is about.
    #[schema(value_type = String, format = Date)]
    pub day: Day,
    /// running, succeeded, held, failed, stopped or died.
    #[schema(example = "succeeded")]
    pub status: String,
    /// schedule, refresh, hand or airflow.
    #[schema(example = "schedule")]
    pub started_by: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended; null while it is under way.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// Readiness in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessStatus {
    /// 200: rankings are served.
    Ready,
    /// 200: the store answers, and publishes nothing yet.
    NoPublicationYet,
    /// 503: what is published could not be loaded yet.
    SnapshotUnavailable,
    /// 503: the server ends.
    ShuttingDown,
}

/// A whole number is written without a fraction: 12, not 12.0.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn number<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match whole(*number) {
        Some(whole) => serializer.serialize_i64(whole),
        None => serializer.serialize_f64(*number),
    }
}

/// The number without its fraction, when it has none.
#[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
pub(crate) fn whole(number: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() < EXACT_MAX).then_some(number as i64)
}

/// JSON knows one kind of numbers: 12.0 is a whole one.
fn whole_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let whole = number.as_u64().or_else(|| whole(number.as_f64()?)?.try_into().ok());
    let whole = whole.and_then(|whole| whole.try_into().ok());
    whole
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("limit is {number}: expected a whole number from 1")))
}

#[expect(clippy::ref_option, reason = "serde passes fields by reference")]
fn number_or_null<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => number(value, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_whole_however_it_is_written() {
        let limit = |text: &str| {
            let questions = format!(r#"{{"requests":[],"limit":{text}}}"#);
            serde_json::from_str::<Questions<'_>>(&questions).map(|questions| questions.limit).map_err(drop)
        };
        for (text, expected) in [("12", 12), ("12.0", 12), ("1.2e1", 12), ("0", 0), ("-0.0", 0)] {
            assert_eq!(limit(text), Ok(Some(expected)), "{text}");
        }
        assert_eq!(limit("null"), Ok(None));
        for text in ["1.5", "-1", "-1.0", "1e300", "\"12\"", "true", "[]"] {
            assert_eq!(limit(text), Err(()), "{text}");
        }
    }

    #[test]
    fn whole_scores_have_no_fraction_and_others_are_shortest() {
        let cases = [
            (12.0, "12"),
            (0.0, "0"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.3333333333333333"),
            (2f64.powi(53) - 1.0, "9007199254740991"),
        ];
        for (score, expected) in cases {
            let mut bytes = Vec::new();
            number(&score, &mut serde_json::Serializer::new(&mut bytes)).unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }
}
