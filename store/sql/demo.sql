-- name: newest_reading
SELECT max(r.time) FROM point AS p
CROSS JOIN LATERAL (SELECT time FROM readings WHERE point_id = p.point_id ORDER BY time DESC LIMIT 1) AS r
WHERE p.site_id IS NOT NULL;

-- name: waiting
SELECT count(*)
FROM reading_log AS l CROSS JOIN (VALUES ('rules'), ('keeper')) AS r (reader)
LEFT JOIN log_cursor AS c USING (reader)
WHERE (l.xid, l.seq) > (coalesce(c.xid, '0'::xid8), coalesce(c.seq, 0));

-- name: counts
SELECT (SELECT count(*) FROM alert_episode WHERE fired_at >= %(begin)s),
       (SELECT count(*) FROM alert_episode WHERE resolved_at >= %(begin)s),
       (SELECT count(*) FROM quarantine WHERE received_at >= %(started)s),
       (SELECT count(*) FROM alert_episode WHERE state = 'firing');
