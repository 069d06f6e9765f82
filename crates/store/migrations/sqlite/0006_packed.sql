-- What a run has in rankings, packed for servers to load: its rankings by a model in parts, numbered from 0, each with
-- the number of parts that there are. Runs of earlier versions have none, nor have those whose rows in rankings someone
-- has changed: what there is says the same as the rows. Parts of a format that a program does not know are none to it.
-- With a rowid: the index then is small, and the parts lie aside.
CREATE TABLE packed_rankings (
    run_id TEXT NOT NULL,
    model  TEXT NOT NULL,
    part   INTEGER NOT NULL,
    parts  INTEGER NOT NULL,
    format INTEGER NOT NULL,
    bytes  BLOB NOT NULL,
    PRIMARY KEY (run_id, model, part)
) STRICT;

CREATE TRIGGER packed_rankings_say_the_same_after_delete AFTER DELETE ON rankings
BEGIN
    DELETE FROM packed_rankings WHERE run_id = OLD.run_id;
END;
CREATE TRIGGER packed_rankings_say_the_same_after_update AFTER UPDATE ON rankings
BEGIN
    DELETE FROM packed_rankings WHERE run_id IN (OLD.run_id, NEW.run_id);
END;
