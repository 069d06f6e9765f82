-- The event by which readers came to see the row; 0 in rows of earlier versions, until something happens to the day.
ALTER TABLE publications ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;

-- What was in publications and in holds from the event from_seq until the event to_seq.
CREATE TABLE past_publications (
    day           DATE NOT NULL,
    advertiser_id TEXT COLLATE "C" NOT NULL,
    from_seq      BIGINT NOT NULL,
    to_seq        BIGINT NOT NULL,
    run_id        TEXT COLLATE "C" NOT NULL,
    published_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (day, advertiser_id, to_seq)
);
CREATE TABLE past_holds (
    day           DATE NOT NULL,
    advertiser_id TEXT COLLATE "C" NOT NULL,
    from_seq      BIGINT NOT NULL,
    to_seq        BIGINT NOT NULL,
    run_id        TEXT COLLATE "C" NOT NULL,
    check_name    TEXT NOT NULL,
    message       TEXT NOT NULL,
    PRIMARY KEY (day, advertiser_id, to_seq)
);

-- Of 'rollback' and 'undo': readers see again what they saw after this event, 0 for before any. is_seen says
-- whether they see anything of the day after the event. Kinds are also 'pin' and 'unpin', which move nothing
-- of a day, and 'trim', after which nothing of it is kept.
ALTER TABLE publication_events
    ADD COLUMN to_seq BIGINT,
    ADD COLUMN is_seen BOOLEAN NOT NULL DEFAULT true;

-- Advertisers of whom readers see what a run made of its day, and nothing of later days.
CREATE TABLE pins (
    advertiser_id TEXT COLLATE "C" PRIMARY KEY,
    day           DATE NOT NULL,
    run_id        TEXT COLLATE "C" NOT NULL,
    reason        TEXT NOT NULL,
    pinned_at     TIMESTAMPTZ NOT NULL,
    seq           BIGINT NOT NULL
);

-- What readers see: publications, but for advertisers that are pinned.
CREATE VIEW seen_publications AS
SELECT p.day, p.advertiser_id, p.run_id, p.published_at FROM publications p
WHERE NOT EXISTS (SELECT 1 FROM pins WHERE pins.advertiser_id = p.advertiser_id AND pins.day <= p.day)
UNION ALL
SELECT day, advertiser_id, run_id, pinned_at FROM pins;

CREATE OR REPLACE VIEW top_ctr AS
SELECT r.day, r.advertiser_id, r.rank, r.product_id, r.score, r.impressions, r.clicks, r.views, r.run_id
FROM seen_publications p
JOIN rankings r ON r.run_id = p.run_id AND r.day = p.day AND r.advertiser_id = p.advertiser_id
WHERE r.model = 'TopCTR';

CREATE OR REPLACE VIEW top_product AS
SELECT r.day, r.advertiser_id, r.rank, r.product_id, r.score, r.impressions, r.clicks, r.views, r.run_id
FROM seen_publications p
JOIN rankings r ON r.run_id = p.run_id AND r.day = p.day AND r.advertiser_id = p.advertiser_id
WHERE r.model = 'TopProduct';
