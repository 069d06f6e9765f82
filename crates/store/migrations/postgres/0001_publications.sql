-- The ledger: one row a run. A row with ended_at is never changed.
CREATE TABLE runs (
    run_id          TEXT COLLATE "C" PRIMARY KEY,
    day             DATE NOT NULL,
    status          TEXT NOT NULL,
    started_by      TEXT NOT NULL,
    program_version TEXT NOT NULL,
    config_hash     TEXT NOT NULL,
    started_at      TIMESTAMPTZ NOT NULL,
    ended_at        TIMESTAMPTZ,
    error           TEXT,
    -- JSON, not JSONB: a report may quote a line that holds \u0000, which JSONB refuses.
    report          JSON,
    -- The names of the models computed, set when the run publishes; also those that ranked nothing.
    models          JSON,
    -- SHA-256 of all that the run publishes, and the run whose rows in rankings hold it.
    rankings_digest TEXT,
    rankings_run_id TEXT COLLATE "C"
);
CREATE INDEX runs_by_start ON runs (started_at, run_id);
CREATE INDEX runs_by_day ON runs (day, started_at, run_id);

CREATE TABLE rankings (
    run_id        TEXT COLLATE "C" NOT NULL,
    day           DATE NOT NULL,
    model         TEXT COLLATE "C" NOT NULL,
    advertiser_id TEXT COLLATE "C" NOT NULL,
    rank          INTEGER NOT NULL,
    product_id    TEXT COLLATE "C" NOT NULL,
    score         DOUBLE PRECISION NOT NULL,
    impressions   BIGINT NOT NULL,
    clicks        BIGINT NOT NULL,
    views         BIGINT NOT NULL,
    PRIMARY KEY (run_id, model, advertiser_id, rank)
);

-- Which run's rankings readers see. An advertiser was active on a day when it has a row here.
CREATE TABLE publications (
    day           DATE NOT NULL,
    advertiser_id TEXT COLLATE "C" NOT NULL,
    run_id        TEXT COLLATE "C" NOT NULL,
    published_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (day, advertiser_id)
);

-- Every move of publications, in the order in which readers saw them.
CREATE TABLE publication_events (
    seq          BIGINT PRIMARY KEY,
    day          DATE NOT NULL,
    run_id       TEXT COLLATE "C" NOT NULL,
    published_at TIMESTAMPTZ NOT NULL
);
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
