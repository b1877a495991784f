-- name: electricity_today
-- latest: today so far, and the same hours a week ago
SELECT sum(c.amount) FILTER (WHERE c.bucket >= d.today) AS "today",
       sum(c.amount) FILTER (WHERE c.bucket < now() - INTERVAL '7 days') AS "a week ago"
FROM consumption_hourly AS c
JOIN point_place AS p USING (point_id)
CROSS JOIN (SELECT date_trunc('day', now(), time_zone) AS today FROM city) AS d
WHERE p.kind = 'electricity' AND c.metric_id = 1
  AND (c.bucket >= d.today OR (c.bucket >= d.today - INTERVAL '7 days' AND c.bucket < now() - INTERVAL '7 days'));

-- name: heat_today
-- latest: today so far, and the same hours a week ago
SELECT sum(c.amount) FILTER (WHERE c.bucket >= d.today) AS "today",
       sum(c.amount) FILTER (WHERE c.bucket < now() - INTERVAL '7 days') AS "a week ago"
FROM consumption_hourly AS c
JOIN point_place AS p USING (point_id)
CROSS JOIN (SELECT date_trunc('day', now(), time_zone) AS today FROM city) AS d
WHERE p.kind = 'heat' AND c.metric_id = 1
  AND (c.bucket >= d.today OR (c.bucket >= d.today - INTERVAL '7 days' AND c.bucket < now() - INTERVAL '7 days'));

-- name: water_today
-- latest: today so far, and the same hours a week ago
SELECT sum(c.amount) FILTER (WHERE c.bucket >= d.today) AS "today",
       sum(c.amount) FILTER (WHERE c.bucket < now() - INTERVAL '7 days') AS "a week ago"
FROM consumption_hourly AS c
JOIN point_place AS p USING (point_id)
CROSS JOIN (SELECT date_trunc('day', now(), time_zone) AS today FROM city) AS d
WHERE p.kind = 'water' AND c.metric_id = 25
  AND (c.bucket >= d.today OR (c.bucket >= d.today - INTERVAL '7 days' AND c.bucket < now() - INTERVAL '7 days'));

-- name: attention
-- latest
SELECT (SELECT count(*) FROM alert_episode WHERE state = 'firing') AS "open alerts",
       (SELECT count(*) FROM bin_status WHERE fill_level_pct > 80) AS "bins over 80 %",
       (SELECT count(*) FROM device_health WHERE state = 'claimed' AND silent) AS "silent devices",
       (SELECT count(*) FROM device WHERE state = 'unclaimed') AS "devices to place";

-- name: last_reading
-- latest
SELECT extract(epoch FROM now() - max(received_at))::float8 AS "since the last reading" FROM point_latest;

-- name: map
-- latest: 0 nothing open, 1 information, 2 warning, 3 critical
SELECT s.latitude AS lat, s.longitude AS lon,
       CASE WHEN ${lang:sqlstring} = 'uk' THEN s.name_uk ELSE s.name_en END AS name,
       coalesce(max(CASE a.severity WHEN 'critical' THEN 3 WHEN 'warning' THEN 2 WHEN 'info' THEN 1 END), 0) AS value,
       count(a.episode_id) AS "open alerts"
FROM site AS s
LEFT JOIN alert_list AS a ON a.site_id = s.id AND a.state = 'firing'
WHERE NOT s.retired
GROUP BY s.id
ORDER BY value;

-- name: open_alerts
-- latest
SELECT a.severity AS "Severity", a.fired_at AS "Since",
       CASE WHEN ${lang:sqlstring} = 'uk' THEN a.site_name_uk ELSE a.site_name_en END AS "Place",
       CASE WHEN ${lang:sqlstring} = 'uk' THEN a.title_uk ELSE a.title_en END AS "Alert",
       CASE WHEN ${lang:sqlstring} = 'uk' THEN a.sentence_uk ELSE a.sentence_en END AS "Why",
       CASE WHEN ${lang:sqlstring} = 'uk' THEN a.advice_uk ELSE a.advice_en END AS "What to do",
       coalesce(a.acked_by, '') AS "Acknowledged by", a.site_id AS "Site"
FROM alert_list AS a
WHERE a.state = 'firing'
ORDER BY CASE a.severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, a.fired_at;

-- name: hourly
SELECT c.bucket AS time, p.kind AS metric, sum(c.amount) AS value
FROM consumption_hourly AS c JOIN point_place AS p USING (point_id)
WHERE $__timeFilter(c.bucket) AND p.kind IN ('electricity', 'heat') AND c.metric_id = 1
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: alerts_per_day
SELECT date_trunc('day', fired_at, (SELECT time_zone FROM city)) AS time, severity AS metric,
       count(*)::float8 AS value
FROM alert_episode
WHERE $__timeFilter(fired_at)
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: wasters
-- latest: the last 7 days against the 7 before, in money at today's tariff
SELECT CASE WHEN ${lang:sqlstring} = 'uk' THEN p.site_name_uk ELSE p.site_name_en END AS "Building",
       p.site_id AS "Site", p.kind AS "Carrier",
       sum(c.amount) FILTER (WHERE c.bucket >= now() - INTERVAL '7 days') AS "7 days",
       sum(c.amount) FILTER (WHERE c.bucket < now() - INTERVAL '7 days') AS "7 days before",
       (sum(c.amount) FILTER (WHERE c.bucket >= now() - INTERVAL '7 days')
        - sum(c.amount) FILTER (WHERE c.bucket < now() - INTERVAL '7 days')) * max(t.price) AS "Cost of the change"
FROM consumption_hourly AS c
JOIN point_place AS p USING (point_id)
JOIN LATERAL (SELECT price FROM tariff WHERE kind = p.kind AND valid_from <= now()
              ORDER BY valid_from DESC LIMIT 1) AS t ON true
WHERE c.bucket >= now() - INTERVAL '14 days'
  AND c.metric_id = CASE p.kind WHEN 'gas' THEN 24 WHEN 'water' THEN 25 ELSE 1 END
GROUP BY p.site_id, p.site_name_en, p.site_name_uk, p.kind
ORDER BY 6 DESC NULLS LAST
LIMIT 15;
