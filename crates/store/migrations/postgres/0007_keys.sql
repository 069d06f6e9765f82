-- Keys of the API: what they may ask for, and the SHA-256 of their text, which is kept nowhere. advertisers is a JSON array of
-- ids, none for all advertisers. A row stays for good.
CREATE TABLE api_keys (
    key_id       TEXT COLLATE "C" PRIMARY KEY CHECK (key_id ~ '^[0-9a-z]{12}$'),
    name         TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
    digest       BYTEA NOT NULL CHECK (octet_length(digest) = 32),
    advertisers  JSON CHECK (json_array_length(advertisers) > 0),
    created_at   TIMESTAMPTZ NOT NULL,
    revoked_at   TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ
);
-- People revoke by name.
CREATE UNIQUE INDEX api_keys_in_force ON api_keys (name) WHERE revoked_at IS NULL;

-- One row: a number that rises whenever a key is made or revoked, which servers ask for again and again. It rises by chance,
-- so that a database that was restored from a backup does not come to a number that servers have seen.
CREATE TABLE api_keys_version (version BIGINT NOT NULL);
INSERT INTO api_keys_version (version) VALUES (0);

-- With the rights of its owner: a role that may make keys need not be able to set the number.
CREATE FUNCTION api_keys_move_the_version() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('UPDATE %I.api_keys_version SET version = version + 1 + (random() * 1e12)::bigint', TG_TABLE_SCHEMA);
    RETURN NULL;
END;
$$;
-- Nobody else makes a trigger of it, on a table of his own.
REVOKE EXECUTE ON FUNCTION api_keys_move_the_version() FROM PUBLIC;
CREATE TRIGGER api_keys_move_the_version_when_made AFTER INSERT ON api_keys
FOR EACH ROW EXECUTE FUNCTION api_keys_move_the_version();
CREATE TRIGGER api_keys_move_the_version_when_revoked AFTER UPDATE ON api_keys FOR EACH ROW
WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at) EXECUTE FUNCTION api_keys_move_the_version();

CREATE FUNCTION api_keys_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an API key stays as it was made: it can be revoked, once';
END;
$$;
CREATE TRIGGER api_keys_stay BEFORE DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION api_keys_stay();
CREATE TRIGGER api_keys_stay_all BEFORE TRUNCATE ON api_keys FOR EACH STATEMENT EXECUTE FUNCTION api_keys_stay();
CREATE TRIGGER api_keys_stay_the_same BEFORE UPDATE ON api_keys FOR EACH ROW
WHEN ((OLD.key_id, OLD.name, OLD.digest, OLD.advertisers::text, OLD.created_at)
          IS DISTINCT FROM (NEW.key_id, NEW.name, NEW.digest, NEW.advertisers::text, NEW.created_at)
      OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at))
EXECUTE FUNCTION api_keys_stay();
