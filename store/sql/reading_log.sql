-- name: read
-- No further batch once those before it hold `most` readings; what an import brought is not counted.
SELECT xid::text::bigint, seq, received_at, times_us, point_ids, metric_ids, "values", qualities,
       origin, reading_count
FROM (
    SELECT *, sum(CASE origin WHEN 'live' THEN reading_count ELSE 0 END) OVER (
        ORDER BY xid, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM (
        SELECT * FROM reading_log
        WHERE (xid, seq) > (%(xid)s::text::xid8, %(seq)s)
          AND (xid, seq) <= (coalesce(%(until_xid)s::text, '18446744073709551615')::xid8,
                             coalesce(%(until_seq)s::bigint, 9223372036854775807))
          AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY xid, seq
        LIMIT %(limit)s
    ) AS next
) AS counted
WHERE coalesce(before, 0) < coalesce(%(most)s::bigint, 9223372036854775807)
ORDER BY xid, seq;

-- name: committed
-- What `read` shows, and what it does not show yet while older transactions are open.
SELECT xid::text::bigint, seq, received_at, times_us, point_ids, metric_ids, "values", qualities,
       origin, reading_count
FROM reading_log
WHERE (xid, seq) > (%(xid)s::text::xid8, %(seq)s)
ORDER BY xid, seq
LIMIT %(limit)s;

-- name: settled
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint;

-- name: advance
INSERT INTO log_cursor (reader, xid, seq) VALUES (%(reader)s, %(xid)s::text::xid8, %(seq)s)
ON CONFLICT (reader) DO UPDATE SET xid = excluded.xid, seq = excluded.seq, updated_at = now();

-- name: position
SELECT xid::text::bigint, seq FROM log_position WHERE reader = %(reader)s;

-- name: lag
SELECT count(*), coalesce(extract(epoch FROM now() - min(received_at)), 0)::float8
FROM reading_log
WHERE (xid, seq) > (%(xid)s::text::xid8, %(seq)s);
