-- name: ensure_extension
CREATE EXTENSION IF NOT EXISTS timescaledb;

-- name: license
SELECT current_setting('timescaledb.license', true);

-- name: facts
-- Of whose tables these are only the schema counts that Misto's would be made in; what extensions brought is nobody's.
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
       (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'),
       current_setting('timescaledb.license', true) IS NOT NULL,
       to_regclass('schema_migration') IS NOT NULL,
       pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean,
       ARRAY(SELECT c.relname::text FROM pg_class AS c
             WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
               AND c.relkind IN ('r', 'p', 'f') AND to_regclass('schema_migration') IS NULL
               AND NOT EXISTS (SELECT FROM pg_depend AS d
                               WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
             ORDER BY 1 LIMIT 3);

-- name: ensure_table
CREATE TABLE IF NOT EXISTS schema_migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    digest     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT version, digest FROM schema_migration ORDER BY version;

-- name: record
INSERT INTO schema_migration (version, name, digest) VALUES (%(version)s, %(name)s, %(digest)s);

-- name: lock
SELECT pg_advisory_lock(%(lock)s);

-- name: upsert_metric
INSERT INTO metric (metric_id, name, unit, quantity, kind, range_low, range_high, name_en, name_uk)
VALUES (%(id)s, %(name)s, %(unit)s, %(quantity)s, %(kind)s, (%(range)s::float8[])[1], (%(range)s::float8[])[2],
        %(en)s, %(uk)s)
ON CONFLICT (metric_id) DO UPDATE
SET name = excluded.name, unit = excluded.unit, quantity = excluded.quantity, kind = excluded.kind,
    range_low = excluded.range_low, range_high = excluded.range_high,
    name_en = excluded.name_en, name_uk = excluded.name_uk;
