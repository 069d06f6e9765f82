-- The process of a run, and when it last gave a sign of life by this database's clock; neither of runs of
-- earlier versions.
ALTER TABLE runs ADD COLUMN process TEXT;
ALTER TABLE runs ADD COLUMN seen_at TEXT;
CREATE INDEX runs_under_way ON runs (run_id) WHERE status = 'running';

CREATE TRIGGER runs_that_ended_stay_the_same BEFORE UPDATE ON runs WHEN OLD.ended_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a run that has ended never changes');
END;
CREATE TRIGGER runs_that_ended_stay BEFORE DELETE ON runs WHEN OLD.ended_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a run that has ended never changes');
END;
