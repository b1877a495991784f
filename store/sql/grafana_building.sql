-- name: facts
-- latest
SELECT floor_area_m2 AS "floor area" FROM site WHERE id = ${site:sqlstring};

-- name: cost
SELECT sum(c.amount * t.price) AS "cost"
FROM consumption_hourly AS c
JOIN point_place AS p USING (point_id)
JOIN LATERAL (SELECT price FROM tariff WHERE kind = p.kind AND valid_from <= c.bucket
              ORDER BY valid_from DESC LIMIT 1) AS t ON true
WHERE p.site_id = ${site:sqlstring} AND $__timeFilter(c.bucket)
  AND c.metric_id = CASE p.kind WHEN 'gas' THEN 24 WHEN 'water' THEN 25 ELSE 1 END;

-- name: energy
SELECT coalesce(sum(c.amount) FILTER (WHERE p.kind = 'electricity'), 0) AS "electricity",
       coalesce(sum(c.amount) FILTER (WHERE p.kind = 'heat'), 0) AS "heat"
FROM consumption_hourly AS c JOIN point_place AS p USING (point_id)
WHERE p.site_id = ${site:sqlstring} AND $__timeFilter(c.bucket) AND c.metric_id = 1;

-- name: per_square_metre
SELECT sum(c.amount) / max(p.floor_area_m2) AS "energy"
FROM consumption_hourly AS c JOIN point_place AS p USING (point_id)
WHERE p.site_id = ${site:sqlstring} AND $__timeFilter(c.bucket) AND p.kind IN ('electricity', 'heat')
  AND c.metric_id = 1;

-- name: daily_energy
SELECT d.day::timestamp AT TIME ZONE (SELECT time_zone FROM city) AS time, p.kind AS metric, sum(d.amount) AS value
FROM consumption_daily AS d JOIN point_place AS p USING (point_id)
WHERE p.site_id = ${site:sqlstring} AND p.kind IN ('electricity', 'heat') AND d.metric_id = 1
  AND $__timeFilter(d.day::timestamptz)
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: daily_volume
SELECT d.day::timestamp AT TIME ZONE (SELECT time_zone FROM city) AS time, p.kind AS metric, sum(d.amount) AS value
FROM consumption_daily AS d JOIN point_place AS p USING (point_id)
WHERE p.site_id = ${site:sqlstring} AND $__timeFilter(d.day::timestamptz)
  AND ((p.kind = 'gas' AND d.metric_id = 24) OR (p.kind = 'water' AND d.metric_id = 25))
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: hourly
SELECT c.bucket AS time, p.kind AS metric, sum(c.amount) AS value
FROM consumption_hourly AS c JOIN point_place AS p USING (point_id)
WHERE p.site_id = ${site:sqlstring} AND $__timeFilter(c.bucket) AND p.kind IN ('electricity', 'heat')
  AND c.metric_id = 1
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: base_load
-- The least hour between 00:00 and 05:00 of each night (DOMAIN E2), and what a typical night was in the range.
WITH nights AS (
    SELECT date_trunc('day', c.bucket, city.time_zone) AS time, min(c.amount) AS base
    FROM consumption_hourly AS c JOIN point_place AS p USING (point_id) CROSS JOIN city
    WHERE p.site_id = ${site:sqlstring} AND p.kind = 'electricity' AND c.metric_id = 1 AND $__timeFilter(c.bucket)
      AND extract(hour FROM c.bucket AT TIME ZONE city.time_zone) < 5
    GROUP BY 1
)
SELECT time, base AS "night base load",
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY base) FROM nights) AS "typical night"
FROM nights
ORDER BY time;

-- name: voltage
SELECT $__timeGroup(r.time, '15m') AS time, m.name_en AS metric, avg(r.value) AS value
FROM readings AS r JOIN point_place AS p USING (point_id) JOIN metric AS m USING (metric_id)
WHERE p.site_id = ${site:sqlstring} AND p.kind = 'electricity' AND r.metric_id IN (9, 10, 11, 12)
  AND $__timeFilter(r.time)
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: alerts
SELECT a.fired_at AS "Fired", a.resolved_at AS "Resolved", a.severity AS "Severity",
       CASE WHEN ${lang:sqlstring} = 'uk' THEN a.title_uk ELSE a.title_en END AS "Alert",
       CASE WHEN ${lang:sqlstring} = 'uk' THEN a.advice_uk ELSE a.advice_en END AS "What to do"
FROM alert_list AS a
WHERE a.site_id = ${site:sqlstring} AND ($__timeFilter(a.fired_at) OR a.state = 'firing')
ORDER BY a.fired_at DESC
LIMIT 200;

-- name: annotations
SELECT a.fired_at AS time, coalesce(a.resolved_at, now()) AS timeend,
       CASE WHEN ${lang:sqlstring} = 'uk' THEN a.title_uk ELSE a.title_en END AS text,
       a.severity || ',' || a.rule_id AS tags
FROM alert_list AS a
WHERE a.site_id = ${site:sqlstring} AND $__timeFilter(a.fired_at)
ORDER BY 1;
