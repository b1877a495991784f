-- name: lock
SELECT pg_try_advisory_xact_lock(hashtext('misto telling')), now();

-- name: silences
SELECT silence_id, rules, points, sites, zones, kinds, contractors, severities, labels
FROM silence_list WHERE state = 'active' ORDER BY silence_id;

-- name: due
SELECT outbox_id, episode_id, kind FROM alert_outbox
WHERE released_at IS NULL AND withheld_at IS NULL ORDER BY outbox_id LIMIT %(limit)s;

-- name: episodes
-- opened: the first that was told since the last end that was told.
WITH wanted AS (
    SELECT episode_id FROM alert_episode WHERE state = 'firing'
    UNION
    SELECT unnest(%(episode_ids)s::bigint[])
    UNION
    -- Only the newest row of each counts; few alerts ever flap.
    SELECT episode_id FROM (
        SELECT DISTINCT ON (episode_id) episode_id, begun FROM alert_mark
        WHERE kind = 'flapping' ORDER BY episode_id, mark_id DESC
    ) AS f WHERE f.begun
)
SELECT e.episode_id, e.rule_id, e.point_id, e.state, e.severity,
       p.code AS point, p.kind, p.site_id AS site, s.zone_id AS zone, p.contractor_id AS contractor,
       coalesce(s.labels, '{}') || p.labels AS labels,
       coalesce(a.action = 'taken', false) AS acked, a.until AS acked_until,
       told.opened_by IS NOT NULL AS told, told.ever_told, told.opened_by, told.released_at, told.last_released_at,
       ARRAY(SELECT o.step FROM alert_outbox AS o WHERE o.escalates = told.opened_by) AS steps,
       coalesce(m.silenced, false) AS silenced, m.silenced_by,
       coalesce(m.inhibited, false) AS inhibited, m.inhibited_by, coalesce(m.flapping, false) AS flapping
FROM wanted
JOIN alert_episode AS e USING (episode_id)
JOIN point AS p USING (point_id)
LEFT JOIN site AS s ON s.id = p.site_id
LEFT JOIN LATERAL (
    SELECT action, until FROM alert_ack WHERE episode_id = e.episode_id ORDER BY ack_id DESC LIMIT 1
) AS a ON true
LEFT JOIN LATERAL (
    SELECT min(o.outbox_id) FILTER (WHERE o.kind IN ('firing', 'severity', 'flapping') AND o.outbox_id > ending.at)
               AS opened_by,
           min(o.released_at) FILTER (WHERE o.kind IN ('firing', 'severity', 'flapping') AND o.outbox_id > ending.at)
               AS released_at,
           count(*) > 0 AS ever_told, max(o.released_at) AS last_released_at
    FROM alert_outbox AS o, (
        SELECT coalesce(max(outbox_id), 0) AS at FROM alert_outbox
        WHERE episode_id = e.episode_id AND kind IN ('ended', 'retracted') AND released_at IS NOT NULL
    ) AS ending
    WHERE o.episode_id = e.episode_id AND o.released_at IS NOT NULL
) AS told ON true
LEFT JOIN LATERAL (
    SELECT bool_or(begun) FILTER (WHERE kind = 'silenced') AS silenced,
           max(cause) FILTER (WHERE kind = 'silenced' AND begun) AS silenced_by,
           bool_or(begun) FILTER (WHERE kind = 'inhibited') AS inhibited,
           max(cause) FILTER (WHERE kind = 'inhibited' AND begun) AS inhibited_by,
           bool_or(begun) FILTER (WHERE kind = 'flapping') AS flapping
    FROM (SELECT DISTINCT ON (kind) kind, begun, cause FROM alert_mark
          WHERE episode_id = e.episode_id ORDER BY kind, mark_id DESC) AS newest
) AS m ON true
ORDER BY e.episode_id;

-- name: flips
SELECT e.rule_id, e.point_id, array_agg(t.decided_at)
FROM unnest(%(rule_ids)s::text[], %(windows_s)s::double precision[]) AS r (rule_id, window_s)
JOIN alert_transition AS t ON t.decided_at > now() - make_interval(secs => r.window_s)
                          AND (t.from_state = 'firing') <> (t.to_state = 'firing')
JOIN alert_episode AS e ON e.episode_id = t.episode_id AND e.rule_id = r.rule_id
GROUP BY e.rule_id, e.point_id;

-- name: decide
UPDATE alert_outbox
SET released_at = CASE WHEN %(because)s::text IS NULL THEN now() END,
    withheld_at = CASE WHEN %(because)s::text IS NOT NULL THEN now() END,
    withheld_because = %(because)s, withheld_by = %(cause)s
WHERE outbox_id = %(outbox_id)s AND released_at IS NULL AND withheld_at IS NULL;

-- name: mark
INSERT INTO alert_mark (episode_id, kind, begun, cause) VALUES (%(episode_id)s, %(kind)s, %(begun)s, %(cause)s);

-- name: add
INSERT INTO alert_outbox (episode_id, kind, severity, reason, recipient, escalates, step, released_at)
VALUES (%(episode_id)s, %(kind)s, %(severity)s, %(reason)s, %(recipient)s, %(escalates)s, %(step)s, now());

-- name: end_acks
INSERT INTO alert_ack (episode_id, action, acked_by, note)
SELECT a.episode_id, 'ended', '', 'its time is over'
FROM (SELECT DISTINCT ON (episode_id) episode_id, action, until FROM alert_ack
      WHERE episode_id = ANY (%(episode_ids)s) ORDER BY episode_id, ack_id DESC) AS a
WHERE a.action = 'taken' AND a.until <= now();
