-- What a run has in rankings, packed for servers to load: its rankings by a model in parts, numbered from 0, each with
-- the number of parts that there are. Runs of earlier versions have none, nor have those whose rows in rankings someone
-- has changed: what there is says the same as the rows. Parts of a format that a program does not know are none to it.
CREATE TABLE packed_rankings (
    run_id TEXT COLLATE "C" NOT NULL,
    model  TEXT COLLATE "C" NOT NULL,
    part   INTEGER NOT NULL,
    parts  INTEGER NOT NULL,
    format INTEGER NOT NULL,
    bytes  BYTEA NOT NULL,
    PRIMARY KEY (run_id, model, part)
);
-- Packing leaves little to compress, and compressing would cost each server more than it saves.
ALTER TABLE packed_rankings ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- With the rights of its owner: a role of an earlier version may not know the table.
CREATE FUNCTION packed_rankings_say_the_same() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format('DELETE FROM %I.packed_rankings', TG_TABLE_SCHEMA);
    ELSE
        EXECUTE format('DELETE FROM %I.packed_rankings WHERE run_id IN (SELECT run_id FROM changed)', TG_TABLE_SCHEMA);
    END IF;
    RETURN NULL;
END;
$$;
-- Nobody else makes a trigger of it, on a table of his own that is called so.
REVOKE EXECUTE ON FUNCTION packed_rankings_say_the_same() FROM PUBLIC;
CREATE TRIGGER packed_rankings_say_the_same_after_delete AFTER DELETE ON rankings
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION packed_rankings_say_the_same();
CREATE TRIGGER packed_rankings_say_the_same_before_update AFTER UPDATE ON rankings
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION packed_rankings_say_the_same();
CREATE TRIGGER packed_rankings_say_the_same_after_update AFTER UPDATE ON rankings
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION packed_rankings_say_the_same();
CREATE TRIGGER packed_rankings_say_the_same_after_truncate AFTER TRUNCATE ON rankings
FOR EACH STATEMENT EXECUTE FUNCTION packed_rankings_say_the_same();
