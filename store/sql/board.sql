-- name: overview
SELECT (SELECT row_to_json(c) FROM city AS c) AS city,
       now() AS now,
       coalesce((SELECT max(last_received_at) FROM device_status),
                (SELECT max(received_at) FROM point_latest)) AS last_received_at,
       (SELECT count(*) FROM alert_list WHERE state = 'firing' AND site_id IS NOT NULL AND acked_at IS NULL AND silenced_by IS NULL
          AND hidden_by IS NULL)
           AS open_alerts;

-- name: services
-- The worker of each service that was last alive, and how many are alive now.
SELECT DISTINCT ON (service) service, worker, started_at, beat_at, info,
       now() - beat_at < make_interval(secs => %(dead_after_s)s) AS alive,
       count(*) FILTER (WHERE now() - beat_at < make_interval(secs => %(dead_after_s)s))
           OVER (PARTITION BY service) AS workers_alive
FROM service_heartbeat
ORDER BY service, beat_at DESC;

-- name: zones
SELECT id, name_en, name_uk FROM zone ORDER BY name_en;

-- name: contractors
SELECT id, name_en, name_uk FROM contractor ORDER BY name_en;

-- name: open_alerts
SELECT *, count(*) OVER () AS total
FROM alert_list
WHERE state = 'firing' AND site_id IS NOT NULL
  AND hidden_by IS NULL
  AND CASE WHEN acked_at IS NOT NULL THEN 'acknowledged' WHEN silenced_by IS NOT NULL THEN 'silenced' ELSE 'open' END
      = %(section)s
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(zone)s::text IS NULL OR zone_id = %(zone)s)
  AND (%(contractor)s::text IS NULL OR contractor_id = %(contractor)s)
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), fired_at DESC, episode_id
LIMIT %(limit)s;

-- name: hidden_alerts
SELECT * FROM alert_list WHERE state = 'firing' AND hidden_by IS NOT NULL ORDER BY fired_at, episode_id LIMIT %(limit)s;

-- name: ended_alerts
SELECT *
FROM alert_list
WHERE state <> 'firing' AND site_id IS NOT NULL
  AND coalesce(resolved_at, fired_at) > now() - INTERVAL '7 days'
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(zone)s::text IS NULL OR zone_id = %(zone)s)
  AND (%(contractor)s::text IS NULL OR contractor_id = %(contractor)s)
ORDER BY coalesce(resolved_at, fired_at) DESC, episode_id DESC
LIMIT %(limit)s;

-- name: place_alerts
SELECT *
FROM alert_list
WHERE (site_id = %(site)s OR point_id = %(point)s)
  AND (state = 'firing' OR coalesce(resolved_at, fired_at) > now() - INTERVAL '30 days')
ORDER BY state = 'firing' DESC, fired_at DESC, episode_id
LIMIT %(limit)s;

-- name: alert
SELECT a.*, v.definition, p.interval_s
FROM alert_list AS a
JOIN alert_episode AS e USING (episode_id)
JOIN point AS p ON p.point_id = a.point_id
LEFT JOIN rule_version AS v ON v.rule_hash = e.rule_hash
WHERE a.episode_id = %(episode_id)s;

-- name: course
SELECT 'transition' AS what, event_at AS at, NULL AS who, to_state AS verb, from_state AS before, reason AS text,
       NULL::timestamptz AS until, NULL::bigint AS number, 1 AS part, transition_id AS row_id,
       severity
FROM alert_transition WHERE episode_id = %(episode_id)s
UNION ALL
SELECT 'ack', acked_at, acked_by, action, NULL, note, until, NULL, 2, ack_id, NULL
FROM alert_ack WHERE episode_id = %(episode_id)s
UNION ALL
SELECT 'feedback', given_at, given_by, verdict, NULL, note, NULL, NULL, 3, feedback_id, NULL
FROM alert_feedback WHERE episode_id = %(episode_id)s
UNION ALL
SELECT 'mark', m.at, s.author, m.kind || CASE WHEN m.begun THEN '' ELSE '_no_more' END, NULL, coalesce(s.reason, ''),
       NULL, m.cause, 4, m.mark_id, NULL
FROM alert_mark AS m LEFT JOIN silence AS s ON m.kind = 'silenced' AND s.silence_id = m.cause
WHERE m.episode_id = %(episode_id)s
UNION ALL
SELECT 'told', coalesce(withheld_at, released_at), recipient, kind, withheld_because, reason, NULL, withheld_by, 5,
       outbox_id, NULL
FROM alert_outbox
WHERE episode_id = %(episode_id)s AND (withheld_at IS NOT NULL OR released_at IS NOT NULL)
ORDER BY at, part, row_id;

-- name: acknowledge
INSERT INTO alert_ack (episode_id, acked_by, note, until)
SELECT episode_id, %(acked_by)s, %(note)s, now() + make_interval(hours => %(hours)s)
FROM alert_episode WHERE episode_id = %(episode_id)s AND state = 'firing'
RETURNING ack_id;

-- name: withdraw
INSERT INTO alert_ack (episode_id, action, acked_by, note)
SELECT episode_id, 'withdrawn', %(acked_by)s, %(note)s FROM alert_list
WHERE episode_id = %(episode_id)s AND state = 'firing' AND acked_at IS NOT NULL
RETURNING ack_id;

-- name: give_feedback
INSERT INTO alert_feedback (episode_id, verdict, given_by, note)
SELECT episode_id, %(verdict)s, %(given_by)s, %(note)s FROM alert_episode WHERE episode_id = %(episode_id)s
RETURNING feedback_id;

-- name: rule_counts
WITH recent AS (
    SELECT rule_id, count(*) FILTER (WHERE state = 'firing') AS open_now,
           count(*) FILTER (WHERE fired_at > now() - INTERVAL '30 days' AND state <> 'retracted') AS fired_30_days
    FROM alert_episode WHERE state = 'firing' OR fired_at > now() - INTERVAL '30 days'
    GROUP BY rule_id
)
SELECT f.rule_id, coalesce(r.open_now, 0) AS open_now, coalesce(r.fired_30_days, 0) AS fired_30_days, f.was_right,
       f.was_false
FROM rule_feedback AS f LEFT JOIN recent AS r USING (rule_id);

-- name: point_by_code
SELECT point_id, kind, interval_s FROM point_place WHERE code = %(code)s;

-- name: rule_alerts
SELECT * FROM alert_list WHERE rule_id = %(rule_id)s AND site_id IS NOT NULL
ORDER BY fired_at DESC, episode_id DESC LIMIT %(limit)s;

-- name: bins
SELECT * FROM bin_status
WHERE (%(zone)s::text IS NULL OR zone_id = %(zone)s)
  AND (%(contractor)s::text IS NULL OR contractor_id = %(contractor)s)
  AND (%(fraction)s::text IS NULL OR fraction = %(fraction)s)
ORDER BY CASE WHEN fill_level_pct >= %(full_pct)s THEN '-infinity' ELSE full_at END NULLS LAST,
         fill_level_pct DESC NULLS LAST, code;

-- name: bin
SELECT b.*, p.bin_volume_l, d.address AS device_address
FROM bin_status AS b
JOIN point AS p USING (point_id)
LEFT JOIN LATERAL (
    SELECT device.address FROM assignment JOIN device USING (device_id)
    WHERE assignment.point_id = b.point_id AND now() >= valid_from AND now() < valid_to
    ORDER BY channel LIMIT 1
) AS d ON true
WHERE b.code = %(code)s;

-- name: collections
SELECT time, fill_before_pct, fill_after_pct
FROM collection WHERE point_id = %(point_id)s AND time >= %(start)s ORDER BY time DESC;

-- name: series
-- The last good reading of each interval.
SELECT time_bucket(make_interval(secs => %(bucket_s)s), time) AS bucket,
       max(time) AS time, last(value, time) AS value
FROM readings
WHERE point_id = %(point_id)s AND metric_id = %(metric_id)s AND time >= %(start)s AND time < %(stop)s AND quality < 2
GROUP BY bucket ORDER BY bucket;

-- name: hourly
SELECT bucket AS time, amount AS value
FROM consumption_hourly
WHERE point_id = %(point_id)s AND metric_id = %(metric_id)s AND bucket >= %(start)s AND bucket < %(stop)s
ORDER BY bucket;

-- name: daily
SELECT (h.bucket AT TIME ZONE %(time_zone)s)::date AS day, sum(h.amount) AS amount, max(h.quality) AS quality
FROM consumption_hourly AS h
WHERE h.point_id = %(point_id)s AND h.metric_id = %(metric_id)s AND h.bucket >= %(start)s
GROUP BY day ORDER BY day;

-- name: consumption
-- Per building and kind of meter: today so far, the 30 full days before today, and the 30 before those.
-- The price of a day is the newest one that was valid then.
WITH meter AS (
    SELECT p.point_id, p.site_id, p.kind, m.metric_id
    FROM point AS p
    JOIN unnest(%(kinds)s::text[], %(metric_ids)s::smallint[]) AS m (kind, metric_id) USING (kind)
    WHERE NOT p.retired AND (%(site)s::text IS NULL OR p.site_id = %(site)s)
), daily AS (
    SELECT m.site_id, m.kind, (h.bucket AT TIME ZONE %(time_zone)s)::date AS day, sum(h.amount) AS amount
    FROM consumption_hourly AS h
    JOIN meter AS m ON m.point_id = h.point_id AND m.metric_id = h.metric_id
    WHERE h.bucket >= %(start)s
    GROUP BY 1, 2, 3
), priced AS (
    SELECT d.*, d.amount * (
               SELECT t.price FROM tariff AS t WHERE t.kind = d.kind AND t.valid_from <= d.day
               ORDER BY t.valid_from DESC LIMIT 1
           ) AS cost
    FROM daily AS d
)
SELECT site_id, kind,
       sum(amount) FILTER (WHERE day = %(today)s) AS today,
       sum(cost) FILTER (WHERE day = %(today)s) AS today_cost,
       sum(amount) FILTER (WHERE day < %(today)s AND day >= %(today)s - 30) AS month,
       sum(cost) FILTER (WHERE day < %(today)s AND day >= %(today)s - 30) AS month_cost,
       sum(amount) FILTER (WHERE day < %(today)s - 30) AS before,
       count(*) FILTER (WHERE day < %(today)s AND day >= %(today)s - 30) AS month_days,
       count(*) FILTER (WHERE day < %(today)s - 30) AS before_days
FROM priced
GROUP BY site_id, kind;

-- name: buildings
SELECT s.id, s.name_en, s.name_uk, s.use, s.address_en, s.address_uk, s.floor_area_m2,
       z.name_en AS zone_name_en, z.name_uk AS zone_name_uk,
       (SELECT count(*) FROM alert_list AS a WHERE a.site_id = s.id AND a.state = 'firing') AS open_alerts
FROM site AS s
LEFT JOIN zone AS z ON z.id = s.zone_id
WHERE s.kind = 'building' AND NOT s.retired AND (%(site)s::text IS NULL OR s.id = %(site)s)
ORDER BY s.name_en;

-- name: meters
SELECT point_id, code, kind, name_en, name_uk FROM point
WHERE site_id = %(site)s AND NOT retired AND kind = ANY (%(kinds)s)
ORDER BY array_position(%(kinds)s::text[], kind), code;

-- name: rooms
SELECT p.point_id, p.code, p.name_en, p.name_uk, l.latest, l.time
FROM point AS p
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_object('name', m.name, 'unit', m.unit, 'name_en', m.name_en, 'name_uk', m.name_uk,
                                      'value', pl.value) ORDER BY m.metric_id) AS latest, max(pl.time) AS time
    FROM point_latest AS pl JOIN metric AS m USING (metric_id)
    WHERE pl.point_id = p.point_id AND m.name = ANY (%(metrics)s)
) AS l ON true
WHERE p.site_id = %(site)s AND NOT p.retired AND p.kind = 'indoor'
ORDER BY p.code;

-- name: devices_silent
SELECT * FROM device_health
WHERE state = 'claimed' AND silent AND code IS NOT NULL
ORDER BY last_received_at DESC NULLS LAST, address LIMIT %(limit)s;

-- name: devices_battery_low
SELECT * FROM device_health
WHERE battery_pct <= %(battery_pct)s
ORDER BY battery_pct, address LIMIT %(limit)s;

-- name: devices_unknown_fields
SELECT * FROM device_health
WHERE unknown_fields <> '{}'
ORDER BY address LIMIT %(limit)s;

-- name: devices_unclaimed
SELECT d.*, l.latest
FROM device_health AS d
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_object('name', m.name, 'unit', m.unit, 'name_en', m.name_en, 'name_uk', m.name_uk,
                                      'value', pl.value) ORDER BY m.metric_id) AS latest
    FROM point_latest AS pl JOIN metric AS m USING (metric_id)
    WHERE pl.point_id = d.point_id
) AS l ON true
WHERE d.state = 'unclaimed'
ORDER BY d.last_received_at DESC NULLS LAST, d.address LIMIT %(limit)s;

-- name: device_counts
SELECT count(*) FILTER (WHERE state = 'claimed') AS claimed,
       count(*) FILTER (WHERE state = 'unclaimed') AS unclaimed,
       count(*) FILTER (WHERE state = 'claimed' AND silent AND code IS NOT NULL) AS silent
FROM device_health;

-- name: quarantine
-- Counted over the newest entries only, so that a flood of garbage does not take the page down.
WITH newest AS (
    SELECT quarantine_id, received_at, reason FROM quarantine
    WHERE received_at > now() - INTERVAL '7 days'
    ORDER BY received_at DESC LIMIT %(at_most)s
), counted AS (
    SELECT reason, count(*) AS messages, max(quarantine_id) AS sample_id FROM newest GROUP BY reason
)
SELECT c.reason, c.messages, q.received_at, q.topic, q.detail, q.device_address,
       substring(q.payload FOR 160) AS payload, octet_length(q.payload) AS payload_bytes
FROM counted AS c JOIN quarantine AS q ON q.quarantine_id = c.sample_id
ORDER BY c.messages DESC, c.reason;

-- name: alive
SELECT 1;
