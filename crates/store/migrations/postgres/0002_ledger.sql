-- The process of a run, and when it last gave a sign of life by this database's clock; neither of runs of
-- earlier versions.
ALTER TABLE runs ADD COLUMN process TEXT, ADD COLUMN seen_at TIMESTAMPTZ;
CREATE INDEX runs_under_way ON runs (run_id) WHERE status = 'running';

CREATE FUNCTION runs_that_ended_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a run that has ended never changes';
END;
$$;
CREATE TRIGGER runs_that_ended_stay BEFORE UPDATE OR DELETE ON runs FOR EACH ROW
WHEN (OLD.ended_at IS NOT NULL) EXECUTE FUNCTION runs_that_ended_stay();
