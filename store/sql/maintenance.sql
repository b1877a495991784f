-- name: drop_readings_chunks
SELECT drop_chunks('readings', older_than => make_interval(days => %(days)s));

-- name: drop_log_batches
DELETE FROM reading_log
WHERE received_at < now() - make_interval(days => %(days)s)
  AND (xid, seq) <= (SELECT xid, seq FROM log_position ORDER BY xid, seq LIMIT 1);

-- name: drop_outages
DELETE FROM ingest_outage WHERE up_at < now() - make_interval(days => %(days)s);
