-- What the events of each active advertiser came to in a run: what later runs are compared with.
CREATE TABLE advertiser_totals (
    run_id        TEXT COLLATE "C" NOT NULL,
    advertiser_id TEXT COLLATE "C" NOT NULL,
    impressions   BIGINT NOT NULL,
    clicks        BIGINT NOT NULL,
    views         BIGINT NOT NULL,
    PRIMARY KEY (run_id, advertiser_id)
);

-- What checks held back of the last run of a day; an empty advertiser_id stands for all advertisers. seq is of
-- the same sequence as that of publication_events.
CREATE TABLE holds (
    day           DATE NOT NULL,
    advertiser_id TEXT COLLATE "C" NOT NULL,
    run_id        TEXT COLLATE "C" NOT NULL,
    check_name    TEXT NOT NULL,
    message       TEXT NOT NULL,
    seq           BIGINT NOT NULL,
    PRIMARY KEY (day, advertiser_id)
);

-- What moved publications: 'publish', or 'accept' for what someone decided in spite of checks, with the reason.
ALTER TABLE publication_events
    ADD COLUMN kind TEXT NOT NULL DEFAULT 'publish',
    ADD COLUMN advertiser_id TEXT COLLATE "C",
    ADD COLUMN reason TEXT;
