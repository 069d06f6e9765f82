-- What the events of each active advertiser came to in a run: what later runs are compared with.
CREATE TABLE advertiser_totals (
    run_id        TEXT NOT NULL,
    advertiser_id TEXT NOT NULL,
    impressions   INTEGER NOT NULL,
    clicks        INTEGER NOT NULL,
    views         INTEGER NOT NULL,
    PRIMARY KEY (run_id, advertiser_id)
) STRICT, WITHOUT ROWID;

-- What checks held back of the last run of a day; an empty advertiser_id stands for all advertisers. seq is of
-- the same sequence as that of publication_events.
CREATE TABLE holds (
    day           TEXT NOT NULL,
    advertiser_id TEXT NOT NULL,
    run_id        TEXT NOT NULL,
    check_name    TEXT NOT NULL,
    message       TEXT NOT NULL,
    seq           INTEGER NOT NULL,
    PRIMARY KEY (day, advertiser_id)
) STRICT, WITHOUT ROWID;

-- What moved publications: 'publish', or 'accept' for what someone decided in spite of checks, with the reason.
ALTER TABLE publication_events ADD COLUMN kind TEXT NOT NULL DEFAULT 'publish';
ALTER TABLE publication_events ADD COLUMN advertiser_id TEXT;
ALTER TABLE publication_events ADD COLUMN reason TEXT;
