-- Days are YYYY-MM-DD, timestamps YYYY-MM-DDTHH:MM:SS.mmmZ: both sort as text.

-- The ledger: one row a run. A row with ended_at is never changed.
CREATE TABLE runs (
    run_id          TEXT NOT NULL PRIMARY KEY,
    day             TEXT NOT NULL,
    status          TEXT NOT NULL,
    started_by      TEXT NOT NULL,
    program_version TEXT NOT NULL,
    config_hash     TEXT NOT NULL,
    started_at      TEXT NOT NULL,
    ended_at        TEXT,
    error           TEXT,
    report          TEXT,
    -- The names of the models computed, as JSON, set when the run publishes; also those that ranked nothing.
    models          TEXT,
    -- SHA-256 of all that the run publishes, and the run whose rows in rankings hold it.
    rankings_digest TEXT,
    rankings_run_id TEXT
) STRICT;
CREATE INDEX runs_by_start ON runs (started_at, run_id);
CREATE INDEX runs_by_day ON runs (day, started_at, run_id);

CREATE TABLE rankings (
    run_id        TEXT NOT NULL,
    day           TEXT NOT NULL,
    model         TEXT NOT NULL,
    advertiser_id TEXT NOT NULL,
    rank          INTEGER NOT NULL,
    product_id    TEXT NOT NULL,
    score         REAL NOT NULL,
    impressions   INTEGER NOT NULL,
    clicks        INTEGER NOT NULL,
    views         INTEGER NOT NULL,
    PRIMARY KEY (run_id, model, advertiser_id, rank)
) STRICT, WITHOUT ROWID;

-- Which run's rankings readers see. An advertiser was active on a day when it has a row here.
CREATE TABLE publications (
    day           TEXT NOT NULL,
    advertiser_id TEXT NOT NULL,
    run_id        TEXT NOT NULL,
    published_at  TEXT NOT NULL,
    PRIMARY KEY (day, advertiser_id)
) STRICT, WITHOUT ROWID;

-- Every move of publications, in the order in which readers saw them.
CREATE TABLE publication_events (
    seq          INTEGER NOT NULL PRIMARY KEY,
    day          TEXT NOT NULL,
    run_id       TEXT NOT NULL,
    published_at TEXT NOT NULL
) STRICT;
CREATE INDEX publication_events_by_day ON publication_events (day, seq);

CREATE VIEW top_ctr AS
SELECT r.day, r.advertiser_id, r.rank, r.product_id, r.score, r.impressions, r.clicks, r.views, r.run_id
FROM publications p
JOIN rankings r ON r.run_id = p.run_id AND r.day = p.day AND r.advertiser_id = p.advertiser_id
WHERE r.model = 'TopCTR';

CREATE VIEW top_product AS
SELECT r.day, r.advertiser_id, r.rank, r.product_id, r.score, r.impressions, r.clicks, r.views, r.run_id
FROM publications p
JOIN rankings r ON r.run_id = p.run_id AND r.day = p.day AND r.advertiser_id = p.advertiser_id
WHERE r.model = 'TopProduct';
