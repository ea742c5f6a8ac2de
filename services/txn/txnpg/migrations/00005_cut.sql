-- +goose Up
-- What a cut through all databases holds decisions back with (protocols: "The cut"). Who decides to commit takes
-- the lock named 'cut' shared and then looks at this row; who opens a cut takes it alone to write the row. So when
-- the row is written, every decision of before is visible, and none follows until it is released or has expired.
-- The lock is fair, which a lock of the row is not: those who share it would starve who wants it alone.
CREATE TABLE cut (
    only_one    boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    holder      text        NOT NULL DEFAULT '',
    held_until  timestamptz NOT NULL DEFAULT '-infinity',
    proven      bigint      NOT NULL DEFAULT 0
);
INSERT INTO cut DEFAULT VALUES;

-- +goose StatementBegin
-- Holds decisions back for the lease; false: somebody else does. It is not worth a wait for the standbys: a hold
-- that is lost with its leader fails with the proof.
CREATE FUNCTION cut_hold(who text, lease interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET synchronous_commit = local AS $$
BEGIN
    IF lease > interval '500 milliseconds' THEN
        RAISE invalid_parameter_value USING message = 'decisions are held back for 500 ms at most';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('cut'));
    UPDATE cut SET holder = who, held_until = clock_timestamp() + lease WHERE held_until < clock_timestamp();
    RETURN found;
END $$;

-- Lets decisions go on. False: they did already, the lease had run out.
CREATE FUNCTION cut_release(who text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET synchronous_commit = local AS $$
BEGIN
    UPDATE cut SET held_until = '-infinity' WHERE holder = who AND held_until > clock_timestamp();
    RETURN found;
END $$;

-- Commits something, with the standbys: what was committed before it, and so everything in the cut, is not lost.
CREATE FUNCTION cut_prove() RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
    AS 'UPDATE cut SET proven = proven + 1';

-- For who may read everything, and the owner.
REVOKE ALL ON FUNCTION cut_hold(text, interval), cut_release(text), cut_prove() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cut_hold(text, interval), cut_release(text), cut_prove() TO pg_read_all_data;
-- +goose StatementEnd
