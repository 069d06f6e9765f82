//! The input of a night: which objects, who is active, where the columns are.

use super::{
    Night,
    assumed::{ASKED_AT_ONCE, Assumption, SMALL_BYTES_MAX},
    parquet::{ParquetLog, Rows},
};
use crate::failure::{Exit, Failure};
use counting::{
    ActiveList, Columns, Content, CountedObject, DayReader, HEADER_BYTES_MAX, Head, HeaderError, Layout,
    RowGroup, read_active_list, read_active_rows,
};
use domain::{AdvertiserId, Day, Log, RejectExample};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use lake::{LogInput, ObjectInput};
use source::{
    Compression, Location, LogPattern, ObjectDays, ObjectInfo, PlannedObject, Reading, RowGroups, SourceError,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

/// Objects whose first bytes are asked for at a time; how many requests that means, reading decides.
const HEADERS_AT_A_TIME: usize = 1024;

/// The longest list of active advertisers, unpacked: it is read whole.
const LIST_BYTES_MAX: u64 = 1 << 30;

/// Bytes of an object that are read for its header at first.
pub(super) const HEADER_BYTES: usize = 16 << 10;
/// No more of them are read for it; some are left where it was compressed.
pub(super) const HEADER_BYTES_READ_MAX: usize = 2 * HEADER_BYTES_MAX;

/// The objects of one configured log, planned.
pub(super) struct PlannedLog {
    pub(super) log: Log,
    pub(super) objects: Vec<PlannedObject>,
}

/// The configured logs, and the patterns of their objects' names.
pub(super) fn logs(night: &Night) -> impl Iterator<Item = (Log, &str)> {
    let input = &night.config.input;
    let logs = [
        (Log::AdvertiserIds, &input.advertiser_ids),
        (Log::AdsViews, &input.ads_views),
        (Log::ProductViews, &input.product_views),
    ];
    let logs = logs.into_iter().map(|(log, pattern)| (log, pattern.as_str()));
    logs.filter(|(_, pattern)| !pattern.is_empty())
}

/// Finds the objects of every configured log that the days need.
pub(super) async fn plan(
    night: &Night,
    location: &Location,
    days: &[Day],
) -> Result<Vec<PlannedLog>, Failure> {
    let mut planned = Vec::new();
    for (log, pattern) in logs(night) {
        planned.push(plan_log(night, location, (log, pattern), days).await?);
    }
    Ok(planned)
}

/// Finds the objects of one log that the days need.
pub(super) async fn plan_log(
    night: &Night,
    location: &Location,
    (log, pattern): (Log, &str),
    days: &[Day],
) -> Result<PlannedLog, Failure> {
    let pattern = LogPattern::parse(pattern).expect("loading the configuration checks its patterns");
    let objects = source::plan(location, log, &pattern, days, &night.config.input.columns.date).await;
    let objects = objects.map_err(|error| {
        let lacking =
            if let SourceError::NoObject(missing) = &error { missing.days.clone() } else { Vec::new() };
        let failure =
            Failure::from(error).or_help(format!("let input.{log} take nothing but the log's files"));
        if lacking.is_empty() {
            return failure;
        }
        // A log that is not there at all is told by an empty name, never by silence.
        let failure = if log == Log::AdvertiserIds { failure } else { failure.help(no_such_log(log)) };
        failure.of_days(lacking)
    })?;
    Ok(PlannedLog { log, objects })
}

fn no_such_log(log: Log) -> String {
    let variable = format!("TOPSHELF_INPUT__{}", log.name().to_uppercase());
    format!(
        "set input.{log} to a name, a glob, or a template with {{day}} that matches what is there; if there is no such log, \
         say so with an empty one: {variable}= (or {log} = \"\" in [input]), and the models that need it are not computed"
    )
}

/// What the log's columns are called in the object.
pub(super) fn columns(night: &Night, log: Log, days: ObjectDays) -> Columns {
    let names = &night.config.input.columns;
    let has_events = log != Log::AdvertiserIds;
    Columns {
        advertiser_id: names.advertiser_id.clone(),
        product_id: has_events.then(|| names.product_id.clone()),
        kind: (log == Log::AdsViews).then(|| names.r#type.clone()),
        date: has_events.then(|| names.date.clone()),
        date_is_optional: matches!(days, ObjectDays::Partition(_)),
    }
}

/// An object of events, and what counting must know of it.
pub(super) struct Found {
    pub(super) counted: CountedObject,
    pub(super) info: ObjectInfo,
    pub(super) form: Form,
}

/// How an object is read, as its beginning tells, or its footer.
pub(super) enum Form {
    Text(Text),
    Parquet(ParquetLog),
}

/// Lines of text, perhaps compressed.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) layout: Layout,
    pub(super) compression: Compression,
    /// What must be compared when the object is opened, where its beginning was not read.
    pub(super) assumed: Option<Arc<Assumption>>,
}

impl Found {
    /// The object as text.
    ///
    /// # Panics
    /// When it is none.
    pub(super) fn text(&self) -> &Text {
        match &self.form {
            Form::Text(text) => text,
            Form::Parquet(_) => panic!("{} is read by row groups", self.info.name),
        }
    }

    /// The object as Parquet.
    ///
    /// # Panics
    /// When it is none.
    pub(super) fn parquet(&self) -> &ParquetLog {
        match &self.form {
            Form::Parquet(log) => log,
            Form::Text(_) => panic!("{} is text", self.info.name),
        }
    }

    /// The row groups that are read; none of text.
    pub(super) fn row_groups(&self) -> impl Iterator<Item = (&ParquetLog, usize)> {
        let row_groups: &[RowGroup] = match &self.counted.content {
            Content::Columns(row_groups) => row_groups,
            Content::Text { .. } => &[],
        };
        let read = row_groups.iter().enumerate().filter(|(_, row_group)| row_group.is_read);
        read.map(|(index, _)| (self.parquet(), index))
    }

    /// Bytes that are read of it.
    pub(super) fn bytes_to_read(&self) -> u64 {
        match &self.form {
            Form::Text(_) => self.info.size,
            Form::Parquet(_) => {
                self.row_groups().map(|(log, row_group)| log.object.stored_bytes(row_group)).sum()
            }
        }
    }
}

impl Text {
    /// The bytes of the object that must be read for a range of what it holds.
    pub(super) fn stored(&self, object: &ObjectInfo, range: &Range<u64>) -> Range<u64> {
        let is_beginning = range.start <= self.layout.data_start();
        match self.compression {
            Compression::Gzip | Compression::Zstd => 0..object.size,
            Compression::None if is_beginning && self.assumed.is_some() => 0..range.end,
            Compression::None => range.clone(),
        }
    }
}

/// Whose beginning is read before counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginnings {
    /// Every object's.
    All,
    /// But of many small objects of a bucket, the first one's of each log.
    Assumed,
}

/// Finds out how to count each of the events' objects for the days, and how it is stored.
pub(super) async fn counted_objects(
    night: &Night,
    reading: &Reading,
    logs: &[PlannedLog],
    days: &[Day],
    beginnings: Beginnings,
) -> Result<Vec<Found>, Failures> {
    let events = logs.iter().filter(|planned| planned.log != Log::AdvertiserIds);
    let objects = events.flat_map(|planned| planned.objects.iter().map(move |object| (planned.log, object)));
    let objects: Vec<_> = objects.collect();
    let assumptions = match beginnings {
        Beginnings::All => BTreeMap::new(),
        Beginnings::Assumed => assumptions(night, reading, &objects).await?,
    };
    let dates = &DayReader::new(night.config.input.date_format()?, night.schedule.zone().clone());
    let read: Vec<_> = stream::iter(objects)
        .map(|(log, planned)| {
            let assumed = assumptions.get(&kind(log, planned));
            let assumed =
                assumed.filter(|assumed| is_small(planned) && assumed.will_be_checked(planned)).cloned();
            async move {
                let form = match assumed {
                    Some(assumed) => Ok(Form::Text(Text {
                        layout: assumed.layout.clone(),
                        compression: assumed.compression,
                        assumed: Some(assumed),
                    })),
                    None => form(night, reading, log, planned).await,
                };
                let form = form.map_err(|failure| of_object(failure, planned.days))?;
                Ok(found_object(planned, form, (days, dates)))
            }
        })
        .buffered(HEADERS_AT_A_TIME)
        .collect()
        .await;
    all_or_failures(read)
}

fn found_object(planned: &PlannedObject, form: Form, (days, dates): (&[Day], &DayReader)) -> Found {
    let object_days = match planned.days {
        ObjectDays::Any => counting::ObjectDays::Any,
        ObjectDays::Template(day) | ObjectDays::Partition(day) => counting::ObjectDays::Only(day),
    };
    let info = planned.object.clone();
    let content = match &form {
        Form::Text(Text { layout, compression, .. }) => {
            let size = (*compression == Compression::None).then_some(info.size);
            Content::Text { size, layout: layout.clone() }
        }
        Form::Parquet(log) => Content::Columns(log.row_groups(days, object_days, dates)),
    };
    Found { counted: CountedObject { name: info.name.clone(), days: object_days, content }, info, form }
}

fn is_small(planned: &PlannedObject) -> bool {
    planned.object.size <= SMALL_BYTES_MAX
}

/// Objects of a kind have the same columns: the log's, with or without a date.
fn kind(log: Log, planned: &PlannedObject) -> (Log, bool) {
    (log, matches!(planned.days, ObjectDays::Partition(_)))
}

/// For each kind of which a bucket has many small objects, how the first of them begins.
async fn assumptions(
    night: &Night,
    reading: &Reading,
    objects: &[(Log, &PlannedObject)],
) -> Result<BTreeMap<(Log, bool), Arc<Assumption>>, Failures> {
    let mut kinds = BTreeMap::<_, Vec<_>>::new();
    if reading.is_remote() {
        for (log, planned) in objects.iter().filter(|(_, planned)| is_small(planned)) {
            kinds.entry(kind(*log, planned)).or_default().push(*planned);
        }
    }
    let mut assumptions = BTreeMap::new();
    for (kind, small) in kinds.into_iter().filter(|(_, small)| small.len() > ASKED_AT_ONCE) {
        // When the first cannot be read, all beginnings are read, and all that is wrong with them is told.
        let Ok(Form::Text(Text { layout, compression, .. })) = form(night, reading, kind.0, small[0]).await
        else {
            continue;
        };
        let columns = columns(night, kind.0, small[0].days);
        let delimiter = night.config.input.delimiter()?;
        assumptions.insert(kind, Arc::new(Assumption { layout, compression, columns, delimiter }));
    }
    Ok(assumptions)
}

/// Finds out how an object of the log is read.
///
/// # Errors
/// When it cannot be read, or does not begin as the log's objects do.
pub(super) async fn form(
    night: &Night,
    reading: &Reading,
    log: Log,
    planned: &PlannedObject,
) -> Result<Form, Failure> {
    let object = &planned.object;
    let columns = columns(night, log, planned.days);
    let delimiter = night.config.input.delimiter()?;
    let refused = |error: HeaderError| refuse_header(reading.location(), log, &object.name, &error);
    let mut bytes = HEADER_BYTES;
    loop {
        let stored = reading.head_bytes(object, bytes).await?;
        if source::is_parquet(&stored) {
            let refused = |error: HeaderError| refuse_columns(reading.location(), log, &object.name, &error);
            return ParquetLog::open(reading, object, &columns, refused).await.map(Form::Parquet);
        }
        let is_whole = stored.len() as u64 >= object.size;
        match recognise(&object.name, &stored, is_whole, &columns, delimiter).map_err(refused)? {
            Some((layout, compression)) => {
                return Ok(Form::Text(Text { layout, compression, assumed: None }));
            }
            None if is_whole || bytes >= HEADER_BYTES_READ_MAX => {
                return Err(match read_through(reading, object, Compression::of(&stored)).await {
                    Ok(()) => refused(HeaderError::TooLong),
                    Err(failure) => failure,
                });
            }
            None => bytes *= 4,
        }
    }
}

/// How the object `name` is laid out and compressed whose first bytes these are, `is_whole` when they are
/// all; none when more are needed.
pub(super) fn recognise(
    name: &str,
    stored: &[u8],
    is_whole: bool,
    columns: &Columns,
    delimiter: Option<u8>,
) -> Result<Option<(Layout, Compression)>, HeaderError> {
    let compression = Compression::of(stored);
    let head = compression.head(stored, is_whole, HEADER_BYTES_MAX);
    let head = Head { name, bytes: &head.bytes, is_whole: head.is_whole };
    Ok(Layout::read(&head, delimiter, columns)?.map(|layout| (layout, compression)))
}

/// Reads an object whose header does not end, to tell whether it is damaged.
async fn read_through(
    reading: &Reading,
    object: &ObjectInfo,
    compression: Compression,
) -> Result<(), Failure> {
    let (reading, object) = (reading.clone(), object.clone());
    let read = tokio::task::spawn_blocking(move || {
        let compressed = reading.open(&object, 0..object.size)?;
        let mut text = reading.location().decompressed(&object, compression, compressed)?;
        std::io::copy(&mut text, &mut std::io::sink())
    });
    read.await.expect("reading does not panic").map(drop).map_err(explain_read)
}

fn refuse_header(location: &Location, log: Log, name: &str, error: &HeaderError) -> Failure {
    let message = format!("{} cannot be read as {log}: {error}", location.object_url(name));
    let failure = Failure::new(Exit::Refused, message);
    match error {
        HeaderError::Missing { missing, .. } => failure.help(format!(
            "the first line names the columns; if this one is called otherwise, name it in [input.columns]; if they stand between something else, name that in input.delimiter; if the object is no {log}, narrow input.{log} (missing: {missing})"
        )),
        HeaderError::MissingMember { .. } => failure.help(format!(
            "members are found by name, and not inside other members; if one is called otherwise, name it in [input.columns]; if the object is no {log}, narrow input.{log}"
        )),
        HeaderError::NotJsonLines(_) | HeaderError::NoJsonObject { .. } => failure.help("write one JSON object a line; `jq -c '.[]' FILE` makes such lines of an array, `jq -c . FILE` of other documents"),
        HeaderError::Empty => failure.help("an object without any event still has its header line; one of JSON lines, which has none, is left out when it is empty"),
        HeaderError::Repeated(_) => failure.help("give one of the columns another name, or name the right one in [input.columns]"),
        _ => failure.help(format!("logs are read as CSV, TSV or JSON lines, plain, gzip or zstd, and as Parquet; narrow input.{log} if the object is no {log}")),
    }
}

/// Why the columns of a Parquet object are not those of the log.
pub(super) fn refuse_columns(location: &Location, log: Log, name: &str, error: &HeaderError) -> Failure {
    let message = format!("{} cannot be read as {log}: {error}", location.object_url(name));
    let failure = Failure::new(Exit::Refused, message);
    match error {
        HeaderError::Missing { missing, .. } => failure.help(format!(
            "if the column is called otherwise, name it in [input.columns]; if the object is no {log}, narrow input.{log} (missing: {missing})"
        )),
        _ => failure.help("give one of the columns another name, or name the right one in [input.columns]"),
    }
}

/// Who is active on a day, and what the lists' lines were.
pub(super) struct ActiveDay {
    pub(super) advertisers: Arc<[AdvertiserId]>,
    pub(super) input: LogInput,
}

/// Reads the lists of active advertisers: for each day, the union of the lists that are of it.
pub(super) async fn active_days(
    night: &Night,
    reading: &Reading,
    logs: &[PlannedLog],
    days: &[Day],
) -> Result<Vec<ActiveDay>, Failures> {
    let planned = &logs
        .iter()
        .find(|planned| planned.log == Log::AdvertiserIds)
        .expect("the log is always configured")
        .objects;
    let mut lists = Vec::new();
    for object in planned {
        let list = match form(night, reading, Log::AdvertiserIds, object).await {
            Ok(form) => active_list(reading, object, form).await,
            Err(failure) => Err(failure),
        };
        lists.push(list.map_err(|failure| of_object(failure, object.days)));
    }
    let lists = all_or_failures(lists)?;
    let of_day = |day: &Day| {
        let mut advertisers = BTreeSet::new();
        let mut parts = Vec::new();
        let mut examples: Vec<RejectExample> = Vec::new();
        for (object, list) in planned.iter().zip(&lists).filter(|(object, _)| object.days.may_hold(*day)) {
            advertisers.extend(list.advertisers.iter().cloned());
            parts.push(object_input(object, list.tally));
            examples.extend(list.examples.iter().cloned());
        }
        if advertisers.is_empty() {
            let objects = parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(", ");
            let message = format!(
                "no active advertiser of {day} in {}: {objects} lists none",
                reading.location().url()
            );
            return Err(Failure::new(Exit::Refused, message)
                .help("nothing can be ranked without active advertisers; check who writes the list")
                .of_days([*day]));
        }
        Ok(ActiveDay { advertisers: advertisers.into_iter().collect(), input: log_input(parts, examples) })
    };
    let mut active: Vec<ActiveDay> = Vec::new();
    for mut day in all_or_failures(days.iter().map(of_day).collect())? {
        // Days that share their lists share the copy too.
        if let Some(last) = active.last().filter(|last| last.advertisers == day.advertisers) {
            day.advertisers = Arc::clone(&last.advertisers);
        }
        active.push(day);
    }
    Ok(active)
}

async fn active_list(reading: &Reading, planned: &PlannedObject, form: Form) -> Result<ActiveList, Failure> {
    let (shared, object) = (reading.clone(), planned.object.clone());
    let read = tokio::task::spawn_blocking(move || match form {
        Form::Text(text) => list_of_text(&shared, &object, &text),
        Form::Parquet(log) => list_of_parquet(&shared, &object, &log).map(Some),
    });
    let list = read.await.expect("reading a list does not panic").map_err(explain_read)?;
    list.ok_or_else(|| {
        let url = reading.location().object_url(&planned.object.name);
        let message =
            format!("{url} cannot be read as advertiser_ids: it has more than {LIST_BYTES_MAX} bytes");
        Failure::new(Exit::Refused, message).help("a list of active advertisers names each of them once")
    })
}

/// A list of text, unless it is too long.
fn list_of_text(reading: &Reading, object: &ObjectInfo, text: &Text) -> io::Result<Option<ActiveList>> {
    let mut bytes = Vec::new();
    let stored = reading.open(object, 0..object.size)?;
    let reader = reading.location().decompressed(object, text.compression, stored)?;
    reader.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    let is_short = bytes.len() as u64 <= LIST_BYTES_MAX;
    Ok(is_short.then(|| read_active_list(&object.name, &bytes, &text.layout)))
}

fn list_of_parquet(reading: &Reading, object: &ObjectInfo, log: &ParquetLog) -> io::Result<ActiveList> {
    let row_groups = RowGroups::new(reading);
    let mut list = ActiveList::default();
    let mut line = 1;
    for (index, (rows, _)) in log.object.row_groups().enumerate() {
        let reader = row_groups.open(&log.object, index)?;
        read_active_rows(&mut list, &object.name, line, &mut Rows { reader, places: log.places })?;
        line += rows;
    }
    Ok(list)
}

/// A failure at an object that may hold events of these days.
pub(super) fn of_object(failure: Failure, days: ObjectDays) -> Failure {
    match days {
        ObjectDays::Any => failure,
        ObjectDays::Template(day) | ObjectDays::Partition(day) => failure.of_days([day]),
    }
}

/// Why days cannot be counted; at least one failure. See [`Failure::days`].
pub(super) type Failures = Vec<Failure>;

/// All results, or all failures: so that what is wrong with several days is known at once.
pub(super) fn all_or_failures<T>(results: Vec<Result<T, Failure>>) -> Result<Vec<T>, Failures> {
    let (mut good, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(result) => good.push(result),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(good) } else { Err(failures) }
}

/// A failed read of a source's reader.
pub(super) fn explain_read(error: std::io::Error) -> Failure {
    match error.downcast::<SourceError>() {
        Ok(error) => error.into(),
        Err(error) => Failure::of(error),
    }
}

/// An object as manifests tell of it, as far as its lines have no times.
pub(super) fn object_input(planned: &PlannedObject, tally: domain::Tally) -> ObjectInput {
    let ObjectInfo { name, size, etag, modified } = planned.object.clone();
    let modified_at = if etag.is_none() { Timestamp::try_from(modified).ok() } else { None };
    ObjectInput { name, size, etag, modified_at, tally, last_time: None }
}

/// A log as manifests tell of it.
pub(super) fn log_input(objects: Vec<ObjectInput>, examples: Vec<RejectExample>) -> LogInput {
    let mut tally = domain::Tally::default();
    objects.iter().for_each(|object| tally += object.tally);
    let last_time = objects.iter().filter_map(|object| object.last_time).max();
    LogInput { tally, last_time, objects, examples }
}
