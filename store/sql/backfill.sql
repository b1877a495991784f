-- name: create_staging
CREATE TEMPORARY TABLE IF NOT EXISTS staging (
    time      timestamptz,
    point_id  integer,
    metric_id smallint,
    value     double precision,
    quality   smallint
) ON COMMIT DELETE ROWS;

-- name: no_decompression_limit
-- History of compressed chunks may have to unpack more than a hundred thousand rows at once.
SELECT set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', false)
FROM pg_settings WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction';

-- name: lock
SELECT pg_try_advisory_lock(hashtext('misto import'), hashtext(encode(%(digest)s::bytea, 'hex')));

-- name: unfinished
SELECT import_id, file, started_at, updated_at, position, stored, duplicates, rejected, reject_bytes
FROM import WHERE digest = %(digest)s AND finished_at IS NULL;

-- name: begin
INSERT INTO import (file, digest) VALUES (%(file)s, %(digest)s)
RETURNING import_id, file, started_at, updated_at, position, stored, duplicates, rejected, reject_bytes;

-- name: insert_new
WITH new AS (
    INSERT INTO readings (time, point_id, metric_id, value, quality)
    SELECT time, point_id, metric_id, value, quality FROM staging
    ON CONFLICT DO NOTHING
    RETURNING time, point_id, metric_id
), series AS (
    SELECT point_id, metric_id, min(time) AS first_at, max(time) AS last_at, count(*) AS readings
    FROM new GROUP BY point_id, metric_id
), kept AS (
    INSERT INTO import_series AS s (import_id, point_id, metric_id, first_at, last_at, readings)
    SELECT %(import_id)s, * FROM series
    ON CONFLICT (import_id, point_id, metric_id) DO UPDATE
    SET first_at = least(s.first_at, excluded.first_at), last_at = greatest(s.last_at, excluded.last_at),
        readings = s.readings + excluded.readings
)
SELECT coalesce(sum(readings), 0)::bigint, min(first_at), max(last_at) FROM series;

-- name: advance
UPDATE import
SET updated_at = now(), position = %(position)s, stored = stored + %(stored)s,
    duplicates = duplicates + %(duplicates)s, rejected = rejected + %(rejected)s, reject_bytes = %(reject_bytes)s,
    first_at = least(first_at, %(first_at)s), last_at = greatest(last_at, %(last_at)s)
WHERE import_id = %(import_id)s;

-- name: tell_log
-- Pieces of at most two hundred thousand readings or one series, so that no reader of the log works for long at a time.
WITH gone AS (
    DELETE FROM import_series WHERE import_id = %(import_id)s
    RETURNING point_id, metric_id, first_at, last_at, readings
), piece AS (
    SELECT *, (sum(readings) OVER (ORDER BY point_id, metric_id) - 1)::bigint / 200000 AS number FROM gone
), told AS (
    SELECT p.number, r.*
    FROM piece AS p
    CROSS JOIN LATERAL (
        (SELECT time, point_id, metric_id, value, quality FROM readings
         WHERE point_id = p.point_id AND metric_id = p.metric_id AND time BETWEEN p.first_at AND p.last_at
           AND quality = 0
         ORDER BY time LIMIT 1)
        UNION
        (SELECT time, point_id, metric_id, value, quality FROM readings
         WHERE point_id = p.point_id AND metric_id = p.metric_id AND time BETWEEN p.first_at AND p.last_at
           AND quality = 0
         ORDER BY time DESC LIMIT 1)
        UNION
        (SELECT time, point_id, metric_id, value, quality FROM readings
         WHERE point_id = p.point_id AND metric_id = p.metric_id AND time = p.last_at)
    ) AS r
)
INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, "values", qualities, origin)
SELECT now(), (SELECT sum(p.readings) FROM piece AS p WHERE p.number = t.number),
       array_agg((date_part('epoch', t.time) * 1e6)::bigint ORDER BY t.time),
       array_agg(t.point_id ORDER BY t.time), array_agg(t.metric_id ORDER BY t.time),
       array_agg(t.value ORDER BY t.time), array_agg(t.quality ORDER BY t.time), 'import'
FROM told AS t
GROUP BY t.number
ORDER BY t.number;

-- name: finish
UPDATE import SET finished_at = now(), updated_at = now() WHERE import_id = %(import_id)s;

-- name: abandoned
-- Imports that were killed and have not been taken up again.
SELECT import_id, digest FROM import
WHERE updated_at < now() - INTERVAL '1 minute'
  AND EXISTS (SELECT FROM import_series AS s WHERE s.import_id = import.import_id);

-- name: lock_abandoned
SELECT pg_try_advisory_xact_lock(hashtext('misto import'), hashtext(encode(%(digest)s::bytea, 'hex')));

-- name: list
SELECT import_id, file, started_at, updated_at, finished_at, position, stored, duplicates, rejected, first_at, last_at
FROM import ORDER BY import_id DESC LIMIT %(most)s;

-- name: points
SELECT code, point_id, bin_empty_mm, bin_full_mm, bin_blind_mm, bin_shape, bin_floor_width_pct FROM point WHERE site_id IS NOT NULL;

-- name: rollup_note
INSERT INTO rollup_due (first_at, last_at) VALUES (%(first_at)s, %(last_at)s);

-- name: rollup_due
SELECT min(first_at), max(last_at), array_agg(ctid::text) FROM rollup_due HAVING count(*) > 0;

-- name: rollup_refresh_hourly
CALL refresh_continuous_aggregate('readings_hourly', %(first_at)s, %(last_at)s);

-- name: rollup_refresh_daily
CALL refresh_continuous_aggregate('readings_daily', %(first_at)s, %(last_at)s);

-- name: rollup_done
DELETE FROM rollup_due WHERE ctid = ANY (%(rows)s::text[]::tid[]);
