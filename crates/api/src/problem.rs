//! Why a request has no answer: RFC 9457 problems with a stable code.

use crate::wire::Held;
use domain::{Day, ModelName};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Why a request has no answer. Its text is the `detail`: what was asked, why there is nothing, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The advertiser is on none of the published days that are kept.
    #[error(
        "advertiser {advertiser_id:?} is on none of the published days from {oldest_day} to {newest_day}; ids are compared byte by byte, check its spelling"
    )]
    UnknownAdvertiser {
        /// The advertiser asked for.
        advertiser_id: String,
        /// The oldest published day kept.
        oldest_day: Day,
        /// The newest published day.
        newest_day: Day,
    },
    /// The advertiser was active on another published day, not on this one.
    #[error(
        "advertiser {advertiser_id:?} was not active on {day}; the newest published day on which it was is {last_active_day}"
    )]
    InactiveAdvertiser {
        /// The advertiser asked for.
        advertiser_id: String,
        /// The day asked for, or the newest published one.
        day: Day,
        /// The newest published day on which it was active.
        last_active_day: Day,
    },
    /// The advertiser's rankings are held back, and none are seen in their place.
    #[error("the rankings of advertiser {advertiser_id:?} of {day} are held back by {check}: {message}")]
    HeldBack {
        /// The advertiser asked for.
        advertiser_id: String,
        /// The day.
        day: Day,
        /// The check.
        check: String,
        /// What it found.
        message: String,
    },
    /// No model has that name.
    #[error("there is no model {model:?}; the models are {}", names(models))]
    UnknownModel {
        /// The name asked for.
        model: String,
        /// The models there are.
        models: Vec<ModelName>,
    },
    /// The model was not computed.
    #[error(
        "model {model} was not computed for {when}, because a log it needs was not configured; the models computed are {}",
        names(computed)
    )]
    ModelNotComputed {
        /// The model asked for.
        model: ModelName,
        /// A day, or a range of days.
        when: String,
        /// The models that were.
        computed: Vec<ModelName>,
    },
    /// The store publishes nothing at all.
    #[error("nothing is published yet: the first run that ends well publishes its day")]
    NoPublicationYet,
    /// Nothing is published for the day asked for.
    #[error("nothing is published for {day}; the published days kept are from {oldest_day} to {newest_day}")]
    NoPublicationForDay {
        /// The day asked for.
        day: Day,
        /// The oldest published day kept.
        oldest_day: Day,
        /// The newest published day.
        newest_day: Day,
    },
    /// The advertiser was active, and no product of it could be ranked.
    #[error(
        "advertiser {advertiser_id:?} was active, but {} could rank none of its products {when}",
        names(models)
    )]
    InsufficientData {
        /// The advertiser asked for.
        advertiser_id: String,
        /// The models asked for.
        models: Vec<ModelName>,
        /// `on` a day, or `from` a day `to` another.
        when: String,
    },
    /// The day asked for is not a day.
    #[error("day {0:?} is not a day: expected YYYY-MM-DD, a date that exists")]
    BadDay(String),
    /// A parameter or a part of the path cannot be understood.
    #[error("{0}")]
    BadParameter(String),
    /// No valid key was sent.
    #[error(
        "this server asks for an API key, and none that is valid was sent: send it as `Authorization: Bearer KEY` or as `X-Api-Key: KEY`; `topshelf keys` makes and lists them"
    )]
    Unauthorized,
    /// The key is valid for some advertisers, and this is told of all together.
    #[error(
        "this API key is for single advertisers; what is asked for is told of all together, to keys for all"
    )]
    Forbidden,
    /// The server could not read yet which keys are valid.
    #[error("this server could not read yet which API keys are valid; it keeps trying")]
    KeysUnavailable,
    /// No route has that path.
    #[error(
        "there is nothing at {path:?}; see /openapi.json for what there is, and encode a slash inside an id as %2F"
    )]
    NotFound {
        /// The path asked for, as it was sent.
        path: String,
    },
    /// The body cannot be understood.
    #[error(r#"the body cannot be understood: {0}; expected {{"requests":[{{"advertiser_id":"…","model":"…"}},…]}}"#)]
    BadBody(String),
    /// The body is too long.
    #[error("the body has more than {bytes_max} bytes: ask in several requests")]
    BodyTooLarge {
        /// The longest that is read.
        bytes_max: usize,
    },
    /// The route does not know the method.
    #[error("{method} is not allowed here: use {allowed}")]
    MethodNotAllowed {
        /// The method used.
        method: String,
        /// Those that are.
        allowed: &'static str,
    },
    /// The path and its query are too long.
    #[error("the path and its query have more than {bytes_max} bytes: ask for several rankings in a body")]
    PathTooLong {
        /// The longest that is looked at.
        bytes_max: usize,
    },
    /// There are too many headers.
    #[error("the request has more than {headers_max} headers: leave some out")]
    TooManyHeaders {
        /// The most that are looked at.
        headers_max: usize,
    },
    /// The body came too slowly.
    #[error("the body did not come within {} s: send it at once, or in several requests", time.as_secs_f64())]
    BodyTooSlow {
        /// How long it was waited for.
        time: Duration,
    },
    /// The caller asks too often.
    #[error("too many requests: the next may come in {retry_after_seconds} s")]
    TooManyRequests {
        /// When to ask again.
        retry_after_seconds: u64,
    },
    /// The memory for bodies and long answers is used up.
    #[error("too many long requests and answers are under way: ask again soon, or for less at once")]
    Overloaded,
    /// The work took too long.
    #[error("the request was not answered within {} s, and was given up", time.as_secs_f64())]
    TookTooLong {
        /// How long it was waited for.
        time: Duration,
    },
    /// The server could not load what is published yet.
    #[error("this server could not load what is published yet; it keeps trying, /health/ready says why")]
    SnapshotUnavailable,
    /// A defect of this program.
    #[error("the server failed to answer: this is a defect, its log says more")]
    Internal,
}

/// What clients branch on; a code never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// 404: the advertiser is on none of the published days kept.
    UnknownAdvertiser,
    /// 404: the advertiser was active on another published day, not on this one.
    InactiveAdvertiser,
    /// 404: the advertiser's rankings were held back, and none were published before.
    HeldBack,
    /// 404: no model has that name.
    UnknownModel,
    /// 404: the model was not computed, because a log it needs was not configured.
    ModelNotComputed,
    /// 404: the store publishes nothing at all.
    NoPublicationYet,
    /// 404: nothing is published for the day asked for.
    NoPublicationForDay,
    /// 404: the advertiser was active, and no product of it could be ranked.
    InsufficientData,
    /// 400: the day is not a day.
    BadDay,
    /// 400: a parameter or a part of the path cannot be understood.
    BadParameter,
    /// 400: the body cannot be understood.
    BadBody,
    /// 413: the body is too long.
    BodyTooLarge,
    /// 401: no valid API key was sent.
    Unauthorized,
    /// 403: the API key is for single advertisers, and this is told of all together.
    Forbidden,
    /// 503: this server could not read yet which API keys are valid; another may.
    KeysUnavailable,
    /// 404: no route has that path.
    NotFound,
    /// 405: the route does not know the method.
    MethodNotAllowed,
    /// 503: this server could not load what is published yet; another may.
    SnapshotUnavailable,
    /// 500: a defect of this program.
    Internal,
    /// 414: the path and its query are too long.
    PathTooLong,
    /// 431: there are too many headers.
    TooManyHeaders,
    /// 408: the body came too slowly.
    BodyTooSlow,
    /// 429: the caller asks too often; `Retry-After` says when to ask again.
    TooManyRequests,
    /// 503: too many long requests and answers are under way; `Retry-After` says when to ask again.
    Overloaded,
    /// 503: the work took too long and was given up.
    TookTooLong,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 25] = [
        Self::UnknownAdvertiser,
        Self::InactiveAdvertiser,
        Self::HeldBack,
        Self::UnknownModel,
        Self::ModelNotComputed,
        Self::NoPublicationYet,
        Self::NoPublicationForDay,
        Self::InsufficientData,
        Self::BadDay,
        Self::BadParameter,
        Self::BadBody,
        Self::BodyTooLarge,
        Self::Unauthorized,
        Self::Forbidden,
        Self::KeysUnavailable,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::SnapshotUnavailable,
        Self::Internal,
        Self::PathTooLong,
        Self::TooManyHeaders,
        Self::BodyTooSlow,
        Self::TooManyRequests,
        Self::Overloaded,
        Self::TookTooLong,
    ];

    /// The code as clients see it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.parts().0
    }

    /// The HTTP status it comes with.
    #[must_use]
    pub fn status(self) -> u16 {
        self.parts().1
    }

    /// What it says of every request it answers.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.parts().2
    }

    fn parts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::UnknownAdvertiser => ("unknown_advertiser", 404, "the advertiser was never published"),
            Self::InactiveAdvertiser => ("inactive_advertiser", 404, "the advertiser was not active"),
            Self::HeldBack => ("held_back", 404, "the rankings are held back"),
            Self::UnknownModel => ("unknown_model", 404, "no model has that name"),
            Self::ModelNotComputed => ("model_not_computed", 404, "the model was not computed"),
            Self::NoPublicationYet => ("no_publication_yet", 404, "nothing is published yet"),
            Self::NoPublicationForDay => ("no_publication_for_day", 404, "nothing is published for the day"),
            Self::InsufficientData => ("insufficient_data", 404, "no product could be ranked"),
            Self::BadDay => ("bad_day", 400, "the day is not a day"),
            Self::BadParameter => ("bad_parameter", 400, "a parameter cannot be understood"),
            Self::BadBody => ("bad_body", 400, "the body cannot be understood"),
            Self::BodyTooLarge => ("body_too_large", 413, "the body is too long"),
            Self::Unauthorized => ("unauthorized", 401, "no valid API key was sent"),
            Self::Forbidden => ("forbidden", 403, "the API key is for single advertisers"),
            Self::KeysUnavailable => ("keys_unavailable", 503, "the API keys could not be read yet"),
            Self::NotFound => ("not_found", 404, "there is nothing at this path"),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "the method is not allowed"),
            Self::SnapshotUnavailable => ("snapshot_unavailable", 503, "nothing could be loaded yet"),
            Self::Internal => ("internal", 500, "the server failed to answer"),
            Self::PathTooLong => ("path_too_long", 414, "the path and its query are too long"),
            Self::TooManyHeaders => ("too_many_headers", 431, "there are too many headers"),
            Self::BodyTooSlow => ("body_too_slow", 408, "the body came too slowly"),
            Self::TooManyRequests => ("too_many_requests", 429, "the caller asks too often"),
            Self::Overloaded => ("overloaded", 503, "too many long requests and answers are under way"),
            Self::TookTooLong => ("took_too_long", 503, "the work took too long"),
        }
    }
}

/// A problem as it is sent: `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(title = "Problem")]
pub struct ProblemBody {
    /// Names the kind of problem; the part after `#` is the code.
    #[serde(rename = "type")]
    #[schema(example = "/docs/#unknown_advertiser")]
    pub kind: String,
    /// What the code says of every request it answers.
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// What was asked, why there is no answer, what to do.
    pub detail: String,
    /// What clients branch on.
    pub code: Code,
}

impl Problem {
    /// What keeps the advertiser's rankings from being seen.
    pub(crate) fn held_back(advertiser: &str, held: Held<'_>) -> Self {
        let (check, message) = (held.check.to_owned(), held.message.to_owned());
        Self::HeldBack { advertiser_id: advertiser.to_owned(), day: held.day, check, message }
    }

    /// The same, of another advertiser of whom nothing is known.
    pub(crate) fn about(self, advertiser: &str) -> Self {
        match self {
            Self::UnknownAdvertiser { oldest_day, newest_day, .. } => {
                Self::UnknownAdvertiser { advertiser_id: advertiser.to_owned(), oldest_day, newest_day }
            }
            other => other,
        }
    }

    /// The caller asks too often; the next request may come after `wait`.
    pub(crate) fn too_many_requests(wait: Duration) -> Self {
        Self::TooManyRequests { retry_after_seconds: wait.as_millis().div_ceil(1000).max(1) as u64 }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownAdvertiser { .. } => Code::UnknownAdvertiser,
            Self::InactiveAdvertiser { .. } => Code::InactiveAdvertiser,
            Self::HeldBack { .. } => Code::HeldBack,
            Self::UnknownModel { .. } => Code::UnknownModel,
            Self::ModelNotComputed { .. } => Code::ModelNotComputed,
            Self::NoPublicationYet => Code::NoPublicationYet,
            Self::NoPublicationForDay { .. } => Code::NoPublicationForDay,
            Self::InsufficientData { .. } => Code::InsufficientData,
            Self::BadDay(_) => Code::BadDay,
            Self::BadParameter(_) => Code::BadParameter,
            Self::BadBody(_) => Code::BadBody,
            Self::BodyTooLarge { .. } => Code::BodyTooLarge,
            Self::Unauthorized => Code::Unauthorized,
            Self::Forbidden => Code::Forbidden,
            Self::KeysUnavailable => Code::KeysUnavailable,
            Self::NotFound { .. } => Code::NotFound,
            Self::MethodNotAllowed { .. } => Code::MethodNotAllowed,
            Self::SnapshotUnavailable => Code::SnapshotUnavailable,
            Self::Internal => Code::Internal,
            Self::PathTooLong { .. } => Code::PathTooLong,
            Self::TooManyHeaders { .. } => Code::TooManyHeaders,
            Self::BodyTooSlow { .. } => Code::BodyTooSlow,
            Self::TooManyRequests { .. } => Code::TooManyRequests,
            Self::Overloaded => Code::Overloaded,
            Self::TookTooLong { .. } => Code::TookTooLong,
        }
    }

    /// The problem as it is sent.
    #[must_use]
    pub fn body(&self) -> ProblemBody {
        let code = self.code();
        ProblemBody {
            kind: format!("/docs/#{}", code.name()),
            title: code.title(),
            status: code.status(),
            detail: self.to_string(),
            code,
        }
    }
}

fn names(models: &[ModelName]) -> String {
    match models {
        [] => "none".to_owned(),
        models => models.iter().map(ModelName::as_str).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_named_as_it_is_serialised() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }

    #[test]
    fn a_problem_says_what_was_asked_and_what_there_is() {
        let models = vec![ModelName::new("TopCTR"), ModelName::new("TopProduct")];
        let problem = Problem::UnknownModel { model: "top \"ctr\"".to_owned(), models };
        assert_eq!(
            serde_json::to_string(&problem.body()).unwrap(),
            r#"{"type":"/docs/#unknown_model","title":"no model has that name","status":404,"#.to_owned()
                + r#""detail":"there is no model \"top \\\"ctr\\\"\"; the models are TopCTR, TopProduct","#
                + r#""code":"unknown_model"}"#
        );
    }
}
