-- name: levels
-- latest
SELECT CASE WHEN ${lang:sqlstring} = 'uk' THEN name_uk ELSE name_en END AS name, fill_level_pct AS value
FROM bin_status
WHERE zone_id IN (${zone:sqlstring}) AND fraction IN (${fraction:sqlstring})
  AND contractor_id IN (${contractor:sqlstring}) AND fill_level_pct IS NOT NULL
ORDER BY fill_level_pct DESC
LIMIT 25;

-- name: soonest
-- latest
SELECT CASE WHEN ${lang:sqlstring} = 'uk' THEN name_uk ELSE name_en END AS "Bin", fraction AS "Fraction",
       CASE WHEN ${lang:sqlstring} = 'uk' THEN contractor_name_uk ELSE contractor_name_en END AS "Contractor",
       fill_level_pct AS "Fill", full_at AS "Full at", full_at_early AS "At the earliest",
       full_at_late AS "At the latest", collected_at AS "Last emptied", battery_pct AS "Battery", code AS "Code"
FROM bin_status
WHERE zone_id IN (${zone:sqlstring}) AND fraction IN (${fraction:sqlstring})
  AND contractor_id IN (${contractor:sqlstring})
ORDER BY full_at NULLS LAST, fill_level_pct DESC NULLS LAST
LIMIT 200;

-- name: map
-- latest
SELECT latitude AS lat, longitude AS lon, CASE WHEN ${lang:sqlstring} = 'uk' THEN site_name_uk ELSE site_name_en END AS name,
       max(fill_level_pct) AS value
FROM bin_status
WHERE zone_id IN (${zone:sqlstring}) AND fraction IN (${fraction:sqlstring})
  AND contractor_id IN (${contractor:sqlstring})
GROUP BY site_id, latitude, longitude, site_name_en, site_name_uk
ORDER BY value;

-- name: counts
-- latest
SELECT count(*) FILTER (WHERE fill_level_pct > 95) AS "overflowing",
       count(*) FILTER (WHERE fill_level_pct > 80 AND fill_level_pct <= 95) AS "nearly full",
       count(*) FILTER (WHERE full_at < now() + INTERVAL '24 hours' AND fill_level_pct <= 80) AS "full within a day",
       count(*) AS "all"
FROM bin_status
WHERE zone_id IN (${zone:sqlstring}) AND fraction IN (${fraction:sqlstring})
  AND contractor_id IN (${contractor:sqlstring});

-- name: curve
SELECT r.time AS time, m.name_en AS metric, r.value AS value
FROM readings AS r JOIN point_place AS p USING (point_id) JOIN metric AS m USING (metric_id)
WHERE p.code = ${bin:sqlstring} AND r.metric_id = 30 AND r.quality = 0 AND $__timeFilter(r.time)
ORDER BY 1;

-- name: sensor
SELECT $__timeGroup(r.time, '1h') AS time, m.name_en AS metric, avg(r.value) AS value
FROM readings AS r JOIN point_place AS p USING (point_id) JOIN metric AS m USING (metric_id)
WHERE p.code = ${bin:sqlstring} AND r.metric_id IN (40, 50) AND $__timeFilter(r.time)
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: service
-- How full bins were when they were emptied: a round for a bin under half is wasted, one at the top is late (W4).
SELECT fraction AS "Fraction", count(*) AS "Emptied", avg(c.fill_before_pct) AS "Fill before",
       100.0 * count(*) FILTER (WHERE c.fill_before_pct < 50) / count(*) AS "Under half",
       100.0 * count(*) FILTER (WHERE c.fill_before_pct >= 99) / count(*) AS "Overflowing"
FROM collection AS c JOIN point_place AS p USING (point_id)
WHERE $__timeFilter(c.time) AND p.zone_id IN (${zone:sqlstring}) AND p.fraction IN (${fraction:sqlstring})
  AND p.contractor_id IN (${contractor:sqlstring})
GROUP BY 1
ORDER BY 1;

-- name: annotations
SELECT c.time AS time, 'emptied at ' || round(c.fill_before_pct) || ' %' AS text, 'collection' AS tags
FROM collection AS c JOIN point AS p USING (point_id)
WHERE p.code = ${bin:sqlstring} AND $__timeFilter(c.time)
ORDER BY 1;
