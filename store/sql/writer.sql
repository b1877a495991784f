-- name: create_staging
CREATE TEMPORARY TABLE IF NOT EXISTS staging (
    time      timestamptz,
    point_id  integer,
    metric_id smallint,
    value     double precision,
    quality   smallint
) ON COMMIT DELETE ROWS;

-- name: copy_staging
COPY staging (time, point_id, metric_id, value, quality) FROM STDIN (FORMAT binary);

-- name: insert_new
WITH new AS (
    INSERT INTO readings (time, point_id, metric_id, value, quality)
    SELECT time, point_id, metric_id, value, quality FROM staging
    ON CONFLICT DO NOTHING
    RETURNING (date_part('epoch', time) * 1e6)::bigint AS time_us, point_id, metric_id, value, quality
)
INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, "values", qualities)
SELECT %(received_at)s, count(*), array_agg(time_us), array_agg(point_id), array_agg(metric_id),
       array_agg(value), array_agg(quality)
FROM (SELECT * FROM new ORDER BY time_us) AS ordered
HAVING count(*) > 0
RETURNING reading_count;

-- name: quarantine
INSERT INTO quarantine (received_at, topic, payload, reason, detail, device_address, digest)
VALUES (%(received_at)s, %(topic)s, %(payload)s, %(reason)s, %(detail)s, %(device_address)s, %(digest)s)
ON CONFLICT DO NOTHING;

-- name: deliveries
INSERT INTO delivery (client_id, packet_id, digest, received_at)
SELECT %(client_id)s, * FROM unnest(%(packet_ids)s::integer[], %(digests)s::bytea[], %(received)s::timestamptz[])
ON CONFLICT (client_id, packet_id) DO UPDATE SET digest = excluded.digest, received_at = excluded.received_at;

-- name: load_deliveries
SELECT packet_id, digest, extract(epoch FROM received_at)::float8 FROM delivery WHERE client_id = %(client_id)s;

-- name: forget_deliveries
DELETE FROM delivery WHERE client_id = %(client_id)s;
