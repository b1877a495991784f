-- name: hold_registry
SELECT pg_advisory_xact_lock_shared(hashtext('misto inventory'));

-- name: write_latest
INSERT INTO point_latest (point_id, metric_id, time, value, quality, received_at)
SELECT * FROM unnest(%(points)s::integer[], %(metrics)s::smallint[], %(times)s::timestamptz[],
                     %(values)s::float8[], %(qualities)s::smallint[], %(received)s::timestamptz[])
ON CONFLICT (point_id, metric_id) DO UPDATE
SET time = excluded.time, value = excluded.value, quality = excluded.quality, received_at = excluded.received_at
WHERE point_latest.time < excluded.time;

-- name: series_around
-- The readings within reach of what is new, the whole hours between them, and as many readings again on either side.
SELECT s.point_id, s.metric_id,
       extract(epoch FROM h.start)::bigint * 1000000, extract(epoch FROM h.stop)::bigint * 1000000,
       r.times_us, r.values
FROM unnest(%(points)s::integer[], %(metrics)s::smallint[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[])
     AS s (point_id, metric_id, first, last)
CROSS JOIN LATERAL (
    SELECT date_trunc('hour', coalesce((SELECT min(time) FROM (
               SELECT time FROM readings
               WHERE point_id = s.point_id AND metric_id = s.metric_id AND time < s.first AND quality = 0
               ORDER BY time DESC LIMIT %(reach)s) AS near), s.first)) AS start,
           date_trunc('hour', coalesce((SELECT max(time) FROM (
               SELECT time FROM readings
               WHERE point_id = s.point_id AND metric_id = s.metric_id AND time > s.last AND quality = 0
               ORDER BY time LIMIT %(reach)s) AS near), s.last)) + INTERVAL '1 hour' AS stop
) AS h
CROSS JOIN LATERAL (
    SELECT coalesce((SELECT min(time) FROM (
               SELECT time FROM readings
               WHERE point_id = s.point_id AND metric_id = s.metric_id AND time < h.start AND quality = 0
               ORDER BY time DESC LIMIT %(reach)s) AS near), h.start) AS start,
           coalesce((SELECT max(time) FROM (
               SELECT time FROM readings
               WHERE point_id = s.point_id AND metric_id = s.metric_id AND time >= h.stop AND quality = 0
               ORDER BY time LIMIT %(reach)s) AS near), h.stop) AS stop
) AS w
CROSS JOIN LATERAL (
    SELECT array_agg((date_part('epoch', time) * 1e6)::bigint ORDER BY time) AS times_us,
           array_agg(value ORDER BY time) AS values
    FROM readings
    WHERE point_id = s.point_id AND metric_id = s.metric_id AND time >= w.start AND time <= w.stop AND quality = 0
) AS r
WHERE r.times_us IS NOT NULL;

-- name: meters
SELECT p.point_id, p.interval_s, p.register_digits,
       array_agg(CASE WHEN a.valid_from = '-infinity' THEN 0
                      ELSE (date_part('epoch', a.valid_from) * 1e6)::bigint END ORDER BY a.valid_from),
       array_agg(a.register_start ORDER BY a.valid_from), array_agg(a.register_end ORDER BY a.valid_from)
FROM point AS p JOIN assignment AS a USING (point_id)
WHERE p.point_id = ANY (%(points)s)
GROUP BY p.point_id;

-- name: write_consumption
WITH new AS (
    SELECT point_id, metric_id, to_timestamp(bucket_s) AS bucket, amount, quality
    FROM unnest(%(hour_points)s::integer[], %(hour_metrics)s::smallint[], %(buckets)s::bigint[],
                %(amounts)s::float8[], %(qualities)s::smallint[])
        AS new (point_id, metric_id, bucket_s, amount, quality)
), gone AS (
    DELETE FROM consumption_hourly AS c
    USING unnest(%(points)s::integer[], %(metrics)s::smallint[], %(froms)s::timestamptz[], %(tos)s::timestamptz[])
        AS range (point_id, metric_id, begin, stop)
    WHERE c.point_id = range.point_id AND c.metric_id = range.metric_id
      AND c.bucket >= range.begin AND c.bucket < range.stop
      AND NOT EXISTS (SELECT FROM new WHERE (new.point_id, new.metric_id, new.bucket)
                                          = (c.point_id, c.metric_id, c.bucket))
)
INSERT INTO consumption_hourly AS c (bucket, point_id, metric_id, amount, quality)
SELECT bucket, point_id, metric_id, amount, quality FROM new
ON CONFLICT (point_id, metric_id, bucket) DO UPDATE SET amount = excluded.amount, quality = excluded.quality
WHERE (c.amount, c.quality) IS DISTINCT FROM (excluded.amount, excluded.quality);

-- name: fill_readings
WITH around AS (
    (SELECT time, value FROM readings
     WHERE point_id = %(point_id)s AND metric_id = %(metric_id)s AND quality = 0 AND time < %(first)s
     ORDER BY time DESC LIMIT %(before)s)
    UNION ALL
    SELECT time, value FROM readings
    WHERE point_id = %(point_id)s AND metric_id = %(metric_id)s AND quality = 0 AND time >= %(first)s
      AND (%(last)s::timestamptz IS NULL OR time <= %(last)s)
    UNION ALL
    (SELECT time, value FROM readings
     WHERE point_id = %(point_id)s AND metric_id = %(metric_id)s AND quality = 0 AND time > %(last)s
     ORDER BY time LIMIT 2)
)
SELECT coalesce(array_agg((date_part('epoch', time) * 1e6)::bigint ORDER BY time), '{}'),
       coalesce(array_agg(value ORDER BY time), '{}')
FROM around;

-- name: write_collections
WITH gone AS (
    DELETE FROM collection AS c
    WHERE c.point_id = %(point_id)s AND c.time > %(from)s AND c.time < %(to)s
      AND c.time <> ALL (%(times)s::timestamptz[])
)
INSERT INTO collection (point_id, time, fill_before_pct, fill_after_pct)
SELECT %(point_id)s, * FROM unnest(%(times)s::timestamptz[], %(before)s::float8[], %(after)s::float8[])
ON CONFLICT (point_id, time) DO UPDATE
SET fill_before_pct = excluded.fill_before_pct, fill_after_pct = excluded.fill_after_pct;

-- name: past_collections
SELECT * FROM (
    SELECT (date_part('epoch', time) * 1e6)::bigint AS time_us, fill_before_pct, fill_after_pct FROM collection
    WHERE point_id = %(point_id)s ORDER BY time DESC LIMIT %(most)s
) AS newest ORDER BY time_us;

-- name: write_forecast
INSERT INTO bin_forecast (point_id, computed_at, fill_rate_pct_per_h, full_at, full_at_early, full_at_late)
VALUES (%(point_id)s, now(), %(rate)s, %(full)s, %(early)s, %(late)s)
ON CONFLICT (point_id) DO UPDATE
SET computed_at = excluded.computed_at, fill_rate_pct_per_h = excluded.fill_rate_pct_per_h,
    full_at = excluded.full_at, full_at_early = excluded.full_at_early, full_at_late = excluded.full_at_late;
