-- Keys of the API: what they may ask for, and the SHA-256 of their text, which is kept nowhere. advertisers is a JSON array of
-- ids, none for all advertisers. A row stays for good.
CREATE TABLE api_keys (
    key_id       TEXT NOT NULL PRIMARY KEY CHECK (length(key_id) = 12 AND key_id NOT GLOB '*[^0-9a-z]*'),
    name         TEXT NOT NULL CHECK (name <> ''),
    digest       BLOB NOT NULL CHECK (length(digest) = 32),
    advertisers  TEXT CHECK (json_array_length(advertisers) > 0),
    created_at   TEXT NOT NULL,
    revoked_at   TEXT,
    last_used_at TEXT
) STRICT;
-- People revoke by name.
CREATE UNIQUE INDEX api_keys_in_force ON api_keys (name) WHERE revoked_at IS NULL;

-- One row: a number that rises whenever a key is made or revoked, which servers ask for again and again. It rises by chance,
-- so that a database that was restored from a backup does not come to a number that servers have seen.
CREATE TABLE api_keys_version (version INTEGER NOT NULL) STRICT;
INSERT INTO api_keys_version (version) VALUES (0);
CREATE TRIGGER api_keys_move_the_version_when_made AFTER INSERT ON api_keys
BEGIN
    UPDATE api_keys_version SET version = version + 1 + abs(random() % 1000000000000);
END;
CREATE TRIGGER api_keys_move_the_version_when_revoked AFTER UPDATE ON api_keys
WHEN OLD.revoked_at IS NOT NEW.revoked_at
BEGIN
    UPDATE api_keys_version SET version = version + 1 + abs(random() % 1000000000000);
END;

CREATE TRIGGER api_keys_stay BEFORE DELETE ON api_keys
BEGIN
    SELECT RAISE(ABORT, 'an API key stays as it was made: it can be revoked, once');
END;
CREATE TRIGGER api_keys_stay_the_same BEFORE UPDATE ON api_keys
WHEN OLD.key_id <> NEW.key_id OR OLD.name <> NEW.name OR OLD.digest <> NEW.digest
    OR OLD.advertisers IS NOT NEW.advertisers OR OLD.created_at <> NEW.created_at
    OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS NOT OLD.revoked_at)
BEGIN
    SELECT RAISE(ABORT, 'an API key stays as it was made: it can be revoked, once');
END;
