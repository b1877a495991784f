-- name: points
SELECT point_id, code, kind, interval_s, fraction,
       (SELECT s.labels FROM site AS s WHERE s.id = site_id) || labels AS labels,
       name_en, name_uk, site_id, site_name_en, site_name_uk, address_en, address_uk, use, zone_id, contractor_id, contractor_name_en, contractor_name_uk
FROM point_place;

-- name: points_of_partitions
SELECT rules_partition_of(point_id) AS partition,
       point_id, code, kind, interval_s, fraction,
       (SELECT s.labels FROM site AS s WHERE s.id = site_id) || labels AS labels,
       name_en, name_uk, site_id, site_name_en, site_name_uk, address_en, address_uk, use, zone_id, contractor_id, contractor_name_en, contractor_name_uk
FROM point_place
WHERE rules_partition_of(point_id) = ANY (%(partitions)s);

-- name: last_received
SELECT a.point_id, max(s.last_received_at)
FROM device_status AS s JOIN assignment AS a USING (device_id)
WHERE now() >= a.valid_from AND now() < a.valid_to
GROUP BY a.point_id;

-- name: save_rule
INSERT INTO rule_version (rule_hash, rule_id, definition) VALUES (%(rule_hash)s, %(rule_id)s, %(definition)s)
ON CONFLICT (rule_hash) DO NOTHING;

-- name: load_states
SELECT rule_id, point_id, rule_hash, state FROM rule_state
WHERE rules_partition_of(point_id) = ANY (%(partitions)s);

-- name: save_states
INSERT INTO rule_state (rule_id, point_id, rule_hash, state)
SELECT rule_id, point_id, rule_hash, state::jsonb
FROM unnest(%(rule_ids)s::text[], %(point_ids)s::integer[], %(rule_hashes)s::text[], %(states)s::text[])
     AS changed (rule_id, point_id, rule_hash, state)
ON CONFLICT (rule_id, point_id) DO UPDATE SET rule_hash = excluded.rule_hash, state = excluded.state;

-- name: drop_states
DELETE FROM rule_state WHERE rule_id <> ALL (%(rule_ids)s);

-- name: drop_unwatched_states
DELETE FROM rule_state AS s
WHERE rules_partition_of(s.point_id) = ANY (%(partitions)s)
  AND NOT EXISTS (SELECT FROM unnest(%(rule_ids)s::text[], %(point_ids)s::integer[]) AS w (rule_id, point_id)
                  WHERE (w.rule_id, w.point_id) = (s.rule_id, s.point_id));

-- name: close_unwatched
WITH closed AS (
    UPDATE alert_episode AS e SET state = 'resolved', resolved_at = now(), closed_decided_at = now()
    WHERE e.state = 'firing' AND rules_partition_of(e.point_id) = ANY (%(partitions)s)
      AND NOT EXISTS (SELECT FROM unnest(%(rule_ids)s::text[], %(point_ids)s::integer[]) AS w (rule_id, point_id)
                      WHERE (w.rule_id, w.point_id) = (e.rule_id, e.point_id))
    RETURNING episode_id, severity
)
INSERT INTO alert_transition (episode_id, from_state, to_state, severity, event_at, reason)
SELECT episode_id, 'firing', 'resolved', severity, now(), 'the rule no longer watches this point' FROM closed;

-- name: open_episodes
SELECT rule_id, point_id, coalesce(rebreached_at, breached_at), fired_at, severity FROM alert_episode
WHERE state = 'firing';

-- name: readings_of
SELECT point_id, (date_part('epoch', time) * 1e6)::bigint, metric_id, value FROM readings
WHERE point_id = ANY (%(point_ids)s) AND metric_id = ANY (%(metric_ids)s) AND time >= %(since)s AND quality = 0
ORDER BY point_id, time, metric_id;

-- name: history_of
SELECT (date_part('epoch', time) * 1e6)::bigint, metric_id, value, quality FROM readings
WHERE point_id = %(point_id)s AND time >= %(since)s AND time < %(until)s
ORDER BY time, metric_id;

-- name: close_removed
WITH closed AS (
    UPDATE alert_episode SET state = 'closed_rule_removed', resolved_at = now(), closed_decided_at = now()
    WHERE state = 'firing' AND rule_id <> ALL (%(rule_ids)s)
    RETURNING episode_id, severity
)
INSERT INTO alert_transition (episode_id, from_state, to_state, severity, event_at, reason)
SELECT episode_id, 'firing', 'closed_rule_removed', severity, now(), 'the rule is no longer in force' FROM closed;

-- name: fires
-- Late data may raise an alert of the past while a later one is open: it is written as over, and the transition that
-- follows says when it ended.
WITH later AS (
    SELECT count(*) > 0 AS is_open FROM alert_episode
    WHERE rule_id = %(rule_id)s AND point_id = %(point_id)s AND state = 'firing' AND breached_at > %(breached_at)s
), again AS (
    -- True again soon after it had ended (reopen_within): the same alert goes on.
    UPDATE alert_episode AS e
    SET state = 'firing', rebreached_at = %(breached_at)s, ended_before = e.resolved_at, resolved_at = NULL,
        closed_decided_at = NULL
    WHERE e.episode_id = (SELECT max(episode_id) FROM alert_episode
                          WHERE rule_id = %(rule_id)s AND point_id = %(point_id)s AND state = 'resolved'
                            AND breached_at < %(breached_at)s
                            AND %(reopen_within_s)s >= 0
                            AND resolved_at BETWEEN %(breached_at)s - make_interval(secs => %(reopen_within_s)s)
                                                AND %(event_at)s)
      AND NOT EXISTS (SELECT FROM alert_episode AS other
                      WHERE other.rule_id = e.rule_id AND other.point_id = e.point_id AND other.state = 'firing')
      AND NOT EXISTS (SELECT FROM alert_episode AS other
                      WHERE other.rule_id = e.rule_id AND other.point_id = e.point_id
                        AND other.breached_at = %(breached_at)s)
    RETURNING episode_id
), fired AS (
    INSERT INTO alert_episode (rule_id, rule_hash, point_id, state, resolved_at, closed_decided_at, severity,
                               breached_at, fired_at, title_en, title_uk, sentence_en, sentence_uk, advice_en,
                               advice_uk, value, evidence)
    SELECT %(rule_id)s, %(rule_hash)s, %(point_id)s, CASE WHEN is_open THEN 'resolved' ELSE 'firing' END,
           CASE WHEN is_open THEN %(event_at)s::timestamptz END, CASE WHEN is_open THEN now() END, %(severity)s,
           %(breached_at)s, %(event_at)s, %(title_en)s, %(title_uk)s, %(sentence_en)s, %(sentence_uk)s, %(advice_en)s,
           %(advice_uk)s, %(value)s, %(evidence)s
    FROM later WHERE NOT EXISTS (SELECT FROM again)
    -- The same breach again: late data had taken it back, or the rule or point was gone for a time.
    ON CONFLICT (rule_id, point_id, breached_at) DO UPDATE
    SET state = excluded.state, rule_hash = excluded.rule_hash, severity = excluded.severity,
        fired_at = excluded.fired_at, rebreached_at = NULL, ended_before = NULL, resolved_at = excluded.resolved_at,
        closed_decided_at = excluded.closed_decided_at, value = excluded.value, evidence = excluded.evidence,
        title_en = excluded.title_en, title_uk = excluded.title_uk, sentence_en = excluded.sentence_en,
        sentence_uk = excluded.sentence_uk, advice_en = excluded.advice_en, advice_uk = excluded.advice_uk
    WHERE alert_episode.state <> 'firing'
    RETURNING episode_id
)
INSERT INTO alert_transition (episode_id, from_state, to_state, severity, event_at, reason, evidence)
SELECT episode_id, 'pending', 'firing', %(severity)s, %(event_at)s, %(reason)s, %(evidence)s FROM fired
UNION ALL
SELECT episode_id, 'resolved', 'firing', %(severity)s, %(event_at)s, 'it holds again soon after', %(evidence)s FROM again;

-- name: resolves
WITH resolved AS (
    UPDATE alert_episode SET state = 'resolved', resolved_at = %(event_at)s, closed_decided_at = now()
    WHERE rule_id = %(rule_id)s AND point_id = %(point_id)s AND coalesce(rebreached_at, breached_at) = %(breached_at)s
      AND (state = 'firing' OR resolved_at <> %(event_at)s)
    RETURNING episode_id
)
INSERT INTO alert_transition (episode_id, from_state, to_state, severity, event_at, reason, evidence)
SELECT episode_id, 'firing', 'resolved', %(severity)s, %(event_at)s, %(reason)s, %(evidence)s FROM resolved;

-- name: retracted
WITH retracted AS (
    UPDATE alert_episode
    SET state = CASE WHEN rebreached_at IS NULL THEN 'retracted' ELSE 'resolved' END,
        resolved_at = coalesce(ended_before, resolved_at, %(event_at)s), closed_decided_at = now(),
        rebreached_at = NULL, ended_before = NULL
    WHERE rule_id = %(rule_id)s AND point_id = %(point_id)s AND coalesce(rebreached_at, breached_at) = %(breached_at)s
    RETURNING episode_id, state
)
INSERT INTO alert_transition (episode_id, from_state, to_state, severity, event_at, reason, evidence)
SELECT episode_id, 'firing', state, %(severity)s, %(event_at)s, %(reason)s, %(evidence)s FROM retracted;

-- name: reopened
WITH reopened AS (
    UPDATE alert_episode AS e SET state = 'firing', resolved_at = NULL, closed_decided_at = NULL
    WHERE rule_id = %(rule_id)s AND point_id = %(point_id)s AND coalesce(rebreached_at, breached_at) = %(breached_at)s AND state = 'resolved'
      AND NOT EXISTS (SELECT FROM alert_episode AS other
                      WHERE other.rule_id = e.rule_id AND other.point_id = e.point_id AND other.state = 'firing')
    RETURNING episode_id
)
INSERT INTO alert_transition (episode_id, from_state, to_state, severity, event_at, reason, evidence)
SELECT episode_id, 'resolved', 'firing', %(severity)s, %(event_at)s, %(reason)s, %(evidence)s FROM reopened;

-- name: revised
WITH revised AS (
    UPDATE alert_episode SET fired_at = %(event_at)s
    WHERE rule_id = %(rule_id)s AND point_id = %(point_id)s AND coalesce(rebreached_at, breached_at) = %(breached_at)s
    RETURNING episode_id, state
)
INSERT INTO alert_transition (episode_id, from_state, to_state, severity, event_at, reason, evidence)
SELECT episode_id, state, state, %(severity)s, %(event_at)s, %(reason)s, %(evidence)s FROM revised;

-- name: moved
-- Its severity went up or down; of an alert that late data ended meanwhile too.
WITH moved AS (
    UPDATE alert_episode
    SET severity = %(severity)s, value = %(value)s, evidence = %(evidence)s,
        title_en = %(title_en)s, title_uk = %(title_uk)s, sentence_en = %(sentence_en)s,
        sentence_uk = %(sentence_uk)s, advice_en = %(advice_en)s, advice_uk = %(advice_uk)s
    WHERE rule_id = %(rule_id)s AND point_id = %(point_id)s AND breached_at = %(breached_at)s
    RETURNING episode_id, state
)
INSERT INTO alert_transition (episode_id, from_state, to_state, severity, event_at, reason, evidence)
SELECT episode_id, state, state, %(severity)s, %(event_at)s, %(reason)s, %(evidence)s FROM moved;

-- name: kept
WITH kept AS (
    UPDATE alert_episode SET rule_hash = %(rule_hash)s, severity = %(severity)s
    WHERE rule_id = %(rule_id)s AND point_id = %(point_id)s AND coalesce(rebreached_at, breached_at) = %(breached_at)s AND state = 'firing'
    RETURNING episode_id
)
INSERT INTO alert_transition (episode_id, from_state, to_state, severity, event_at, reason, evidence)
SELECT episode_id, 'firing', 'firing', %(severity)s, %(event_at)s, %(reason)s, %(evidence)s FROM kept;

-- name: outages
SELECT down_at, up_at FROM ingest_outage WHERE up_at > %(since)s ORDER BY down_at;

-- name: count_open
SELECT count(*) FROM alert_episode WHERE state = 'firing';

-- name: fired_since
SELECT rule_id, count(*) FROM alert_episode WHERE fired_at > now() - make_interval(days => %(days)s) GROUP BY rule_id;

-- name: readings_table
SELECT metric_id, array_agg(time), array_agg(value), array_agg(quality) FROM readings
WHERE point_id = %(point_id)s AND time >= %(since)s AND time < %(until)s
  AND (%(metric_ids)s::smallint[] IS NULL OR metric_id = ANY (%(metric_ids)s::smallint[]))
GROUP BY metric_id;
