//! Dates as others write them: date-times whose day depends on the zone, patterns, other column names.

use crate::{
    check::check,
    data_sets::{days, texts},
    logs::{self, Line, PLAIN},
    naive::{Kind, Naive},
    place::{Place, WAYS},
};
use jiff::{Timestamp, ToSpan, tz};
use topshelf::config::Config;

const ADVERTISERS: [&str; 3] = ["loja", "tienda", "shop"];

/// One event, and its date as it stands in the log.
struct Event {
    day: String,
    written: String,
    number: usize,
}

impl Event {
    fn kind(&self) -> Kind {
        [Kind::Impression, Kind::View, Kind::Impression, Kind::Click, Kind::View][self.number % 5]
    }

    fn advertiser(&self) -> &'static str {
        ADVERTISERS[self.number % 7 % 3]
    }

    fn product(&self) -> String {
        format!("p{}", self.number * self.number % 11)
    }

    fn line(&self) -> Line {
        let kind = match self.kind() {
            Kind::Impression => vec!["impression"],
            Kind::Click => vec!["click"],
            Kind::View => vec![],
        };
        let product = self.product();
        let fields = [&[self.advertiser(), &product], &kind[..], &[&self.written]].concat();
        Line { day: self.day.clone(), fields: fields.into_iter().map(str::to_owned).collect() }
    }
}

/// Runs the days on logs of the events; every answer must be the naive one.
async fn check_events(
    days: &[domain::Day],
    events: &[Event],
    names: [&str; 4],
    change: impl FnOnce(&mut Config),
) {
    let place = Place::new(WAYS[0]).await.configured(change);
    let mut naive = Naive::new(texts(days), &["TopCTR", "TopProduct"]);
    let listed = ADVERTISERS.map(|id| Line { day: String::new(), fields: vec![id.to_owned()] });
    for day in texts(days) {
        ADVERTISERS.iter().for_each(|id| naive.activate(&day, id));
    }
    for event in events {
        naive.add(&event.day, event.advertiser(), &event.product(), event.kind());
    }
    let lines = |is_view: bool| -> Vec<Line> {
        events.iter().filter(|event| (event.kind() == Kind::View) == is_view).map(Event::line).collect()
    };
    let [advertiser, product, kind, date] = names;
    let write = |log: &str, columns: &[&str], lines: &[Line]| {
        logs::write(&place.input(), log, columns, lines, &texts(days), &PLAIN);
    };
    write("advertiser_ids", &[advertiser], &listed);
    write("ads_views", &[advertiser, product, kind, date], &lines(false));
    write("product_views", &[advertiser, product, date], &lines(true));
    assert_eq!(naive.published().len(), days.len());
    for outcome in place.run(days).await {
        outcome.ended.unwrap();
    }
    check(&place.serve().await, &naive).await;
}

const USUAL_NAMES: [&str; 4] = ["advertiser_id", "product_id", "type", "date"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instant_is_of_the_day_it_has_in_the_zone() {
    // Clocks went on at midnight between the 3rd and the 4th: that day has 23 hours.
    let days = days("2018-11-02", "2018-11-05");
    let zone = tz::TimeZone::get("America/Sao_Paulo").unwrap();
    let start: Timestamp = "2018-11-01T12:00:00.25Z".parse().unwrap();
    let events = (0..480).map(|number| {
        let instant = start + (i64::try_from(number).unwrap() * 701).seconds();
        let day = instant.to_zoned(zone.clone()).date().to_string();
        // One form in seven has no offset: it is of the day that it says, wherever that is.
        let (offset, form) = [
            (0, "%Y-%m-%dT%H:%M:%SZ"),
            (-3, "%Y-%m-%dT%H:%M:%S%.f%:z"),
            (-2, "%Y-%m-%d %H:%M:%S%:z"),
            (9, "%Y-%m-%d %H:%M:%S%.3f%z"),
            (-11, "%Y-%m-%dT%H:%M%:z"),
            (14, "%Y-%m-%dt%H:%M:%S%.9f%:z"),
            (0, "%Y-%m-%d %H:%M:%S"),
        ][number % 7];
        let local = instant.to_zoned(tz::Offset::constant(offset).to_time_zone());
        let day = if number % 7 == 6 { local.date().to_string() } else { day };
        Event { day, written: local.strftime(form).to_string(), number }
    });
    let events: Vec<_> = events.collect();
    check_events(&days, &events, USUAL_NAMES, |config| {
        config.schedule.timezone = "America/Sao_Paulo".to_owned();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_of_a_pattern_and_columns_of_other_names() {
    let days = days("2024-01-30", "2024-02-03");
    // The first days of one month, written the other way round, are of other months.
    let events = (0..400).map(|number| {
        let day = days[number / 3 % 5];
        Event { day: day.to_string(), written: day.date().strftime("%d/%m/%Y").to_string(), number }
    });
    let events: Vec<_> = events.collect();
    check_events(&days, &events, ["anunciante", "producto", "tipo", "fecha"], |config| {
        config.input.date_format = "%d/%m/%Y".to_owned();
        let columns = &mut config.input.columns;
        columns.advertiser_id = "anunciante".to_owned();
        columns.product_id = "producto".to_owned();
        columns.r#type = "tipo".to_owned();
        columns.date = "fecha".to_owned();
    })
    .await;
}
