-- name: newest_reading
SELECT max(r.time) FROM point AS p
CROSS JOIN LATERAL (SELECT time FROM readings WHERE point_id = p.point_id ORDER BY time DESC LIMIT 1) AS r
WHERE p.site_id IS NOT NULL;

-- name: foreign_site
SELECT id FROM site WHERE NOT retired AND id <> ALL (%(known)s) ORDER BY id LIMIT 1;

-- name: last_quarantined
SELECT coalesce(max(quarantine_id), 0) FROM quarantine;

-- name: counts
-- A message is what one device says at one moment.
SELECT (SELECT count(*) FROM (SELECT DISTINCT point_id, time FROM readings WHERE time >= %(begin)s) AS message),
       (SELECT count(*) FROM readings WHERE time >= %(begin)s),
       (SELECT count(*) FROM readings),
       (SELECT count(*) FROM quarantine WHERE quarantine_id > %(last_quarantined)s),
       (SELECT count(*) FROM alert_episode WHERE fired_at >= %(begin)s),
       (SELECT count(*) FROM alert_episode WHERE resolved_at >= %(begin)s),
       (SELECT count(*) FROM alert_episode WHERE state = 'firing'),
       (SELECT count(*)
        FROM reading_log AS l CROSS JOIN (VALUES ('rules'), ('keeper')) AS r (reader)
        LEFT JOIN log_position AS c USING (reader)
        WHERE (l.xid, l.seq) > (coalesce(c.xid, '0'::xid8), coalesce(c.seq, 0)));
