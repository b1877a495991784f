-- name: episode
SELECT e.episode_id, e.rule_id, e.rule_hash, e.point_id, e.state, e.severity, e.breached_at, e.fired_at, e.resolved_at,
       e.decided_at, e.closed_decided_at, e.title_en, e.title_uk, e.sentence_en, e.sentence_uk, e.advice_en, e.advice_uk,
       e.value, e.evidence, v.definition, v.created_at AS rule_since, p.code, p.interval_s
FROM alert_episode AS e
JOIN point AS p USING (point_id)
LEFT JOIN rule_version AS v ON v.rule_hash = e.rule_hash
WHERE e.episode_id = %(episode_id)s;

-- name: transitions
SELECT from_state, to_state, severity, event_at, decided_at, reason, evidence
FROM alert_transition WHERE episode_id = %(episode_id)s ORDER BY transition_id;

-- name: acknowledgements
SELECT acked_at, acked_by, note, until FROM alert_ack WHERE episode_id = %(episode_id)s ORDER BY ack_id;

-- name: received
-- When the readings of a point were received, as long as the log is kept. The same reading may be in it once only.
SELECT t.time_us, t.metric_id, l.received_at
FROM reading_log AS l, unnest(l.times_us, l.point_ids, l.metric_ids) AS t (time_us, point_id, metric_id)
WHERE %(point_id)s = ANY (l.point_ids) AND t.point_id = %(point_id)s AND l.received_at >= %(since)s
  AND t.time_us BETWEEN %(from_us)s AND %(to_us)s;

-- name: heard_before
-- When anything of a point was last received before a moment, as long as the log is kept.
SELECT max(received_at) FROM reading_log
WHERE received_at <= %(moment)s AND %(point_id)s = ANY (point_ids);

-- name: newest
-- Of each metric of a point, the newest reading before a moment and the first of all.
SELECT k.metric_id, newest.us, newest.value, newest.quality, oldest.us
FROM metric AS k
JOIN LATERAL (SELECT (date_part('epoch', time) * 1e6)::bigint AS us FROM readings
              WHERE point_id = %(point_id)s AND metric_id = k.metric_id ORDER BY time LIMIT 1) AS oldest ON true
LEFT JOIN LATERAL (SELECT (date_part('epoch', time) * 1e6)::bigint AS us, value, quality FROM readings
                   WHERE point_id = %(point_id)s AND metric_id = k.metric_id AND time <= %(moment)s
                   ORDER BY time DESC LIMIT 1) AS newest ON true;

-- name: episodes_of
SELECT episode_id, breached_at, fired_at, resolved_at FROM alert_episode
WHERE rule_id = %(rule_id)s AND point_id = %(point_id)s AND fired_at <= %(until)s
  AND (resolved_at IS NULL OR resolved_at > %(since)s)
ORDER BY fired_at;

-- name: in_force
SELECT v.rule_hash, v.created_at FROM rule_version AS v WHERE v.rule_hash = %(rule_hash)s;

-- name: late_unjudged
SELECT coalesce((state ->> 'late_unjudged')::integer, 0) FROM rule_state
WHERE rule_id = %(rule_id)s AND point_id = %(point_id)s;
