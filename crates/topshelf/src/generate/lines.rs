//! How events become lines: the header of a file, and the bytes of a line, in each format.

use super::{
    layout::EventLog,
    population::{AdvertiserText, ProductText},
    unused::Unused,
};
use domain::Day;

/// The format of generated logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Comma-separated values with a header.
    #[default]
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// A JSON object a line, all of its values texts.
    Jsonl,
}

impl Format {
    /// The end of a file's name.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Jsonl => "jsonl",
        }
    }

    /// What comes before the first line.
    pub(super) fn header(self, columns: &[String]) -> Vec<u8> {
        match self {
            Self::Csv => (columns.join(",") + "\n").into_bytes(),
            Self::Tsv => (columns.join("\t") + "\n").into_bytes(),
            Self::Jsonl => Vec::new(),
        }
    }

    /// What stands before each column's value, and behind the last. No value needs quoting or escaping.
    fn gaps(self, columns: &[String]) -> impl Iterator<Item = Vec<u8>> {
        let between = move |column: &String| match self {
            Self::Csv => b",".to_vec(),
            Self::Tsv => b"\t".to_vec(),
            Self::Jsonl => format!("\",\"{column}\":\"").into_bytes(),
        };
        let (first, last) = match self {
            Self::Csv | Self::Tsv => (Vec::new(), b"\n".to_vec()),
            Self::Jsonl => (format!("{{\"{}\":\"", columns[0]).into_bytes(), b"\"}\n".to_vec()),
        };
        [first].into_iter().chain(columns[1..].iter().map(between)).chain([last])
    }

    /// The whole file of active advertisers.
    pub(super) fn advertiser_ids<'a>(self, ids: impl Iterator<Item = &'a AdvertiserText>) -> Vec<u8> {
        let columns = ["advertiser_id".to_owned()];
        let [before, behind] = [0, 1].map(|at| self.gaps(&columns).nth(at).expect("one column has two gaps"));
        let mut file = self.header(&columns);
        for id in ids {
            file.extend_from_slice(&before);
            file.extend_from_slice(id);
            file.extend_from_slice(&behind);
        }
        file
    }
}

/// The columns of a log, with unused ones: half of them before those that count, half behind.
pub(super) fn columns(log: EventLog, unused: u32) -> Vec<String> {
    let name = |number: u32| format!("extra_{number}");
    let needed = log.columns().iter().map(|column| (*column).to_owned());
    (1..=unused / 2).map(name).chain(needed).chain((unused / 2 + 1..=unused).map(name)).collect()
}

/// The lines of one log and day: all of their bytes but ids and the values of unused columns.
#[derive(Debug)]
pub(super) struct LineForm {
    /// What stands before each unused column at the line's start.
    leading: Vec<Vec<u8>>,
    before_advertiser: Vec<u8>,
    before_product: Vec<u8>,
    /// For each of the log's kinds, what follows the product.
    ends: Vec<Vec<u8>>,
    /// What stands behind each unused column at the line's end.
    trailing: Vec<Vec<u8>>,
}

impl LineForm {
    pub(super) fn new(format: Format, log: EventLog, day: Day, unused: u32) -> Self {
        let columns = columns(log, unused);
        let mut gaps = format.gaps(&columns);
        let mut take = |count: usize| gaps.by_ref().take(count).collect::<Vec<_>>();
        let leading = take(unused as usize / 2);
        let [before_advertiser, before_product] = take(2).try_into().expect("events have both columns");
        // The date, and the type before it when the log has one, with what is behind them.
        let around = take(log.columns().len() - 1);
        let end = |kind: &&str| {
            let day = day.to_string();
            let values = [kind.as_bytes(), day.as_bytes()];
            let values = &values[values.len() + 1 - around.len()..];
            let mut end = around[0].clone();
            for (value, gap) in values.iter().zip(&around[1..]) {
                end.extend_from_slice(value);
                end.extend_from_slice(gap);
            }
            end
        };
        let ends = log.kinds().iter().map(end).collect();
        Self { leading, before_advertiser, before_product, ends, trailing: gaps.collect() }
    }

    /// About the bytes of a line, and no fewer.
    pub(super) fn line_bytes_max(&self) -> usize {
        let unused = self.leading.iter().chain(&self.trailing);
        let unused: usize = unused.map(|gap| gap.len() + super::unused::TEXT_BYTES_MAX).sum();
        let ids = size_of::<AdvertiserText>() + size_of::<ProductText>();
        let end = self.ends.iter().map(Vec::len).max().unwrap_or_default();
        unused + self.before_advertiser.len() + self.before_product.len() + ids + end
    }

    /// Appends the line of an event of the kind with that index.
    pub(super) fn write(
        &self,
        (advertiser, product): (&AdvertiserText, &ProductText),
        kind: usize,
        unused: &mut Unused<'_>,
        lines: &mut Vec<u8>,
    ) {
        for gap in &self.leading {
            lines.extend_from_slice(gap);
            lines.extend_from_slice(unused.next_text());
        }
        lines.extend_from_slice(&self.before_advertiser);
        lines.extend_from_slice(advertiser);
        lines.extend_from_slice(&self.before_product);
        lines.extend_from_slice(product);
        lines.extend_from_slice(&self.ends[kind]);
        for gap in &self.trailing {
            lines.extend_from_slice(unused.next_text());
            lines.extend_from_slice(gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::unused::Texts;

    fn check(format: Format, log: EventLog, unused: u32, kind: usize, header: &str, line: &str) {
        let day = "2024-11-20".parse().unwrap();
        let form = LineForm::new(format, log, day, unused);
        let texts = Texts::same(b"x");
        let mut lines = Vec::new();
        form.write((b"ADVERTISER0123456789", b"prod-1"), kind, &mut texts.unused([0; 4]), &mut lines);
        assert_eq!(String::from_utf8(format.header(&columns(log, unused))).unwrap(), header);
        assert_eq!(String::from_utf8(lines).unwrap(), line);
        assert!(form.line_bytes_max() >= line.len());
    }

    #[test]
    fn lines_are_of_the_format() {
        check(
            Format::Csv,
            EventLog::AdsViews,
            0,
            1,
            "advertiser_id,product_id,type,date\n",
            "ADVERTISER0123456789,prod-1,click,2024-11-20\n",
        );
        check(
            Format::Tsv,
            EventLog::ProductViews,
            0,
            0,
            "advertiser_id\tproduct_id\tdate\n",
            "ADVERTISER0123456789\tprod-1\t2024-11-20\n",
        );
        check(
            Format::Jsonl,
            EventLog::AdsViews,
            0,
            0,
            "",
            "{\"advertiser_id\":\"ADVERTISER0123456789\",\"product_id\":\"prod-1\",\
             \"type\":\"impression\",\"date\":\"2024-11-20\"}\n",
        );
    }

    #[test]
    fn unused_columns_stand_on_both_sides() {
        check(
            Format::Csv,
            EventLog::ProductViews,
            3,
            0,
            "extra_1,advertiser_id,product_id,date,extra_2,extra_3\n",
            "x,ADVERTISER0123456789,prod-1,2024-11-20,x,x\n",
        );
        check(
            Format::Jsonl,
            EventLog::AdsViews,
            2,
            1,
            "",
            "{\"extra_1\":\"x\",\"advertiser_id\":\"ADVERTISER0123456789\",\"product_id\":\"prod-1\",\
             \"type\":\"click\",\"date\":\"2024-11-20\",\"extra_2\":\"x\"}\n",
        );
    }
}
