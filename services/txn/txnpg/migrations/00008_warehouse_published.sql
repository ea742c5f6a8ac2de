-- +goose Up
-- What the last version of the warehouse came to, for its alert: an export is over before anybody could ask it.
ALTER TABLE cut
    ADD COLUMN missing   integer NOT NULL DEFAULT 0, -- tables that could not be read at its cut
    ADD COLUMN unchecked integer NOT NULL DEFAULT 0; -- equations that could not be checked

-- +goose StatementBegin
CREATE FUNCTION cut_published(tables_missing integer, equations_unchecked integer) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET synchronous_commit = local
    AS 'UPDATE cut SET missing = tables_missing, unchecked = equations_unchecked';

REVOKE ALL ON FUNCTION cut_published(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cut_published(integer, integer) TO pg_read_all_data;
-- +goose StatementEnd
