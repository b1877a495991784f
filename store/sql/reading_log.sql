-- name: read
SELECT xid::text::bigint, seq, received_at, times_us, point_ids, metric_ids, "values", qualities,
       origin, reading_count
FROM reading_log
WHERE (xid, seq) > (%(xid)s::text::xid8, %(seq)s)
  AND (xid, seq) <= (coalesce(%(until_xid)s::text, '18446744073709551615')::xid8,
                     coalesce(%(until_seq)s::bigint, 9223372036854775807))
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, seq
LIMIT %(limit)s;

-- name: advance
INSERT INTO log_cursor (reader, xid, seq) VALUES (%(reader)s, %(xid)s::text::xid8, %(seq)s)
ON CONFLICT (reader) DO UPDATE SET xid = excluded.xid, seq = excluded.seq, updated_at = now();

-- name: position
SELECT xid::text::bigint, seq FROM log_position WHERE reader = %(reader)s;

-- name: lag
SELECT count(*), coalesce(extract(epoch FROM now() - min(received_at)), 0)::float8
FROM reading_log
WHERE (xid, seq) > (%(xid)s::text::xid8, %(seq)s);
